import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_koopman.coresets.reduction import cut_off, drawn, drawn_without, pivotal

VALUES = np.array([0.9, 0.5, 0.3, 0.2, 0.1, 0.1])


def test_cut_off():
    np.testing.assert_array_equal(cut_off(VALUES, 2), [1, 1, 0, 0, 0, 0])


def test_drawn_by_hand():
    # q = 3/4, 1/4; drawn 1 and 1 of 2: 1 / (2 * 3/4), 1 / (2 * 1/4).
    np.testing.assert_allclose(drawn(np.array([1, 1]), np.array([0.75, 0.25])), [2 / 3, 2.0])
    assert not drawn(np.array([0, 0]), np.array([0.75, 0.25])).any()


def test_draws_are_unbiased():
    rng = np.random.default_rng(0)
    shares = VALUES / VALUES.sum()
    mean = np.mean([drawn(rng.multinomial(9, shares), VALUES) for _ in range(4000)], axis=0)
    # The variance of a factor is (1 - q) / (m q).
    error = np.sqrt((1 - shares) / (9 * shares) / 4000)
    assert (abs(mean - 1) < 5 * error).all()


@pytest.mark.parametrize("entries", [1, 3, 5])
def test_draws_without_replacement_are_unbiased(entries):
    rng = np.random.default_rng(entries)
    found = np.array([drawn_without(VALUES, entries, rng) for _ in range(4000)])
    assert ((found != 0).sum(axis=1) == entries).all()
    error = found.std(axis=0) / np.sqrt(4000)
    assert (abs(found.mean(axis=0) - 1) <= 5 * error + 1e-12).all()


def test_the_large_ones_are_certain():
    found = drawn_without(np.array([1.0, 0.9, *[0.01] * 50]), 10, np.random.default_rng(0))
    assert found[:2].tolist() == [1.0, 1.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 100))
def test_pivotal_keeps_the_count(chances, seed):
    kept = pivotal(np.array(chances), np.random.default_rng(seed))
    assert abs(kept.sum() - sum(chances)) < 1 + 1e-6
    assert kept[np.array(chances) == 1.0].all()
    assert not kept[np.array(chances) == 0.0].any()


def test_pivotal_keeps_the_chances_and_spreads_them():
    chances, rng = np.array([0.9, 0.6, 0.4, 0.1]), np.random.default_rng(0)
    found = np.array([pivotal(chances, rng) for _ in range(6000)])
    np.testing.assert_allclose(found.mean(axis=0), chances, atol=0.03)
    together = (found[:, :, None] & found[:, None]).mean(axis=0)
    apart = ~np.eye(4, dtype=bool)
    assert (together - np.outer(chances, chances))[apart].max() < 0.02  # never likelier together
