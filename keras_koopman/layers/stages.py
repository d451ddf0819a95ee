"""At which node weights, and with which statistics, each stage of each step is evaluated."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from .basis import Basis
from .moving import Grid
from .tableau import Tableau


class Stage(NamedTuple):
    """Where a stage looks.

    Attributes:
        weights: node -> coefficient.
        moving: stage whose statistics are taken, by its number in the grid -> coefficient.
    """

    weights: dict[int, float]
    moving: dict[int, float]


# For each step, its stages.
Plan = tuple[tuple[Stage, ...], ...]


@functools.lru_cache
def plan_of(tableau: Tableau, basis: Basis, steps: int, grid: Grid | None = None) -> Plan:
    """Where each stage of each step looks.

    Args:
        tableau: the method.
        basis: of the weights.
        steps: number of them.
        grid: of the statistics that there are. Defaults to None: those of the method.
    """
    own = Grid.of(tableau, steps, basis)
    stages = [
        Stage(basis.at(time, late), moving)
        for (time, late), moving in zip(own.times, (grid or own).seen_from(own), strict=True)
    ]
    return tuple(tuple(stages[n * tableau.stages : (n + 1) * tableau.stages]) for n in range(steps))


def unused_nodes(tableau: Tableau, basis: Basis, steps: int) -> list[int]:
    """Nodes that no stage looks at: they get no gradient."""
    used = {
        node
        for step in plan_of(tableau, basis, steps)
        for number, stage in enumerate(step)
        if _matters(tableau, number)
        for node in stage.weights
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
