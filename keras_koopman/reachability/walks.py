"""Walks through a program compiled by the engine, once for all programs of one structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from ..backend import compiled, engine, float64_allowed, to_host
from . import double
from .backward import minorant, relaxations_of
from .forward import forward
from .interval import Interval, propagate, values
from .nonlinear import Nonlinear
from .problem import over_box
from .program import Program, Real

# Above so many inputs linear forms are not carried forward.
FEW = 64
# Errors that each nonlinear node hands on by name, in networks with few nonlinear nodes and in deeper ones:
# what is not named grows from layer to layer by absolute weights.
SYMBOLS, SYMBOLS_DEEP, DEEP = 8, 32, 3
# On TensorFlow XLA takes longer to compile than it saves in most searches.
XLA = False
_CACHE: dict[Any, Callable[..., Any]] = {}
_MOST_CACHED = 128


class Walks:
    """Compiled walks of one program, whose weights are held on the device.

    Args:
        program: with NumPy arrays.
        fence: intervals of all values over the whole region, `(1, size)` each, if there are any.
    """

    def __init__(self, program: Program, fence: Sequence[Interval] | None = None) -> None:
        self.program = program
        self.skeleton = program.bind([None] * len(program.arrays()))
        with float64_allowed():
            self.arrays = [ops.convert_to_tensor(a) for a in program.arrays()]
        self.fence = [end for interval in fence or () for end in interval]

    def _call(self, name: str, build: Callable[..., Any], *args: Real) -> list[Real]:
        # One compiled function for each shape: engines differ in what they do with a second one.
        shapes = tuple(a.shape for a in args)
        key = (engine(), name, self.program.signature(), len(self.fence), shapes)
        if key not in _CACHE:
            if len(_CACHE) >= _MOST_CACHED:
                _CACHE.pop(next(iter(_CACHE)))
            skeleton, weights, own = self.skeleton, len(self.arrays), len(args)

            def walk(*tensors: Any) -> Any:
                program = skeleton.bind(tensors[own : own + weights])
                return build(program, tensors[own + weights :], *tensors[:own])

            _CACHE[key] = compiled(walk, xla=XLA)
        with float64_allowed():
            tensors = [ops.convert_to_tensor(np.asarray(a, np.float64)) for a in args]
            found = _CACHE[key](*tensors, *self.arrays, *self.fence)
            return [to_host(v) for v in found]

    def bound(self, low: Real, high: Real) -> list[Real]:
        """Over boxes `(batch, size)`, for a program with one output.

        Returns:
            Lower and upper bounds `(batch,)`; the weight of each input in them, `(batch, size)`; and corners
            with the values there, of the lower and of the upper form.
        """
        return self._call("bound", _bound, low, high)

    def values(self, points: Real) -> Real:
        """Outputs at points, unrounded."""
        return self._call("values", lambda program, fence, x: [values(program, x)], points)[0]

    def enclose(self, points: Real) -> list[Real]:
        """Sound lower and upper bounds on the exact outputs at points."""
        return self._call("enclose", lambda program, fence, x: list(propagate(program, x, x)[-1]), points)


def _bound(program: Program, fence: Sequence[Any], low: Any, high: Any) -> list[Any]:
    few = program.size <= FEW
    intervals = forward(program, low, high, symbols_of(program)[0]) if few else propagate(program, low, high)
    if fence:
        pairs = zip(fence[::2], fence[1::2], strict=True)
        intervals = [
            (double.maximum(a, c), double.minimum(b, d))
            for (a, b), (c, d) in zip(intervals, pairs, strict=True)
        ]
    relaxations = relaxations_of(program, intervals, False)
    batch = low.shape[0]
    seeds = ops.tile(ops.convert_to_tensor(np.array([[[1.0], [-1.0]]])), (batch, 1, 1))
    slopes, constants = minorant(program, len(program.nodes), seeds, intervals, relaxations)
    ends = over_box(slopes, constants, low, high)
    least, most = intervals[-1][0][:, 0], intervals[-1][1][:, 0]
    # NaN would pass through maximum on some engines: what is not a number says nothing.
    first = ops.where(ops.isnan(ends[:, 0]), least, double.maximum(ends[:, 0], least))
    second = ops.where(ops.isnan(ends[:, 1]), most, double.minimum(-ends[:, 1], most))
    centre, radius = 0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low
    corners = [clip_to(centre - radius * ops.sign(slopes[:, row]), low, high) for row in (0, 1)]
    found = values(program, ops.concatenate(corners, axis=0))[:, 0]
    weight = ops.max(ops.abs(slopes), axis=1)
    return [first, second, weight, *corners, found[:batch], found[batch:]]


def clip_to(x: Any, low: Any, high: Any) -> Any:
    """Points moved into their boxes: a corner computed from centre and radius may miss it by rounding."""
    return double.minimum(double.maximum(x, low), high)


def symbols_of(program: Program) -> tuple[int, int]:
    """How many errors a nonlinear node hands on by name, and how many that makes at most."""
    bent = sum(isinstance(node.primitive, Nonlinear) for node in program.nodes)
    each = SYMBOLS_DEEP if bent >= DEEP else SYMBOLS
    return each, each * max(bent - 1, 0)
