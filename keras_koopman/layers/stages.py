"""At which node weights each stage of each step is evaluated."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from .basis import Basis
from .tableau import Tableau

# For each step, for each stage: node -> coefficient.
Plan = tuple[tuple[dict[int, float], ...], ...]


@functools.lru_cache
def plan_of(tableau: Tableau, basis: Basis, steps: int) -> Plan:
    """Coefficients of the nodes at each stage of each step.

    Where a stage meets a boundary of cells, one in the second half of its step lies just before it, so that
    a step within a cell never sees the next one.
    """
    return tuple(tuple(basis.at((n + c) / steps, late=c <= 0.5) for c in tableau.c) for n in range(steps))


def unused_nodes(tableau: Tableau, basis: Basis, steps: int) -> list[int]:
    """Nodes that no stage looks at: they get no gradient."""
    used = {
        node
        for step in plan_of(tableau, basis, steps)
        for stage, weights in enumerate(step)
        if _matters(tableau, stage)
        for node in weights
    }
    return [node for node in range(basis.nodes) if node not in used]


def _matters(tableau: Tableau, stage: int) -> bool:
    """Whether the result of a step depends on a stage."""
    if tableau.b[stage]:
        return True
    later = range(stage + 1, tableau.stages)
    return any(tableau.a[i][stage] and _matters(tableau, i) for i in later)


def describe(nodes: Sequence[int]) -> str:
    """Some numbers in words: `"1, 3 and 5 more"`."""
    shown = ", ".join(map(str, nodes[:6]))
    return shown if len(nodes) <= 6 else f"{shown} and {len(nodes) - 6} more"
