"""The minimum spanning forest of weighted edges that arrive in portions, in memory that the vertices bound.

Photos of a scene in which nothing moves are all within reach of each other: n photos have n * (n - 1) / 2 links, of
which the groups need n - 1.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_PENDING = 1 << 19  # edges that are collected before a reduction: 4 MB


class Edges(NamedTuple):
    """Edges of a graph whose vertices are 0, 1, 2, ...; three arrays of one length.

    Attributes:
        one: (n,) the smaller vertex of each edge.
        other: (n,) the larger one.
        weight: (n,) integers, 0..63.
    """

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    weight: NDArray[np.int64]


def of(num_vertices: int, portions: Iterable[Edges]) -> Edges:
    """Finds the minimum spanning forest.

    Edges are ordered by weight, then by the larger vertex, then by the smaller one. In a strict order the forest is
    unique, so that it depends neither on the portions nor on their order. It may be had step by step: an edge that is
    not in the forest of some of the edges is not in that of all (it is the largest of a cycle).

    Args:
        num_vertices: how many vertices there are, at most 2**28.
        portions: the edges; one may come several times.

    Returns:
        The edges of the forest, in order; at most num_vertices - 1.
    """
    pending = [np.zeros(0, np.int64)]
    for portion in portions:
        # One integer for each edge, which sorts as the edges do.
        pending.append((portion.weight * num_vertices + portion.other) * num_vertices + portion.one)
        if sum(map(len, pending)) >= _PENDING:
            pending = [_reduce(num_vertices, np.concatenate(pending))]
    return _unpack(num_vertices, _reduce(num_vertices, np.concatenate(pending)))


def _unpack(num_vertices: int, packed: NDArray[np.int64]) -> Edges:
    rest, one = np.divmod(packed, num_vertices)
    weight, other = np.divmod(rest, num_vertices)
    return Edges(one, other, weight)


def _reduce(num_vertices: int, packed: NDArray[np.int64]) -> NDArray[np.int64]:
    """The forest of packed edges, by Boruvka's algorithm: every component takes its smallest edge, all at once."""
    packed = np.sort(packed)
    one, other, _ = _unpack(num_vertices, packed)
    label = np.arange(num_vertices)  # of the component of each vertex: one of its vertices
    left = np.arange(len(packed))  # the edges between two components; ascending, so a smaller number is a smaller edge
    chosen = np.zeros(len(packed), bool)
    while len(left):
        # Of several assignments to one place the last stays: backwards, that is the smallest edge.
        smallest = np.full((2, num_vertices), len(packed))
        smallest[0, label[one[left[::-1]]]] = left[::-1]
        smallest[1, label[other[left[::-1]]]] = left[::-1]
        taken = smallest.min(axis=0)
        roots = np.flatnonzero(taken < len(packed))
        chosen[taken[roots]] = True
        label = _merge(label, roots, label[one[taken[roots]]], label[other[taken[roots]]])
        left = left[label[one[left]] != label[other[left]]]
    return packed[chosen]


def _merge(
    label: NDArray[np.int64], roots: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The labels after each component in `roots` was joined by its edge, from component `one` to `other`."""
    parent = np.arange(len(label))
    parent[roots] = np.where(one == roots, other, one)
    # The edges are in a strict order, so that the only cycles are two components that took the same edge.
    mutual = roots[(parent[parent[roots]] == roots) & (roots < parent[roots])]
    parent[mutual] = mutual
    while not np.array_equal(grandparent := parent[parent], parent):
        parent = grandparent
    return parent[label]
