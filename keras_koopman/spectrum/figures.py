"""Scalars that say how a run moves, from inner products alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .decomposition import KoopmanDecomposition

Real = NDArray[np.float64]

# Interval means of random walks gave residuals from 0.22 of |lambda| up (12 runs, 7,000 weights).
TRUST = 0.2


def scalar_propagator(increments: Real) -> float | None:
    """The number rho for which `d_{t+1} = rho d_t` fits a run of increments best.

    `rho = sum_t <d_t, d_{t+1}> / sum_t |d_t|^2`, both sums over all increments but the last. Of means over
    intervals: 1 for a steady drift, 1/4 for a pure random walk, whose neighbouring means share half an
    interval; so below 1/3 the drift is drowned in noise. Of single weights a random walk gives 0.

    Args:
        increments: `(k, k)` inner products of successive increments.

    Returns:
        rho; None with fewer than two increments, or if none of them but the last moves.

    Example:
    >>> import numpy as np
    >>> d = 0.5 ** np.arange(5)  # each step is half the one before
    >>> scalar_propagator(np.outer(d, d))
    0.5
    """
    squares = float(np.trace(increments[:-1, :-1]))
    return float(np.trace(increments, offset=1)) / squares if squares > 0 else None


def relative_speed(gram: Real, times: Real, displacement: float, origin_time: float) -> float | None:
    """Speed over the last snapshots as a share of the mean speed since the start.

    `(|w_t - w_s| / (t - s)) / (|w_t - w_0| / t)`, with s the first of the snapshots given. Near 1 while the
    weights go on as they began; it falls when the steps die out.

    Args:
        gram: `(k, k)` inner products of the last snapshots, or of what differs from them by a constant.
        times: `(k,)` when they were taken.
        displacement: distance of the last one from the origin.
        origin_time: when the weights were there.

    Returns:
        The share; None with fewer than two snapshots, or before the weights have left the origin.

    Example:
    >>> import numpy as np
    >>> path = np.array([8.0, 8.5, 9.0])  # a steady 1 a time, then half of it
    >>> round(relative_speed(np.outer(path, path), np.array([8.0, 9.0, 10.0]), 9.0, 0.0), 3)
    0.556
    """
    if len(gram) < 2 or displacement <= 0:
        return None
    step = np.sqrt(max(gram[-1, -1] - 2 * gram[-1, 0] + gram[0, 0], 0.0)) / (times[-1] - times[0])
    return float(step * (times[-1] - origin_time) / displacement)


def trusted_modes(decomposition: KoopmanDecomposition, trust: float = TRUST) -> NDArray[np.intp]:
    """Indices of the modes whose residual is at most `trust` times `|lambda|`."""
    return np.flatnonzero(decomposition.residuals <= trust * np.abs(decomposition.eigenvalues))


def leading_mode(decomposition: KoopmanDecomposition, trust: float = TRUST) -> int | None:
    """Index of the slowest mode that is more than noise.

    Args:
        decomposition: of increments, or of snapshots with `center=True`: the fixed point must be gone.
        trust: A mode counts if its residual is at most this share of `|lambda|`. Defaults to
            0.2, which random walks do not pass.

    Returns:
        The one of largest modulus; None if no mode can be trusted.
    """
    modulus = np.abs(decomposition.eigenvalues)
    trusted = trusted_modes(decomposition, trust)
    return int(trusted[np.argmax(modulus[trusted])]) if len(trusted) else None


def explained_share(increments: Real) -> float | None:
    """Share of the motion that follows from the increment before: `1 - r^2`.

    `(sum_t <d_t, d_{t+1}>)^2 / (sum_t |d_t|^2 sum_t |d_{t+1}|^2)`, with r the relative residual of the
    rank-one DMD of the increments. 1: each increment is the one before times a number; 0: nothing
    follows. Increments that turn back on themselves count as unexplained.

    Args:
        increments: `(k, k)` inner products of successive increments.

    Returns:
        The share; None with fewer than three increments, or if they do not move.

    Example:
    >>> import numpy as np
    >>> d = 0.5 ** np.arange(5)
    >>> round(explained_share(np.outer(d, d)), 12)
    1.0
    """
    if len(increments) < 3:
        return None
    before, after = float(np.trace(increments[:-1, :-1])), float(np.trace(increments[1:, 1:]))
    if before <= 0 or after <= 0:
        return None
    follows = max(float(np.trace(increments, offset=1)), 0.0)
    return min(follows**2 / (before * after), 1.0)
