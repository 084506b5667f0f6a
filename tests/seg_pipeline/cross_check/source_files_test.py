"""The second reader of masks: what its libraries would refuse for reasons of their own."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from seg_pipeline.cross_check import source_files


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_the_limit_of_pixels_of_pillow_does_not_hold(monkeypatch, kind):
    ids = np.arange(600, dtype=np.uint8).reshape(20, 30) % 7
    file = io.BytesIO()
    Image.fromarray(ids).save(file, kind)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(file.getvalue()))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        np.testing.assert_array_equal(source_files.read(file.getvalue()).values, ids)
