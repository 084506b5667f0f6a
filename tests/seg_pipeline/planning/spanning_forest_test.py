import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline.planning import spanning_forest
from seg_pipeline.planning.spanning_forest import Edges


def _edges(rows):
    return Edges(*(np.array([row[k] for row in rows], np.int64) for k in range(3)))


def _batched(rows, size):
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _kruskal(num_vertices, rows):
    """The other way: one edge after the other, sets as Python sets."""
    sets = {vertex: {vertex} for vertex in range(num_vertices)}
    result = []
    for weight, other, one in sorted((weight, other, one) for one, other, weight in rows):
        if sets[one] is not sets[other]:
            sets[one] |= sets[other]
            for vertex in sets[other]:
                sets[vertex] = sets[one]
            result.append((one, other, weight))
    return result


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.integers(0, 63)).filter(lambda e: e[0] < e[1])),
    st.integers(1, 7),
)
def test_is_that_of_kruskal_however_the_edges_are_cut_into_portions(rows, portion):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spanning_forest, '_PENDING', 5)
        found = spanning_forest.of(12, (_edges(chosen) for chosen in _batched(rows, portion)))
    assert list(zip(*(values.tolist() for values in found), strict=True)) == _kruskal(12, rows)


def test_no_vertex_and_no_edge():
    assert len(spanning_forest.of(0, []).weight) == 0
    assert len(spanning_forest.of(3, [_edges([])]).weight) == 0


def test_what_is_held_does_not_grow_with_the_edges(monkeypatch):
    sizes = []
    reduce = spanning_forest._reduce
    monkeypatch.setattr(spanning_forest, '_PENDING', 1000)
    monkeypatch.setattr(
        spanning_forest, '_reduce', lambda number, packed: sizes.append(len(packed)) or reduce(number, packed)
    )
    rows = [(one, other, 1 + (one + other) % 9) for one, other in itertools.combinations(range(200), 2)]  # 19,900
    spanning_forest.of(200, (_edges(chosen) for chosen in _batched(rows, 100)))
    assert max(sizes) <= 1000 + 199 + 100
