#!/bin/sh
# All steps, from pairs to pictures; `make demo` runs it. Set DATA to a folder with png_images, png_masks and
# labels.csv to take your own pairs, OUT to choose where everything goes. Everything that is there is kept: the same
# command again goes on where it was stopped.
set -eu
BIN=${BIN:-.venv/bin}
OUT=${OUT:-demo_output}
DATA=${DATA:-}
PAIRS=${PAIRS:-120}        # how many pairs are drawn where no DATA is given
TRAIN_FLAGS=${TRAIN_FLAGS:-}  # further flags of trainer.train

step() { printf '\n== %s\n' "$1"; shift; printf '   %s\n' "$*"; "$@"; }

if [ -z "$DATA" ]; then
  DATA=$OUT/pairs
  step "Draw $PAIRS pairs of clothed figures" \
    "$BIN/python" -m seg_pipeline.synthetic --output_dir="$DATA" --pairs="$PAIRS"
fi
step "Prepare the data set, on every core" \
  "$BIN/python" -m beam_jobs.prepare_dataset --images="$DATA/png_images" --masks="$DATA/png_masks" \
  --labels="$DATA/labels.csv" --output_dir="$OUT/data"
DATASET_DIR=$OUT/data/clothing_parsing/128x128/1.0.0
step "Verify it" "$BIN/python" -m seg_pipeline.verify "$DATASET_DIR"
# shellcheck disable=SC2086  # TRAIN_FLAGS is a list
step "Train on every device" \
  "$BIN/python" -m trainer.train --data_dir="$DATASET_DIR" --model_dir="$OUT/run" \
  --flagfile=trainer/recipes/demo.flags $TRAIN_FLAGS
step "Evaluate" "$BIN/python" -m trainer.evaluate --data_dir="$DATASET_DIR" --model_dir="$OUT/run"
step "Predict the photos that the model did not learn from" \
  "$BIN/python" -m trainer.predict --model_dir="$OUT/run" --images="$DATA/png_images" --masks="$DATA/png_masks" \
  --data_dir="$DATASET_DIR" --output_dir="$OUT/predictions"

printf '\nDone. Look at\n'
for file in "$DATASET_DIR/report/index.html" "$OUT/run/curves.png" "$OUT/run/evaluation/validation.json" \
  "$OUT"/predictions/panels/*; do
  if [ -e "$file" ]; then printf '  %s\n' "$file"; fi
done
