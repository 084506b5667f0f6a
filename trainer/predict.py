"""Predicts the classes of photos with a trained model.

python -m trainer.predict --model_dir=RUN --images=DIR_OR_GLOB --output_dir=OUT [--masks=DIR] [--batch_size=16]
       [--data_dir=DATASET_DIR --split=validation]

For a photo a/b.jpg it writes OUT/masks/a/b.png (class ids, 8 bits grey, of the photo's size) and OUT/overlays/a/b.png;
OUT/panels/0001.png and so on show the photos beside their predictions and, with --masks, their ground truths. Every
file appears whole or not at all, in the place of one of the same name. With --data_dir it takes the photos of one split
alone: those of validation are the ones that the model did not learn from.
"""

from absl import flags

import trainer
from seg_pipeline import command_line, errors
from trainer import config
from trainer.inference import photos

_NAMED_FAILURES = 5

_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Directory of the run.', required=True)
_IMAGES = flags.DEFINE_string('images', None, "Directory of photos, or a quoted pattern: 'in/*.jpg'.", required=True)
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Where masks/, overlays/ and panels/ go.', required=True)
_MASKS = flags.DEFINE_string('masks', None, 'Directory of ground truths, to be drawn beside the predictions.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Data set made of --images: predict the photos of one split alone.')
_SPLIT = flags.DEFINE_string('split', config.VALIDATION_SPLIT, 'That split of --data_dir.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 16, 'Photos that are predicted, and held in memory, at a time.', 1)


def main(argv: list[str]) -> None:
    """Checks what the user gave, then loads TensorFlow and predicts."""
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    config.read(_MODEL_DIR.value)
    found = photos.find(_IMAGES.value, _MASKS.value)
    if _DATA_DIR.value:
        found = photos.only_of_split(found, _DATA_DIR.value, _SPLIT.value)
    output_dir = _OUTPUT_DIR.value
    trainer.start_tensorflow()
    trainer.load_tensorflow()
    from trainer.inference import pictures, predictor
    from trainer.training import checkpoints  # These load TensorFlow, which takes seconds.

    model, run = checkpoints.load_for_inference(_MODEL_DIR.value)
    try:
        failures = pictures.predict(found, predictor.Predictor(model), run, output_dir, _BATCH_SIZE.value)
    except OSError as error:
        raise errors.UserError(f'--output_dir={output_dir} cannot be written: {error}') from error
    print(f'{len(found) - len(failures)} photos: ids in {output_dir}/masks, overlays in {output_dir}/overlays,')
    print(f'photos beside their predictions in {output_dir}/panels')
    if failures:
        more = f'; and {len(failures) - _NAMED_FAILURES} more' if len(failures) > _NAMED_FAILURES else ''
        raise errors.UserError(
            f'{len(failures)} of {len(found)} photos were left out: {"; ".join(failures[:_NAMED_FAILURES])}{more}'
        )


if __name__ == '__main__':
    command_line.run(main)
