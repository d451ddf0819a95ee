"""Operations of `keras.ops`, as they stand in functional models and inside the `call` of layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ..activations import CURVES, celu, elu, leaky_relu, selu, soft_shrink
from ..program import Real
from .activation import glu, log_softmax, softmax
from .builder import Builder, Value
from .registry import operation


def constant(value: Any, rank: int) -> Real:
    """A constant operand as float64, without the batch axis of the value it meets."""
    numbers = np.asarray(keras.ops.convert_to_numpy(value), np.float64)
    if numbers.ndim > rank:
        if numbers.shape[0] != 1:
            raise NotImplementedError(f"a constant of shape {numbers.shape}, which spans the batch")
        numbers = numbers[0]
    return numbers


def _axes(op: Any, x: Value) -> list[int]:
    """Axes that an operation reduces, counted without the batch."""
    axis = getattr(op, "axis", None)
    axes = [axis] if isinstance(axis, int) else axis
    rank = len(x.shape) + 1
    if axes is None or any(a % rank == 0 for a in axes):
        raise NotImplementedError(f"axis={axis}, which runs over the batch")
    return [a % rank - 1 for a in axes]


def _kept(op: Any, x: Value, y: Value) -> Value:
    """Y with the reduced axes of x kept as ones, if the operation wants that."""
    if not op.keepdims:
        return y
    axes = _axes(op, x)
    return Value(y.number, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


@operation("Add", "Subtract")
def add(build: Builder, op: Any, a: Any, b: Any) -> Value:
    """Add in primitives."""
    sign = 1.0 if type(op).__name__ == "Add" else -1.0
    if isinstance(a, Value) and isinstance(b, Value):
        return build.combine([a, b], [1.0, sign])
    if isinstance(a, Value):
        return build.scale(a, 1.0, sign * constant(b, len(a.shape)))
    return build.scale(b, sign, constant(a, len(b.shape)))


@operation("Multiply")
def multiply(build: Builder, op: Any, a: Any, b: Any) -> Value:
    """Multiply in primitives."""
    if isinstance(a, Value) and isinstance(b, Value):
        return build.product(a, b)
    value, other = (a, b) if isinstance(a, Value) else (b, a)
    return build.scale(value, constant(other, len(value.shape)))


@operation("Divide", "TrueDivide")
def divide(build: Builder, op: Any, a: Any, b: Any) -> Value:
    """Divide in primitives."""
    if not isinstance(b, Value):
        return build.scale(a, 1.0 / constant(b, len(a.shape)))
    inverse = build.curve(b, "reciprocal")
    found: Value = multiply(build, op, a, inverse)
    return found


@operation("Matmul")
def matmul(build: Builder, op: Any, a: Any, b: Any) -> Value:
    """Matmul in primitives."""
    if not isinstance(a, Value) or isinstance(b, Value):
        raise NotImplementedError("a product of matrices that both depend on the input, or from the left")
    kernel = np.asarray(keras.ops.convert_to_numpy(b), np.float64)
    if kernel.ndim != 2:
        raise NotImplementedError(f"a kernel of shape {kernel.shape}")
    return build.matmul(a, kernel)


@operation("Power")
def power(build: Builder, op: Any, a: Any, b: Any) -> Value:
    """Power in primitives."""
    if isinstance(b, Value) or not np.all(np.asarray(b) == 2):
        raise NotImplementedError(f"the power {b!r}; 2 is known")
    return build.curve(a, "square")


@operation("Negative")
def negative(build: Builder, op: Any, x: Value) -> Value:
    """Negative in primitives."""
    return build.scale(x, -1.0)


@operation("Cos")
def cosine(build: Builder, op: Any, x: Value) -> Value:
    """Cosine in primitives."""
    # The rounding of pi / 2 is within the noise of the sine.
    return build.curve(build.scale(x, 1.0, 0.5 * math.pi), "sin")


@operation("Mean")
def mean(build: Builder, op: Any, x: Value) -> Value:
    """Mean in primitives."""
    return _kept(op, x, build.mean(build.last(x, _axes(op, x))))


@operation("Sum")
def total(build: Builder, op: Any, x: Value) -> Value:
    """Total in primitives."""
    return _kept(op, x, build.total(build.last(x, _axes(op, x))))


@operation("Max", "Amax")
def largest(build: Builder, op: Any, x: Value) -> Value:
    """Largest in primitives."""
    return _kept(op, x, build.largest(build.last(x, _axes(op, x))))


@operation("Min", "Amin")
def smallest(build: Builder, op: Any, x: Value) -> Value:
    """Smallest in primitives."""
    turned = build.scale(build.last(x, _axes(op, x)), -1.0)
    return _kept(op, x, build.scale(build.largest(turned), -1.0))


@operation("Logsumexp")
def log_sum_exp(build: Builder, op: Any, x: Value) -> Value:
    """Log sum exp in primitives."""
    return _kept(op, x, build.log_sum_exp(build.last(x, _axes(op, x))))


@operation("Maximum", "Minimum")
def greater(build: Builder, op: Any, a: Any, b: Any) -> Value:
    """Greater in primitives."""
    sign = 1.0 if type(op).__name__ == "Maximum" else -1.0
    if not isinstance(a, Value):
        a, b = b, a
    # max(a, b) = b + relu(a - b)
    if isinstance(b, Value):
        gap = build.curve(build.combine([a, b], [sign, -sign]), "relu")
        return build.combine([b, gap], [1.0, sign])
    other = constant(b, len(a.shape))
    gap = build.curve(build.scale(a, sign, -sign * other), "relu")
    return build.scale(gap, sign, other)


@operation("GetItem")
def get_item(build: Builder, op: Any, x: Value, key: Any) -> Value:
    """Get item in primitives."""
    keys = key if isinstance(key, tuple) else (key,)
    if keys[0] is Ellipsis:
        own = keys
    elif keys[0] == slice(None):
        own = keys[1:]
    else:
        raise NotImplementedError(f"the index {key!r}, which picks from the batch")
    return build.gather(x, lambda g: g[own])


@operation("Reshape")
def reshape(build: Builder, op: Any, x: Value) -> Value:
    """Reshape in primitives."""
    return build.gather(x, lambda g: g.reshape(tuple(op.newshape)[1:]))


@operation("Transpose")
def transpose(build: Builder, op: Any, x: Value) -> Value:
    """Transpose in primitives."""
    axes = list(op.axes or range(len(x.shape), -1, -1))
    if axes[0] != 0:
        raise NotImplementedError(f"axes={op.axes}, which move the batch")
    return build.gather(x, lambda g: np.transpose(g, [a - 1 for a in axes[1:]]))


@operation("Concatenate")
def concatenate(build: Builder, op: Any, xs: list[Value]) -> Value:
    """Concatenate in primitives."""
    return build.concatenate(xs, op.axis if op.axis < 0 else op.axis - 1)


@operation("ExpandDims")
def expand(build: Builder, op: Any, x: Value) -> Value:
    """Expand in primitives."""
    axis = op.axis if isinstance(op.axis, int) else op.axis[0]
    return build.gather(x, lambda g: np.expand_dims(g, axis if axis < 0 else axis - 1))


@operation("Squeeze")
def squeeze(build: Builder, op: Any, x: Value) -> Value:
    """Squeeze in primitives."""
    return build.gather(x, lambda g: np.squeeze(g, tuple(_axes(op, x))))


@operation("Softmax")
def softmax_op(build: Builder, op: Any, x: Value) -> Value:
    """Softmax op in primitives."""
    return softmax(build, x, op.axis)


@operation("LogSoftmax")
def log_softmax_op(build: Builder, op: Any, x: Value) -> Value:
    """Log softmax op in primitives."""
    return log_softmax(build, x, op.axis)


@operation("Glu")
def glu_op(build: Builder, op: Any, x: Value) -> Value:
    """Glu op in primitives."""
    return glu(build, x)


@operation("Identity", "StopGradient", "Cast")
def same(build: Builder, op: Any, x: Value) -> Value:
    """Same in primitives."""
    return x


def _curve_of(op: Any) -> Any:
    match type(op).__name__:
        case "LeakyRelu":
            return leaky_relu(float(op.negative_slope))
        case "Elu":
            return elu(float(op.alpha))
        case "Celu":
            return celu(float(op.alpha))
        case "Selu":
            return selu()
        case "SoftShrink":
            return soft_shrink(float(op.threshold))
        case "Gelu":
            return CURVES["gelu_tanh" if op.approximate else "gelu"]
        case name:
            return CURVES[_NAMES[name]]


_NAMES = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Silu": "silu",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "LogSigmoid": "log_sigmoid",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
    "TanhShrink": "tanh_shrink",
    "Exp": "exponential",
    "Log": "log",
    "Sqrt": "sqrt",
    "Rsqrt": "rsqrt",
    "Reciprocal": "reciprocal",
    "Square": "square",
    "Absolute": "absolute",
    "Abs": "absolute",
    "Sin": "sin",
}


def _by_curve(build: Builder, op: Any, x: Value) -> Value:
    return build.curve(x, _curve_of(op))


_CURVED: Callable[..., Any] = operation(*_NAMES, "LeakyRelu", "Elu", "Celu", "Selu", "SoftShrink", "Gelu")(
    _by_curve
)
