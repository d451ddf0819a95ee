"""CROWN: linear forms on a value, carried back to the input through lines about each nonlinear primitive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from . import double
from .interval import Interval
from .linear import Linear
from .nonlinear import Nonlinear, Relaxation
from .program import Program
from .rounding import TINY, UNIT, gamma, magnitude


def minorant(
    program: Program,
    target: int,
    seeds: Any,
    intervals: Sequence[Interval],
    relaxations: dict[int, Relaxation],
) -> tuple[Any, Any]:
    """Linear functions of the input below linear forms of a value.

    Args:
        program: bound to tensors.
        target: number of the value.
        seeds: `(batch, rows, size)`, coefficients of the forms.
        intervals: sound intervals of the values up to the target.
        relaxations: of the nonlinear nodes before it, by number of the node.

    Returns:
        Coefficients `(batch, rows, input size)` and constants `(batch, rows)`: `form >= coefficients x +
        constant` for every x of the box. Rounding on the way is taken off the constants.
    """
    forms: dict[int, Any] = {target: seeds}
    constant = ops.zeros_like(seeds[..., 0])
    for number in range(target - 1, -1, -1):
        form = forms.pop(number + 1, None)
        if form is None:
            continue
        node = program.nodes[number]
        if isinstance(node.primitive, Linear):
            parts, change = _through_linear(node.primitive, form, [intervals[i] for i in node.inputs])
        else:
            assert isinstance(node.primitive, Nonlinear)
            before = [intervals[i] for i in node.inputs]
            parts, change = _through_nonlinear(node.primitive, form, before, relaxations[number])
        constant = constant + change
        constant = constant - (2 * UNIT) * ops.abs(constant)
        for i, part in zip(node.inputs, parts, strict=True):
            if i in forms:
                part = forms[i] + part
                # A sum misses by half a unit of itself.
                constant = constant - (2 * UNIT) * _dot(ops.abs(part), magnitude(*intervals[i]))
            forms[i] = part
    if 0 in forms:
        return forms[0], constant
    return ops.zeros((*seeds.shape[:-1], program.size), dtype="float64"), constant


def _dot(form: Any, vector: Any) -> Any:
    """`(batch, rows, size)` by `(batch or 1, size)`: `(batch, rows)`."""
    return double.matmul(form, vector[..., None])[..., 0]


def _full(vector: Any, like: Any) -> Any:
    """A vector with the batch of another."""
    return vector + ops.zeros_like(like)


def _through_linear(primitive: Linear, form: Any, before: list[Interval]) -> tuple[list[Any], Any]:
    parts = primitive.adjoint(form)
    size = primitive.size
    amplitude = primitive.amplitude([magnitude(low, high) for low, high in before])
    amplitude = _full(amplitude, form[:, 0])
    # The products of the adjoint, the dot with the shift, and this dot itself, term by term.
    change = -gamma(primitive.terms + size) * _dot(ops.abs(form), amplitude) - TINY
    shift = primitive.shift()
    if shift is not None:
        change = change + _dot(form, _full(shift, form[:, 0]))
    return parts, change


def _through_nonlinear(
    primitive: Nonlinear, form: Any, before: list[Interval], relaxation: Relaxation
) -> tuple[list[Any], Any]:
    positive = double.maximum(form, ops.zeros_like(form))
    negative = form - positive
    change = _dot(positive, relaxation.low_offset) + _dot(negative, relaxation.high_offset)
    amplitude = magnitude(relaxation.low_offset, relaxation.high_offset)
    parts, span = [], primitive.span
    for (low, high), interval in zip(relaxation.slopes, before, strict=True):
        batch, rows, size = form.shape
        steep = magnitude(low, high) * magnitude(*interval)
        if span == 1:
            part = positive * low[:, None] + negative * high[:, None]
        else:
            runs = (batch, 1, size, span)
            part = positive[..., None] * ops.reshape(low, runs) + negative[..., None] * ops.reshape(
                high, runs
            )
            part = ops.reshape(part, (batch, rows, size * span))
            steep = ops.sum(ops.reshape(steep, (batch, size, span)), axis=-1)
        parts.append(part)
        amplitude = amplitude + steep
    change = change - gamma(primitive.size + span) * _dot(ops.abs(form), amplitude) - TINY
    return parts, change


def relaxations_of(
    program: Program, intervals: Sequence[Interval], tight: bool, upto: int | None = None
) -> dict[int, Relaxation]:
    """Lines about every nonlinear node before a value."""
    nodes = program.nodes[: len(program.nodes) if upto is None else upto]
    return {
        number: node.primitive.relaxation([intervals[i] for i in node.inputs], tight)
        for number, node in enumerate(nodes)
        if isinstance(node.primitive, Nonlinear)
    }
