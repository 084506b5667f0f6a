"""The second reader agrees with the first on every kind of file that the first accepts, or cannot read it."""

import numpy as np
import pytest

from seg_pipeline.cross_check import source_files
from seg_pipeline.cross_check.meaning import Meaning
from seg_pipeline.imaging import masks, rejects
from tests import mask_conformance

_CASES = [case for case in mask_conformance.cases() if case.files]


@pytest.mark.parametrize('case', _CASES, ids=lambda case: case.name)
@pytest.mark.parametrize('mask_format', masks.MASK_FORMATS)
@pytest.mark.parametrize('has_colors', [True, False])
def test_both_readers_agree(case, mask_format, has_colors):
    labels = case.labels if has_colors else type(case.labels).default(case.labels.names)
    for name, data in case.files.items():
        try:
            ids = masks.decode(data, 'mask', masks.MaskReader(labels, mask_format))
        except rejects.RejectError:
            continue
        seen = source_files.read(data)
        if seen is None:
            assert 'TIFF' in case.kind or 'MATLAB' in case.kind or 'BMP' in case.kind, name
            continue
        values = seen.values
        if values.ndim == 3:
            values = values.astype(np.int64) @ np.array([65536, 256, 1])
        mean = Meaning(labels, mask_format, None).of(seen)
        np.testing.assert_array_equal(np.vectorize(mean)(values.astype(np.int64)), ids, err_msg=name)
