"""Steps chosen by tolerances; for inference, as the number of steps is not known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from ..backend import mean
from .basis import Basis
from .field import Field, Values, is_float
from .moving import Grid
from .stages import Stage
from .tableau import Tableau

# Steps in one cell, rejected ones too. Who needs more has tolerances that rounding cannot meet.
MOST_STEPS = 1000
SAFETY, LEAST, MOST = 0.9, 0.2, 5.0
# All values at a place stand as those of one node and one stage.
HERE = Stage({0: 1.0}, {0: 1.0})


def integrate_adaptively(
    field: Field,
    values: Values,
    state: Any,
    tableau: Tableau,
    basis: Basis,
    grid: Grid,
    horizon: float,
    rtol: float,
    atol: float,
) -> Any:
    """The state at the end, NaN if the tolerances could not be met. No step crosses a boundary of cells.

    The error of a step is the greatest root mean square over the samples, so that a result does not depend
    on what else is in the batch by more than the tolerances.
    """
    length = horizon / basis.cells
    for cell in range(basis.cells):
        state = _through(field, values, state, tableau, basis, grid, cell, length, rtol, atol)
    return state


def _through(
    field: Field,
    values: Values,
    state: Any,
    tableau: Tableau,
    basis: Basis,
    grid: Grid,
    cell: int,
    length: float,
    rtol: float,
    atol: float,
) -> Any:
    """The state at the end of a cell; `place` runs from 0 to 1 in it."""
    assert tableau.b_low is not None
    differences = [b - low for b, low in zip(tableau.b, tableau.b_low, strict=True)]
    exponent = -1.0 / (tableau.order_low + 1)
    dtype = state.dtype
    weights = _Weights(values, basis, grid, cell, field)
    samples = tuple(range(1, len(state.shape)))

    def going(place: Any, step: Any, state: Any, count: Any) -> Any:
        return ops.logical_and(place < 1.0, count < MOST_STEPS)

    def advance(place: Any, step: Any, state: Any, count: Any) -> Any:
        last = place + step >= 1.0
        step = ops.where(last, 1.0 - place, step)
        scale = ops.cast(step * length, dtype)
        slopes: list[Any] = []
        for row, c in zip(tableau.a, tableau.c, strict=True):
            inner = _moved(state, row, slopes, scale)
            slopes.append(field(weights.at(place + c * step), HERE, inner)[0])
        new = _moved(state, tableau.b, slopes, scale)
        error = _moved(ops.zeros_like(state), differences, slopes, scale)
        allowed = atol + rtol * ops.maximum(ops.abs(state), ops.abs(new))
        ratio = ops.cast(ops.square(error / allowed), "float32")
        size = ops.max(ops.sqrt(mean(ratio, axis=samples) if samples else ratio))
        taken = size <= 1.0
        factor = ops.clip(SAFETY * ops.power(ops.maximum(size, 1e-10), exponent), LEAST, MOST)
        factor = ops.where(ops.isfinite(size), factor, LEAST)  # a step that overflows is too long
        place = ops.where(taken, ops.where(last, 1.0, place + step), place)
        return place, step * factor, ops.where(taken, new, state), count + 1

    start = (ops.zeros((), "float32"), ops.full((), 0.1, "float32"), state, ops.zeros((), "int32"))
    place, _, state, _ = ops.while_loop(going, advance, start)
    return ops.where(place < 1.0, ops.full_like(state, np.nan), state)


def _moved(state: Any, weights: Any, slopes: list[Any], scale: Any) -> Any:
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            state = state + slope * scale * weight
    return state


class _Weights:
    """Values of the variables at a place in a cell that is known when it runs.

    Args:
        values: of the variables.
        basis: of the weights.
        grid: of the statistics.
        cell: number of it.
        field: the right-hand side.
    """

    def __init__(self, values: Values, basis: Basis, grid: Grid, cell: int, field: Field) -> None:
        self.members = [values.nodes[node] for node in basis.members(cell)]
        self.points = basis.points
        self.learned = field.learned
        knots = grid.knots((cell + 0.5) / basis.cells)
        self.knots = [time * basis.cells - cell for time in knots]
        self.moving = [
            [sum(own[1:], own[0]) / len(own) for own in zip(*map(values.moving.get, stages), strict=True)]
            for stages in knots.values()
        ]

    def at(self, place: Any) -> Values:
        """All values, as those of one node and one stage."""
        return Values({0: self._weights(place)}, {0: self._statistics(place)})

    def _weights(self, place: Any) -> list[Any]:
        if len(self.members) == 1:
            return self.members[0]
        shapes = []
        for i, point in enumerate(self.points):
            others = np.delete(self.points, i)
            shapes.append(ops.prod(ops.stack([(place - o) / (point - o) for o in others])))
        found = []
        for i, weight in enumerate(self.learned):
            own = [member[i] for member in self.members]
            found.append(_sum(own, shapes) if weight and is_float(own[0]) else own[0])
        return found

    def _statistics(self, place: Any) -> list[Any]:
        if len(self.knots) == 1:
            return self.moving[0]
        hats = []
        for i, knot in enumerate(self.knots):
            rises = [(place - self.knots[i - 1]) / (knot - self.knots[i - 1])] if i else []
            falls = [(after - place) / (after - knot) for after in self.knots[i + 1 : i + 2]]
            hats.append(ops.clip(ops.min(ops.stack([*rises, *falls])), 0.0, 1.0))
        return [_sum(own, hats) for own in zip(*self.moving, strict=True)]


def _sum(values: Sequence[Any], weights: Sequence[Any]) -> Any:
    parts = [value * ops.cast(w, value.dtype) for value, w in zip(values, weights, strict=True)]
    return sum(parts[1:], parts[0])
