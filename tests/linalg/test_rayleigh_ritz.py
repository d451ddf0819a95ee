import numpy as np
import pytest

from keras_koopman import linalg
from tests.oracle import dgedmd, gap, matched, needs_dgedmd, path_of, random_system


def pairs_of(path, rank=None, tol=1e-10):
    return linalg.rayleigh_ritz(path[:, :-1], path[:, 1:], rank, tol)


def test_a_known_map():
    operator = np.diag([0.9, -0.5, 0.2])
    found = pairs_of(path_of(operator, [1.0, 1.0, 1.0], 5))
    assert gap(found.eigenvalues, [0.9, -0.5, 0.2]) < 1e-12
    assert np.all(found.residuals < 1e-12)
    assert gap(np.linalg.eigvals(found.projected), [0.9, -0.5, 0.2]) < 1e-12


def test_a_rotation():
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = pairs_of(path_of(turn, [1.0, 0.0], 4))
    assert gap(found.eigenvalues, np.exp([1j * angle, -1j * angle])) < 1e-14


def test_a_jordan_block():
    """A double eigenvalue without two vectors: known to the root of rounding, and one vector only."""
    block = np.array([[0.8, 1.0], [0.0, 0.8]])
    found = pairs_of(path_of(block, [1.0, 1.0], 4))
    assert gap(found.eigenvalues, [0.8, 0.8]) < 1e-6
    assert np.all(found.residuals < 1e-12)
    assert np.linalg.svd(found.vectors, compute_uv=False)[1] < 1e-6


def test_ritz_vectors_are_unit_and_in_the_span():
    path = random_system(0)
    found = pairs_of(path, rank=4)
    x, y = path[:, :-1], path[:, 1:]
    vectors = x @ found.coefficients
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), 1, rtol=1e-10)
    np.testing.assert_allclose(found.basis @ found.vectors, vectors, atol=1e-10)
    np.testing.assert_allclose(x @ found.weights, found.basis, atol=1e-10)
    np.testing.assert_allclose(y @ found.weights, found.image, atol=1e-10)
    # The residual by its definition, in the long space.
    by_hand = np.linalg.norm(y @ found.coefficients - vectors * found.eigenvalues, axis=0)
    np.testing.assert_allclose(found.residuals, by_hand, rtol=1e-8)


def test_scaling_x_and_y_apart_would_hide_the_decay():
    found = pairs_of(0.5 ** np.arange(6)[None, :])
    assert found.eigenvalues == pytest.approx([0.5], rel=1e-14)


def test_scaling_divides_where_multiplying_would_lose_the_small_snapshot():
    """Two directions, one snapshot 1e-8 long: divided by its length it counts as much as the other."""
    operator = np.array([[0.9, 0.1], [0.0, 0.4]])
    x = np.array([[1.0, 0.0], [0.0, 1e-8]])
    found = linalg.rayleigh_ritz(x, operator @ x, None, 1e-6)
    assert gap(found.eigenvalues, [0.9, 0.4]) < 1e-12
    assert found.singular_values == pytest.approx([1.0, 1.0])


def test_a_snapshot_of_zeros_does_no_harm():
    x, y = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.5, 0.0], [0.5, 0.0]])
    assert linalg.rayleigh_ritz(x, y, None, 1e-10).eigenvalues == pytest.approx([0.5])


def test_shape_for_svht_is_the_true_one():
    rng = np.random.default_rng(0)
    tall = rng.standard_normal((4000, 30)) * 0.01 + rng.standard_normal((4000, 1)) * np.ones(30)
    factor = np.linalg.qr(tall, mode="r")
    found = linalg.rayleigh_ritz(factor[:, :-1], factor[:, 1:], "svht", 0.0, shape=(4000, 29))
    assert len(found.eigenvalues) == 1


@pytest.mark.parametrize("kind", ["noisy", "decay", "walk", "steep", "deep"])
@pytest.mark.parametrize("seed", range(3))
def test_refined_never_above_plain(kind, seed):
    path = random_system(seed, kind)
    found = pairs_of(path, tol=1e-8)
    coefficients, residuals = linalg.refine(found)
    assert np.all(residuals <= found.residuals)
    vectors = path[:, :-1] @ coefficients
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), 1, rtol=1e-6)
    by_hand = np.linalg.norm(path[:, 1:] @ coefficients - vectors * found.eigenvalues, axis=0)
    np.testing.assert_allclose(residuals, by_hand, rtol=1e-5, atol=1e-9)


def test_refined_is_the_least_of_all_vectors():
    """No vector of the span does better; noise makes the plain one clearly worse."""
    found = pairs_of(random_system(1, "walk"), rank=5)
    residuals = linalg.refine(found)[1]
    rng = np.random.default_rng(0)
    trial = rng.standard_normal((5, 4000)) + 1j * rng.standard_normal((5, 4000))
    trial /= np.linalg.norm(trial, axis=0)
    for value, least in zip(found.eigenvalues, residuals, strict=True):
        others = np.linalg.norm(found.image @ trial - value * (found.basis @ trial), axis=0)
        assert others.min() >= least * (1 - 1e-12)
    assert np.any(residuals < 0.98 * found.residuals)


@needs_dgedmd
@pytest.mark.parametrize("kind", ["noisy", "decay", "walk", "steep", "deep"])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_lapack(kind, seed):
    path = random_system(seed, kind)
    wanted = dgedmd(path[:, :-1], path[:, 1:], 1e-6)
    found = pairs_of(path, tol=1e-6)
    assert gap(found.eigenvalues, wanted.eigenvalues) < 1e-8
    order = matched(found.eigenvalues, wanted.eigenvalues)
    np.testing.assert_allclose(found.residuals[order], wanted.residuals, rtol=1e-6, atol=1e-8)
