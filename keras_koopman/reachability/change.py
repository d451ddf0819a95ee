"""How a difference of inputs passes through a nonlinear primitive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from . import double
from .curves import Curve
from .nonlinear import Interval, LogSumExp, Nonlinear, Relaxation, product_range, softmax_range
from .rounding import TINY, UNIT, gamma, magnitude, outward


class Change(Nonlinear):
    """`y = curve(x + d) - curve(x)` of `x` and `d`: how a difference passes through a curve."""

    def __init__(self, curve: Curve, size: int) -> None:
        self.curve, self.size = curve.ready(), size

    def static(self) -> tuple[Any, ...]:
        """What a compiled walk depends on."""
        return self.size, self.curve

    def value(self, inputs: Sequence[Any]) -> Any:
        """The output, unrounded."""
        return self.curve.value(inputs[0] + inputs[1]) - self.curve.value(inputs[0])

    def _parts(self, inputs: Sequence[Interval]) -> tuple[Interval, Interval]:
        """Range of `x + d`, and of the slopes between `x` and `x + d`."""
        (low, high), (less, more) = inputs
        moved = outward(low + less, high + more, 0.0)
        return moved, self.curve.slopes(double.minimum(low, moved[0]), double.maximum(high, moved[1]))

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Range of the output."""
        moved, slopes = self._parts(inputs)
        low, high = product_range(slopes, inputs[1])
        before, after = self.curve.interval(*inputs[0]), self.curve.interval(*moved)
        least, most = outward(after[0] - before[1], after[1] - before[0], 0.0)
        return double.maximum(low, least), double.minimum(high, most)

    def relaxation(self, inputs: Sequence[Interval], tight: bool) -> Relaxation:
        """Lines or planes below and above."""
        (low, high), (less, more) = inputs
        moved, (flat, steep) = self._parts(inputs)
        # By the slopes alone: y lies between flat * d and steep * d, of which the lower is concave.
        d_low, low_offset = _chord(less, more, double.minimum, flat, steep)
        d_high, high_offset = _chord(less, more, double.maximum, flat, steep)
        x_low, x_high = ops.zeros_like(low), ops.zeros_like(low)
        # By lines about both curves, which is better where the difference is great.
        at, there = self.curve.lines(low, high, tight), self.curve.lines(*moved, tight)
        apart_low = there.low_offset - at.high_offset, there.low_slope - at.high_slope
        apart_high = there.high_offset - at.low_offset, there.high_slope - at.low_slope
        size = magnitude(low, high) + magnitude(less, more)
        error = (8 * UNIT) * (ops.abs(apart_low[0]) + ops.abs(apart_high[0])) + TINY
        error = error + (8 * UNIT) * size * (ops.abs(apart_low[1]) + ops.abs(apart_high[1]))
        x, d = 0.5 * (low + high), 0.5 * (less + more)
        below = apart_low[1] * x + there.low_slope * d + apart_low[0] - error > d_low * d + low_offset
        above = apart_high[1] * x + there.high_slope * d + apart_high[0] + error < d_high * d + high_offset
        return Relaxation(
            (
                (ops.where(below, apart_low[1], x_low), ops.where(above, apart_high[1], x_high)),
                (ops.where(below, there.low_slope, d_low), ops.where(above, there.high_slope, d_high)),
            ),
            ops.where(below, apart_low[0] - error, low_offset),
            ops.where(above, apart_high[0] + error, high_offset),
        )

    def partials(self, inputs: Sequence[Interval]) -> list[Interval]:
        """Ranges of the derivatives."""
        moved, _ = self._parts(inputs)
        before, after = self.curve.slopes(*inputs[0]), self.curve.slopes(*moved)
        return [outward(after[0] - before[1], after[1] - before[0], 0.0), after]


class LogSumExpChange(LogSumExp):
    """`y = lse(x + d) - lse(x)` of `x` and `d`: a mean of the entries of d, weighted by a softmax."""

    def value(self, inputs: Sequence[Any]) -> Any:
        """The output, unrounded."""
        return super().value([inputs[0] + inputs[1]]) - super().value(inputs[:1])

    def _weights(self, inputs: Sequence[Interval]) -> tuple[Interval, Interval]:
        """Ranges of the weights between `x` and `x + d`, and of d, in runs."""
        (low, high), (less, more) = inputs
        moved = outward(low + less, high + more, 0.0)
        ends = double.minimum(low, moved[0]), double.maximum(high, moved[1])
        weights = softmax_range(self._runs(ends[0]), self._runs(ends[1]), self.span)
        return weights, (self._runs(less), self._runs(more))

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Range of the output."""
        weights, steps = self._weights(inputs)
        low, high = product_range(weights, steps)
        size = ops.sum(magnitude(low, high), axis=-1)
        least, most = outward(ops.sum(low, axis=-1), ops.sum(high, axis=-1), gamma(self.span) * size)
        # A mean lies between the least and the greatest.
        return double.maximum(least, ops.min(steps[0], axis=-1)), double.minimum(
            most, ops.max(steps[1], axis=-1)
        )

    def relaxation(self, inputs: Sequence[Interval], tight: bool) -> Relaxation:
        """Each term between its chords."""
        weights, steps = self._weights(inputs)
        below, low_parts = _chord(*steps, double.minimum, *weights)
        above, high_parts = _chord(*steps, double.maximum, *weights)
        error = gamma(self.span) * ops.sum(ops.abs(low_parts) + ops.abs(high_parts), axis=-1)
        shape = inputs[0][0].shape
        flat = ops.zeros_like(inputs[0][0])
        return Relaxation(
            ((flat, flat), (ops.reshape(below, shape), ops.reshape(above, shape))),
            ops.sum(low_parts, axis=-1) - error,
            ops.sum(high_parts, axis=-1) + error,
        )

    def partials(self, inputs: Sequence[Interval]) -> list[Interval]:
        """Ranges of the derivatives: softmax at `x + d` less that at `x`, and softmax at `x + d`."""
        (low, high), (less, more) = inputs
        before = super().partials(inputs[:1])[0]
        after = super().partials([outward(low + less, high + more, 0.0)])[0]
        return [outward(after[0] - before[1], after[1] - before[0], 0.0), after]


def _chord(less: Any, more: Any, choose: Any, flat: Any, steep: Any) -> tuple[Any, Any]:
    """Line through the ends of the lower (concave) or upper (convex) of `flat * d` and `steep * d`."""
    at_less, at_more = choose(flat * less, steep * less), choose(flat * more, steep * more)
    width = more - less
    wide = width > 1e-150
    slope = ops.where(wide, (at_more - at_less) / ops.where(wide, width, ops.ones_like(width)), steep)
    error = (8 * UNIT) * (ops.abs(at_less) + ops.abs(at_more) + ops.abs(slope) * magnitude(less, more)) + TINY
    if choose is double.maximum:
        return slope, double.maximum(at_less - slope * less, at_more - slope * more) + error
    return slope, double.minimum(at_less - slope * less, at_more - slope * more) - error
