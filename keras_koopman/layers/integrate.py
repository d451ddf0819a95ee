"""Fixed steps of a Runge-Kutta method, with or without keeping what backpropagation needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from .field import Field, Values
from .stages import Plan, Stage
from .tableau import Tableau

Check = Callable[[Any, str], Any]
Result = tuple[Any, Values, Any]  # state, values, losses or None


def integrate(
    field: Field,
    values: Values,
    state: Any,
    tableau: Tableau,
    plan: Plan,
    length: float,
    checkpoint: bool = False,
    check: Check | None = None,
) -> Result:
    """The state at the end of all steps, the values of the variables then, and losses the rate added.

    Args:
        field: the right-hand side.
        values: of the variables.
        state: at the start.
        tableau: the method.
        plan: where each stage of each step looks.
        length: of a step.
        checkpoint: whether to keep the states between steps alone, and compute the rest again for gradients.
        check: looks at a tensor, which it gives back, and knows where it comes from in words.
    """

    def run(state: Any, values: Values, steps: range) -> Result:
        total = None
        for n in steps:
            state, values, loss = _step(field, values, state, tableau, plan[n], length, n, check)
            total = _added(total, loss)
        return state, values, total

    everything = range(len(plan))
    if not checkpoint:
        return run(state, values, everything)
    total = None
    for n in everything:
        state, values, loss = _recomputed(run, field, values, state, plan, range(n, n + 1))
        total = _added(total, loss)
    return state, values, total


def _step(
    field: Field,
    values: Values,
    state: Any,
    tableau: Tableau,
    stages: tuple[Stage, ...],
    length: float,
    number: int,
    check: Check | None,
) -> Result:
    slopes: list[Any] = []
    total = None
    for i, row in enumerate(tableau.a):
        place = _advanced(state, row, slopes, length)
        slope, values, loss = field(values, stages[i], place)
        if check is not None:
            slope = check(slope, f"step {number + 1}, stage {i + 1}")
        slopes.append(slope)
        if loss is not None and tableau.b[i]:
            total = _added(total, loss * tableau.b[i])
    return _advanced(state, tableau.b, slopes, length), values, total


def _advanced(state: Any, weights: Any, slopes: list[Any], length: float) -> Any:
    """`state + length sum_i weights_i slopes_i`."""
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            factor = weight * length
            state = state + (slope if factor == 1 else slope * factor)
    return state


def _added(total: Any, loss: Any) -> Any:
    return loss if total is None else total if loss is None else total + loss


def _recomputed(
    run: Callable[[Any, Values, range], Result],
    field: Field,
    values: Values,
    state: Any,
    plan: Plan,
    steps: range,
) -> Result:
    """`run`, of which the gradient keeps nothing but what goes in.

    TensorFlow sees no tensor that a function merely closes over, so all that has a gradient goes in as an
    argument, and all that is computed comes out.
    """
    nodes = sorted({node for n in steps for stage in plan[n] for node in stage.weights})
    points = sorted({point for n in steps for stage in plan[n] for point in stage.moving})
    apart = [i for i, weight in enumerate(field.learned) if not weight and i not in field.moving]
    weights = [(node, i) for node in nodes for i, weight in enumerate(field.learned) if weight]
    has_loss = False

    def rest(values: Values) -> list[Any]:
        return [values.nodes[node][i] for node in nodes for i in apart] + [
            value for point in points for value in values.moving[point]
        ]

    def pure(state: Any, *tensors: Any) -> Any:
        nonlocal has_loss
        inside = Values({**values.nodes, **{n: list(values.nodes[n]) for n in nodes}}, values.moving)
        for (node, i), tensor in zip(weights, tensors, strict=True):
            inside.nodes[node][i] = tensor
        state, inside, loss = run(state, inside, steps)
        has_loss = loss is not None
        return (state, *rest(inside), *([loss] if has_loss else []))

    found = list(keras.remat(pure)(state, *(values.nodes[node][i] for node, i in weights)))
    loss = found.pop() if has_loss else None
    state, *left = found
    after = Values({**values.nodes, **{n: list(values.nodes[n]) for n in nodes}}, dict(values.moving))
    for node in nodes:
        for i in apart:
            after.nodes[node][i] = left.pop(0)
    for point in points:
        after.moving[point] = [left.pop(0) for _ in after.moving[point]]
    return state, after, loss
