"""Interval arithmetic through a program."""

from __future__ import annotations

from typing import Any

from .program import Program

Interval = tuple[Any, Any]


def propagate(program: Program, low: Any, high: Any) -> list[Interval]:
    """Sound `(low, high)` of every value, for boxes `(batch, size)`."""
    values: list[Interval] = [(low, high)]
    for node in program.nodes:
        values.append(node.primitive.interval([values[i] for i in node.inputs]))
    return values


def evaluate(program: Program, points: Any) -> Interval:
    """`(low, high)` of the exact outputs at points `(batch, size)`: apart by rounding alone."""
    return propagate(program, points, points)[-1]


def values(program: Program, points: Any) -> Any:
    """Outputs at points as float64 has them: to look for good points, not to prove anything."""
    found = [points]
    for node in program.nodes:
        found.append(node.primitive.value([found[i] for i in node.inputs]))
    return found[-1]
