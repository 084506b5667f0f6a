"""A synthetic set of pairs in the layout, and with the label table, of Clothing Co-Parsing."""

import json
import pathlib

import numpy as np
from numpy.typing import NDArray

from seg_pipeline import errors
from seg_pipeline.imaging import images
from seg_pipeline.labels import label_map
from seg_pipeline.synthetic import scene

# Not `clothing_parsing.source.LABELS_FILE`, because an import of that package registers the TFDS builder and so imports
# TFDS, which drawing does not need.
LABELS_FILE = pathlib.Path(__file__).parents[1] / 'clothing_parsing' / 'labels.csv'
WIDTH = 275
# In pixels: half the size of the photos of Clothing Co-Parsing, which are about 825 high and 550 wide. As there, the
# heights vary.
MEAN_HEIGHT, MIN_HEIGHT, MAX_HEIGHT = 412, 400, 437

_IMAGES, _MASKS = pathlib.Path('png_images', 'IMAGES'), pathlib.Path('png_masks', 'MASKS')
_MARKER = 'synthetic.json'
_GENERATOR = 'seg_pipeline.synthetic'


def draw_pair(
    seed: int, number: int, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draws one figure.

    Args:
        seed: the number of the set.
        number: the number of the pair in it.
        size: (height, width) in pixels; by default 275 wide and about 412 high.

    Returns:
        The photo, (height, width, 3) uint8 RGB, and its mask, (height, width) uint8 ids of LABELS_FILE.
    """
    # Each pair has its own generator, so that it does not depend on the pairs drawn before it.
    rng = np.random.default_rng((seed, number))
    height = int(np.clip(round(rng.normal(MEAN_HEIGHT, 5)), MIN_HEIGHT, MAX_HEIGHT))
    names = label_map.read(str(LABELS_FILE)).names
    return scene.draw(rng, {name: index for index, name in enumerate(names)}, size or (height, WIDTH))


def write(output_dir: str, num_pairs: int, seed: int) -> None:
    """Writes the pairs 1..num_pairs, and the label table last: an interrupted set has no label table.

    Args:
        output_dir: a new or empty directory, or one that this function wrote earlier, whose pairs are replaced.
        num_pairs: how many pairs, up to 9999.
        seed: the number of the set.

    Raises:
        errors.UserError: if output_dir has contents that this function did not write, or cannot be written.
    """
    root = pathlib.Path(output_dir)
    try:
        _clear(root)
        for folder in (_IMAGES, _MASKS):
            (root / folder).mkdir(parents=True, exist_ok=True)
        # Written before the pairs, so that an interrupted set is recognized as an earlier output.
        marker = {'generator': _GENERATOR, 'pairs': num_pairs, 'seed': seed}
        (root / _MARKER).write_text(json.dumps(marker, sort_keys=True) + '\n')
        for number in range(1, num_pairs + 1):
            photo, mask = draw_pair(seed, number)
            (root / _IMAGES / f'img_{number:04d}.png').write_bytes(images.encode_png(photo))
            (root / _MASKS / f'seg_{number:04d}.png').write_bytes(images.encode_png(mask))
        (root / 'labels.csv').write_bytes(LABELS_FILE.read_bytes())
    except OSError as error:
        raise errors.UserError(f'--output_dir={output_dir}: {error.strerror}: {error.filename}') from error


def _clear(root: pathlib.Path) -> None:
    """Removes the pairs of an earlier run, and nothing else."""
    if not root.exists() or not any(root.iterdir()):
        return
    if not _is_own_output(root):
        raise errors.UserError(
            f'--output_dir={root}: not empty, and not written by {_GENERATOR} (no {_MARKER} of its own): '
            'name a new directory'
        )
    (root / 'labels.csv').unlink(missing_ok=True)
    for pair_files in (
        (root / _IMAGES).glob('img_[0-9][0-9][0-9][0-9].png'),
        (root / _MASKS).glob('seg_[0-9][0-9][0-9][0-9].png'),
    ):
        for path in pair_files:
            path.unlink()


def _is_own_output(root: pathlib.Path) -> bool:
    try:
        return bool(json.loads((root / _MARKER).read_text())['generator'] == _GENERATOR)
    except (OSError, ValueError, KeyError, TypeError):
        return False
