"""Coresets of one half of a neuron: cut off, drawn with replacement, drawn without."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .bounds import threshold

Real = NDArray[np.float64]


def cut_off(ranked: Real, entries: int) -> Real:
    """Factors of the weights, the most sensitive first: 1 for so many, 0 for the rest."""
    return (np.arange(len(ranked)) < entries).astype(np.float64)


def drawn(counts: NDArray[np.int64], ranked: Real) -> Real:
    """Factors `count / (m q)` of weights that were drawn so often, with chances `q = s / sum(s)`."""
    draws = counts.sum()
    if not draws:
        return np.zeros(len(ranked))
    return np.asarray(counts * ranked.sum() / (draws * ranked))


def drawn_without(ranked: Real, entries: int, rng: np.random.Generator) -> Real:
    """Factors of exactly `entries` weights, kept with chances `p = min(1, t s)` and divided by them.

    Which are kept is settled in pairs (pivotal sampling): no entry makes another likelier, so sums keep to
    Bernstein's inequality as those of independent entries do.

    Reference:
        Srinivasan, 2001, Distributions on level-sets with applications to approximation algorithms;
        Brändén and Jonasson, 2012, Negative dependence in sampling.
    """
    if entries <= 0:
        return np.zeros(len(ranked))
    certain, scale = (value[0] for value in threshold(ranked, np.array([float(entries)])))
    chances = np.ones(len(ranked))
    chances[certain:] = np.minimum(scale * ranked[certain:], 1.0) if certain < len(ranked) else 1.0
    kept = np.ones(len(ranked), bool)
    kept[certain:] = pivotal(chances[certain:], rng)
    return np.where(kept, 1.0 / chances, 0.0)


def pivotal(chances: Real, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A choice in which each entry has its chance, and the count is their sum if that is whole."""
    left = chances.copy()
    active = rng.permutation(len(left))
    while len(active) > 1:
        pairs = len(active) // 2
        a, b = active[:pairs], active[pairs : 2 * pairs]
        both = left[a] + left[b]
        coin = rng.random(pairs)
        # Either one of the two goes and hands its chance on, or one is kept and takes of the other's.
        over = both >= 1.0
        missing = 2.0 - both
        first_ends = np.where(over, coin * missing < 1.0 - left[b], coin * both < left[b])
        ends, stays = np.where(first_ends, a, b), np.where(first_ends, b, a)
        left[ends] = np.where(over, 1.0, 0.0)
        left[stays] = np.where(over, both - 1.0, both)
        active = np.concatenate([stays, active[2 * pairs :]])
    return left > 0.5 if len(active) == 0 else _settled(left, active[0], rng)


def _settled(left: Real, last: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The last one by itself; if the chances add up to a whole number it is settled but for rounding."""
    chance = left[last]
    near = abs(chance - round(chance)) < 1e-6
    kept = left > 0.5
    kept[last] = round(chance) == 1 if near else rng.random() < chance
    return np.asarray(kept)
