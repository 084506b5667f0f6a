"""TensorFlow's resizing against that of prepare_dataset: equal masks, images that differ by rounding alone."""

import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline.imaging import resizing as of_prepare
from seg_pipeline.input import resizing

_SIZES = [(48, 40), (37, 91), (32, 32), (16, 100), (100, 16), (9, 9), (64, 64), (131, 77)]
_WANTED = [(32, 32), (64, 32), (9, 7)]


def _smooth(height, width):
    rows, columns = np.mgrid[:height, :width]
    channels = rows * 255 // height, columns * 255 // width, (rows + columns) % 256
    return np.stack(channels, axis=-1).astype(np.uint8)


@pytest.mark.parametrize('wanted', _WANTED)
@pytest.mark.parametrize('size', _SIZES)
def test_images_are_those_of_prepare_dataset_to_rounding(size, wanted):
    noise = np.random.default_rng(size).integers(0, 256, (*size, 3), np.uint8)
    for image in (noise, _smooth(*size)):
        found = resizing.resize_image(tf.constant(image), wanted)
        expected = of_prepare.resize_image(image, wanted)
        assert found.dtype == tf.uint8
        assert np.abs(found.numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize('wanted', _WANTED)
@pytest.mark.parametrize('size', _SIZES)
def test_masks_are_those_of_prepare_dataset(size, wanted):
    mask = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    found = resizing.resize_mask(tf.constant(mask), wanted)
    np.testing.assert_array_equal(found, of_prepare.resize_mask(mask, wanted))


def test_sizes_may_be_known_only_when_the_graph_runs():
    signature = [tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((None, None), tf.uint8)]
    both = tf.function(
        lambda image, mask: (resizing.resize_image(image, (8, 8)), resizing.resize_mask(mask, (8, 8))),
        input_signature=signature,
    )
    for size in ((20, 5), (16, 24)):
        image, mask = _smooth(*size), _smooth(*size)[..., 2]
        found_image, found_mask = both(image, mask)
        assert np.abs(found_image.numpy().astype(int) - of_prepare.resize_image(image, (8, 8))).max() <= 1
        np.testing.assert_array_equal(found_mask, of_prepare.resize_mask(mask, (8, 8)))
