"""`certify_difference`: how far two models can be from each other on a region."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from ..backend import float64_allowed
from .bounds import METHODS, output_interval
from .pair import difference, side_by_side
from .problem import Problem, host
from .program import Real
from .rounding import UNIT


@dataclass(frozen=True, eq=False)
class Difference:
    """Answer of `certify_difference`: `lower <= model_b(x) - model_a(x) <= upper` on the region.

    Attributes:
        lower: of the shape of one output.
        upper: likewise.
        paired: whether the models are alike but for their weights, so that differences were propagated layer
        by
            layer.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> found = kk.reachability.certify_difference(model, model, kk.reachability.Box(-1, 1))
    >>> print(found.bound < 1e-9, found.paired)
    True True
    """

    lower: Real
    upper: Real
    paired: bool

    @property
    def bound(self) -> float:
        """Greatest distance of any output."""
        return float(np.maximum(np.abs(self.lower), np.abs(self.upper)).max())


def certify_difference(model_a: Any, model_b: Any, region: Any, *, method: str = "auto") -> Difference:
    """Sound bounds on `model_b(x) - model_a(x)` for all x of a region.

    For two models alike but for their weights, as a network before and after pruning, the difference itself
    is
    carried from layer to layer, so what both share cancels. For others CROWN is run on both with one
    input, and only what is linear cancels. The bound is never wider than the difference of two ranges.

    Args:
        model_a: A Keras model, or a result that carries one as `model`.
        model_b: Another with the same inputs and outputs.
        region: A `Box` or `Ball`, or a dict of them by input name.
        method: as for `bounds`. Defaults to `"auto"`.

    Returns:
        A `Difference`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the models have different inputs or outputs, or a layer is unknown.

    Reference:
        Paulsen, Wang, Wang (2020), ReluDiff: Differential Verification of Deep Neural Networks.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> a = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "relu", kernel_initializer="ones")])
    >>> b = keras.models.clone_model(a)
    >>> b.set_weights([1.5 * w for w in a.get_weights()])
    >>> found = kk.reachability.certify_difference(a, b, kk.reachability.Box(0, 1))
    >>> print(found.lower.round(6), found.upper.round(6))
    [0.] [1.]
    """
    _checks.one_of("method", method, METHODS)
    one, other = Problem.of(model_a, region), Problem.of(model_b, region)
    if one.program.shape != other.program.shape:
        raise ValueError(
            f"the models have outputs of different shapes: {one.program.shape} and {other.program.shape}."
        )
    paired = difference(one.program, other.program)
    program = side_by_side(one.program, other.program) if paired is None else paired
    with float64_allowed():
        low, high = host(output_interval(dataclasses.replace(one, program=program), method))
        # Where the models are far apart two separate ranges can be the tighter bound.
        ranges = [host(output_interval(problem, method)) for problem in (one, other)]
    (low_a, high_a), (low_b, high_b) = ranges
    least, most = low_b - high_a, high_b - low_a
    low = np.maximum(low, least - 4 * UNIT * np.abs(least))
    high = np.minimum(high, most + 4 * UNIT * np.abs(most))
    shape = other.program.shape
    return Difference(low.reshape(shape), high.reshape(shape), paired is not None)
