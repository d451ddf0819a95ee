"""Affine forms carried forward: cheap where few inputs vary, as in branch-and-bound.

Every value is `centre + rows . (z, e) +- radius`, with the position `z` in the box and symbols `e` in `[-1,
1]`. A
nonlinear primitive brings in errors: the greatest of them become symbols, whose signs later layers can
cancel; the others go into the radius, which grows by absolute weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from . import double
from .interval import Interval
from .linear import Linear, Within
from .nonlinear import Elementwise, Nonlinear
from .program import Program
from .rounding import TINY, UNIT, gamma, outward


class Form(NamedTuple):
    """`rows` `(batch, inputs + symbols, size)`; centre and radius `(batch, size)`."""

    rows: Any
    centre: Any
    radius: Any


def forward(program: Program, low: Any, high: Any, symbols: int) -> list[Interval]:
    """Intervals of every value.

    Args:
        program: bound to tensors.
        low: `(batch, size)`, lower corners of the boxes.
        high: upper corners.
        symbols: how many errors of each nonlinear node are followed by name.
    """
    intervals: list[Interval] = [(low, high)]
    forms = [_identity(low, high)]
    bent = [n for n, node in enumerate(program.nodes) if isinstance(node.primitive, Nonlinear)]
    last = bent[-1] if bent else -1
    for number, node in enumerate(program.nodes):
        primitive = node.primitive
        before = [intervals[i] for i in node.inputs]
        given = _aligned([forms[i] for i in node.inputs])
        if isinstance(primitive, Linear):
            form = _linear(primitive, given)
        else:
            assert isinstance(primitive, Nonlinear)
            # After the last nonlinear node the final backward pass does better.
            count = min(symbols, primitive.size) if number < last else 0
            seen = forms[-1].rows.shape[1] if number else program.size
            form = _nonlinear(primitive, given, before, count, max(seen, given[0].rows.shape[1]))
        inside = _interval(form)
        # Of linear nodes only the last: a probability picked from a softmax stays one.
        if isinstance(primitive, Nonlinear | Within) or number == len(program.nodes) - 1:
            plain = primitive.interval(before)
            inside = double.maximum(inside[0], plain[0]), double.minimum(inside[1], plain[1])
        intervals.append(inside)
        forms.append(form)
    return intervals


def _identity(low: Any, high: Any) -> Form:
    centre, radius = 0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low
    rows = ops.eye(low.shape[1], dtype="float64")[None] * radius[:, None, :]
    return Form(rows, centre, (4 * UNIT) * (radius + ops.abs(centre)))


def _padded(rows: Any, count: int) -> Any:
    """Rows filled up with noughts for symbols they do not have."""
    missing = count - rows.shape[1]
    if not missing:
        return rows
    shape = (rows.shape[0], missing, rows.shape[2])
    return ops.concatenate([rows, ops.zeros(shape, dtype="float64")], axis=1)


def _aligned(forms: list[Form]) -> list[Form]:
    most = max(form.rows.shape[1] for form in forms)
    return [form._replace(rows=_padded(form.rows, most)) for form in forms]


def _spread(form: Form) -> Any:
    return ops.sum(ops.abs(form.rows), axis=1) + form.radius


def _interval(form: Form) -> Interval:
    spread = _spread(form)
    error = gamma(form.rows.shape[1] + 4) * (spread + ops.abs(form.centre))
    return outward(form.centre - spread, form.centre + spread, error)


def _linear(primitive: Linear, forms: list[Form]) -> Form:
    stacked = [ops.concatenate([f.rows, f.centre[:, None]], axis=1) for f in forms]
    found = primitive.apply(stacked)
    radius = primitive.apply([f.radius for f in forms], absolute=True)
    sizes = [_spread(f) + ops.abs(f.centre) for f in forms]
    count = stacked[0].shape[1]
    error = gamma(primitive.terms + count + 8) * primitive.amplitude(sizes) + TINY
    shift = primitive.shift()
    centre = found[:, -1] if shift is None else found[:, -1] + shift
    return Form(found[:, :-1], centre, radius + error)


def _nonlinear(
    primitive: Nonlinear, forms: list[Form], before: list[Interval], symbols: int, seen: int
) -> Form:
    if isinstance(primitive, Elementwise):
        slope, least, most = primitive.curve.band(*before[0])
        slopes, error = [slope], 0.5 * most - 0.5 * least
        offset = 0.5 * most + 0.5 * least
    else:
        slopes, offset, error = _band(primitive, before)
    span = primitive.span
    rows, centre, radius, size = 0.0, offset, error, ops.abs(offset) + ops.abs(error)
    for form, slope in zip(forms, slopes, strict=True):
        steep = ops.abs(slope)
        parts = (slope[:, None] * form.rows, slope * form.centre, steep * form.radius)
        weight = steep * (_spread(form) + ops.abs(form.centre))
        if span > 1:
            parts = tuple(_summed(v, span) for v in parts)
            weight = _summed(weight, span)
        rows, centre, radius = rows + parts[0], centre + parts[1], radius + parts[2]
        size = size + weight
    radius = radius + gamma(span * len(forms) + rows.shape[1] + 8) * size + TINY  # type: ignore[attr-defined]
    if symbols:
        heights, places = ops.top_k(radius, symbols, sorted=False)
        named = ops.one_hot(places, primitive.size, dtype="float64") * heights[..., None]
        # What is named is taken off the radius exactly: the two are the same number.
        radius = ops.where(ops.max(named, axis=1) > 0, ops.zeros_like(radius), radius)
        rows = ops.concatenate([_padded(rows, seen), named], axis=1)
    return Form(rows, centre, radius)


def _summed(x: Any, span: int) -> Any:
    return ops.sum(ops.reshape(x, (*x.shape[:-1], x.shape[-1] // span, span)), axis=-1)


def _band(primitive: Nonlinear, before: list[Interval]) -> tuple[list[Any], Any, Any]:
    """Slopes halfway between those below and above, and what the output then differs by."""
    relaxation = primitive.relaxation(before, False)
    offset = 0.5 * relaxation.low_offset + 0.5 * relaxation.high_offset
    error = 0.5 * relaxation.high_offset - 0.5 * relaxation.low_offset
    size = ops.abs(relaxation.low_offset) + ops.abs(relaxation.high_offset)
    slopes = []
    for (low_slope, high_slope), (low, high) in zip(relaxation.slopes, before, strict=True):
        slopes.append(0.5 * low_slope + 0.5 * high_slope)
        half = 0.5 * high_slope - 0.5 * low_slope
        more = double.maximum(half * low, half * high)
        most = (ops.abs(low_slope) + ops.abs(high_slope)) * double.maximum(ops.abs(low), ops.abs(high))
        if primitive.span > 1:
            more, most = _summed(more, primitive.span), _summed(most, primitive.span)
        error, size = error + more, size + most
    return slopes, offset, error + gamma(primitive.span * len(before) + 8) * size + TINY
