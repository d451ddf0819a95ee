"""What the theorems say: error of so many draws, draws for such an error, and error of what is cut off."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

# Draws at which curves are worked out, per entry; between them they are interpolated.
_DRAWS = np.concatenate([np.linspace(0.0, 1.0, 17)[1:], np.geomspace(1.0, 1000.0, 40)[1:]])


def bernstein(variance: Real | float, size: Real | float, log_term: float) -> Real:
    """Deviation of a sum that is exceeded with probability `2 exp(-log_term)` at most.

    Args:
        variance: of the sum, or more.
        size: of one term, or more.
        log_term: `log(2 / delta)`.
    """
    slope = log_term * np.asarray(size) / 3.0
    return np.asarray(slope + np.sqrt(slope**2 + 2.0 * log_term * np.asarray(variance)))


def draws_error(total: Real | float, draws: Real | float, log_term: float) -> Real:
    """Relative error of so many draws with replacement, by Bernstein's inequality.

    Args:
        total: sum of the sensitivities.
        draws: how many, above 0.
        log_term: `log(2 / delta)`.
    """
    ratio = np.asarray(total) / np.asarray(draws)
    return bernstein(ratio, ratio, log_term)


def draws_needed(total: float, error: float, log_term: float) -> int:
    """How many draws with replacement keep the relative error below `error`: the inverse of `draws_error`."""
    return math.ceil(total * log_term * (6.0 + 2.0 * error) / (3.0 * error**2))


def corenet_draws_needed(total: float, error: float, log_term: float) -> int:
    """The same as the theorem of CoreNet has it, for errors up to 1: `8 S log(2 / delta) / eps^2`."""
    return math.ceil(8.0 * total * log_term / error**2)


def different(shares: Real, draws: float) -> float:
    """How many different entries so many draws with replacement find, on average."""
    return float(-np.expm1(draws * np.log1p(-np.minimum(shares, 1.0 - 1e-15))).sum())


def draws_for(shares: Real, entries: Real) -> Real:
    """How many draws find so many different entries on average; infinite for all of them."""
    count = len(shares)
    draws = _DRAWS * count
    logs = np.log1p(-np.minimum(shares, 1.0 - 1e-15))
    found = -np.expm1(np.multiply.outer(draws, logs)).sum(axis=1)
    found, draws = np.concatenate([[0.0], found]), np.concatenate([[0.0], draws])
    return np.where(entries >= count, np.inf, np.interp(entries, found, draws, right=np.inf))


def cut_curve(ranked: Real) -> Real:
    """Relative error if the `k` greatest of some sensitivities are kept and the rest is cut off, k = 0, 1, ….

    Args:
        ranked: sensitivities, the greatest first.
    """
    rest = np.cumsum(ranked[::-1])[::-1]
    return np.append(rest, 0.0)


def draws_curve(ranked: Real, log_term: float) -> Real:
    """Relative error of draws with replacement that find `k` different entries on average, k = 0, 1, …."""
    total = ranked.sum()
    entries = np.arange(1.0, len(ranked) + 1.0)
    draws = np.maximum(draws_for(ranked / total, entries), 1.0)
    curve = np.where(np.isinf(draws), 0.0, draws_error(total, draws, log_term))
    # None at all is worse than any: each half gets an entry.
    return np.concatenate([[2.0 * curve[0] + 1.0], curve])


def threshold(ranked: Real, entries: Real) -> tuple[NDArray[np.int64], Real]:
    """Which are certain and what the others weigh if `k` entries are kept with chances `min(1, t s)`.

    Args:
        ranked: sensitivities, the greatest first.
        entries: numbers k, from 1 to the count of those above zero.

    Returns:
        For each k, how many are certain, and `t`, infinite if all are.
    """
    rest = np.cumsum(ranked[::-1])[::-1]
    # With h certain, t = (k - h) / (sum of the rest); h is enough if the next one's chance is at most 1.
    enough = np.arange(len(ranked)) + rest / ranked
    certain = np.searchsorted(enough, entries * (1.0 - 1e-12))
    certain = np.minimum(certain, len(ranked))
    below = np.append(rest, 0.0)[certain]
    scale = np.divide(entries - certain, below, out=np.full(len(certain), np.inf), where=below > 0)
    return certain, scale


def without_curve(ranked: Real, log_term: float) -> Real:
    """Error of drawing the small ones without replacement so that `k` entries are kept, k = 0, 1, …."""
    entries = np.arange(1.0, len(ranked) + 1.0)
    certain, scale = threshold(ranked, entries)
    cut = cut_curve(ranked)
    mean = np.minimum(cut[certain], 1.0)
    drawn = bernstein(mean / scale, 1.0 / scale, log_term)
    return np.append(np.inf, drawn)


def hybrid_curve(ranked: Real, log_term: float) -> Real:
    """The less of the errors of cutting off and of drawing without replacement, k = 0, 1, …."""
    return np.minimum(cut_curve(ranked), without_curve(ranked, log_term))
