#!/bin/sh
# Every benchmark, one table after the other; `make bench DATA=DIR` runs it. DATA is a folder with png_images, png_masks and
# labels.csv; without it, pairs are drawn. Give the machine nothing else to do.
set -eu
BIN=${BIN:-.venv/bin}
OUT=${OUT:-bench_output}
DATA=${DATA:-}

if [ -z "$DATA" ]; then
  DATA=$OUT/pairs
  "$BIN/python" -m seg_pipeline.synthetic --output_dir="$DATA" --pairs=1000
fi
PAIRS=$(find -L "$DATA/png_images" -name '*.png' | wc -l)
"$BIN/python" -m benchmarks.prepare --data="$DATA" --pairs="$PAIRS"
"$BIN/python" -m benchmarks.scale --data="$DATA"
"$BIN/python" -m beam_jobs.prepare_dataset --images="$DATA/png_images" --masks="$DATA/png_masks" \
  --labels="$DATA/labels.csv" --output_dir="$OUT/data"
"$BIN/python" -m benchmarks.input_pipeline --data_dir="$OUT/data/clothing_parsing/128x128/1.0.0"
"$BIN/python" -m benchmarks.train_step --data_dir="$OUT/data/clothing_parsing/128x128/1.0.0"
