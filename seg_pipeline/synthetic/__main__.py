"""Command: draws a synthetic set of clothed figures in the layout, and with the label table, of Clothing Co-Parsing.

    python -m seg_pipeline.synthetic --output_dir=DIR --pairs=120 --seed=0

writes DIR/png_images/IMAGES/img_0001.png, DIR/png_masks/MASKS/seg_0001.png and so on, DIR/labels.csv, and
DIR/synthetic.json, which records the seed and the number of pairs. A pair depends only on the seed and its number, so a
longer set begins with the pairs of a shorter one.
"""

from absl import flags

from seg_pipeline import command_line, errors, storage
from seg_pipeline.synthetic import pair_set

_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Directory to write to: new, empty, or an earlier output.')
_PAIRS = flags.DEFINE_integer('pairs', 120, 'How many photos and masks to draw.', lower_bound=1, upper_bound=9999)
_SEED = flags.DEFINE_integer('seed', 0, 'Another seed draws other figures.', 0, 2**63 - 1)


def main(argv: list[str]) -> None:
    """Draws the set that the flags describe."""
    if len(argv) > 1:
        raise errors.UserError(f'unexpected argument {argv[1]!r}. See --help.')
    if not _OUTPUT_DIR.value:
        raise errors.UserError('--output_dir is missing: say where to draw the set')
    if not storage.has_directories(_OUTPUT_DIR.value):
        raise errors.UserError(f'--output_dir={_OUTPUT_DIR.value}: the set is drawn on this disk only; copy it then')
    pair_set.write(_OUTPUT_DIR.value, _PAIRS.value, _SEED.value)
    print(f'Drew {_PAIRS.value} pairs with seed {_SEED.value}: {_OUTPUT_DIR.value}')


if __name__ == '__main__':
    command_line.run(main)
