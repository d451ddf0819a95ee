"""Coresets of all halves: how many entries each keeps, which, and with what weights."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from . import bounds
from .allocation import even, least_maximum, least_sum
from .reduction import cut_off, drawn, drawn_without
from .target import Half

Real = NDArray[np.float64]
Counts = NDArray[np.int64]

METHODS = ("hybrid", "deterministic", "sipp", "corenet")
WITH_REPLACEMENT = ("sipp", "corenet")
# Draws at first, as a share of those that fill the budget on average; the others are made one by one.
AT_FIRST = 0.985
# Rounds of drawing on, before the most sensitive of those left are taken.
TRIES = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Coreset:
    """What stays of a half.

    Args:
        half: The half.
        factors: of its entries; 0: gone.
        draws: how many entries were drawn; 0 if nothing was left to chance.
        bound: of its relative error.
        extra: how many of its idle entries stay.
        counts: how often each entry was drawn; None if not with replacement.
    """

    half: Half
    factors: Real
    draws: int = 0
    bound: float = 0.0
    extra: int = 0
    counts: Counts | None = None

    @property
    def kept(self) -> int:
        """How many entries stay."""
        return int((self.factors != 0).sum()) + self.extra


class Chooser:
    """Makes coresets by one of the methods.

    Args:
        method: one of `METHODS`.
        log_term: `log(2 / delta)` with the chance delta that a statement fails.
        rng: that draws.
    """

    def __init__(self, method: str, log_term: float, rng: np.random.Generator) -> None:
        self.method, self.log_term, self.rng = method, log_term, rng

    def curve(self, half: Half) -> Real:
        """Error with 0, 1, 2, … entries."""
        if not len(half.ranked):
            return np.zeros(1)
        if self.method == "deterministic":
            return bounds.cut_curve(half.ranked)
        if self.method == "hybrid":
            return bounds.hybrid_curve(half.ranked, self.log_term)
        return bounds.draws_curve(half.ranked, self.log_term)

    # --- for a budget ---

    def shared_out(self, halves: list[Half], budget: int, allocate: str) -> Counts:
        """Entries of each half that add up to a budget; idle ones come last, the largest weights first."""
        known = np.array([len(half.ranked) for half in halves], np.int64)
        idle = np.array([len(half.idle) for half in halves], np.int64)
        if allocate == "uniform":
            return even(known + idle, budget)
        rule = least_maximum if self.method == "corenet" else least_sum
        counts = rule([self.curve(half) for half in halves], min(budget, int(known.sum())))
        owners = np.repeat(np.arange(len(halves)), idle)
        sizes = np.concatenate([np.zeros(0), *(half.idle_sizes for half in halves)])
        largest = np.argsort(-sizes, kind="stable")[: max(budget - int(known.sum()), 0)]
        return counts + np.bincount(owners[largest], minlength=len(halves))

    def fill(self, halves: list[Half], counts: Counts, share: float) -> list[Coreset]:
        """Coresets of so many entries each; of draws with replacement this share of them on average."""
        if self.method in WITH_REPLACEMENT:
            return [self._about(half, int(n), share) for half, n in zip(halves, counts, strict=True)]
        return [self._exactly(half, int(count)) for half, count in zip(halves, counts, strict=True)]

    def top_up(self, coresets: list[Coreset], budget: int) -> list[Coreset]:
        """Draws on, one at a time, until the budget is met; halves in proportion to their draws."""
        missing = budget - sum(coreset.kept for coreset in coresets)
        numbers = [number for number, coreset in enumerate(coresets) if coreset.counts is not None]
        counts = [np.array(coresets[number].counts) for number in numbers]
        chances = np.array([max(1, coresets[number].draws) for number in numbers], np.float64)
        shares = [coresets[number].half.ranked / coresets[number].half.ranked.sum() for number in numbers]
        for _ in range(TRIES if numbers else 0):
            for drawn_half in self.rng.choice(len(numbers), 4 * missing, p=chances / chances.sum()):
                entry = self.rng.choice(len(shares[drawn_half]), p=shares[drawn_half])
                missing -= int(counts[drawn_half][entry] == 0)
                counts[drawn_half][entry] += 1
                if not missing:
                    break
            if not missing:
                break
        for own in counts:  # what is so insensitive that it is never drawn
            rest = np.flatnonzero(own == 0)[:missing]
            own[rest] = 1
            missing -= len(rest)
        found = list(coresets)
        for number, own in zip(numbers, counts, strict=True):
            found[number] = self._of_draws(coresets[number].half, own)
        return found

    # --- for an error ---

    def needed(self, half: Half, error: float) -> Coreset:
        """The coreset for which the theorem promises an error; all of the half, if it asks for more."""
        if self.method not in WITH_REPLACEMENT:
            curve = self.curve(half)
            return self._exactly(half, int(np.argmax(curve <= error)))
        rule = bounds.draws_needed if self.method == "sipp" else bounds.corenet_draws_needed
        draws = rule(float(half.ranked.sum()), error, self.log_term)
        if draws >= len(half.ranked):
            return self._exactly(half, len(half.ranked))
        return self._of_draws(half, self.rng.multinomial(draws, half.ranked / half.ranked.sum()))

    # --- one half ---

    def _exactly(self, half: Half, count: int) -> Coreset:
        known = min(count, len(half.ranked))
        if self.method == "hybrid" and 0 < known < len(half.ranked):
            bound = float(bounds.without_curve(half.ranked, self.log_term)[known])
            if bound < min(float(bounds.cut_curve(half.ranked)[known]), 1.0):
                certain = int(bounds.threshold(half.ranked, np.array([float(known)]))[0][0])
                factors = drawn_without(half.ranked, known, self.rng)
                return Coreset(half, factors, known - certain, bound, count - known)
        return self._cut(half, count)

    def _about(self, half: Half, count: int, share: float) -> Coreset:
        if count == 0 or count >= len(half.ranked):
            return self._cut(half, count)
        draws = bounds.draws_for(half.ranked / half.ranked.sum(), np.array([share * count]))[0]
        if np.isinf(draws):  # the rest is so insensitive that no number of draws finds it
            return self._cut(half, count)
        return self._of_draws(half, self.rng.multinomial(int(draws), half.ranked / half.ranked.sum()))

    def _cut(self, half: Half, count: int) -> Coreset:
        known = min(count, len(half.ranked))
        lost = min(1.0, float(half.ranked[known:].sum()))  # nothing at all is an error of 1
        return Coreset(half, cut_off(half.ranked, known), 0, lost, count - known)

    def _of_draws(self, half: Half, counts: Counts) -> Coreset:
        draws = int(counts.sum())
        bound = float(bounds.draws_error(half.ranked.sum(), draws, self.log_term)) if draws else 1.0
        return Coreset(half, drawn(counts, half.ranked), draws, bound, 0, counts)
