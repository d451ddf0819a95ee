"""What lowerings write with: values with a shape, and the primitives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..activations import CURVES
from ..curves import Curve
from ..linear import Combine, Concat, Gather, Matmul, Scale, Within
from ..nonlinear import Elementwise, LogSumExp, Max, Product
from ..program import Node, Primitive, Program, Real


@dataclasses.dataclass(frozen=True)
class Value:
    """A value of the program under construction, with the shape it has in the model, without the batch."""

    number: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


class Builder:
    """Writes a program.

    Args:
        size: of its flat input.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.nodes: list[Node] = []
        self.origin = "input"

    def program(self, output: Value) -> Program:
        """What was written, up to this value."""
        if output.number != len(self.nodes) or not self.nodes:
            output = self._add(Combine([1.0], output.size), [output], output.shape)
        return Program(self.size, tuple(self.nodes), output.shape)

    def _add(self, primitive: Primitive, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
        self.nodes.append(Node(primitive, tuple(v.number for v in inputs), self.origin))
        return Value(len(self.nodes), shape)

    def matmul(self, x: Value, kernel: Real, bias: Real | None = None) -> Value:
        """`x @ kernel + bias` along the last axis; a kernel `(groups, inputs, outputs)` splits that axis."""
        kernel = kernel if kernel.ndim == 3 else kernel[None]
        groups, fan_in, fan_out = kernel.shape
        positions = x.size // (groups * fan_in)
        added = None if bias is None else np.reshape(bias, (groups, fan_out))
        shape = (*x.shape[:-1], groups * fan_out)
        return self._add(Matmul(np.ascontiguousarray(kernel, np.float64), added, positions), [x], shape)

    def gather(self, x: Value, move: Callable[[Any], Any]) -> Value:
        """Entries put elsewhere: `move` does to an array of their numbers what is to be done to them.

        Where it puts -1 there will be 0.
        """
        return self.placed(x, np.asarray(move(np.arange(x.size).reshape(x.shape))))

    def placed(self, x: Value, index: Any) -> Value:
        """Entries of x by their numbers, 0 where the number is -1."""
        if index.size == x.size and (index.ravel() == np.arange(x.size)).all():
            return Value(x.number, index.shape)
        return self._add(Gather(index, x.size), [x], index.shape)

    def scale(self, x: Value, factor: Any, shift: Any = 0.0) -> Value:
        """`factor * x + shift`, both broadcast to the shape of x, or x to theirs."""
        shape = np.broadcast_shapes(x.shape, np.shape(factor), np.shape(shift))
        x = self.broadcast(x, shape)
        full = [np.broadcast_to(np.asarray(v, np.float64), shape).ravel() for v in (factor, shift)]
        return self._add(Scale(*full), [x], shape)

    def combine(self, values: Sequence[Value], factors: Sequence[float]) -> Value:
        """`sum of factor * value`, after broadcasting."""
        shape = np.broadcast_shapes(*(v.shape for v in values))
        values = [self.broadcast(v, shape) for v in values]
        return self._add(Combine(factors, math.prod(shape)), values, shape)

    def broadcast(self, x: Value, shape: tuple[int, ...]) -> Value:
        """X repeated to a shape, as NumPy does."""
        return x if x.shape == shape else self.gather(x, lambda grid: np.broadcast_to(grid, shape))

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """Values side by side along an axis, counted without the batch if it is not negative."""
        joined = self._add(Concat([v.size for v in values]), values, (sum(v.size for v in values),))
        starts = np.cumsum([0] + [v.size for v in values])
        grids = [s + np.arange(v.size).reshape(v.shape) for s, v in zip(starts, values, strict=False)]
        return self.gather(joined, lambda _: np.concatenate(grids, axis=axis))

    def curve(self, x: Value, curve: Curve | str) -> Value:
        """A function of each entry."""
        curve = CURVES[curve] if isinstance(curve, str) else curve
        return self._add(Elementwise(curve, x.size), [x], x.shape)

    def within(self, x: Value, low: float, high: float) -> Value:
        """x, known to lie between two numbers though interval arithmetic may not see it."""
        return self._add(Within(x.size, low, high), [x], x.shape)

    def product(self, x: Value, y: Value) -> Value:
        """`x * y` after broadcasting."""
        if x == y:
            return self.curve(x, "square")
        shape = np.broadcast_shapes(x.shape, y.shape)
        x, y = self.broadcast(x, shape), self.broadcast(y, shape)
        return self._add(Product(x.size), [x, y], shape)

    def largest(self, x: Value) -> Value:
        """Greatest along the last axis."""
        return self._add(Max(x.size // x.shape[-1], x.shape[-1]), [x], x.shape[:-1])

    def log_sum_exp(self, x: Value) -> Value:
        """Logarithm of the sum of exponentials along the last axis."""
        return self._add(LogSumExp(x.size // x.shape[-1], x.shape[-1]), [x], x.shape[:-1])

    def mean(self, x: Value) -> Value:
        """Mean along the last axis."""
        count = x.shape[-1]
        found = self.matmul(x, np.full((count, 1), 1.0 / count))
        return Value(found.number, x.shape[:-1])

    def total(self, x: Value) -> Value:
        """Sum along the last axis."""
        found = self.matmul(x, np.ones((x.shape[-1], 1)))
        return Value(found.number, x.shape[:-1])

    def last(self, x: Value, axes: Sequence[int]) -> Value:
        """The axes, counted without the batch, moved to the end and laid into one."""
        axes = [axis % len(x.shape) for axis in axes]
        rest = [axis for axis in range(len(x.shape)) if axis not in axes]
        shape = (*(x.shape[axis] for axis in rest), math.prod(x.shape[axis] for axis in axes))
        return self.gather(x, lambda grid: np.transpose(grid, (*rest, *axes)).reshape(shape))
