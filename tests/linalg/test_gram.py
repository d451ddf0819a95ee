import numpy as np
import pytest

from keras_koopman import linalg


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_factor_gives_the_gram_matrix_back(rng):
    x = rng.standard_normal((50, 7))
    factor = linalg.factor_gram(x.T @ x)
    assert factor.shape == (7, 7)
    np.testing.assert_allclose(factor.T @ factor, x.T @ x, rtol=0, atol=1e-12 * 50)


def test_factor_keeps_the_digits_of_small_snapshots(rng):
    """Without scaling to a unit diagonal, snapshots of 1e-10 would drown in rounding."""
    x = rng.standard_normal((50, 6)) * 10.0 ** -np.arange(0, 12, 2)
    gram = x.T @ x
    back = linalg.factor_gram(gram)
    np.testing.assert_allclose(np.linalg.norm(back, axis=0), np.sqrt(np.diag(gram)), rtol=1e-12)
    norms = np.linalg.norm(x, axis=0)
    assert np.abs((back.T @ back - gram) / norms / norms[:, None]).max() < 1e-13


def test_factor_of_zero_snapshots_and_of_equal_ones():
    x = np.array([[0.0, 1.0, 1.0], [0.0, 2.0, 2.0]])
    factor = linalg.factor_gram(x.T @ x)
    assert np.all(factor[:, 0] == 0)
    np.testing.assert_allclose(factor.T @ factor, x.T @ x, atol=1e-14)
    assert np.linalg.matrix_rank(factor, tol=1e-7) == 1


def test_factor_takes_what_rounding_has_made_negative():
    gram = np.array([[1.0, 1.0 + 1e-15], [1.0 + 1e-15, 1.0]])
    assert np.all(np.isfinite(linalg.factor_gram(gram)))


def test_raw_gram_restores_the_reference(rng):
    reference, u = rng.standard_normal(30), rng.standard_normal((30, 5))
    raw = u + reference[:, None]
    found = linalg.raw_gram(u.T @ u, u.T @ reference, reference @ reference)
    np.testing.assert_allclose(found, raw.T @ raw, rtol=1e-12)


def test_gram_floor_for_a_hundred_snapshots():
    assert linalg.gram_floor(100) == pytest.approx(1.49e-7, rel=1e-2)
    assert linalg.gram_floor(4, error=1e-8) == pytest.approx(2e-4)


def test_what_lies_below_the_floor_cannot_be_seen(rng):
    """A singular value of 1e-10 comes back as rounding, one well above the floor comes back right."""
    left = np.linalg.qr(rng.standard_normal((80, 3)))[0]
    right = np.linalg.qr(rng.standard_normal((10, 3)))[0]
    for small, seen in ((1e-5, True), (1e-10, False)):
        x = (left * [1.0, 0.1, small]) @ right.T
        third = np.linalg.svd(linalg.factor_gram(x.T @ x), compute_uv=False)[2]
        assert (abs(third / small - 1) < 1e-2) == seen
        assert seen or third < linalg.gram_floor(10)


def test_difference_matrix_makes_increments(rng):
    w = rng.standard_normal((6, 5))
    np.testing.assert_allclose(w @ linalg.difference_matrix(5), np.diff(w, axis=1), atol=1e-15)


def test_delay_embedding_stacks_successors():
    w = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    wanted = [[1, 2, 3], [5, 6, 7], [2, 3, 4], [6, 7, 8]]
    assert linalg.delay_embedding(w, 2).tolist() == wanted
    assert linalg.delay_embedding(w, 1) is not w
    np.testing.assert_array_equal(linalg.delay_embedding(w, 1), w)


def test_gram_of_delays_is_a_sum_of_shifted_gram_matrices(rng):
    w = rng.standard_normal((20, 6))
    gram = w.T @ w
    embedded = linalg.delay_embedding(linalg.factor_gram(gram), 3)
    np.testing.assert_allclose(
        embedded.T @ embedded, sum(gram[d : d + 4, d : d + 4] for d in range(3)), atol=1e-12
    )
