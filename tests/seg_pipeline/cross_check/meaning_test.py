"""The second reader agrees with the first on every kind of file that the first accepts, or cannot read it."""

import numpy as np
import pytest

from seg_pipeline.cross_check import source_files
from seg_pipeline.cross_check.meaning import Meaning
from seg_pipeline.imaging import masks, rejects
from seg_pipeline.labels.label_map import LabelMap
from tests import mask_conformance, mask_files
from tests.attack import plain_readers

_CASES = [case for case in mask_conformance.cases() if case.files]


def _check_agreement(files, labels, mask_format):
    """Compares what both readers find in each file; the names of those that the second does not know."""
    unknown = []
    for name, data in files.items():
        try:
            ids = masks.decode(data, 'mask', masks.MaskReader(labels, mask_format))
        except rejects.RejectError:
            continue
        seen = source_files.read(data)
        if seen is None:
            unknown.append(name)
            continue
        values = seen.values
        if values.ndim == 3:
            values = values.astype(np.int64) @ np.array([65536, 256, 1])
        mean = Meaning(labels, mask_format, None).of(seen)
        np.testing.assert_array_equal(np.vectorize(mean)(values.astype(np.int64)), ids, err_msg=name)
    return unknown


_BLACK_AND_WHITE = LabelMap(('background', 'object'), ((0, 0, 0), (255, 255, 255)))
_PAPER = LabelMap(('paper', 'ink', 'stain'), ((255, 255, 255), (0, 0, 0), (255, 0, 0)))


@pytest.mark.parametrize(
    'labels', [_BLACK_AND_WHITE, _PAPER, LabelMap.default(('a', 'b'))], ids=['black', 'paper', 'no']
)
@pytest.mark.parametrize('mask_format', masks.MASK_FORMATS)
@pytest.mark.parametrize('bits', [1, 4, 8])
def test_both_readers_agree_on_black_and_white(labels, mask_format, bits):
    pixels = np.random.default_rng(bits).integers(0, 2, (9, 11))
    ramp = [(value, value, value) for value in np.linspace(0, 255, 2**bits).astype(int).tolist()]
    files = {
        f'{kind} {name}': write(values, bits, *palette)
        for name, values in (('ends', pixels * (2**bits - 1)), ('ids', pixels), ('zeros', 0 * pixels))
        for kind, write, palette in (
            ('bmp ramp', mask_files.bmp, (ramp,)),
            ('bmp of two', mask_files.bmp, (ramp[:: 2**bits - 1],)),
            ('png', mask_files.png, ()),
            ('tiff', mask_files.tiff, ()),
        )
        if kind != 'bmp of two' or name != 'ends' or bits == 1
    }
    _check_agreement(files, labels, mask_format)


@pytest.mark.parametrize('case', _CASES, ids=lambda case: case.name)
@pytest.mark.parametrize('mask_format', masks.MASK_FORMATS)
@pytest.mark.parametrize('has_colors', [True, False])
def test_both_readers_agree(case, mask_format, has_colors):
    labels = case.labels if has_colors else type(case.labels).default(case.labels.names)
    for name in _check_agreement(case.files, labels, mask_format):
        is_narrow = case.pixels.endswith(('2 bit', '4 bit')) and name.endswith((' tiles', ' plain tiles'))
        assert (case.kind == 'TIFF' and is_narrow) or (case.kind == 'BMP' and name == 'header of 12 bytes'), name
        if name.endswith('plain tiles'):
            np.testing.assert_array_equal(plain_readers.tiff(case.files[name]), case.stored)
