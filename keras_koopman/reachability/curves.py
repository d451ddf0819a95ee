"""Functions of one number, and the lines that bound them on an interval.

A curve is known by where it is convex, concave or straight. On such a piece `f(x) - k x` has its extremes
at the ends and, if it is bent, where `f' = k`. So for any slope `k` the best line below and above the
curve follow, and only the choice of `k` is left to taste: the soundness does not hang on it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from ..backend import float64_allowed, to_host
from . import double
from .rounding import TINY, UNIT, function_error, without_nan

Unary = Callable[[Any], Any]
# Entries of a table of slopes, and how far beyond the last break it reaches.
TABLE = 4096
FAR = 40.0


class Lines(NamedTuple):
    """`low_slope x + low_offset <= f(x) <= high_slope x + high_offset` on an interval."""

    low_slope: Any
    low_offset: Any
    high_slope: Any
    high_offset: Any


class _Extremes(NamedTuple):
    """Bounds on `f(x) - k x`, and where they are reached."""

    low: Any
    high: Any
    low_at: Any
    high_at: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A continuous function that is convex, concave or straight piece by piece.

    Args:
        name: for messages.
        value: the function on tensors.
        slope: its derivative inside the pieces.
        breaks: where the pieces meet, rising.
        bends: 1 for each convex piece, -1 for a concave one, 0 for a straight one.
        corners: slopes just left and right of each break, where they differ.
        turns: where the function has a local minimum or maximum.
        domain: where it is finite and Lipschitz.
        stationary: for the number of a bent piece and `k` the point in it where `f' = k`; read off a table if
            it is None.
        exact: whether `value` is free of rounding.
        noise: absolute error of `value`, where it cancels.
    """

    name: str
    value: Unary
    slope: Unary
    breaks: tuple[float, ...] = ()
    bends: tuple[int, ...] = (1,)
    corners: tuple[tuple[float, float], ...] = ()
    turns: tuple[float, ...] = ()
    domain: tuple[float, float] = (-math.inf, math.inf)
    stationary: Callable[[int, Any], Any] | None = None
    exact: bool = False
    noise: float = 0.0

    def error(self, value: Any) -> Any:
        """How far a computed value may be from the real one."""
        return ops.zeros_like(value) if self.exact else function_error(value) + self.noise

    def ready(self) -> Curve:
        """This curve, with the tables made that cannot be made while a walk is compiled."""
        if self.stationary is None:
            for number in np.flatnonzero(self.bends):
                self._table(int(number))
        return self

    def interval(self, low: Any, high: Any) -> tuple[Any, Any]:
        """Range of the function on intervals."""
        ends = [self.value(low), self.value(high)]
        ends += [self.value(clip(turn, low, high)) for turn in self.turns]
        least, most = ends[0], ends[0]
        for end in ends[1:]:
            least, most = double.minimum(least, end), double.maximum(most, end)
        return without_nan(least - self.error(least), most + self.error(most))

    def slopes(self, low: Any, high: Any) -> tuple[Any, Any]:
        """Range of the derivative, of all its one-sided limits, on intervals."""
        at_low, at_high = self.slope(low), self.slope(high)
        least, most = double.minimum(at_low, at_high), double.maximum(at_low, at_high)
        for number, place in enumerate(self.breaks):
            touched = ops.logical_and(low <= place, place <= high)
            for side in self._corner(number, low):
                least = ops.where(touched, double.minimum(least, side), least)
                most = ops.where(touched, double.maximum(most, side), most)
        error = 0.0 if self.exact else 1e-14
        return without_nan(least - error * (1 + ops.abs(least)), most + error * (1 + ops.abs(most)))

    def lines(self, low: Any, high: Any, tight: bool = True) -> Lines:
        """Lines below and above the curve, as near as can be in the middle of each interval.

        Args:
            low: lower ends.
            high: upper ends.
            tight: whether to try tangents through the ends of S-shaped stretches too.
        """
        middle = 0.5 * low + 0.5 * high
        ends = self.value(low), self.value(high)
        chord = _ratio(ends[1] - ends[0], high - low, self.slope(middle))
        slopes = [chord, self.slope(middle)]
        found = [self._extremes(low, high, ends, k) for k in slopes]
        if tight and not (min(self._turning()) >= 0 or max(self._turning()) <= 0):
            for k, extremes in self._tangents(low, high, ends, chord, found[0]):
                slopes.append(k)
                found.append(extremes)
        best = Lines(slopes[0], found[0].low, slopes[0], found[0].high)
        for k, extremes in zip(slopes[1:], found[1:], strict=True):
            above = k * middle + extremes.low > best.low_slope * middle + best.low_offset
            below = k * middle + extremes.high < best.high_slope * middle + best.high_offset
            best = Lines(
                ops.where(above, k, best.low_slope),
                ops.where(above, extremes.low, best.low_offset),
                ops.where(below, k, best.high_slope),
                ops.where(below, extremes.high, best.high_offset),
            )
        low_offset, high_offset = without_nan(best.low_offset, best.high_offset)
        return Lines(best.low_slope, low_offset, best.high_slope, high_offset)

    def band(self, low: Any, high: Any) -> tuple[Any, Any, Any]:
        """One slope, and the offsets of the lines below and above that have it."""
        ends = self.value(low), self.value(high)
        slope = _ratio(ends[1] - ends[0], high - low, self.slope(0.5 * low + 0.5 * high))
        found = self._extremes(low, high, ends, slope)
        return slope, *without_nan(found.low, found.high)

    def _turning(self) -> list[int]:
        """Signs of how the slope changes: along each piece, and at each corner."""
        return [*self.bends, *(int(right > left) - int(right < left) for left, right in self.corners)]

    def _corner(self, number: int, like: Any) -> tuple[Any, Any]:
        if self.corners:
            return self.corners[number]
        at = self.slope(ops.full_like(like, self.breaks[number]))
        return at, at

    def _tangents(
        self, low: Any, high: Any, ends: tuple[Any, Any], chord: Any, first: _Extremes
    ) -> list[tuple[Any, _Extremes]]:
        """Slopes of lines through an end that touch the curve, found as a greatest or least ratio."""
        tangents = []
        for end, at_end in ((low, ends[0]), (high, ends[1])):
            for side in (2, 3):
                k, extremes = chord, first
                for _ in range(3):
                    touch = extremes[side]
                    k = _ratio(self.value(touch) - at_end, touch - end, k)
                    extremes = self._extremes(low, high, ends, k)
                tangents.append((k, extremes))
        return tangents

    def _extremes(self, low: Any, high: Any, ends: tuple[Any, Any], k: Any) -> _Extremes:
        """Extremes of `f(x) - k x` over an interval."""
        best = self._with(None, low, ends[0], k)
        best = self._with(best, high, ends[1], k)
        for place in self.breaks:
            inside = clip(place, low, high)
            best = self._with(best, inside, self.value(inside), k)
        edges = (-math.inf, *self.breaks, math.inf)
        for number, bend in enumerate(self.bends):
            if bend == 0:
                continue
            # A piece that the interval misses shrinks to one of its ends.
            start = clip(clip(low, edges[number], edges[number + 1]), low, high)
            stop = clip(clip(high, edges[number], edges[number + 1]), low, high)
            best = self._inner(best, number, bend, start, stop, k)
        return best

    def _inner(self, best: _Extremes, number: int, bend: int, start: Any, stop: Any, k: Any) -> _Extremes:
        """Take in the stationary point of a bent piece, from `start` to `stop`, which may be equal."""
        width = stop - start
        if self.stationary is not None:
            point, bracket = self.stationary(number, k), width
        else:
            point, bracket = self._tabled(number, bend, k)
            bracket = double.minimum(bracket, width)
        point = clip(ops.where(ops.isnan(point), start, point), start, stop)
        value = self.value(point)
        # A convex function lies above its tangents, so beyond the point it can fall by slope times distance.
        # At
        # an end of the piece it falls outwards only, and the end is a candidate of its own.
        tilt = self.slope(point) - k
        inner = ops.logical_and(point > start, point < stop)
        left = ops.where(inner, ops.abs(tilt) * bracket, 0.0) + 1e-14 * (1 + ops.abs(k)) * width
        return self._with(best, point, value, k, left)

    def _tabled(self, number: int, bend: int, k: Any) -> tuple[Any, Any]:
        """About where the slope is `k`, and the width of the cell of the table that holds the true place."""
        places, slopes = (ops.convert_to_tensor(v) for v in self._table(number))
        sought = bend * k
        after = ops.searchsorted(slopes, ops.reshape(sought, (-1,)), side="left")
        after = ops.reshape(clip(ops.cast(after, "int32"), 1, TABLE - 1), k.shape)
        x0, x1 = ops.take(places, after - 1), ops.take(places, after)
        k0, k1 = ops.take(slopes, after - 1), ops.take(slopes, after)
        share = clip((sought - k0) / double.maximum(k1 - k0, ops.full_like(k, 1e-300)), 0.0, 1.0)
        held = ops.logical_and(sought >= k0, sought <= k1)
        cell = ops.where(held, x1 - x0, ops.full_like(k, math.inf))
        return x0 + share * (x1 - x0), cell

    @functools.cache  # noqa: B019  curves live as long as the package
    def _table(self, number: int) -> tuple[Any, Any]:
        """Places in a bent piece, densest at its breaks, and the slopes there, rising."""
        edges = (-math.inf, *self.breaks, math.inf)
        start, stop = edges[number], edges[number + 1]
        steps = np.linspace(0.0, 1.0, TABLE)
        if math.isinf(stop):
            places = start + FAR * steps**2
        elif math.isinf(start):
            places = stop - FAR * steps[::-1] ** 2
        else:
            places = start + (stop - start) * steps
        with float64_allowed():
            slopes = to_host(self.slope(ops.convert_to_tensor(places)))
        return places, np.maximum.accumulate(self.bends[number] * slopes)

    def _with(self, best: _Extremes | None, x: Any, value: Any, k: Any, more: Any = 0.0) -> _Extremes:
        tilted = k * x
        error = self.error(value) + (8 * UNIT) * (ops.abs(tilted) + ops.abs(value)) + TINY + more
        low, high = value - tilted - error, value - tilted + error
        if best is None:
            return _Extremes(low, high, x, x)
        return _Extremes(
            double.minimum(low, best.low),
            double.maximum(high, best.high),
            ops.where(low < best.low, x, best.low_at),
            ops.where(high > best.high, x, best.high_at),
        )


def clip(x: Any, low: Any, high: Any) -> Any:
    """`x` moved into the interval, in the precision of the tensors among the three."""
    return double.minimum(double.maximum(x, low), high)


def _ratio(rise: Any, run: Any, otherwise: Any) -> Any:
    """`rise / run`, or another slope where that is not a number worth having."""
    small = ops.abs(run) < 1e-150
    ratio = rise / ops.where(small, 1.0, run)
    usable = ops.logical_and(ops.logical_not(small), ops.isfinite(ratio))
    return ops.where(usable, ratio, ops.where(ops.isfinite(otherwise), otherwise, 0.0))
