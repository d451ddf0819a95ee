import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_koopman.coresets.sensitivity import halves, relative_errors, sensitivities, split_signs


def brute_force(rows, kernel):
    """The definition, entry by entry."""
    found = np.zeros(kernel.shape)
    for j, i in np.ndindex(kernel.shape):
        alike = [k for k in range(len(kernel)) if kernel[k, i] * kernel[j, i] > 0]
        for row in rows:
            total = sum(kernel[k, i] * row[k] for k in alike)
            if total:
                found[j, i] = max(found[j, i], kernel[j, i] * row[j] / total)
    return found


def test_two_weights_by_hand():
    # 3 a + 1 b: at (1, 1) the shares are 3/4 and 1/4, at (1, 3) they are 1/2 and 1/2.
    kernel = np.array([[3.0], [1.0]])
    np.testing.assert_allclose(sensitivities(np.array([[1.0, 1.0]]), kernel), [[0.75], [0.25]])
    np.testing.assert_allclose(sensitivities(np.array([[1.0, 1.0], [1.0, 3.0]]), kernel), [[0.75], [0.5]])


def test_signs_are_apart():
    kernel = np.array([[2.0], [-5.0], [-5.0]])
    np.testing.assert_allclose(sensitivities(np.ones((1, 3)), kernel), [[1.0], [0.5], [0.5]])


@settings(max_examples=40, deadline=None)
@given(
    arrays(float, (3, 5), elements=st.floats(0, 10).map(lambda v: round(v, 2))),
    arrays(float, (5, 2), elements=st.floats(-10, 10).map(lambda v: round(v, 2))),
)
def test_agrees_with_the_definition(rows, kernel):
    found = sensitivities(rows, kernel)
    np.testing.assert_allclose(found, brute_force(rows, kernel), atol=1e-12)
    assert found.min() >= 0
    assert found.max() <= 1


def test_streams_by_maxima():
    rng = np.random.default_rng(0)
    rows, kernel = rng.random((20, 6)), rng.normal(size=(6, 4))
    parts = [sensitivities(part, kernel) for part in np.split(rows, 4)]
    np.testing.assert_allclose(np.max(parts, axis=0), sensitivities(rows, kernel))


def test_sum_is_at_least_one_and_one_for_a_single_row():
    rng = np.random.default_rng(1)
    rows, kernel = rng.random((9, 6)), rng.random((6, 3))
    np.testing.assert_allclose(sensitivities(rows[:1], kernel).sum(axis=0), 1.0)
    assert (sensitivities(rows, kernel).sum(axis=0) >= 1.0).all()


@pytest.mark.parametrize("rows", [np.zeros((4, 3)), np.zeros((0, 3))])
def test_nothing_seen_is_no_sensitivity(rows):
    assert not sensitivities(rows, np.ones((3, 2))).any()


def test_dead_units_and_tiny_sums_give_no_nan():
    rows = np.array([[0.0, 1e-300, 0.0], [0.0, 0.0, 5.0]])
    found = sensitivities(rows, np.array([[1.0], [1e-300], [2.0]]))
    np.testing.assert_array_equal(found, [[0.0], [0.0], [1.0]])


def test_split_signs():
    rows = np.array([[1.0, -2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(split_signs(rows), [[1, 0], [3, 4], [0, 2]])
    np.testing.assert_array_equal(split_signs(rows[1:]), rows[1:])


def test_halves_make_the_kernel():
    kernel = np.array([[1.0, -2.0], [0.0, 3.0]])
    positive, negative = halves(kernel)
    np.testing.assert_array_equal(positive - negative, kernel)
    assert min(positive.min(), negative.min()) == 0


def test_relative_errors_by_hand():
    kernel = np.array([[3.0, 1.0], [1.0, -1.0], [-2.0, 0.0]])
    coreset = np.array([[3.0, 1.5], [0.0, -1.0], [0.0, 0.0]])
    rows = np.array([[1.0, 1.0, 1.0], [1.0, -3.0, 0.0]])
    # 2 - 3 of 6, 0 - 3 of 6; 0.5 of 2, 0.5 of 4.
    np.testing.assert_allclose(relative_errors(rows, kernel, rows, coreset), [0.5, 0.25])
    shifted = relative_errors(rows, kernel, rows, kernel, np.array([0.6, 0.0]))
    np.testing.assert_allclose(shifted, [0.1, 0.0])
    np.testing.assert_allclose(relative_errors(rows, kernel, 2 * rows, kernel), [1 / 3, 1.0])
