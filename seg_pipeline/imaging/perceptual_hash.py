"""A hash of which similar images share most bits, even if one is recompressed, scaled, brightened or slightly cropped.

It is the DCT hash of pHash (C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): the
image is reduced to 32x32 grey pixels, and each bit says whether one of the 8x8 lowest frequencies of its discrete
cosine transform is above their median. Here the transform is computed in integers.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

NUM_BITS = 64
# Chosen on 1000 street photos: all pairs up to distance 8 are copies (cropped or retouched), and the first pair of
# different photos has distance 10; see docs/near_duplicates.md. Distances are even: a hash has 31 bits set.
DEFAULT_MAX_DISTANCE = 8

_SIDE = 32  # pixels of the reduced image
_FREQUENCIES = 8  # lowest frequencies kept, in each direction
# The type-II DCT without its scale factors: row k has cos(pi * k * (2 n + 1) / (2 * 32)) for the pixels n = 0..31. In
# integers, because libraries and CPUs round a floating-point transform differently: a coefficient next to the median
# would give another bit, and the data set would depend on the machine.
_SCALE = 1 << 12
_COSINES: NDArray[np.int64] = np.rint(
    _SCALE * np.cos(np.outer(np.arange(_FREQUENCIES), 2 * np.arange(_SIDE) + 1) * np.pi / (2 * _SIDE))
).astype(np.int64)
_CHUNK = 1 << 18  # candidate pairs that are compared at once: 6 MB


def perceptual_hash(image: NDArray[np.uint8]) -> int:
    """Hashes an image.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        64 bits, unsigned. The first bit, that of the mean brightness, is always 0.
    """
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    spectrum = (_COSINES @ grey.astype(np.int64) @ _COSINES.T).ravel()
    # The first coefficient is the sum of all pixels: it is above the median in every image.
    bits = spectrum > np.median(spectrum[1:])
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes(), 'big')


def near_pairs(
    hashes: NDArray[np.uint64], max_distance: int = DEFAULT_MAX_DISTANCE
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Finds all pairs of hashes that differ in few bits, without comparing each with all others.

    The bits are divided into max_distance // 2 + 1 bands. By the pigeonhole principle, two hashes within max_distance
    differ by at most one bit in at least one band: if they differed by two or more in each, they would differ by at
    least 2 * (max_distance // 2 + 1) > max_distance bits. So only hashes that agree in a band, except for at most one
    bit, are compared: at distance 8, about one pair of 90. This is multi-index hashing with a radius of 1 for each band
    (Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012).

    Args:
        hashes: (n,) uint64.
        max_distance: the largest Hamming distance of a pair, 0..63 bits.

    Yields:
        Portions of the pairs, as three arrays of one length: i, j and their distance, i < j. A pair comes once for each
        band in which it agrees. Equal hashes are paired only with the first of them, and only the first is paired with
        other hashes: n equal hashes give n - 1 pairs, not n * (n - 1) / 2.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[inverse] != np.arange(len(hashes)))
    yield first[inverse[copies]], copies, np.zeros(len(copies), np.int64)
    for a, b in _candidates(unique, max(2, max_distance // 2 + 1)):  # 2: one band of 64 bits does not fit an int64
        distances = np.bitwise_count(unique[a] ^ unique[b]).astype(np.int64)
        near = distances <= max_distance
        i, j = first[a[near]], first[b[near]]
        yield np.minimum(i, j), np.maximum(i, j), distances[near]


def _candidates(hashes: NDArray[np.uint64], num_bands: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of hashes that differ by at most one bit in a band, as arrays of the places of the one and the other."""
    for band in range(num_bands):
        # A band is every num_bands-th bit. Neighbouring frequencies of an image are correlated: a band of neighbouring
        # bits would have few different values, and many hashes would agree in it.
        values = np.zeros(len(hashes), np.int64)
        for place, bit in enumerate(range(band, NUM_BITS, num_bands)):
            values |= ((hashes >> np.uint64(bit)) & np.uint64(1)).astype(np.int64) << place
        yield from _neighbours(values)


def _neighbours(values: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of values that are equal or differ in one bit, each pair once, as arrays of places.

    The values are sorted once; the partners of a value, those equal to it with one bit flipped, are then neighbours in
    the order and found by binary search, for all values at once.
    """
    order = np.argsort(values, kind='stable')
    ordered = values[order]
    width = int(ordered[-1]).bit_length() if len(ordered) else 0
    for flip in (0, *(1 << bit for bit in range(width))):
        low = np.flatnonzero(ordered & flip == 0)  # each pair is found once, from the value that lacks the bit
        begin = low + 1 if flip == 0 else np.searchsorted(ordered, ordered[low] | flip, 'left')
        end = np.searchsorted(ordered, ordered[low] | flip, 'right')
        for left, right in _expand(low, begin, end - begin):
            yield order[left], order[right]


def _expand(
    places: NDArray[np.intp], begin: NDArray[np.intp], counts: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs each place with begin, begin + 1, ..., begin + counts - 1.

    Args:
        places: (n,) the first of each pair.
        begin: (n,) the first partner of each place.
        counts: (n,) the number of its partners.

    Yields:
        The pairs as two arrays, of about `_CHUNK` pairs each: the number of pairs is quadratic at worst.
    """
    total = np.cumsum(counts)
    start = 0
    while start < len(places):
        done = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _CHUNK, 'right')))
        part = counts[start:stop]
        # 0..part[0] - 1, 0..part[1] - 1, ...: a running number less the number at which each place starts.
        within = np.arange(part.sum()) - np.repeat(total[start:stop] - part - done, part)
        yield np.repeat(places[start:stop], part), np.repeat(begin[start:stop], part) + within
        start = stop
