import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from seg_pipeline.imaging import resizing

_BORDER = 255
_SIZES = st.tuples(st.integers(1, 50), st.integers(1, 50))
_MASKS = st_numpy.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 5))
_MODES = st.sampled_from(resizing.MODES)
_MASK_MODES = st.sampled_from(resizing.MASK_MODES)


def _noise(height, width, highest=6):
    return np.random.default_rng(0).integers(0, highest, (height, width), dtype=np.uint8)


# Geometry.


@pytest.mark.parametrize(
    ('original', 'size', 'mode', 'source', 'target'),
    [
        ((832, 550), (128, 128), 'squash', (0, 0, 832, 550), (0, 0, 128, 128)),
        ((832, 550), (128, 128), 'letterbox', (0, 0, 832, 550), (0, 21, 128, 85)),
        ((832, 550), (128, 128), 'crop', (141, 0, 550, 550), (0, 0, 128, 128)),
        ((100, 300), (128, 128), 'letterbox', (0, 0, 100, 300), (42, 0, 43, 128)),
        ((100, 300), (60, 120), 'crop', (0, 50, 100, 200), (0, 0, 60, 120)),
        ((1, 1000), (8, 8), 'letterbox', (0, 0, 1, 1000), (3, 0, 1, 8)),
    ],
)
def test_geometry(original, size, mode, source, target):
    found = resizing.geometry(original, size, mode)
    assert found == resizing.Geometry(original, size, resizing.Box(*source), resizing.Box(*target))


@settings(deadline=None)
@given(original=_SIZES, size=_SIZES)
def test_letterbox_and_crop_keep_the_aspect_ratio_within_a_pixel(original, size):
    for mode in ('letterbox', 'crop'):
        found = resizing.geometry(original, size, mode)
        vertical = found.target.height / found.source.height
        horizontal = found.target.width / found.source.width
        box = found.target if mode == 'letterbox' else found.source
        outer = size if mode == 'letterbox' else original
        assert box.height == outer[0] or box.width == outer[1]
        assert 0 <= box.top <= outer[0] - box.height
        assert abs(outer[0] - box.height - 2 * box.top) <= 1
        assert abs(outer[1] - box.width - 2 * box.left) <= 1
        # Half a pixel of rounding, or the one pixel below which no side shrinks.
        if min(box.size) > 1:
            assert max(vertical / horizontal, horizontal / vertical) <= 1 + 0.5 / (min(box.size) - 0.5)


def test_unknown_modes():
    with pytest.raises(ValueError, match='stretch'):
        resizing.geometry((1, 1), (1, 1), 'stretch')
    with pytest.raises(ValueError, match='bilinear'):
        resizing.resize_mask(_noise(2, 2), (1, 1), mask_mode='bilinear')


# Masks.


@settings(max_examples=300, deadline=None)
@given(mask=_MASKS, size=_SIZES, mode=_MODES, mask_mode=_MASK_MODES)
def test_a_resized_mask_has_no_new_ids(mask, size, mode, mask_mode):
    found = resizing.resize_mask(mask, size, mode, mask_mode, _BORDER)
    assert found.dtype == np.uint8
    assert found.shape == size
    geometry = resizing.geometry(mask.shape, size, mode)
    visible = mask[geometry.source.slices]
    assert set(np.unique(found[geometry.target.slices])) <= set(np.unique(visible))
    border = np.ones(size, bool)
    border[geometry.target.slices] = False
    assert (found[border] == _BORDER).all()
    assert not border.any() or mode == 'letterbox'


@settings(deadline=None)
@given(mask=_MASKS, size=_SIZES)
def test_nearest_takes_the_pixel_under_each_centre(mask, size):
    rows = ((np.arange(size[0]) * 2 + 1) * mask.shape[0]) // (2 * size[0])
    columns = ((np.arange(size[1]) * 2 + 1) * mask.shape[1]) // (2 * size[1])
    np.testing.assert_array_equal(resizing.resize_mask(mask, size), mask[rows][:, columns])


def _vote_by_hand(mask, size):
    """Each pixel votes in the cell that contains its centre."""
    votes = {(row, column): [] for row in range(size[0]) for column in range(size[1])}
    scale = [wanted / present for wanted, present in zip(size, mask.shape, strict=True)]
    for row, column in np.ndindex(mask.shape):
        cell = int((row + 0.5) * scale[0] + 1e-9), int((column + 0.5) * scale[1] + 1e-9)
        votes[cell].append(int(mask[row, column]))
    result = np.zeros(size, np.uint8)
    for (row, column), ids in votes.items():
        nearest = int(mask[int((row + 0.5) / scale[0] + 1e-9), int((column + 0.5) / scale[1] + 1e-9)])
        best = max(ids.count(i) for i in ids)
        winners = [i for i in sorted(set(ids)) if ids.count(i) == best]
        result[row, column] = nearest if nearest in winners else winners[0]
    return result


@settings(max_examples=200, deadline=None)
@given(mask=_MASKS, height=st.integers(1, 40), width=st.integers(1, 40))
def test_majority_counts_votes(mask, height, width):
    size = min(height, mask.shape[0]), min(width, mask.shape[1])
    np.testing.assert_array_equal(resizing.resize_mask(mask, size, mask_mode='majority'), _vote_by_hand(mask, size))


def test_majority_by_example():
    mask = np.array([[1, 1, 255, 7, 7, 2], [1, 3, 255, 255, 2, 7], [4, 5, 6, 6, 2, 2]], np.uint8)
    np.testing.assert_array_equal(resizing.resize_mask(mask, (1, 3), mask_mode='majority'), [[1, 255, 2]])


def test_of_equally_frequent_ids_the_nearest_wins_then_the_lowest():
    tie = np.array([[5, 5, 9, 9, 8]], np.uint8)
    np.testing.assert_array_equal(resizing.resize_mask(tie, (1, 1), mask_mode='majority'), [[9]])
    tie = np.array([[9, 9, 8, 5, 5]], np.uint8)
    np.testing.assert_array_equal(resizing.resize_mask(tie, (1, 1), mask_mode='majority'), [[5]])


def test_majority_and_nearest_are_the_same_where_a_mask_grows():
    mask = _noise(7, 9)
    for size in ((7, 9), (20, 31), (7, 30)):
        np.testing.assert_array_equal(
            resizing.resize_mask(mask, size, mask_mode='majority'), resizing.resize_mask(mask, size)
        )


# Back to the original.


@settings(deadline=None)
@given(mask=_MASKS, original=_SIZES, mode=_MODES)
def test_restoring_adds_no_ids(mask, original, mode):
    found = resizing.restore_mask(mask, original, mode, _BORDER)
    assert found.shape == original
    geometry = resizing.geometry(original, mask.shape, mode)
    assert set(np.unique(found[geometry.source.slices])) <= set(np.unique(mask[geometry.target.slices]))
    outside = np.ones(original, bool)
    outside[geometry.source.slices] = False
    assert (found[outside] == _BORDER).all()
    assert not outside.any() or mode == 'crop'


@settings(deadline=None)
@given(
    blocks=_MASKS,
    factor=st.integers(1, 4),
    mode=_MODES,
    mask_mode=_MASK_MODES,
    extra=st.integers(0, 3).map(lambda n: 2 * n),
)
def test_a_reduced_mask_is_restored_in_its_place(blocks, factor, mode, mask_mode, extra):
    """A mask of blocks is the same after a reduction to one pixel for each block and back: nothing is shifted."""
    mask = np.kron(blocks, np.ones((factor, factor), np.uint8))
    height, width = blocks.shape
    size = {'squash': (height, width), 'letterbox': (height + extra, width), 'crop': (height, width)}[mode]
    if mode == 'crop':  # rows that the new aspect ratio has no room for
        mask = np.pad(mask, ((extra, extra), (0, 0)), constant_values=5)
    small = resizing.resize_mask(mask, size, mode, mask_mode, _BORDER)
    restored = resizing.restore_mask(small, mask.shape, mode, _BORDER)
    inside = resizing.geometry(mask.shape, size, mode).source
    np.testing.assert_array_equal(restored[inside.slices], mask[inside.slices])


# Images.


@settings(deadline=None)
@given(factor=st.integers(1, 6), height=st.integers(1, 8), width=st.integers(1, 8), seed=st.integers(0, 99))
def test_a_smaller_image_is_the_mean_of_the_area(factor, height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height * factor, width * factor, 3), dtype=np.uint8)
    mean = image.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
    assert np.abs(resizing.resize_image(image, (height, width)) - mean).max() <= 0.5 + 1e-6


@pytest.mark.parametrize('mode', resizing.MODES)
@pytest.mark.parametrize('size', [(128, 128), (64, 200), (900, 700)])
def test_image_and_mask_stay_aligned(mode, size):
    mask = np.zeros((832, 550), np.uint8)
    mask[200:600, 100:400] = 1
    image = np.dstack([mask * 200] * 3)
    small_image = resizing.resize_image(image, size, mode)
    small_mask = resizing.resize_mask(mask, size, mode, border=0)
    assert small_image.shape == (*size, 3)
    assert ((small_image[..., 0] > 100) != (small_mask == 1)).mean() < 0.004


def test_the_border_of_a_letterbox_is_black():
    found = resizing.resize_image(np.full((10, 20, 3), 200, np.uint8), (20, 20), 'letterbox')
    np.testing.assert_array_equal(
        found[..., 0] == 0, np.r_[[True] * 5, [False] * 10, [True] * 5][:, None] * np.ones(20, bool)
    )
