"""Each change by `Strengths` against arithmetic by numpy, OpenCV or colorsys, and image and mask under one geometry."""

import colorsys
import math

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_pipeline.input import augmentation
from seg_pipeline.input.augmentation import colors, draws, geometry
from seg_pipeline.input.strengths import LIGHT, STRONG, Strengths

IGNORE = 255
HEIGHT, WIDTH = 24, 16
SEEDS = [(5, number) for number in range(24)]
SIZE = np.array([WIDTH, HEIGHT], np.float32)

GEOMETRY = [
    Strengths(flip_left_right=0.5, flip_up_down=0.5),
    Strengths(crop_min_area=0.3, crop_aspect=0.4),
    Strengths(rotation=40),
    Strengths(scale=(0.6, 1.8)),
    Strengths(translation=0.4),
    Strengths(shear=25),
    Strengths(flip_left_right=0.5, crop_min_area=0.5, rotation=30, scale=(0.8, 1.2), translation=0.1, shear=10),
]


def _changed_fields(strengths):
    return '+'.join(name for name, value in vars(strengths).items() if value != getattr(Strengths(), name))


every_geometry = pytest.mark.parametrize('strengths', GEOMETRY, ids=_changed_fields)


def apply(strengths, image, mask, seed):
    policy = (augmentation.RandomChanges(strengths),)
    image, mask = augmentation.apply(policy, tf.constant(image), tf.constant(mask), seed, IGNORE)
    return image.numpy(), mask.numpy()


def change_image(strengths, image, seed):
    return apply(strengths, image, np.zeros((*image.shape[:2], 1), np.uint8), seed)[0]


def noise(height=HEIGHT, width=WIDTH):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (height, width, 3), np.uint8), random.integers(0, 59, (height, width, 1), np.uint8)


def draw_of(seed):
    """The draw that RandomChanges makes in a policy of its own."""
    return draws.Draw(draws.child(draws.child(seed, 0), 0))


@pytest.mark.parametrize('name', ['light', 'strong'])
def test_eager_code_and_parallel_tf_data_agree(name):
    image, mask = (tf.constant(array) for array in noise())
    policy = augmentation.POLICIES[name]
    seeds = tf.data.Dataset.from_tensor_slices(np.array(SEEDS))
    mapped = seeds.map(lambda seed: augmentation.apply(policy, image, mask, seed, IGNORE), num_parallel_calls=4)

    pairs = list(mapped.as_numpy_iterator())
    for seed, (mapped_image, mapped_mask) in zip(SEEDS, pairs, strict=True):
        eager_image, eager_mask = augmentation.apply(policy, image, mask, seed, IGNORE)
        np.testing.assert_array_equal(eager_image, mapped_image)
        np.testing.assert_array_equal(eager_mask, mapped_mask)
    assert [spec.dtype for spec in mapped.element_spec] == [tf.uint8, tf.uint8]
    assert [tuple(spec.shape) for spec in mapped.element_spec] == [(HEIGHT, WIDTH, 3), (HEIGHT, WIDTH, 1)]
    assert len({image.tobytes() for image, _ in pairs}) == len(SEEDS)


def test_without_strengths_the_pair_comes_back_bit_for_bit():
    image, mask = noise()
    found = apply(Strengths(), image, mask, (0, 0))

    np.testing.assert_array_equal(found[0], image)
    np.testing.assert_array_equal(found[1], mask)


@pytest.mark.parametrize(
    ('matrix', 'expected'),
    [
        (np.eye(3), lambda picture: picture),
        ([[-1, 0, WIDTH - 1], [0, 1, 0], [0, 0, 1]], lambda picture: picture[:, ::-1]),
        ([[1, 0, 0], [0, -1, HEIGHT - 1], [0, 0, 1]], lambda picture: picture[::-1]),
    ],
)
def test_the_identity_and_mirrors_are_exact(matrix, expected):
    image, mask = noise()
    matrix = tf.constant(matrix, tf.float32)
    values = geometry.sample(tf.cast(image, tf.float32), matrix, 'BILINEAR', fill=0)

    np.testing.assert_array_equal(values, expected(image).astype(np.float32))
    np.testing.assert_array_equal(geometry.sample(tf.constant(mask), matrix, 'NEAREST', IGNORE), expected(mask))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 2),
    strengths=st.sampled_from([LIGHT, STRONG, *GEOMETRY]),
    ids=st.lists(st.integers(0, 255), min_size=63, max_size=63),
)
def test_a_mask_holds_no_class_that_was_not_in_it(seed, strengths, ids):
    mask = np.array(ids, np.uint8).reshape(9, 7, 1)

    assert set(apply(strengths, np.zeros((9, 7, 3), np.uint8), mask, seed)[1].flat) <= set(ids) | {IGNORE}


@every_geometry
@pytest.mark.parametrize('size', [(1, 1), (1, 9), (9, 1)])
def test_frames_of_one_row_or_column(strengths, size):
    image, mask = noise(*size)
    for seed in SEEDS[:6]:
        found = apply(strengths, image, mask, seed)
        if strengths.crop_min_area < 1 and not strengths.rotation:  # then all comes from the frame
            assert found[0].min() >= image.min()
        assert set(found[1].flat) <= {*mask.flat, IGNORE}


@every_geometry
def test_image_and_mask_move_together(strengths):
    """The image holds its coordinates, tenfold; so does, as ids, the mask, which must be the nearest to the image's."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8)
    image = np.stack([10 * rows, 10 * columns, np.full_like(rows, 250)], axis=-1)
    moved = 0
    for seed in SEEDS:
        for axis, coordinate in enumerate((rows, columns)):
            new_image, new_mask = apply(strengths, image, coordinate[..., np.newaxis], seed)
            # At the edge of what is covered, the image is mixed with black: by less than a half in each direction.
            inside = new_image[..., 2] == 250
            distance = np.abs(new_image[..., axis] / 10 - new_mask[..., 0])
            # Half a pixel, the rounding of the tenfold value, and a part of 0.002 of black, which 250 does not show.
            assert distance[inside].max() <= 0.5 + 0.05 + 0.05
            uncovered = new_mask[..., 0] == IGNORE
            assert (new_image[uncovered, 2] <= 125).all()
            assert (new_image[~uncovered, 2] >= 62).all()
            moved += not np.array_equal(new_mask[..., 0], coordinate)
    assert moved > 10


@every_geometry
def test_pairs_are_sampled_as_opencv_does_by_one_matrix(strengths):
    image, mask = noise()
    for seed in SEEDS[:8]:
        matrix = geometry.draw_matrix(strengths, draw_of(seed), SIZE).numpy().astype(float)
        options = {'M': matrix[:2], 'dsize': (WIDTH, HEIGHT)}
        bilinear = cv2.warpAffine(image, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, **options)
        found = apply(strengths, image, mask, seed)
        # OpenCV 4 rounds the points to 1/32 of a pixel: neighbours that differ by 255 then differ by 4 each way.
        assert np.abs(found[0].astype(int) - bilinear).max() <= 17
        assert np.abs(found[0].astype(int) - bilinear).mean() <= 1.5
        # By its definition, in float64: round the points.
        points = np.einsum('ij,jyx->iyx', matrix[:2], np.stack([*np.mgrid[:HEIGHT, :WIDTH][::-1], np.ones((24, 16))]))
        clear = (np.abs(points - np.floor(points) - 0.5) > 1e-3).all(axis=0)  # no point between two pixels
        x, y = np.rint(points).astype(int)
        inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
        expected = np.where(inside, mask[y.clip(0, HEIGHT - 1), x.clip(0, WIDTH - 1), 0], IGNORE)
        np.testing.assert_array_equal(found[1][clear, 0], expected[clear])


def _matrices(strengths, count=200):
    numbers = tf.data.Dataset.range(count)
    drawn = numbers.map(lambda i: geometry.draw_matrix(strengths, draw_of(tf.stack([1, i])), SIZE))
    return np.array(list(drawn.as_numpy_iterator()))


def test_a_crop_keeps_an_area_and_an_aspect_of_their_ranges_inside_of_the_frame():
    matrices = _matrices(Strengths(crop_min_area=0.5, crop_aspect=0.2))
    width, height = matrices[:, 0, 0], matrices[:, 1, 1]
    areas, aspects = width * height, np.log(width / height)

    assert 0.45 < areas.min() < 0.53
    assert 0.93 < areas.max() <= 1
    assert -0.2001 < aspects.min() < -0.15
    assert 0.15 < aspects.max() < 0.2001
    lefts, tops = matrices[:, 0, 2], matrices[:, 1, 2]
    assert (np.stack([lefts, tops]) >= 0).all()
    assert (lefts + width * (WIDTH - 1) <= WIDTH - 1 + 1e-5).all()
    assert (tops + height * (HEIGHT - 1) <= HEIGHT - 1 + 1e-5).all()
    places = lefts / ((1 - width) * (WIDTH - 1) + 1e-9)
    assert 0.4 < places.mean() < 0.6


def test_rotation_scale_shear_and_shift_are_those_of_their_ranges_about_the_middle():
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2, 1])

    rotations = _matrices(Strengths(rotation=30))
    angles = np.degrees(np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0]))
    assert -30 < angles.min() < -25
    assert 25 < angles.max() < 30
    np.testing.assert_allclose(np.linalg.det(rotations), 1, rtol=1e-5)
    np.testing.assert_allclose(rotations @ middle, np.tile(middle, (len(rotations), 1)), rtol=1e-5)

    scales = 1 / _matrices(Strengths(scale=(0.5, 2.0)))[:, 0, 0]
    assert 0.5 <= scales.min() < 0.6
    assert 1.8 < scales.max() <= 2
    assert 0.4 < (scales < 1).mean() < 0.6

    shears = _matrices(Strengths(shear=20))
    np.testing.assert_allclose(np.linalg.det(shears), 1, rtol=1e-5)
    assert math.tan(math.radians(17)) < np.abs(shears[:, 0, 1]).max() <= math.tan(math.radians(20)) + 1e-6

    shifts = -_matrices(Strengths(translation=0.25))[:, :2, 2] / [WIDTH, HEIGHT]
    np.testing.assert_allclose(np.abs(shifts).max(axis=0), 0.25, atol=0.02)


def test_a_known_rotation_turns_counter_clockwise():
    seed = next(
        seed for seed in SEEDS if geometry.draw_matrix(Strengths(rotation=90), draw_of(seed), SIZE)[1, 0] < -0.5
    )
    matrix = geometry.draw_matrix(Strengths(rotation=90), draw_of(seed), SIZE).numpy()
    angle = math.degrees(math.atan2(matrix[0, 1], matrix[0, 0]))
    # cv2.getRotationMatrix2D, whose positive angles are counter-clockwise, leads from the old frame to the new one.
    forward = cv2.getRotationMatrix2D(((WIDTH - 1) / 2, (HEIGHT - 1) / 2), -angle, 1)
    np.testing.assert_allclose(cv2.invertAffineTransform(forward), matrix[:2], atol=1e-4)


def test_brightness_contrast_and_saturation_are_the_arithmetic_that_is_promised():
    image = np.random.default_rng(1).integers(60, 180, (HEIGHT, WIDTH, 3), np.uint8)
    strengths = Strengths(brightness=0.1, contrast=(0.7, 1.3), saturation=(0.6, 1.4))
    grey = [0.299, 0.587, 0.114]
    for seed in SEEDS:
        draw = draw_of(seed)
        c, s = float(draw.between('contrast', 0.7, 1.3)), float(draw.between('saturation', 0.6, 1.4))
        b = float(draw.between('brightness', -0.1, 0.1))
        x = image.astype(float)
        saturated = s * x + (1 - s) * (x @ grey)[..., np.newaxis]
        expected = c * (saturated - (x @ grey).mean()) + (x @ grey).mean() + 255 * b
        found = change_image(strengths, image, seed)
        np.testing.assert_allclose(found, np.clip(expected, 0, 255), atol=0.501)


def test_the_hue_turns_red_green_and_blue_into_each_other_and_leaves_greys():
    third = colors.saturated_and_turned(tf.constant(1.0), tf.constant(1 / 3))
    np.testing.assert_allclose(third, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-6)
    for turn in (-0.05, 0.02, 0.4):
        for saturation in (0.0, 0.6, 1.0, 1.4):
            matrix = colors.saturated_and_turned(tf.constant(saturation), tf.constant(turn))
            np.testing.assert_allclose(tf.linalg.matvec(matrix, [9.0, 9, 9]), [9, 9, 9], 1e-5)


def test_the_hue_turns_by_about_the_fraction_that_is_drawn():
    image = np.array([[[170, 80, 80], [80, 170, 100], [90, 100, 180], [120, 120, 120]]], np.uint8)
    for seed in SEEDS:
        turn = float(draw_of(seed).between('hue', -0.05, 0.05))
        found = change_image(Strengths(hue=0.05), image, seed)
        for before, after in zip(image[0, :3] / 255, found[0, :3] / 255, strict=True):
            difference = (colorsys.rgb_to_hsv(*after)[0] - colorsys.rgb_to_hsv(*before)[0] + 0.5) % 1 - 0.5
            assert difference == pytest.approx(turn, abs=0.015)
        np.testing.assert_array_equal(found[0, 3], image[0, 3])


def test_grey_takes_all_colour_away_as_opencv_does_as_often_as_it_should():
    image, mask = noise()
    expected = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(int)
    grey = 0
    for number in range(60):
        found = apply(Strengths(grey=0.5), image, mask, (1, number))[0].astype(int)
        if np.array_equal(found, image):
            continue
        grey += 1
        assert np.abs(found - expected[..., np.newaxis]).max() <= 1
    assert 18 < grey < 42


def test_gamma_raises_every_value_to_one_power_of_its_range():
    image = np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    for seed in SEEDS:
        power = float(draw_of(seed).log_between('gamma', 0.7, 1.4))
        found = change_image(Strengths(gamma=(0.7, 1.4)), image, seed)
        np.testing.assert_allclose(found, 255 * (image / 255) ** power, atol=0.51)
        assert found[image == 0].max() == 0


def test_blur_is_opencv_s_gaussian():
    image = noise()[0]
    strengths = Strengths(blur=1.0, blur_sigma=(0.5, 2.0))
    for seed in SEEDS[:8]:
        sigma = float(draw_of(seed).between('blur_sigma', 0.5, 2.0))
        expected = cv2.GaussianBlur(image.astype(np.float32), (13, 13), sigma, borderType=cv2.BORDER_REPLICATE)
        np.testing.assert_allclose(change_image(strengths, image, seed), expected, atol=0.51)


def test_noise_has_the_deviation_that_is_drawn_and_no_mean():
    image = np.full((64, 64, 3), 128, np.uint8)
    strengths = Strengths(noise=1.0, noise_sigma=(0.01, 0.1))
    for seed in SEEDS[:8]:
        sigma = 255 * float(draw_of(seed).between('noise_sigma', 0.01, 0.1))
        difference = change_image(strengths, image, seed).astype(float) - 128
        assert difference.std() == pytest.approx(sigma, rel=0.05, abs=0.3)
        assert abs(difference.mean()) < sigma / 20
        channels = np.corrcoef(difference.reshape(-1, 3), rowvar=False)
        assert np.abs(channels - np.eye(3)).max() < 0.1


@pytest.mark.parametrize('value', [0, 255])
def test_noise_stays_in_the_range_of_values(value):
    image = np.full((64, 64, 3), value, np.uint8)
    for seed in SEEDS[:4]:
        found = change_image(Strengths(noise=1.0, noise_sigma=(0.05, 0.05)), image, seed)
        distance = np.abs(found.astype(int) - value)
        assert 0 < distance.max() < 7 * 255 * 0.05
        assert 0.4 < (distance == 0).mean() < 0.6  # what would have gone beyond


@pytest.mark.parametrize('name', ['blur', 'noise', 'cutout'])
def test_what_happens_at_random_happens_as_often_as_it_should(name):
    image, mask = noise()
    strengths = Strengths(**{name: 0.3})
    changed = [not np.array_equal(apply(strengths, image, mask, (2, i))[0], image) for i in range(100)]

    assert 15 < sum(changed) < 45


def test_cutout_hides_one_rectangle_of_its_range_from_image_and_mask():
    image, mask = noise(40, 60)
    image = np.maximum(image, 1)
    areas, middles = [], []
    for seed in SEEDS:
        found = apply(Strengths(cutout=1.0, cutout_area=(0.05, 0.4)), image, mask, seed)
        hidden = found[1][..., 0] == IGNORE
        rows, columns = np.nonzero(hidden)
        assert hidden[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
        np.testing.assert_array_equal(found[0], np.where(hidden[..., np.newaxis], 0, image))
        np.testing.assert_array_equal(found[1][~hidden], mask[~hidden])
        areas.append(hidden.mean())
        middles.append([rows.mean(), columns.mean()])
    assert 0.04 < min(areas) < 0.12
    assert 0.3 < max(areas) < 0.42
    assert np.ptp(middles, axis=0).min() > 15


@pytest.mark.parametrize('strengths', [Strengths(brightness=0.5, hue=0.2, gamma=(0.5, 2), blur=1, noise=1)])
def test_what_changes_values_leaves_the_mask_alone(strengths):
    image, mask = noise()
    for seed in SEEDS:
        np.testing.assert_array_equal(apply(strengths, image, mask, seed)[1], mask)


def test_a_policy_prints_its_strengths():
    assert 'contrast=(0.7, 1.3), saturation=(0.6, 1.4), hue=0.05' in repr(augmentation.POLICIES['light'])
