"""Lipschitz constants that hold, of a whole model or over a region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from ..backend import float64_allowed, to_host
from .interval import Interval, propagate
from .linear import Linear, operator_norm
from .lowering import inputs_of, lower
from .nonlinear import Nonlinear
from .problem import Problem, model_of
from .program import Program, Real
from .region import Ball, domain_of, norm_of
from .rounding import TINY, UNIT, gamma

# Rows of a Jacobian that are carried back at once.
ROWS = 256


def lipschitz(model: Any, region: Any = None, *, norm: Any = 2) -> float:
    """A constant `L` with `|f(x) - f(y)| <= L |x - y|` for all x and y, or for all of a region.

    Without a region it is the product of the norms of the layers, summed over the paths of the graph. Over a
    convex region it is the norm of the greatest absolute values that the entries of the Jacobian can
    take, or the product with slopes taken over the region, whichever is less.

    Args:
        model: A Keras model.
        region: A `Box` or `Ball`, or a dict of them by input name. Defaults to all inputs.
        norm: 1, 2 or `inf`, in which inputs (all together, flat) and outputs are measured. Defaults to 2.

    Returns:
        The constant; never too small, and infinite if none is known.

    Raises:
        TypeError: If the model is no Keras model, or the region none.
        ValueError: If they do not fit, a layer is unknown, or the norm.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential(
    ...     [keras.Input((3,)), keras.layers.Dense(1, "tanh", kernel_initializer="ones")]
    ... )
    >>> print(round(kk.reachability.lipschitz(model), 4))
    1.7321
    """
    norm = norm_of(norm)
    if region is None:
        model = model_of(model)
        names, shapes = inputs_of(model)
        everywhere: Any = {n: Ball(np.zeros(s), 1.0) for n, s in zip(names, shapes, strict=True)}
        program = lower(model, domain_of(everywhere, names, shapes))
        with float64_allowed():
            return _product(program, norm, None)
    problem = Problem.of(model, region)
    with float64_allowed():
        intervals = propagate(problem.program.on_device(), *problem.box())
        product = _product(problem.program, norm, intervals)
        entries = jacobian(problem.program, intervals)
    return min(product, operator_norm(entries.T, norm))


def _product(program: Program, norm: float, intervals: Sequence[Interval] | None) -> float:
    """By the gains of the nodes along the graph."""
    gains = [1.0]
    for node in program.nodes:
        before = None if intervals is None else [intervals[i] for i in node.inputs]
        gains.append(node.primitive.gain([gains[i] for i in node.inputs], norm, before) * (1 + 8 * UNIT))
    return gains[-1] if math.isfinite(gains[-1]) else math.inf


def jacobian(program: Program, intervals: Sequence[Interval]) -> Real:
    """Greatest absolute value of each derivative over a box, `(outputs, inputs)`."""
    bound = program.on_device()
    found = []
    for start in range(0, program.width, ROWS):
        count = min(ROWS, program.width - start)
        seeds = np.zeros((1, count, program.width))
        seeds[0, np.arange(count), start + np.arange(count)] = 1.0
        found.append(to_host(_derivatives(bound, intervals, ops.convert_to_tensor(seeds)))[0])
    return np.concatenate(found)


def _derivatives(program: Program, intervals: Sequence[Interval], seeds: Any) -> Any:
    """Interval Jacobian from the outputs back, as centre and radius."""
    last = len(program.nodes)
    forms = {last: (seeds, ops.zeros_like(seeds))}
    for number in range(last - 1, -1, -1):
        form = forms.pop(number + 1, None)
        if form is None:
            continue
        node = program.nodes[number]
        primitive = node.primitive
        if isinstance(primitive, Linear):
            parts = _linear(primitive, *form)
        else:
            assert isinstance(primitive, Nonlinear)
            parts = _nonlinear(primitive, *form, [intervals[i] for i in node.inputs])
        for i, (centre, radius) in zip(node.inputs, parts, strict=True):
            if i in forms:
                centre, radius = forms[i][0] + centre, forms[i][1] + radius
                radius = radius + (4 * UNIT) * (ops.abs(centre) + radius)
            forms[i] = centre, radius
    if 0 not in forms:
        return ops.zeros((*seeds.shape[:-1], program.size), dtype="float64")
    centre, radius = forms[0]
    return (ops.abs(centre) + radius) * (1 + 4 * UNIT) + TINY


def _linear(primitive: Linear, centre: Any, radius: Any) -> list[tuple[Any, Any]]:
    count = primitive.terms + 8
    rounding = gamma(count) * (ops.abs(centre) + radius)
    spread = primitive.adjoint_absolute(radius + rounding)
    return [
        (c, r * (1 + gamma(count)) + TINY) for c, r in zip(primitive.adjoint(centre), spread, strict=True)
    ]


def _nonlinear(
    primitive: Nonlinear, centre: Any, radius: Any, before: list[Interval]
) -> list[tuple[Any, Any]]:
    parts = []
    for low, high in primitive.partials(before):
        middle, half = (0.5 * low + 0.5 * high)[:, None], (0.5 * high - 0.5 * low)[:, None]
        if primitive.span > 1:
            centre, radius = (_repeated(v, primitive.span) for v in (centre, radius))
        size = (ops.abs(centre) + radius) * (ops.abs(middle) + half)
        spread = ops.abs(centre) * half + radius * (ops.abs(middle) + half)
        parts.append((centre * middle, spread + gamma(8) * size + TINY))
    return parts


def _repeated(form: Any, span: int) -> Any:
    return ops.repeat(form, span, axis=-1)


def steepness(problem: Problem) -> Real:
    """Greatest absolute derivative of the only output by each of the numbers that vary."""
    with float64_allowed():
        intervals = propagate(problem.program.on_device(), *problem.box())
        return np.asarray(jacobian(problem.program, intervals)[0])
