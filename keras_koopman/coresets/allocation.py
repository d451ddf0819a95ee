"""Budgets: how many entries each half of a neuron keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Counts = NDArray[np.int64]


def convex_minorant(curve: Real) -> Real:
    """The greatest convex curve below another; of points at 0, 1, 2, …."""
    hull = [0]
    for point in range(1, len(curve)):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (curve[b] - curve[a]) * (point - a) < (curve[point] - curve[a]) * (b - a):
                break
            hull.pop()
        hull.append(point)
    return np.interp(np.arange(len(curve)), hull, curve[hull])


def least_sum(curves: list[Real], budget: int) -> Counts:
    """Shares of a budget for which the sum of the errors is least.

    Args:
        curves: of each half, its error with 0, 1, 2, … entries kept. Falling; where one is not convex its
            convex minorant stands in.
        budget: entries in all.

    Returns:
        Entries of each; their sum is the budget, or what there is.
    """
    sizes = np.array([len(curve) - 1 for curve in curves])
    gains = np.concatenate([np.zeros(0), *(-np.diff(convex_minorant(curve)) for curve in curves)])
    owners = np.repeat(np.arange(len(curves)), sizes)
    # Stable: of equal gains the first, so that no half keeps a later entry without an earlier one.
    best = np.argsort(-gains, kind="stable")[:budget]
    return np.bincount(owners[best], minlength=len(curves))


def least_maximum(curves: list[Real], budget: int) -> Counts:
    """Shares of a budget for which the greatest error is least: all halves have about the same.

    Args:
        curves: as for `least_sum`.
        budget: entries in all.
    """
    falling = [-curve for curve in curves]

    def counts(error: float) -> Counts:
        return np.array([np.searchsorted(curve, -error) for curve in falling], np.int64)

    low, high = 0.0, max((float(curve[0]) for curve in curves), default=0.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if counts(middle).sum() <= budget else (middle, high)
    return counts(high)


def even(sizes: Counts, budget: int) -> Counts:
    """The same share of each half, rounded so that the sum is the budget."""
    exact = sizes * (min(budget, sizes.sum()) / max(sizes.sum(), 1))
    counts: Counts = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts
