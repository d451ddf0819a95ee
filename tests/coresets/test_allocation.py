import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_koopman.coresets.allocation import convex_minorant, even, least_maximum, least_sum
from keras_koopman.coresets.bounds import cut_curve

curves_of = st.lists(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=4).map(lambda v: cut_curve(np.sort(v)[::-1])),
    min_size=1,
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(curves_of, st.integers(0, 12))
def test_least_sum_beats_every_other_share(curves, budget):
    counts = least_sum(curves, budget)
    assert counts.sum() == min(budget, sum(len(curve) - 1 for curve in curves))
    found = sum(curve[count] for curve, count in zip(curves, counts, strict=True))
    for other in itertools.product(*(range(len(curve)) for curve in curves)):
        if sum(other) <= budget:
            assert found <= sum(curve[n] for curve, n in zip(curves, other, strict=True)) + 1e-9


@settings(max_examples=60, deadline=None)
@given(curves_of, st.integers(0, 12))
def test_least_maximum_beats_every_other_share(curves, budget):
    counts = least_maximum(curves, budget)
    assert counts.sum() <= budget
    found = max(curve[count] for curve, count in zip(curves, counts, strict=True))
    for other in itertools.product(*(range(len(curve)) for curve in curves)):
        if sum(other) <= budget:
            assert found <= max(curve[n] for curve, n in zip(curves, other, strict=True)) + 1e-6


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 100))
def test_even_meets_the_budget(sizes, budget):
    sizes = np.array(sizes)
    counts = even(sizes, budget)
    assert counts.sum() == min(budget, sizes.sum())
    assert (counts <= sizes).all()
    exact = sizes * min(budget, sizes.sum()) / max(sizes.sum(), 1)
    assert (abs(counts - exact) < 1).all()


def test_convex_minorant_by_hand():
    np.testing.assert_allclose(convex_minorant(np.array([4.0, 3.9, 1.0, 0.9, 0.0])), [4, 2.5, 1, 0.5, 0])


@pytest.mark.parametrize("rule", [least_sum, least_maximum])
def test_nothing_to_share(rule):
    assert rule([np.zeros(1), np.array([1.0, 0.0])], 0).tolist() == [0, 0]
