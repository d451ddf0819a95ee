"""`is_safe`: does the output satisfy a specification for every input of a region?"""

from __future__ import annotations

import enum
import math
import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from .. import _checks
from ..backend import float64_allowed, to_host
from .branch import Search
from .crown import crown
from .linear import Combine, Matmul
from .nonlinear import Max
from .problem import Problem, model_of, run
from .program import Program, Real
from .ranges import as_input, fence_of
from .region import Domain
from .specification import Inequalities, inequalities_of


class Status(enum.Enum):
    """What is known about a specification.

    Example:
    >>> import keras_koopman as kk
    >>> kk.reachability.Status.UNSAFE
    <Status.UNSAFE: 'an input of the region fails'>
    """

    SAFE = "every input of the region satisfies it"
    UNSAFE = "an input of the region fails"
    UNKNOWN = "neither a proof nor an input that fails was found"


@dataclass(frozen=True, eq=False)
class Safety:
    """Answer of `is_safe`.

    Attributes:
        status: a `Status`.
        margin: proven least distance to a violation: the least of `upper - matrix @ output` is not below it.
            Positive if safe.
        reached: the least such distance that was met; None if no search was needed.
        counterexample: an input in the model's own precision, or a dict of them, that really fails in the
        model
            itself; None unless unsafe.
        boxes: how many were bounded.
        reason: the status in words.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    >>> kk.reachability.is_safe(model, kk.reachability.Box(0, 1), kk.reachability.Box(-0.5, 2.5)).status
    <Status.SAFE: 'every input of the region satisfies it'>
    """

    status: Status
    margin: float
    reached: float | None
    counterexample: Any
    boxes: int
    reason: str

    @property
    def gap(self) -> float:
        """Between what was proven and what was met; 0 if that decided."""
        return 0.0 if self.reached is None else max(self.reached - self.margin, 0.0)

    def __bool__(self) -> bool:
        raise TypeError("a Safety is not a truth value: ask whether its status is Status.SAFE.")


def is_safe(model: Any, region: Any, specification: Any, *, time_limit: float = 10.0) -> Safety:
    """Whether the output satisfies a specification for all inputs of a region.

    First by CROWN, then by branch-and-bound. A proof is about exact arithmetic on the stored weights; a
    counterexample is one that the model itself, in its own precision, gets wrong.

    Args:
        model: A Keras model.
        region: A `Box` or `Ball`, or a dict of them by input name.
        specification: `Classifies(label)`, `Inequalities(matrix, upper)`, or a `Box` of allowed outputs.
        time_limit: seconds for the search. Defaults to 10.

    Returns:
        A `Safety`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If they do not fit, or a layer is unknown.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(1, "relu", kernel_initializer="ones")]
    ... )
    >>> safety = kk.reachability.is_safe(model, kk.reachability.Box(-1, 1), kk.reachability.Box(0, 1))
    >>> print(safety.status.name, safety.counterexample.sum() > 1)
    UNSAFE True
    """
    time_limit = _checks.real_number("time_limit", time_limit, 0.0, math.inf)
    problem = Problem.of(model, region)
    return decide(model_of(model), problem, inequalities_of(specification, problem.program.width), time_limit)


def decide(model: Any, problem: Problem, rows: Inequalities, time_limit: float) -> Safety:
    """`is_safe` on what is lowered already."""
    deadline = time.monotonic() + time_limit
    domain = problem.domain
    # Positive where the inequality holds.
    margins = problem.program.then(Matmul(-rows.matrix.T[None], rows.upper[None], 1), "specification")
    with float64_allowed():
        least = to_host(crown(Problem(margins, domain))[0][0])[0]
    if least.min() > 0:
        return Safety(
            Status.SAFE, float(least.min()), None, None, 0, f"CROWN: margin at least {least.min():.4g}"
        )
    worst = Problem(_least_of(problem.program, rows, least <= 0), domain)
    search = Search(worst, 0.0, above=0.0, maximum=False, fence=fence_of(worst))
    found = search.run(deadline)
    margin = max(min(found.lower, *least[least > 0], math.inf), float(least.min()))
    if found.finished and found.low_value > 0:
        reason = f"branch-and-bound: margin at least {margin:.4g} in {found.boxes} boxes"
        return Safety(Status.SAFE, margin, found.low_value, None, found.boxes, reason)
    if found.low_value <= 0:
        failing = fails(model, domain, rows, found.low_point)
        if failing is None:
            # On the edge in exact arithmetic: deeper inside the model's own rounding does not matter.
            deeper = Search(worst, 0.0, maximum=False, fence=fence_of(worst))
            found = deeper.run(min(deadline, time.monotonic() + 1.0))
            failing = fails(model, domain, rows, found.low_point)
        if failing is not None:
            reason = f"an input of the region violates it by {-found.low_value:.4g}"
            return Safety(Status.UNSAFE, found.lower, found.low_value, failing, found.boxes, reason)
        reason = "a violation within the model's own rounding"
    else:
        reason = f"the time was over: margin between {margin:.4g} and {found.low_value:.4g}"
    return Safety(Status.UNKNOWN, margin, found.low_value, None, found.boxes, reason)


def _least_of(program: Program, rows: Inequalities, kept: Any) -> Program:
    """The least margin of these rows as the only output."""
    program = program.then(Matmul(rows.matrix[kept].T[None], -rows.upper[kept][None], 1), "specification")
    if program.width > 1:
        program = program.then(Max(1, program.width), "specification")
    return program.then(Combine([-1.0], 1), "specification")


def fails(model: Any, domain: Domain, rows: Inequalities, point: Real) -> Any:
    """The input at a point in the model's precision, if it is in the region and the model fails there."""
    single = keras.backend.floatx()
    middle = domain.project((0.5 * domain.low + 0.5 * domain.high)[None])
    for shrink in (0.0, 2.0**-22, 2.0**-16):
        near = point[None] + shrink * (middle - point[None])
        rounded = near.astype(single).astype(np.float64)
        # What rounding put outside goes one number back.
        back = np.nextafter(rounded.astype(single), middle.astype(single)).astype(np.float64)
        rounded = np.where((rounded < domain.low) | (rounded > domain.high), back, rounded)
        if not domain.contains(rounded[0]):
            continue
        if rows.excess(run(model, domain, rounded))[0] > 0:
            found = as_input(model, domain, rounded[0])
            if isinstance(found, dict):
                return {name: x.astype(single) for name, x in found.items()}
            return found.astype(single)
    return None
