"""Branch-and-bound over boxes, many at a time."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .interval import Interval
from .problem import Problem
from .program import Real
from .walks import FEW, Walks, symbols_of

# Boxes in a call of the compiled walk; the small one is for searches that are soon over.
SMALL, LARGE = 128, 1024
# Numbers in a tensor of the walk that fit in the caches.
ROOM = 2**22


@dataclasses.dataclass
class Found:
    """What a search knows: bounds, and the points by which they are known to be near.

    Attributes:
        lower: no value lies below.
        upper: no value lies above.
        low_value: a value that is reached, or one just above it: not below the least value.
        high_value: likewise not above the greatest.
        low_point: where, in the numbers that vary.
        high_point: where.
        boxes: how many were bounded.
        finished: whether the aim was met.
    """

    lower: float
    upper: float
    low_value: float
    high_value: float
    low_point: Real
    high_point: Real
    boxes: int
    finished: bool


@dataclasses.dataclass
class _Open:
    """Boxes whose bounds are known, and not good enough."""

    low: Real
    high: Real
    least: Real
    most: Real
    weight: Real

    def take(self, chosen: NDArray[np.int_] | NDArray[np.bool_]) -> _Open:
        """Some of them."""
        return _Open(*(getattr(self, f.name)[chosen] for f in dataclasses.fields(self)))

    def join(self, other: _Open) -> _Open:
        """These and others."""
        names = [f.name for f in dataclasses.fields(self)]
        return _Open(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))


class Search:
    """Looks for the least and greatest output of a problem with one output.

    Args:
        problem: the problem.
        tol: how near the bounds must come to values that are reached.
        above: if given, only whether all values are above this number is asked, and the search ends with the
            first that is not.
        minimum: whether the least value is looked for.
        maximum: whether the greatest is.
        fence: intervals of all values over the whole region.
    """

    def __init__(
        self,
        problem: Problem,
        tol: float,
        above: float | None = None,
        minimum: bool = True,
        maximum: bool = True,
        fence: Sequence[Interval] | None = None,
    ) -> None:
        self.domain = problem.domain
        self.walks = Walks(problem.program, fence)
        self.tol, self.above = tol, above
        self.sides = minimum, maximum
        rows = min(problem.program.size, FEW) + 1 + symbols_of(problem.program)[1]
        widest = max(problem.program.sizes()) * rows
        self.large = int(min(LARGE, max(8, 2 ** math.floor(math.log2(ROOM / widest + 1)))))
        self.small = min(SMALL, self.large)
        middle = self.domain.project((0.5 * self.domain.low + 0.5 * self.domain.high)[None])
        low, high = (float(end[0, 0]) for end in self.walks.enclose(middle))
        self.noise = high - low
        self.found = Found(-math.inf, math.inf, high, low, middle[0], middle[0], 0, False)
        self.floor, self.ceiling = math.inf, -math.inf

    def run(self, deadline: float = math.inf) -> Found:
        """Search until the aim is met or the clock, `time.monotonic`, passes the deadline."""
        found = self.found
        boxes = self._bounded(self.domain.low[None], self.domain.high[None])
        while True:
            alive = self._alive(boxes)
            self._retire(boxes.take(~alive))
            boxes = boxes.take(alive)
            found.lower = min(self.floor, boxes.least.min(initial=math.inf), found.low_value)
            found.upper = max(self.ceiling, boxes.most.max(initial=-math.inf), found.high_value)
            beaten = self.above is not None and found.low_value <= self.above
            if beaten or not len(boxes.least) or time.monotonic() > deadline:
                found.finished = beaten or not len(boxes.least)
                return found
            boxes = self._advance(boxes)

    def _alive(self, boxes: _Open) -> NDArray[np.bool_]:
        alive = np.zeros(len(boxes.least), bool)
        if self.above is not None:
            return boxes.least <= self.above
        if self.sides[0]:
            alive |= boxes.least < self.found.low_value - self.tol
        if self.sides[1]:
            alive |= boxes.most > self.found.high_value + self.tol
        # A box that cannot be cut further is as good as it gets.
        width = boxes.high - boxes.low
        return alive & (width > 4e-16 * (np.abs(boxes.low) + np.abs(boxes.high))).any(1)

    def _retire(self, boxes: _Open) -> None:
        self.floor = min(self.floor, boxes.least.min(initial=math.inf))
        self.ceiling = max(self.ceiling, boxes.most.max(initial=-math.inf))

    def _advance(self, boxes: _Open) -> _Open:
        """Cut the worst boxes so that the pieces fill a batch, and bound the pieces."""
        count = len(boxes.least)
        size = self.small if count < self.small // 2 else self.large
        gap = np.zeros(count)
        if self.sides[0] or self.above is not None:
            goal = self.found.low_value if self.above is None else self.above
            gap = np.maximum(gap, goal - boxes.least)
        if self.sides[1] and self.above is None:
            gap = np.maximum(gap, boxes.most - self.found.high_value)
        cuts = max(1, int(math.log2(size / count))) if count < size else 1
        order = np.argsort(-gap)
        parts = max(1, size >> cuts)
        low, high = _cut(boxes.take(order[:parts]), cuts)
        return self._bounded(low, high).join(boxes.take(order[parts:]))

    def _bounded(self, low: Real, high: Real) -> _Open:
        if self.domain.balls:
            kept = ~self.domain.outside(low, high)
            low, high = low[kept], high[kept]
        count = len(low)
        size = self.small if count <= self.small else self.large
        # The batch is filled up with copies of the last box.
        padded = [np.concatenate([v, np.repeat(v[-1:], size - count, 0)]) for v in (low, high)]
        least, most, weight, first, second, at_first, at_second = self.walks.bound(*padded)
        if self.domain.balls:
            first, second = self.domain.project(first), self.domain.project(second)
            at_first, at_second = (self.walks.values(p)[:, 0] for p in (first, second))
        self._improve(first[np.nanargmin(at_first)], second[np.nanargmax(at_second)])
        self.found.boxes += count
        return _Open(low, high, least[:count], most[:count], weight[:count])

    def _improve(self, first: Real, second: Real) -> None:
        """Take better points, by bounds that hold for the exact values there."""
        lows, highs = self.walks.enclose(np.stack([first, second]))
        if highs[0, 0] < self.found.low_value:
            self.found.low_value, self.found.low_point = float(highs[0, 0]), first
        if lows[1, 0] > self.found.high_value:
            self.found.high_value, self.found.high_point = float(lows[1, 0]), second


def _cut(boxes: _Open, times: int) -> tuple[Real, Real]:
    """Each box cut into `2 ** times`, each time across the side along which the bounds vary most."""
    low, high, weight = boxes.low, boxes.high, np.maximum(boxes.weight, 1e-300)
    for _ in range(times):
        side = np.argmax(weight * (high - low), axis=1)
        rows = np.arange(len(low))
        middle = 0.5 * low[rows, side] + 0.5 * high[rows, side]
        upper_low, lower_high = low.copy(), high.copy()
        upper_low[rows, side], lower_high[rows, side] = middle, middle
        low, high = np.concatenate([low, upper_low]), np.concatenate([lower_high, high])
        weight = np.concatenate([weight, weight])
    return low, high
