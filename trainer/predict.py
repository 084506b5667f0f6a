"""Predicts the class of every pixel of images with a trained model.

python -m trainer.predict --model_dir=RUN --images=DIR_OR_GLOB --output_dir=OUT [--masks=DIR] [--batch_size=16]
       [--data_dir=DATASET_DIR --split=validation] [--tta=flip]

For an image a/b.jpg it writes OUT/masks/a/b.png (class ids, 8 bits grey, of the image's size) and OUT/overlays/a/b.png;
OUT/panels/0001.png and so on show the images beside their predictions and, with --masks, their ground truths. Every
file appears complete or not at all, in the place of one of the same name. With --data_dir it takes the images of one
split alone: those of validation are the ones that the model did not learn from.
"""

from absl import flags

from seg_pipeline import command_line, errors
from seg_pipeline.plurals import counted
from trainer import jobs, options, tensorflow_setup

_NAMED_FAILURES = 5
_PREDICTION = options.PredictionOptions()

_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Directory of the run.', required=True)
_IMAGES = flags.DEFINE_string('images', None, "Directory of images, or a quoted pattern: 'in/*.jpg'.", required=True)
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Where masks/, overlays/ and panels/ go.', required=True)
_MASKS = flags.DEFINE_string(
    'masks', _PREDICTION.masks, 'Directory of ground truths, to be drawn beside the predictions.'
)
_DATA_DIR = flags.DEFINE_string(
    'data_dir', _PREDICTION.data_dir, 'Data set made of --images: predict the images of one split alone.'
)
_SPLIT = flags.DEFINE_string(
    'split', _PREDICTION.split, 'That split of --data_dir; default: the one that the run was validated on.'
)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size',
    _PREDICTION.batch_size,
    'Images that are predicted, and held in memory, at a time; fewer of large ones.',
    1,
)
_TTA = flags.DEFINE_enum('tta', _PREDICTION.tta, list(options.TTA), options.TTA_HELP)


def main(argv: list[str]) -> None:
    """Reads the flags, predicts, and says where the pictures are."""
    tensorflow_setup.start_tensorflow()
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    if _SPLIT.present and not _DATA_DIR.value:
        raise errors.UserError(f'--split={_SPLIT.value} is a split of --data_dir: give that too')
    output_dir = _OUTPUT_DIR.value
    prediction = options.PredictionOptions(_MASKS.value, _DATA_DIR.value, _SPLIT.value, _BATCH_SIZE.value, _TTA.value)
    result = jobs.predict(_MODEL_DIR.value, _IMAGES.value, output_dir, prediction)
    failures = result.failures
    num_predicted = result.num_images - len(failures)
    print(
        f'{counted(num_predicted, "image")}: ids in {output_dir}/masks, overlays in {output_dir}/overlays, '
        f'images beside their predictions in {output_dir}/panels',
        flush=True,
    )
    if failures:
        more = f'; and {len(failures) - _NAMED_FAILURES} more' if len(failures) > _NAMED_FAILURES else ''
        named = '; '.join(failures[:_NAMED_FAILURES])
        were = 'was' if len(failures) == 1 else 'were'
        of = f'{len(failures)} of {counted(result.num_images, "image")}'
        raise errors.UserError(f'{of} {were} left out: {named}{more}')


if __name__ == '__main__':
    command_line.run(main)
