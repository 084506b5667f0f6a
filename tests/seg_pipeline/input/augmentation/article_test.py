"""Every op eagerly and inside tf.data, its range, and image and mask under one geometry."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seg_pipeline.input import augmentation

IGNORE = 255
HEIGHT, WIDTH = 24, 16
ARTICLE_OPS = augmentation.ARTICLE[0].ops
COLOR_OPS = (augmentation.Brightness, augmentation.Gamma, augmentation.Hue)
GEOMETRY_OPS = [op for op in ARTICLE_OPS if not isinstance(op, COLOR_OPS)]
SEEDS = [(3, number) for number in range(24)]

every_op = pytest.mark.parametrize('op', ARTICLE_OPS, ids=lambda op: type(op).__name__)
every_geometry_op = pytest.mark.parametrize('op', GEOMETRY_OPS, ids=lambda op: type(op).__name__)


def apply(op, image, mask, seed):
    image, mask = augmentation.apply((op,), tf.constant(image), tf.constant(mask), seed, IGNORE)
    return image.numpy(), mask.numpy()


def apply_to_image(op, image, seed):
    return apply(op, image, np.zeros((*image.shape[:2], 1), np.uint8), seed)[0]


def apply_to_mask(op, mask, seed):
    return apply(op, np.zeros((*mask.shape, 3), np.uint8), mask[..., np.newaxis], seed)[1][..., 0]


def noise(height=HEIGHT, width=WIDTH):
    draw = np.random.default_rng(0)
    shape = (height, width)
    return draw.integers(0, 256, (*shape, 3), np.uint8), draw.integers(0, 59, (*shape, 1), np.uint8)


@pytest.mark.parametrize('height', [HEIGHT, WIDTH], ids=['tall', 'square'])
@pytest.mark.parametrize(
    'policy',
    [(op,) for op in ARTICLE_OPS] + [augmentation.ARTICLE, augmentation.NONE],
    ids=lambda policy: '+'.join(type(op).__name__ for op in policy),
)
def test_eager_code_and_parallel_tf_data_agree(policy, height):
    image, mask = (tf.constant(array) for array in noise(height))
    seeds = tf.data.Dataset.from_tensor_slices(np.array(SEEDS))
    mapped = seeds.map(lambda seed: augmentation.apply(policy, image, mask, seed, IGNORE), num_parallel_calls=4)

    for seed, (mapped_image, mapped_mask) in zip(SEEDS, mapped, strict=True):
        eager_image, eager_mask = augmentation.apply(policy, image, mask, seed, IGNORE)
        np.testing.assert_array_equal(eager_image, mapped_image)
        np.testing.assert_array_equal(eager_mask, mapped_mask)
    assert [spec.dtype for spec in mapped.element_spec] == [tf.uint8, tf.uint8]
    assert [tuple(spec.shape) for spec in mapped.element_spec] == [(height, WIDTH, 3), (height, WIDTH, 1)]


@every_op
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_mask_holds_no_class_that_was_not_in_it(op, data):
    mask = data.draw(arrays.arrays(np.uint8, (9, 7), elements=st.sampled_from((0, 1, 17, 58, 254))))
    seed = data.draw(st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 2))

    assert set(apply_to_mask(op, mask, seed).flat) <= set(mask.flat) | {IGNORE}


@every_geometry_op
def test_image_and_mask_move_together(op):
    """The image holds its coordinates, tenfold; so does, as ids, the mask, which must be the nearest to the image's."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8)
    image = 10 * np.stack([rows, columns, np.ones_like(rows)], axis=-1)
    for seed in SEEDS:
        for axis, coordinate in enumerate((rows, columns)):
            new_image, new_mask = apply(op, image, coordinate[..., np.newaxis], seed)
            uncovered = new_mask[..., 0] == IGNORE
            distance = np.abs(new_image[..., axis] / 10 - new_mask[..., 0])
            assert distance[~uncovered].max() <= 0.5 + 0.05  # half a pixel, and the rounding of the tenfold value
            assert not new_image[uncovered].any()
            assert (new_image[~uncovered, 2] == 10).all()


@every_geometry_op
def test_only_a_quarter_turn_of_an_oblong_frame_uncovers_anything(op):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    turned = isinstance(op, augmentation.Rotate90)

    assert any((apply_to_mask(op, mask, seed) == IGNORE).any() for seed in SEEDS) == turned
    assert not any((apply_to_mask(op, mask[:WIDTH], seed) == IGNORE).any() for seed in SEEDS)


@pytest.mark.parametrize('op', ARTICLE_OPS[:3], ids=lambda op: type(op).__name__)
def test_color_ops_leave_the_mask_alone(op):
    image, mask = noise()
    for seed in SEEDS:
        np.testing.assert_array_equal(apply(op, image, mask, seed)[1], mask)


def test_brightness_adds_one_number_of_its_range_and_saturates():
    image = np.array([[[0, 5, 100], [101, 250, 255]]], np.uint8)
    deltas = []
    for seed in SEEDS:
        found = apply_to_image(augmentation.Brightness(0.2), image, seed)
        deltas.append(int(found[0, 0, 2]) - 100)
        np.testing.assert_array_equal(found, np.clip(image.astype(int) + deltas[-1], 0, 255))

    assert -51 <= min(deltas) < -20
    assert 20 < max(deltas) <= 51


def test_gamma_raises_every_value_to_one_power_of_its_range():
    image = np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    powers = []
    for seed in SEEDS:
        found = apply_to_image(augmentation.Gamma(0.7, 1.4), image, seed)
        half = found[image == 128].max()
        powers.append(np.log(half / 255) / np.log(128 / 255))
        np.testing.assert_allclose(found, 255 * (image / 255) ** powers[-1], atol=1.5)

    assert 0.69 < min(powers) < 0.8
    assert 1.2 < max(powers) < 1.41


def test_hue_turns_every_pixel_by_one_fraction_of_its_range():
    image = np.array([[[200, 40, 40], [40, 200, 90], [30, 60, 220], [90, 90, 90]]], np.uint8)
    turns = []
    for seed in SEEDS:
        found = apply_to_image(augmentation.Hue(0.1), image, seed)[0]
        before, after = ([colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in pixels] for pixels in (image[0], found))
        difference = [(a[0] - b[0] + 0.5) % 1 - 0.5 for a, b in zip(after[:3], before[:3], strict=True)]
        np.testing.assert_allclose(difference, difference[0], atol=0.01)
        np.testing.assert_allclose([a[1:] for a in after], [b[1:] for b in before], atol=0.01)
        turns.append(difference[0])

    assert -0.105 < min(turns) < -0.05
    assert 0.05 < max(turns) < 0.105


def test_central_crop_keeps_the_middle_and_a_fraction_of_its_range():
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8)
    image = 10 * np.stack([rows, columns, rows], axis=-1)
    fractions = []
    for seed in SEEDS:
        found = apply_to_image(augmentation.CentralCrop(0.5, 0.9), image, seed).astype(float) / 10
        height, width = found[-1, 0, 0] - found[0, 0, 0], found[0, -1, 1] - found[0, 0, 1]
        assert height / (HEIGHT - 1) == pytest.approx(width / (WIDTH - 1), abs=0.02)
        assert (found[0, 0] + found[-1, -1])[:2] == pytest.approx([HEIGHT - 1, WIDTH - 1], abs=0.11)
        fractions.append(height / (HEIGHT - 1))

    assert 0.49 < min(fractions) < 0.6
    assert 0.8 < max(fractions) < 0.91


def test_a_crop_of_the_complete_frame_changes_nothing():
    image, mask = noise()
    found = apply(augmentation.CentralCrop(1.0, 1.0), image, mask, (0, 0))

    np.testing.assert_array_equal(found[0], image)
    np.testing.assert_array_equal(found[1], mask)


@pytest.mark.parametrize(('op', 'axis'), [(augmentation.FlipLeftRight, 1), (augmentation.FlipUpDown, 0)])
def test_flips_mirror_as_often_as_they_should(op, axis):
    image, mask = noise()
    mirrored = [np.array_equal(apply(op(0.5), image, mask, (1, i))[1], np.flip(mask, axis)) for i in range(100)]
    never = apply(op(0.0), image, mask, (0, 0))
    always = apply(op(), image, mask, (0, 0))

    assert 30 < sum(mirrored) < 70
    np.testing.assert_array_equal(never[0], image)
    np.testing.assert_array_equal(always[0], np.flip(image, axis))
    np.testing.assert_array_equal(always[1], np.flip(mask, axis))


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_rotation_of_a_square_frame_is_exact(turns):
    image, mask = noise(WIDTH, WIDTH)
    found = apply(augmentation.Rotate90((turns,)), image, mask, (0, 0))

    np.testing.assert_array_equal(found[0], np.rot90(image, turns))
    np.testing.assert_array_equal(found[1], np.rot90(mask, turns))


def test_a_quarter_turn_lays_a_tall_picture_across_its_frame():
    mask = np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.uint8)  # turned: 2 4 6 8 above 1 3 5 7

    found = apply_to_mask(augmentation.Rotate90((1,)), mask, (0, 0))
    np.testing.assert_array_equal(found, [[IGNORE, IGNORE], [4, 6], [3, 5], [IGNORE, IGNORE]])
    np.testing.assert_array_equal(apply_to_mask(augmentation.Rotate90((2,)), mask, (0, 0)), mask[::-1, ::-1])


def test_every_rotation_is_drawn():
    mask = np.arange(25, dtype=np.uint8).reshape(5, 5)
    corners = [int(apply_to_mask(augmentation.Rotate90(), mask, seed)[0, 0]) for seed in SEEDS]

    assert set(corners) == {4, 24, 20}


def test_one_of_is_as_likely_to_apply_each_op_as_none():
    mask = np.array([[0, 1], [2, 3]], np.uint8)
    op = augmentation.OneOf((augmentation.FlipLeftRight(), augmentation.FlipUpDown()))
    corners = [int(apply_to_mask(op, mask, (5, i))[0, 0]) for i in range(300)]

    assert [corners.count(corner) for corner in range(4)] == [
        pytest.approx(100, abs=30), pytest.approx(100, abs=30), pytest.approx(100, abs=30), 0,
    ]  # fmt: skip


def test_the_ops_of_a_policy_draw_independently():
    image, mask = tf.fill((1, 1, 3), tf.constant(128, tf.uint8)), tf.zeros((1, 1, 1), tf.uint8)
    once, twice = [
        [int(augmentation.apply(policy, image, mask, seed, IGNORE)[0][0, 0, 0]) - 128 for seed in SEEDS]
        for policy in ((augmentation.Brightness(),), (augmentation.Brightness(), augmentation.Brightness()))
    ]
    assert twice != [2 * delta for delta in once]


@pytest.mark.parametrize(
    ('image_shape', 'mask_shape', 'dtype', 'message'),
    [
        ((4, 4, 3), (4, 4), np.uint8, r'mask is uint8 \(4, 4\)'),
        ((4, 4, 1), (4, 4, 1), np.uint8, r'image is uint8 \(4, 4, 1\)'),
        ((4, 4, 3), (4, 4, 1), np.float32, r'image is float32'),
        ((4, 4, 3), (4, 5, 1), np.uint8, r'image is \(4, 4\) and its mask \(4, 5\)'),
    ],
)
def test_other_shapes_and_types_are_refused(image_shape, mask_shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        augmentation.apply((), tf.zeros(image_shape, dtype), tf.zeros(mask_shape, dtype), (0, 0), IGNORE)


def test_a_policy_prints_its_configuration():
    assert 'CentralCrop(min_scale=0.7, max_scale=1.0)' in repr(augmentation.POLICIES['article'])
    assert augmentation.POLICIES['none'] == ()
