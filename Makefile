# Everything runs in .venv, which is made from requirements.lock; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
BIN := .venv/bin
# Where the demo keeps everything; DATA is a folder with png_images, png_masks and labels.csv.
OUT ?= demo_output
DATA ?=
# How long everything together is attacked, and what the cases follow from.
SECONDS ?= 3600
SEED ?= 1
# Further flags of pytest.
PYTEST_FLAGS ?=
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links

.PHONY: help demo test test-engines attack lint format bench docs lock clean

help:  ## Lists these targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 10

.venv/.installed: requirements.lock setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: .venv/.installed  ## From pairs to pictures in one go; DATA=DIR takes your own data.
	BIN=$(BIN) OUT=$(OUT) DATA=$(DATA) sh tools/demo.sh

test: .venv/.installed lint  ## Linter, types and all tests.
	$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal $(PYTEST_FLAGS)

test-engines: .venv/.installed  ## prepare_dataset on Prism, Flink and Spark; DATA=DIR takes pairs as for the demo.
	ENGINES_DATA=$(DATA) $(BIN)/python -m pytest $(PYTEST_FLAGS) tests/engines

attack: .venv/.installed  ## Altered inputs for everything that reads files; an hour, or SECONDS.
	$(BIN)/python -m tests.attack --seconds=$(SECONDS) --seed=$(SEED) --directory=attack_output --log=attack_output/log.jsonl

lint: .venv/.installed  ## Linter and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed  ## Formats the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed  ## All benchmarks; DATA=DIR as for the demo.
	BIN=$(BIN) DATA=$(DATA) sh tools/bench.sh

docs: .venv/.installed  ## The site of the documentation, in docs/_build/html.
	$(BIN)/python -m sphinx --builder html --doctree-dir docs/_build/doctrees --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo docs/_build/html/index.html

lock:  ## Resolves requirements.lock and .ci/gcp.lock anew from setup.py; keeps what still fits.
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(LOCK) --extra train --extra pretrained --extra export --extra hdfs --extra test --extra bench --output-file requirements.lock setup.py
	$(LOCK) --constraint requirements.lock --output-file .ci/gcp.lock .ci/gcp.in

clean:  ## Removes the environment and the demo's output.
	rm -rf .venv $(OUT) attack_output bench_output docs/_build
