import numpy as np
import pytest

from keras_koopman import linalg

# Gavish and Donoho, 2014: the known-noise coefficient lambda(beta), and omega(beta) of their table IV.
KNOWN = {0.05: 1.5066, 0.25: 1.7580, 0.5: 1.9786, 0.75: 2.1561, 1.0: 2.3094}
UNKNOWN = {0.05: 1.5194, 0.25: 1.8371, 0.5: 2.1711, 0.75: 2.5011, 1.0: 2.8582}


@pytest.mark.parametrize(("beta", "wanted"), KNOWN.items())
def test_known_noise_as_published(beta, wanted):
    assert linalg.hard_threshold_known_noise((1000, int(1000 * beta))) == pytest.approx(wanted, abs=1e-4)


def test_known_noise_of_a_square_is_four_over_root_three():
    assert linalg.hard_threshold_known_noise((7, 7)) == pytest.approx(4 / np.sqrt(3), rel=1e-14)


@pytest.mark.parametrize(("beta", "wanted"), UNKNOWN.items())
def test_unknown_noise_as_published(beta, wanted):
    assert linalg.hard_threshold((1000, int(1000 * beta))) == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize("beta", np.linspace(0.02, 1, 15))
def test_unknown_noise_near_the_published_cubic(beta):
    cubic = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    exact = linalg.hard_threshold((10_000, round(10_000 * beta)))
    assert exact == pytest.approx(cubic, abs=0.02)


def test_sides_in_any_order():
    assert linalg.hard_threshold((30, 90)) == linalg.hard_threshold((90, 30))
    assert linalg.hard_threshold_known_noise((30, 90)) == linalg.hard_threshold_known_noise((90, 30))


def test_very_tall_matrices_have_a_threshold():
    """As beta goes to 0 both go to sqrt(2)."""
    assert linalg.hard_threshold((10**9, 10)) == pytest.approx(np.sqrt(2), abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(200, 200), (400, 60), (60, 400)])
def test_svht_finds_the_rank_of_low_rank_plus_noise(shape, seed):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((side, 4)))[0] for side in shape)
    noise = rng.standard_normal(shape) * 0.1
    size = 0.1 * np.sqrt(max(shape))
    signal = (left * (size * np.array([20.0, 10.0, 7.0, 5.0]))) @ right.T
    singular_values = np.linalg.svd(signal + noise, compute_uv=False)
    assert linalg.choose_rank(singular_values, shape, "svht", 0.0) == 4


def test_svht_takes_the_median_of_the_true_singular_values():
    """The factor of a wide matrix has zeros behind them."""
    values = np.array([100.0, 90.0, 1.1, 1.0, 0.9])
    padded = np.append(values, np.zeros(40))
    assert linalg.choose_rank(values, (5, 45), "svht", 0.0) == 2
    assert linalg.choose_rank(padded, (5, 45), "svht", 0.0) == 2


@pytest.mark.parametrize(
    ("rank", "tol", "wanted"),
    [
        (None, 0.0, 4),
        (None, 1e-6, 3),
        (None, 0.2, 2),
        (None, 0.99, 1),
        (2, 0.0, 2),
        (9, 1e-6, 3),  # an upper limit: the tolerance holds in any case
    ],
)
def test_numbers_and_tolerances(rank, tol, wanted):
    assert linalg.choose_rank(np.array([10.0, 5.0, 1.0, 1e-7]), (100, 4), rank, tol) == wanted


def test_a_value_at_the_tolerance_is_dropped():
    assert linalg.choose_rank(np.array([1.0, 0.5]), (100, 2), None, 0.5) == 1


def test_never_less_than_one():
    assert linalg.choose_rank(np.array([1.0, 1.0, 1.0]), (3, 3), "svht", 0.0) == 1
