"""`output_range`: the least and the greatest that a function of the output can be."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from ..backend import float64_allowed
from .branch import Found, Search
from .crown import crown
from .interval import Interval
from .lipschitz import steepness
from .lowering import inputs_of
from .nested import Nested
from .problem import Problem, model_of
from .program import Real
from .region import Domain
from .walks import FEW

METHODS = ("branch", "nested", "auto")


@dataclass(frozen=True, eq=False)
class Range:
    """The range of a function over a region, as `output_range` finds it.

    Attributes:
        lower: no value lies below.
        upper: no value lies above.
        witness_low: an input, or a dict of inputs, whose value is within `gap` of `lower`.
        witness_high: one whose value is within `gap` of `upper`.
        sound: whether the bounds are proven; False if they hang on a `lipschitz` that is not.
        evaluations: boxes bounded or points evaluated.
        value_low: at least the value at `witness_low`, in exact arithmetic, to its last digits.
        value_high: at most the value at `witness_high`.
        finished: whether `tol` was reached.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    >>> found = kk.reachability.output_range(model, kk.reachability.Box([0, 0], [1, 2]))
    >>> print(round(found.upper, 6), found.witness_high, found.finished)
    3.0 [1. 2.] True
    """

    lower: float
    upper: float
    witness_low: Any
    witness_high: Any
    sound: bool
    evaluations: int
    value_low: float
    value_high: float
    finished: bool

    @property
    def gap(self) -> float:
        """How far the bounds may be from values that are reached."""
        return max(self.value_low - self.lower, self.upper - self.value_high)


def output_range(
    model: Any,
    region: Any,
    function: Any = None,
    *,
    tol: float = 1e-2,
    method: str = "auto",
    time_limit: float | None = None,
    lipschitz: Any = None,
) -> Range:
    """Least and greatest value of a function of the output over a region, to within `tol`.

    `branch` cuts the region into boxes, bounds thousands of them in one compiled call by affine forms and one
    backward pass of CROWN, and cuts those that may still hold a better value. `nested` is the algorithm of
    DeepGO, for comparison: it needs a Lipschitz constant and its effort grows with the power of the number of
    inputs. Both can be stopped at any time: the bounds hold.

    Args:
        model: A Keras model.
        region: A `Box` or `Ball`, or a dict of them by input name. The fewer inputs vary the better: up to
            about ten for arbitrary regions, more for small ones.
        function: of the output: an index into it, coefficients, or a callable made of `keras.ops`, of a
            tensor with a batch axis, that gives one number per input. Needed unless the output is one number.
        tol: how near the bounds must come. Defaults to 0.01.
        method: `"branch"`, `"nested"` or `"auto"`, which is `branch`. Defaults to `"auto"`.
        time_limit: seconds, or None. The first call for an architecture compiles, which counts. Defaults to
            None.
        lipschitz: for `nested`: a constant by each number that varies, or one for all, in place of the proven
            ones. Defaults to None.

    Returns:
        A `Range`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the region does not fit, a layer is unknown, the function is not known to be Lipschitz,
            or `tol` is below what float64 can resolve.

    Reference:
        Ruan, Huang, Kwiatkowska (2018), Reachability Analysis of Deep Neural Networks with Provable
        Guarantees.

    Example:
    >>> import keras
    >>> from keras import ops
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    >>> box = kk.reachability.Box([2.7], [7.5])
    >>> wave = lambda x: ops.sin(x) + ops.sin(10 * x / 3)
    >>> found = kk.reachability.output_range(model, box, wave, tol=1e-3)
    >>> print(round(found.value_low, 4), found.value_low - found.lower <= 1e-3)
    -1.8996 True
    """
    method = _checks.one_of("method", method, METHODS)
    tol = _checks.real_number("tol", tol, 0.0, math.inf)
    began = time.monotonic()
    limit = math.inf
    if time_limit is not None:
        limit = began + _checks.real_number("time_limit", time_limit, 0.0, math.inf)
    problem = Problem.of(model, region, function)
    if problem.program.width != 1:
        raise ValueError(
            f"the output has the shape {problem.program.shape}: pass function, an index, coefficients or a "
            "callable, to say of which number the range is wanted."
        )
    sound = True
    search: Search | Nested
    if method == "nested":
        steep, sound = _steep(problem, lipschitz)
        search = Nested(problem, tol, steep)
    else:
        if lipschitz is not None:
            raise ValueError("lipschitz is for method='nested'; branch needs no constant.")
        search = Search(problem, tol, fence=fence_of(problem))
        if tol < 4 * search.noise:
            raise ValueError(
                f"tol={tol:g} is below what float64 can hold: a single value is known to {search.noise:.1g} "
                f"only. Pass at least {8 * search.noise:.1g}."
            )
    return _result(model, problem.domain, search.run(limit), sound)


def fence_of(problem: Problem) -> list[Interval] | None:
    """Intervals over the whole region, where boxes are bounded by plain intervals: many inputs vary."""
    if problem.program.size <= FEW:
        return None
    with float64_allowed():
        return crown(problem)[1]


def _steep(problem: Problem, lipschitz: Any) -> tuple[Real, bool]:
    if problem.domain.balls:
        raise ValueError("method='nested' works on boxes and on balls with norm=inf. Use 'branch'.")
    proven = steepness(problem)
    if lipschitz is None:
        return proven, True
    given = np.broadcast_to(np.asarray(lipschitz, np.float64), proven.shape)
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise ValueError(f"lipschitz must be finite and at least 0, got {lipschitz!r}.")
    return given.copy(), bool((given >= proven).all())


def _result(model: Any, domain: Domain, found: Found, sound: bool) -> Range:
    return Range(
        float(found.lower),
        float(found.upper),
        as_input(model, domain, found.low_point),
        as_input(model, domain, found.high_point),
        sound,
        found.boxes,
        found.low_value,
        found.high_value,
        found.finished,
    )


def as_input(model: Any, domain: Domain, point: Real) -> Any:
    """A point as an input of the model without the batch, or a dict of them by name."""
    inputs = [x[0] for x in domain.inputs(point[None])]
    if len(inputs) == 1:
        return inputs[0]
    return dict(zip(inputs_of(model_of(model))[0], inputs, strict=True))
