"""`bounds`: sound bounds on the outputs of a model over a region."""

from __future__ import annotations

from typing import Any

from .. import _checks
from ..backend import float64_allowed
from .crown import crown
from .interval import Interval, propagate
from .problem import Problem, host
from .program import Real

METHODS = ("interval", "crown", "auto")
# Products of a backward pass for every nonlinear entry, above which `auto` does it for the output only.
MOST_WORK = 2e11


def bounds(model: Any, region: Any, method: str = "auto") -> tuple[Real, Real]:
    """Bounds that no output of the model can leave while its input is in the region.

    They hold for the real function that the stored weights define, in exact arithmetic; computed in float64
    and
    widened for all rounding on the way. The model's own float32 output may stray from that function by its
    own
    rounding.

    Args:
        model: A Keras model, or a result that carries one as `model`. A subclassed one must be built.
        region: A `Box` or `Ball`; a dict of them by input name if there are several inputs.
        method: `"interval"`: one pass, loose. `"crown"`: linear bounds carried back to the input from every
            layer; about as many passes as there are layers, each as wide as the layer. `"auto"`: `crown`,
            but on large models only from the output. Defaults to `"auto"`.

    Returns:
        `(lower, upper)`, float64 arrays of the shape of one output.

    Raises:
        TypeError: If the model is no Keras model, or the region none.
        ValueError: If they do not fit, or the model has a layer that is unknown or not Lipschitz on the
        region.

    Reference:
        Zhang, Weng, Chen, Hsieh, Daniel (2018), Efficient Neural Network Robustness Certification with
        General Activation Functions.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(1, "relu", kernel_initializer="ones")]
    ... )
    >>> low, high = kk.reachability.bounds(model, kk.reachability.Box([-1, -1], [2, 1]))
    >>> print(low.round(6), high.round(6))
    [0.] [3.]
    """
    _checks.one_of("method", method, METHODS)
    problem = Problem.of(model, region)
    with float64_allowed():
        low, high = host(output_interval(problem, method))
    return low.reshape(problem.program.shape), high.reshape(problem.program.shape)


def output_interval(problem: Problem, method: str) -> Interval:
    """Interval of the output, a batch of one, as tensors. Call it where float64 is allowed."""
    if method == "interval":
        return propagate(problem.program.on_device(), *problem.box())[-1]
    return crown(problem, everywhere=method == "crown" or work(problem) <= MOST_WORK)[0]


def work(problem: Problem) -> float:
    """About how many products CROWN needs."""
    sizes = problem.program.sizes()
    total, passed = 0.0, 0.0
    for node in problem.program.nodes:
        kernel = node.primitive.arrays[0] if node.primitive.arrays else None
        passed += getattr(node.primitive, "positions", 1) * (kernel.size if kernel is not None else 0)
        if not node.primitive.arrays:
            total += passed * max(sizes[i] for i in node.inputs)
    return total
