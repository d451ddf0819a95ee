import itertools
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_koopman.spectrum import SpectrumDistance, decompose, spectrum_distance
from tests.oracle import path_of

spectra = st.lists(st.complex_numbers(max_magnitude=2, allow_nan=False), min_size=1, max_size=5)
quick = settings(max_examples=60, deadline=None, derandomize=True)


def by_hand(a, b):
    """The least mean distance over all orders, zeros standing for what is not there."""
    size = max(len(a), len(b))
    a, b = list(a) + [0] * (size - len(a)), list(b) + [0] * (size - len(b))
    return (
        min(sum(abs(x - y) for x, y in zip(a, order, strict=True)) for order in itertools.permutations(b))
        / size
    )


def test_a_plain_number():
    found = spectrum_distance([1.0, 0.5], [0.6, 1.0])
    assert isinstance(found, float)
    assert found == pytest.approx(0.05)
    assert f"{found:.3f}" == "0.050"
    assert json.loads(json.dumps(found)) == float(found)
    assert found + 1 == pytest.approx(1.05)
    assert found.floor is None
    assert found.matched.tolist() == [[0, 1], [1, 0]]


def test_the_best_matching_is_not_the_nearest_neighbour():
    """Greedy: 0 with 0.1 and 0.2 with -1. Best: 0 with -1 and 0.2 with 0.1."""
    assert spectrum_distance([0.0, 0.2], [0.1, -1.0]) == pytest.approx((1.0 + 0.1) / 2)


def test_what_is_left_over_counts_with_its_distance_to_zero():
    found = spectrum_distance([0.9, 0.4 + 0.3j], [0.8])
    assert found == pytest.approx((0.1 + 0.5) / 2)
    assert found.matched.tolist() == [[0, 0]]
    assert spectrum_distance([0.9, 0.0], [0.9]) == 0


@quick
@given(spectra, spectra)
def test_least_over_all_orders(a, b):
    assert spectrum_distance(a, b) == pytest.approx(by_hand(a, b), abs=1e-12)


@quick
@given(spectra, spectra)
def test_symmetric_to_the_last_bit(a, b):
    there, back = spectrum_distance(a, b), spectrum_distance(b, a)
    assert there == pytest.approx(back, rel=1e-13, abs=1e-15)


@quick
@given(spectra, st.randoms(use_true_random=False))
def test_zero_on_itself_in_any_order(a, random):
    assert spectrum_distance(a, random.sample(a, len(a))) == 0


def test_decompositions_arrays_and_tensors():
    one = decompose(path_of(np.diag([0.9, 0.5]), [1.0, 1.0], 5))
    other = np.array([0.8, 0.5])
    assert spectrum_distance(one, one) == 0
    assert spectrum_distance(one, other) == pytest.approx(0.05, abs=1e-6)
    assert spectrum_distance(one, ops.convert_to_tensor(other)) == pytest.approx(0.05, abs=1e-6)


def test_repeated_runs_give_the_noise_floor():
    a, b = [[0.9], [0.92]], [[0.5], [0.52], [0.54]]
    found = spectrum_distance(a, b)
    assert found == pytest.approx(0.91 - 0.52)
    # The pairs within a and within b together: .02; .02, .04, .02.
    assert found.floor == pytest.approx(0.1 / 4)
    assert found.matched is None


def test_one_list_and_one_single_spectrum():
    one = decompose(path_of(np.diag([0.9]), [1.0], 3))
    found = spectrum_distance([one, np.array([0.7])], np.array([0.8]))
    assert found == pytest.approx(0.1)
    assert found.floor == pytest.approx(0.2)


def test_a_list_of_one_run_has_no_floor():
    assert spectrum_distance([[0.9]], [[0.8]]).floor is None


def test_runs_of_the_same_thing_stay_within_the_floor():
    rng = np.random.default_rng(0)
    runs = [0.9 + 0.01 * rng.standard_normal(3) for _ in range(20)]
    same = spectrum_distance(runs[:10], runs[10:])
    assert same / same.floor == pytest.approx(1, abs=0.3)
    other = spectrum_distance(runs[:10], [run - 0.2 for run in runs[10:]])
    assert other > 5 * other.floor


@pytest.mark.parametrize(
    ("distance", "sentence"),
    [
        (SpectrumDistance(0.4), "0.4 (noise floor unknown: pass lists of repeated runs)"),
        (SpectrumDistance(0.01, 0.02), "0.01: within the noise floor of 0.02 between repeated runs."),
        (
            SpectrumDistance(0.4, 0.02),
            "0.4: 20 times the noise floor of 0.02 between repeated runs, so the spectra differ.",
        ),
        (
            SpectrumDistance(0.4, 0.0),
            "0.4: above the noise floor of 0 between repeated runs, so the spectra differ.",
        ),
    ],
)
def test_says_what_it_means(distance, sentence):
    assert str(distance) == sentence


def test_survives_pickling():
    found = spectrum_distance([[0.9], [0.92]], [[0.5]])
    back = pickle.loads(pickle.dumps(found))
    assert (back, back.floor) == (found, found.floor)


@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        ([], [1.0], ValueError, "a is an empty list: pass one spectrum at least"),
        ([1.0], [[]], ValueError, r"b\[0\] must be one spectrum of shape \(r,\) with r >= 1"),
        (np.empty(0), [1.0], ValueError, r"a must be one spectrum.*got shape \(0,\)"),
        ([1.0], np.ones((2, 2)), ValueError, r"b must be one spectrum.*Pass repeated runs as a list"),
        ([1.0, math.nan], [1.0], ValueError, r"a must be finite, got 1 eigenvalue that.*Leave them out"),
        ([1.0], [[1.0], [math.inf, math.nan]], ValueError, r"b\[1\] must be finite, got 2 eigenvalues"),
        ("spectrum", [1.0], TypeError, "a must be a KoopmanDecomposition, an array of eigenvalues"),
        ([1.0], None, TypeError, "b must be a KoopmanDecomposition"),
        (0.5, [1.0], ValueError, r"a must be one spectrum.*got shape \(\)"),
    ],
)
def test_refuses(a, b, error, message):
    with pytest.raises(error, match=message):
        spectrum_distance(a, b)
