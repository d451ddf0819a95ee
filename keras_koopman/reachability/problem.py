"""A model on a region, ready for the walks."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from ..backend import float64_allowed, to_host
from . import double
from .interval import Interval, evaluate, propagate
from .lowering import inputs_of, lower
from .nonlinear import Nonlinear
from .program import Program, Real
from .region import Domain, domain_of
from .rounding import TINY, gamma


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A program, and the set of its inputs."""

    program: Program
    domain: Domain

    @classmethod
    def of(cls, model: Any, region: Any, function: Any = None) -> Problem:
        """Lower a model on a region, and see that both agree; then, if given, a function of its output.

        Raises:
            TypeError: If the model is no Keras model, or the region none.
            ValueError: If they do not fit, or a layer is unknown or not Lipschitz on the region.
        """
        model = model_of(model)
        domain = domain_of(region, *inputs_of(model))
        problem = cls(lower(model, domain), domain)
        problem.check_finite()
        problem.compare(model)
        if function is not None:
            problem = cls(lower(model, domain, function), domain)
            problem.check_finite()
        return problem

    def box(self) -> tuple[Any, Any]:
        """The box about the region as tensors, a batch of one."""
        return ops.convert_to_tensor(self.domain.low[None]), ops.convert_to_tensor(self.domain.high[None])

    def output(self) -> Real:
        """The exact output in the middle of the region, to the last digits, flat."""
        middle = self.domain.project((0.5 * self.domain.low + 0.5 * self.domain.high)[None])
        with float64_allowed():
            low, high = evaluate(self.program.on_device(), ops.convert_to_tensor(middle))
            return np.asarray(0.5 * to_host(low)[0] + 0.5 * to_host(high)[0])

    def check_finite(self) -> None:
        """See that everything is finite and Lipschitz over the region."""
        with float64_allowed():
            program = self.program.on_device()
            intervals = propagate(program, *self.box())
            for node, (low, high) in zip(program.nodes, intervals[1:], strict=True):
                before = [intervals[i] for i in node.inputs]
                if isinstance(node.primitive, Nonlinear) and not node.primitive.defined(before):
                    curve = node.primitive.curve  # type: ignore[attr-defined]
                    least, most = (to_host(f(v)) for f, v in zip((ops.min, ops.max), before[0], strict=True))
                    raise ValueError(
                        f"{node.origin!r} applies {curve.name} to inputs between {least:.3g} and "
                        f"{most:.3g}, but it "
                        f"is finite and Lipschitz only between {curve.domain[0]:g} and {curve.domain[1]:g}. "
                        "Shrink the region."
                    )
                if not np.isfinite(to_host(low)).all() or not np.isfinite(to_host(high)).all():
                    raise ValueError(
                        f"the bounds overflow float64 at {node.origin!r}. Shrink the region, or check the "
                        f"weights."
                    )

    def compare(self, model: Any) -> None:
        """Warn if model and program differ by more than float32 explains, at the middle of the region."""
        middle = self.domain.project((0.5 * self.domain.low + 0.5 * self.domain.high)[None])
        with float64_allowed():
            low, high = map(to_host, evaluate(self.program.on_device(), ops.convert_to_tensor(middle)))
        output = run(model, self.domain, middle).reshape(low.shape)
        gap = np.abs(output - 0.5 * (low + high)).max()
        allowed = 1e-3 * (1 + np.abs(output).max()) if keras.backend.floatx() != "float16" else np.inf
        if not gap <= allowed:
            warnings.warn(
                f"the model itself gives {output.ravel()[:3]} in the middle of the region where exact "
                f"arithmetic "
                f"on its weights gives {low.ravel()[:3]}. Bounds are for exact arithmetic: either the "
                "model is badly conditioned, or a layer acts by chance or differs from what it was "
                "registered as.",
                RuntimeWarning,
                stacklevel=4,
            )


def model_of(model: Any) -> Any:
    """The Keras model itself, or the one that a result carries as `model`."""
    return model if isinstance(model, keras.Model) else getattr(model, "model", model)


def run(model: Any, domain: Domain, points: Real) -> Real:
    """What the model itself gives at points, in its own precision; float64 `(batch, ...)`."""
    inputs = [x.astype(keras.backend.floatx()) for x in domain.inputs(points)]
    if len(inputs) == 1:
        return to_host(model(inputs[0], training=False))
    names, _ = inputs_of(model)
    struct = getattr(model, "_inputs_struct", None)
    if isinstance(struct, dict):
        by_name = dict(zip(names, inputs, strict=True))
        return to_host(model({key: by_name[t.name] for key, t in struct.items()}, training=False))
    return to_host(model(inputs, training=False))


def least(domain: Domain, coefficients: Any, constant: Any) -> Any:
    """Lower bound of linear functions `(batch, rows)` over the region."""
    low, high = (ops.convert_to_tensor(v[None]) for v in (domain.low, domain.high))
    value = over_box(coefficients, constant, low, high)
    if not domain.balls:
        return value
    # The stretches in balls by the dual norm; the others by the box.
    inside = np.zeros(len(domain.low), bool)
    total = constant
    size = ops.abs(constant)
    for start, stop, norm, radius, center in domain.balls:
        inside[start:stop] = True
        part = coefficients[..., start:stop]
        at = ops.sum(part * ops.convert_to_tensor(center), axis=-1)
        reach = radius * _dual(part, norm)
        total = total + at - reach
        size = size + ops.sum(ops.abs(part) * ops.convert_to_tensor(np.abs(center)), axis=-1) + reach
    total = total - gamma(len(domain.low) + 8) * size - TINY
    outside = ops.convert_to_tensor(np.where(inside, 0.0, 1.0))
    rest = over_box(coefficients * outside, ops.zeros_like(constant), low, high)
    return double.maximum(value, total + rest - gamma(2) * (ops.abs(total) + ops.abs(rest)))


def over_box(coefficients: Any, constant: Any, low: Any, high: Any) -> Any:
    """Lower bound of linear functions `(batch, rows)` over boxes `(batch, size)`."""
    centre = (0.5 * low + 0.5 * high)[:, None]
    # The two ends are exact numbers: centre and radius err by a unit of the greater one.
    radius = (0.5 * high - 0.5 * low)[:, None]
    steep = ops.abs(coefficients)
    spread = ops.sum(steep * radius, axis=-1)
    value = ops.sum(coefficients * centre, axis=-1) + constant - spread
    size = ops.sum(steep * ops.abs(centre), axis=-1) + spread + ops.abs(constant)
    return value - gamma(low.shape[-1] + 8) * size - TINY


def _dual(part: Any, norm: float) -> Any:
    """Dual norm of the rows."""
    if norm == 2:
        return ops.sqrt(ops.sum(part * part, axis=-1))
    return ops.max(ops.abs(part), axis=-1) if norm == 1 else ops.sum(ops.abs(part), axis=-1)


def host(interval: Interval) -> tuple[Real, Real]:
    """The only interval of a batch of one."""
    return to_host(interval[0])[0], to_host(interval[1])[0]
