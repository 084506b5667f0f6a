import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_pipeline.imaging import perceptual_hash


def _image(seed, size=(240, 160)):
    """Smooth shapes, as photos have: a thumbnail of noise has none of its frequencies."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)


def _distance(one, other):
    return (perceptual_hash.perceptual_hash(one) ^ perceptual_hash.perceptual_hash(other)).bit_count()


def _jpeg(image):
    return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    'change',
    [
        _jpeg,
        lambda image: cv2.resize(image, (77, 131), interpolation=cv2.INTER_AREA),
        lambda image: np.clip(image.astype(int) + 25, 0, 255).astype(np.uint8),
        lambda image: cv2.GaussianBlur(image, (0, 0), 2),
        lambda image: image[2:-2, 1:-1],
    ],
)
def test_a_changed_image_keeps_most_bits(change):
    for seed in range(5):
        assert (
            _distance(_image(seed), np.ascontiguousarray(change(_image(seed)))) <= perceptual_hash.DEFAULT_MAX_DISTANCE
        )


def test_other_images_are_far():
    found = [_distance(_image(a), _image(b)) for a, b in itertools.combinations(range(20), 2)]
    assert min(found) > perceptual_hash.DEFAULT_MAX_DISTANCE
    assert 25 < np.mean(found) < 37  # half of the 63 bits


def test_agrees_with_the_transform_in_floating_point():
    for seed in range(5):
        grey = cv2.cvtColor(_image(seed), cv2.COLOR_RGB2GRAY)
        spectrum = cv2.dct(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32))[:8, :8]
        # OpenCV's transform is orthonormal: its first row and column are smaller by a factor of sqrt 2.
        spectrum[0] *= np.sqrt(2)
        spectrum[:, 0] *= np.sqrt(2)
        expected = (spectrum > np.median(spectrum.ravel()[1:])).ravel()
        found = perceptual_hash.perceptual_hash(_image(seed))
        assert sum((found >> (63 - i) & 1) != expected[i] for i in range(1, 64)) <= 2  # ties at the median


def test_images_of_one_colour_have_the_same_hash():
    for value in (0, 7, 255):
        assert perceptual_hash.perceptual_hash(np.full((30, 50, 3), value, np.uint8)) == 0


def _near_pairs(values, *arguments):
    portions = perceptual_hash.near_pairs(np.array(values, np.uint64), *arguments)
    return {(int(i), int(j)): int(d) for portion in portions for i, j, d in zip(*portion, strict=True)}


@settings(max_examples=60, deadline=None)
@given(
    base=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    changed=st.lists(st.tuples(st.integers(0, 11), st.sets(st.integers(0, 63), max_size=12)), max_size=20),
    max_distance=st.integers(0, 31),
)
def test_finds_what_comparing_all_with_all_finds(base, changed, max_distance):
    values = [*base, *(base[i % len(base)] ^ sum(1 << bit for bit in bits) for i, bits in changed)]
    found = _near_pairs(values, max_distance)
    expected = {}
    for i, j in itertools.combinations(range(len(values)), 2):
        distance = (values[i] ^ values[j]).bit_count()
        both_first = values.index(values[i]) == i and values.index(values[j]) == j
        if distance <= max_distance and (both_first or (distance == 0 and values.index(values[j]) == i)):
            expected[i, j] = distance
    assert found == expected


def test_ten_thousand_copies_give_a_linear_number_of_pairs():
    assert _near_pairs([5] * 10_000) == {(0, n): 0 for n in range(1, 10_000)}
