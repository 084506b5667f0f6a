"""A hash that similar photos share: recompressed, scaled, brightened or slightly cropped, one keeps most of its bits.

It is the classic pHash: which of the lowest frequencies of the grey photo of 32x32 pixels are above their median, here
in whole numbers, so that every machine finds the same bits.
"""

from collections.abc import Iterator

import cv2
import numpy as np

NUM_BITS = 64
# Chosen on 1000 street photos, where every pair up to 8 is one photo twice (cropped or retouched) and the first pair of
# two photos comes at 10; docs/near_duplicates.md shows them. With 31 of 63 bits set, distances are even.
DEFAULT_MAX_DISTANCE = 8

_SIDE = 32  # pixels of the reduced photo
_FREQUENCIES = 8  # lowest frequencies kept, each way
_SCALE = 1 << 12
_COSINES = np.rint(
    _SCALE * np.cos(np.outer(np.arange(_FREQUENCIES), 2 * np.arange(_SIDE) + 1) * np.pi / (2 * _SIDE))
).astype(np.int64)
_CHUNK = 1 << 21  # candidate pairs that are compared at once: 50 MB


def perceptual_hash(image: np.ndarray) -> int:
    """The 64-bit hash of a photo; the first bit, that of the mean, is always 0.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    spectrum = (_COSINES @ grey.astype(np.int64) @ _COSINES.T).ravel()
    bits = spectrum > np.median(spectrum[1:])
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes(), 'big')


def near_pairs(hashes: np.ndarray, max_distance: int = DEFAULT_MAX_DISTANCE) -> Iterator[tuple[int, int, int]]:
    """Finds all pairs of hashes that differ in few bits, without comparing all with all.

    The bits are dealt out to max_distance // 2 + 1 bands. Two hashes within max_distance differ by at most one bit in
    some band (else they would differ in two bits of each, which is more), so that only hashes with such a band are
    compared: at distance 8, one pair of 120.

    Args:
        hashes: (n,) uint64.
        max_distance: in bits, 0..63.

    Yields:
        (i, j, distance) with i < j, each pair once. Of equal hashes, each with the first of them alone; the first of
        them stands for all in other pairs.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    for place in np.flatnonzero(first[inverse] != np.arange(len(hashes))):
        yield int(first[inverse[place]]), int(place), 0
    seen: set[tuple[int, int]] = set()
    for a, b in _candidates(unique, max(2, max_distance // 2 + 1)):  # 2: a band fits an int64
        distances = np.bitwise_count(unique[a] ^ unique[b])
        for k in np.flatnonzero(distances <= max_distance):
            i, j = sorted((int(first[a[k]]), int(first[b[k]])))
            if (i, j) not in seen:
                seen.add((i, j))
                yield i, j, int(distances[k])


def _candidates(hashes: np.ndarray, num_bands: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Arrays of places of hashes that differ by at most one bit in a band."""
    for band in range(num_bands):
        # Every num_bands-th bit: neighbouring bits of one photo go together, and would fill few buckets.
        bits = range(band, NUM_BITS, num_bands)
        values = np.zeros(len(hashes), np.int64)
        for place, bit in enumerate(bits):
            values |= ((hashes >> np.uint64(bit)) & np.uint64(1)).astype(np.int64) << place
        yield from _neighbours(values)


def _neighbours(values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Arrays of places of values that are equal or differ in one bit; each pair once."""
    order = np.argsort(values, kind='stable')
    ordered = values[order]
    width = int(ordered[-1]).bit_length() if len(ordered) else 0
    for flip in (0, *(1 << bit for bit in range(width))):
        low = np.flatnonzero(ordered & flip == 0)  # each pair is found from the side that lacks the bit
        begin = low + 1 if flip == 0 else np.searchsorted(ordered, ordered[low] | flip, 'left')
        end = np.searchsorted(ordered, ordered[low] | flip, 'right')
        for left, right in _expand(low, begin, end - begin):
            yield order[left], order[right]


def _expand(places: np.ndarray, begin: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs each place with begin, begin + 1, ..., in arrays of about `_CHUNK` pairs."""
    total = np.cumsum(counts)
    start = 0
    while start < len(places):
        done = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _CHUNK, 'right')))
        part = counts[start:stop]
        within = np.arange(part.sum()) - np.repeat(total[start:stop] - part - done, part)
        yield np.repeat(places[start:stop], part), np.repeat(begin[start:stop], part) + within
        start = stop
