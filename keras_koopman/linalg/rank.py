"""How many singular values carry signal."""

from functools import cache

import numpy as np
import scipy.integrate
import scipy.optimize
from numpy.typing import NDArray


def hard_threshold_known_noise(shape: tuple[int, int]) -> float:
    """Optimal hard threshold for singular values in units of `sqrt(n) sigma`, with known noise `sigma`.

    For a square matrix this is the famous `4 / sqrt(3)`. `n` is the longer side.

    Args:
        shape: sides of the data matrix, in any order.

    Reference:
        Gavish and Donoho, 2014, The optimal hard threshold for singular values is 4/sqrt(3).

    Example:
    >>> round(hard_threshold_known_noise((100, 100)), 4)
    2.3094
    """
    beta = min(shape) / max(shape)
    root = np.sqrt(beta**2 + 14 * beta + 1)
    return float(np.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + root)))


def hard_threshold(shape: tuple[int, int]) -> float:
    """Optimal hard threshold for singular values in units of their median, with unknown noise.

    Computed from the median of the Marchenko-Pastur law, not from the published cubic fit to it.

    Args:
        shape: sides of the data matrix, in any order.

    Reference:
        Gavish and Donoho, 2014, The optimal hard threshold for singular values is 4/sqrt(3).

    Example:
    >>> round(hard_threshold((100, 100)), 3)
    2.858
    """
    return hard_threshold_known_noise(shape) / float(
        np.sqrt(_marchenko_pastur_median(min(shape) / max(shape)))
    )


@cache
def _marchenko_pastur_median(beta: float) -> float:
    """Median of the Marchenko-Pastur law with ratio `0 < beta <= 1`."""
    low, high = (1 - np.sqrt(beta)) ** 2, (1 + np.sqrt(beta)) ** 2

    def mass(angle: float) -> float:
        """Mass below `x(angle)`: x runs from low to high as the angle runs from 0 to pi."""

        def density(t: float) -> float:
            x = (low + high) / 2 - (high - low) / 2 * np.cos(t)
            return float(((high - low) / 2 * np.sin(t)) ** 2 / (2 * np.pi * beta * max(x, 1e-300)))

        return float(scipy.integrate.quad(density, 0.0, angle, limit=200)[0])

    angle = scipy.optimize.brentq(lambda t: mass(t) - 0.5, 0.0, np.pi, xtol=1e-12)
    return float((low + high) / 2 - (high - low) / 2 * np.cos(angle))


def choose_rank(
    singular_values: NDArray[np.float64], shape: tuple[int, int], rank: int | str | None, tol: float
) -> int:
    """Number of leading singular values to keep.

    Args:
        singular_values: decreasing, at least one of them positive.
        shape: sides of the data matrix; used by `"svht"` alone.
        rank: an upper limit, `"svht"` for the optimal hard threshold with unknown noise, or None.
        tol: singular values up to `tol` times the largest are dropped in any case.

    Returns:
        The rank, at least 1.

    Example:
    >>> choose_rank(np.array([4.0, 2.0, 1e-9]), (100, 3), None, 1e-6)
    2
    """
    kept = int(np.sum(singular_values > tol * singular_values[0]))
    if rank == "svht":
        # A matrix has no more than its shorter side; what a factor adds are zeros.
        threshold = hard_threshold(shape) * float(np.median(singular_values[: min(shape)]))
        kept = min(kept, int(np.sum(singular_values > threshold)))
    elif isinstance(rank, int):
        kept = min(kept, rank)
    return max(kept, 1)
