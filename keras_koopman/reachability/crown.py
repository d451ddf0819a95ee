"""Intervals of all values by CROWN, each from linear forms carried back to the input."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from ..backend import to_host
from .backward import minorant
from .curves import Curve
from .interval import Interval
from .linear import Linear
from .nonlinear import Nonlinear, Relaxation
from .problem import Problem, least
from .program import Program

# Numbers in the largest tensor of a backward pass.
BLOCK = 2**22


def crown(
    problem: Problem, everywhere: bool = True
) -> tuple[Interval, list[Interval], dict[int, Relaxation]]:
    """Output interval, those of all values, and the lines drawn.

    Args:
        problem: what to bound.
        everywhere: whether every input of a nonlinear primitive gets a pass of its own, as in CROWN, or only
            the output does, the others keeping their plain intervals.
    """
    program = problem.program.on_device()
    intervals: list[Interval] = [problem.box()]
    relaxations: dict[int, Relaxation] = {}
    bent = {i for node in program.nodes if isinstance(node.primitive, Nonlinear) for i in node.inputs}
    last = len(program.nodes)
    for number, node in enumerate(program.nodes):
        before = [intervals[i] for i in node.inputs]
        plain = node.primitive.interval(before)
        if isinstance(node.primitive, Nonlinear):
            relaxations[number] = node.primitive.relaxation(before, True)
        elif number + 1 == last or (everywhere and number + 1 in bent):
            rows = _open_rows(program, number + 1, plain, last)
            if not (_exact(program, number + 1) and not problem.domain.balls):
                plain = refine(problem, program, number + 1, rows, plain, intervals, relaxations)
        intervals.append(plain)
    if isinstance(program.nodes[-1].primitive, Nonlinear):
        rows = np.arange(program.width)
        intervals[last] = refine(problem, program, last, rows, intervals[last], intervals, relaxations)
    return intervals[last], intervals, relaxations


def refine(
    problem: Problem,
    program: Program,
    target: int,
    rows: Any,
    plain: Interval,
    intervals: list[Interval],
    relaxations: dict[int, Relaxation],
) -> Interval:
    """The interval of a value, made smaller for these entries by backward passes."""
    size = program.sizes()[target]
    low, high = (to_host(end).copy() for end in plain)
    step = max(1, BLOCK // max(program.sizes()[: target + 1]) // 2)
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        seeds = np.zeros((1, 2 * len(chosen), size))
        seeds[0, np.arange(len(chosen)), chosen] = 1.0
        seeds[0, len(chosen) + np.arange(len(chosen)), chosen] = -1.0
        found = minorant(program, target, ops.convert_to_tensor(seeds), intervals, relaxations)
        ends = to_host(least(problem.domain, *found))[0]
        # fmax and fmin pass NaN by.
        low[0, chosen] = np.fmax(low[0, chosen], ends[: len(chosen)])
        high[0, chosen] = np.fmin(high[0, chosen], -ends[len(chosen) :])
    return ops.convert_to_tensor(low), ops.convert_to_tensor(high)


def _exact(program: Program, value: int) -> bool:
    """Whether plain intervals of a value are exact on a box: one map of numbers that vary independently."""
    mixed = False
    while value:
        node = program.nodes[value - 1]
        if not isinstance(node.primitive, Linear) or len(node.inputs) > 1:
            return False
        if node.primitive.terms > 1:
            if mixed:
                return False
            mixed = True
        value = node.inputs[0]
    return True


def _open_rows(program: Program, value: int, interval: Interval, last: int) -> Any:
    """Entries that a tighter interval could help: those for which a later curve is not straight already."""
    size = program.sizes()[value]
    readers = [node for node in program.nodes if value in node.inputs]
    curves = [getattr(node.primitive, "curve", None) for node in readers]
    if value == last or not all(isinstance(c, Curve) and set(c.bends) == {0} for c in curves):
        return np.arange(size)
    low, high = (to_host(end)[0] for end in interval)
    straddled = np.zeros(size, bool)
    for curve in curves:
        for place in curve.breaks:  # type: ignore[union-attr]
            straddled |= (low < place) & (high > place)
    return np.flatnonzero(straddled)
