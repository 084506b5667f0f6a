"""Shows what an augmentation does to the pairs of a data set.

python -m trainer.show_augmentation --data_dir=DATASET_DIR --output_dir=OUT [--augmentation=strong] [flags]

Writes OUT/augmentation.html: the first pairs that a training run of this seed sees, before and after.
"""

from absl import flags

from seg_pipeline import command_line, errors
from seg_pipeline.input import strengths
from trainer import data_flags, jobs, options, tensorflow_setup

_SHOWN = options.AugmentationOptions()

flags.adopt_module_key_flags(data_flags)
_DATA_DIR = flags.DEFINE_string('data_dir', None, data_flags.DATA_DIR_HELP, required=True)
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Directory for the page.', required=True)
_AUGMENTATION = flags.DEFINE_string(
    'augmentation', _SHOWN.augmentation, f'{", ".join(strengths.OF_POLICY)}, or a JSON file.'
)
_PAIRS = flags.DEFINE_integer('pairs', _SHOWN.pairs, 'How many pairs to show.', 1)
_SEED = flags.DEFINE_integer('seed', _SHOWN.seed, 'Of the order and of what is drawn, as that of a run.', 0)


def main(argv: list[str]) -> None:
    """Reads the flags, and writes the page."""
    tensorflow_setup.start_tensorflow()
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    shown = options.AugmentationOptions(_AUGMENTATION.value, _PAIRS.value, _SEED.value)
    page = jobs.show_augmentation(_DATA_DIR.value, _OUTPUT_DIR.value, shown, data_flags.options())
    print(f'written to {page}')


if __name__ == '__main__':
    command_line.run(main)
