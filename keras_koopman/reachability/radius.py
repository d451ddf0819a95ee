"""`robust_radius`: how far an input can be moved without breaking a specification."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from .problem import Problem, model_of
from .region import Ball, norm_of
from .safety import Status, decide
from .specification import Classifies, inequalities_of


@dataclass(frozen=True, eq=False)
class Radius:
    """Answer of `robust_radius`.

    Attributes:
        certified: no input nearer than this breaks the specification.
        broken: an input within this distance does; infinite if none was found.
        counterexample: it, in the model's own precision, or None.

    Example:
    >>> import keras_koopman as kk
    >>> kk.reachability.Radius(0.1, 0.2, None).certified
    0.1
    """

    certified: float
    broken: float
    counterexample: Any


def robust_radius(
    model: Any,
    x: Any,
    norm: Any = math.inf,
    *,
    specification: Any = None,
    free: Any = None,
    largest: float = 1.0,
    tol: float = 1e-3,
    time_limit: float = 10.0,
) -> Radius:
    """Radius of a ball about an input on which a specification is proven, and one on which it fails.

    Halves the stretch between the two until it is below `tol` or the time is over.

    Args:
        model: A Keras model with one input.
        x: the input, without the batch.
        norm: 1, 2 or `inf`. Defaults to `inf`.
        specification: as for `is_safe`. Defaults to the class of x staying the greatest output.
        free: which inputs vary, as for `Ball`. Defaults to all.
        largest: radius not to look beyond. Defaults to 1.
        tol: width of the stretch at which to stop. Defaults to 1e-3.
        time_limit: seconds. Defaults to 10.

    Returns:
        A `Radius`; `certified` is 0 where x itself fails.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If they do not fit, or a layer is unknown.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, kernel_initializer="identity")])
    >>> found = kk.reachability.robust_radius(model, np.array([0.8, 0.2]), time_limit=60)  # 0.3
    >>> 0.299 <= found.certified < 0.3 <= found.broken <= 0.301
    True
    """
    norm = norm_of(norm)
    largest = _checks.real_number("largest", largest, 0.0, math.inf)
    tol = _checks.real_number("tol", tol, 0.0, math.inf)
    deadline = time.monotonic() + _checks.real_number("time_limit", time_limit, 0.0, math.inf)
    keras_model = model_of(model)
    problem = Problem.of(keras_model, Ball(x, largest, norm, free=free))
    if specification is None:
        at_x = Problem.of(keras_model, Ball(x, 0.0))
        specification = Classifies(int(np.argmax(at_x.output())))
    rows = inequalities_of(specification, problem.program.width)
    certified, broken, example = 0.0, math.inf, None
    radius = largest
    while radius > 0 and min(broken, largest) - certified > (tol if certified < largest else 0):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        ball = Problem.of(keras_model, Ball(x, radius, norm, free=free))
        # Half of what is left for each, so that one hard radius does not take it all.
        safety = decide(keras_model, ball, rows, max(0.5 * left, 1e-3) if ball.program.size <= 16 else 0.05)
        if safety.status is Status.SAFE:
            certified = radius
        elif safety.status is Status.UNSAFE:
            broken, example = radius, safety.counterexample
        if safety.status is not Status.SAFE:
            largest = min(largest, radius)
        if certified >= largest:
            break
        radius = 0.5 * (certified + min(broken, largest))
    return Radius(certified, broken, example)
