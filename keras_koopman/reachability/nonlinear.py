"""Primitives that are not linear, and the linear functions between which they lie on a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from . import double
from .curves import Curve
from .program import Primitive
from .rounding import TINY, UNIT, gamma, magnitude, outward, without_nan

Interval = tuple[Any, Any]


class Relaxation(NamedTuple):
    """`sum low_slopes * x + low_offset <= y <= sum high_slopes * x + high_offset` on a box.

    One pair of slopes for each input, `(batch, size of the input)`; offsets are `(batch, size)`.
    """

    slopes: tuple[tuple[Any, Any], ...]
    low_offset: Any
    high_offset: Any


class Nonlinear(Primitive):
    """Output `j` depends on entries `j * span ... (j + 1) * span - 1` of each input."""

    span: int = 1

    def relaxation(self, inputs: Sequence[Interval], tight: bool) -> Relaxation:
        """Lines or planes below and above on these intervals."""
        raise NotImplementedError

    def partials(self, inputs: Sequence[Interval]) -> list[Interval]:
        """Ranges of the derivatives, by each input."""
        raise NotImplementedError

    def defined(self, inputs: Sequence[Interval]) -> bool:
        """Whether it is finite and Lipschitz on these intervals."""
        return True


class Elementwise(Nonlinear):
    """`y = curve(x)`."""

    def __init__(self, curve: Curve, size: int) -> None:
        self.curve, self.size = curve.ready(), size

    def static(self) -> tuple[Any, ...]:
        """What a compiled walk depends on."""
        return self.size, self.curve

    def value(self, inputs: Sequence[Any]) -> Any:
        """The output, unrounded."""
        return self.curve.value(inputs[0])

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Range of the output."""
        return self.curve.interval(*inputs[0])

    def relaxation(self, inputs: Sequence[Interval], tight: bool) -> Relaxation:
        """Lines or planes below and above."""
        lines = self.curve.lines(*inputs[0], tight)
        return Relaxation(((lines.low_slope, lines.high_slope),), lines.low_offset, lines.high_offset)

    def partials(self, inputs: Sequence[Interval]) -> list[Interval]:
        """Ranges of the derivatives."""
        return [self.curve.slopes(*inputs[0])]

    def defined(self, inputs: Sequence[Interval]) -> bool:
        """Whether it is finite and Lipschitz there."""
        low, high = self.curve.domain
        return bool(ops.all(inputs[0][0] > low)) and bool(ops.all(inputs[0][1] < high))

    def gain(self, inputs: Sequence[float], norm: float, intervals: Sequence[Any] | None) -> float:
        """A Lipschitz constant with respect to the input of the model."""
        if intervals is None:
            # Slopes are monotone on each piece, so their limits are read off far out.
            low, high = (np.array(max(min(end, 1e30), -1e30)) for end in self.curve.domain)
            intervals = [(ops.convert_to_tensor(low), ops.convert_to_tensor(high))]
        low, high = self.curve.slopes(*intervals[0])
        steepest = float(ops.max(magnitude(low, high)))
        return inputs[0] * steepest if steepest < 1e20 else math.inf


class Product(Nonlinear):
    """`z = x * y`, with McCormick's planes."""

    def __init__(self, size: int) -> None:
        self.size = size

    def value(self, inputs: Sequence[Any]) -> Any:
        """The output, unrounded."""
        return inputs[0] * inputs[1]

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Range of the output."""
        return product_range(*inputs)

    def relaxation(self, inputs: Sequence[Interval], tight: bool) -> Relaxation:
        """Lines or planes below and above."""
        (a, b), (c, d) = inputs
        x, y = 0.5 * a + 0.5 * b, 0.5 * c + 0.5 * d

        def plane(p: Any, q: Any, sign: float) -> tuple[Any, Any, Any]:
            """`q x + p y - p q`, which differs from `x y` by `(x - p) (y - q)`."""
            return q, p, -p * q + sign * ((4 * UNIT) * ops.abs(p * q) + TINY)

        def better(first: Any, second: Any, sign: float) -> tuple[Any, Any, Any]:
            heights = [f[0] * x + f[1] * y + f[2] for f in (first, second)]
            chosen = sign * (heights[0] - heights[1]) > 0
            return tuple(ops.where(chosen, f, s) for f, s in zip(first, second, strict=True))

        low = better(plane(a, c, -1), plane(b, d, -1), 1)
        high = better(plane(a, d, 1), plane(b, c, 1), -1)
        return Relaxation(((low[0], high[0]), (low[1], high[1])), low[2], high[2])

    def partials(self, inputs: Sequence[Interval]) -> list[Interval]:
        """Ranges of the derivatives."""
        return [inputs[1], inputs[0]]

    def gain(self, inputs: Sequence[float], norm: float, intervals: Sequence[Any] | None) -> float:
        """A Lipschitz constant with respect to the input of the model."""
        if intervals is None:
            return math.inf
        most = [float(ops.max(magnitude(*interval))) for interval in intervals]
        return inputs[0] * most[1] + inputs[1] * most[0]


class Max(Nonlinear):
    """Greatest of each run of `span` entries."""

    def __init__(self, size: int, span: int) -> None:
        self.size, self.span = size, span

    def static(self) -> tuple[Any, ...]:
        """What a compiled walk depends on."""
        return self.size, self.span

    def _runs(self, x: Any) -> Any:
        return ops.reshape(x, (*x.shape[:-1], self.size, self.span))

    def value(self, inputs: Sequence[Any]) -> Any:
        """The output, unrounded."""
        return ops.max(self._runs(inputs[0]), axis=-1)

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Range of the output."""
        low, high = map(self._runs, inputs[0])
        return ops.max(low, axis=-1), ops.max(high, axis=-1)

    def relaxation(self, inputs: Sequence[Interval], tight: bool) -> Relaxation:
        """Lines or planes below and above."""
        low, high = map(self._runs, inputs[0])
        middle = 0.5 * low + 0.5 * high
        # Any single entry lies below the greatest.
        chosen = ops.one_hot(ops.argmax(middle, axis=-1), self.span, dtype="float64")
        # max(x) <= floor + sum relu(x_j - floor), and each relu lies below its chord.
        floor = ops.max(low, axis=-1, keepdims=True)
        width = high - low
        rise = double.maximum(high - floor, ops.zeros_like(high))
        slopes = (rise / ops.where(width > 0, width, ops.ones_like(width))) * (1 + 8 * UNIT)
        parts = slopes * low
        offset = floor[..., 0] - ops.sum(parts, axis=-1)
        offset = offset + gamma(self.span) * (ops.abs(floor[..., 0]) + ops.sum(ops.abs(parts), axis=-1))
        top = ops.max(high, axis=-1)
        linear = ops.sum(slopes * middle, axis=-1) + offset < top
        slopes = ops.where(linear[..., None], slopes, ops.zeros_like(slopes))
        flat = (*low.shape[:-2], self.size * self.span)
        return Relaxation(
            ((ops.reshape(chosen, flat), ops.reshape(slopes, flat)),),
            ops.zeros_like(top),
            ops.where(linear, offset, top),
        )

    def partials(self, inputs: Sequence[Interval]) -> list[Interval]:
        """Ranges of the derivatives."""
        low, high = map(self._runs, inputs[0])
        floor = ops.max(low, axis=-1, keepdims=True)
        possible = ops.where(high >= floor, ops.ones_like(high), ops.zeros_like(high))
        alone = ops.where(ops.sum(possible, axis=-1, keepdims=True) == 1, possible, ops.zeros_like(possible))
        return [(ops.reshape(alone, inputs[0][0].shape), ops.reshape(possible, inputs[0][0].shape))]

    def gain(self, inputs: Sequence[float], norm: float, intervals: Sequence[Any] | None) -> float:
        """A Lipschitz constant with respect to the input of the model."""
        return inputs[0]


class LogSumExp(Max):
    """`log sum exp` of each run of `span` entries."""

    def value(self, inputs: Sequence[Any]) -> Any:
        """The output, unrounded."""
        return self._value(self._runs(inputs[0]))

    def _value(self, runs: Any) -> Any:
        top = ops.max(runs, axis=-1, keepdims=True)
        return top[..., 0] + ops.log(ops.sum(ops.exp(runs - top), axis=-1))

    def _error(self, size: Any) -> Any:
        return gamma(self.span + 32) * (1 + size)

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Range of the output."""
        low, high = self._value(self._runs(inputs[0][0])), self._value(self._runs(inputs[0][1]))
        return outward(low, high, self._error(magnitude(low, high)))

    def relaxation(self, inputs: Sequence[Interval], tight: bool) -> Relaxation:
        """Lines or planes below and above."""
        low, high = map(self._runs, inputs[0])
        middle = 0.5 * low + 0.5 * high
        size = ops.max(magnitude(low, high), axis=-1)
        error = self._error(size)
        # The tangent plane: p x - sum p log p for any probabilities p.
        under = ops.softmax(middle, axis=-1)
        under = under / ops.sum(under, axis=-1, keepdims=True)
        floor = self._value(middle) - ops.sum(under * middle, axis=-1) - 8 * error
        # The logarithm below its tangent, of a sum of exponentials below their chords.
        top = ops.max(high, axis=-1, keepdims=True)
        ends = ops.exp(low - top), ops.exp(high - top)
        width = high - low
        chord = (ends[1] - ends[0]) / ops.where(width > 0, width, ops.ones_like(width))
        held = double.maximum(ends[0] - chord * low, ends[1] - chord * high)
        held = held + (16 * UNIT) * (1 + ops.abs(low) + ops.abs(high)) * (chord + 4 * ends[1]) + TINY
        total = ops.sum(chord * middle + held, axis=-1)
        offset = top[..., 0] + ops.log(total) - 1 + ops.sum(held, axis=-1) / total
        spread = ops.sum(ops.abs(held) + chord * size[..., None], axis=-1) / total
        shape = inputs[0][0].shape
        slopes = ops.reshape(chord / total[..., None], shape)
        return Relaxation(
            ((ops.reshape(under, shape), slopes),), floor, offset + 8 * error + self._error(spread)
        )

    def partials(self, inputs: Sequence[Interval]) -> list[Interval]:
        """Ranges of the derivatives."""
        low, high = map(self._runs, inputs[0])
        shape = inputs[0][0].shape
        least, most = softmax_range(low, high, self.span)
        return [(ops.reshape(least, shape), ops.reshape(most, shape))]


def softmax_range(low: Any, high: Any, span: int) -> Interval:
    """Range of the softmax along the last axis: least where an entry is low and the others are high."""
    top = ops.max(high, axis=-1, keepdims=True)
    grown, shrunk = ops.exp(high - top), ops.exp(low - top)
    others_high = ops.sum(grown, axis=-1, keepdims=True) - grown
    others_low = double.maximum(ops.sum(shrunk, axis=-1, keepdims=True) - shrunk, ops.zeros_like(shrunk))
    least = shrunk / (shrunk + others_high + 1e-300)
    most = grown / (grown + others_low + 1e-300)
    error = 1e-12 * span
    nought, one = ops.zeros_like(least), ops.ones_like(least)
    least, most = without_nan(least - error, most + error)
    return double.maximum(least, nought), double.minimum(most, one)


def product_range(first: Interval, second: Interval) -> Interval:
    """Range of `x * y`."""
    (a, b), (c, d) = first, second
    products = [a * c, a * d, b * c, b * d]
    # Nought times infinity is nought here: the other factor is a finite number, if an unknown one.
    products = [ops.where(ops.isnan(p), ops.zeros_like(p), p) for p in products]
    least = double.minimum(double.minimum(products[0], products[1]), double.minimum(products[2], products[3]))
    most = double.maximum(double.maximum(products[0], products[1]), double.maximum(products[2], products[3]))
    return outward(least, most, 0.0)
