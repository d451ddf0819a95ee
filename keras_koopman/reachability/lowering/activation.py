"""Activations of Keras as curves, and the few that mix entries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import activations, layers, ops

from ..activations import CURVES, celu, elu, leaky_relu, rectifier, selu, soft_shrink, squareplus
from .builder import Builder, Value
from .registry import LAYERS, register

# Of the functions of keras.activations with their default arguments.
_CURVES: dict[str, Any] = {
    **{name: CURVES[name] for name in ("relu", "relu6", "sigmoid", "tanh", "softplus", "softsign", "silu")},
    **{name: CURVES[name] for name in ("mish", "exponential", "hard_sigmoid", "hard_silu", "hard_tanh")},
    **{name: CURVES[name] for name in ("log_sigmoid", "sparse_plus", "sparse_sigmoid", "tanh_shrink")},
    # The default of keras.activations.gelu is the exact one.
    "gelu": CURVES["gelu"],
    "leaky_relu": leaky_relu(0.2),
    "elu": elu(1.0),
    "celu": celu(1.0),
    "selu": selu(),
    "soft_shrink": soft_shrink(0.5),
    "squareplus": squareplus(4.0),
}
_KNOWN = {getattr(activations, name): curve for name, curve in _CURVES.items()}


def activate(build: Builder, function: Any, x: Value) -> Value:
    """The activation of a layer, a function of `keras.activations`, a layer, or None."""
    if function is None or function is activations.linear:
        return x
    if isinstance(function, layers.Layer):
        found: Value = LAYERS[type(function)](build, function, x)
        return found
    if function in _KNOWN:
        return build.curve(x, _KNOWN[function])
    if function is activations.softmax:
        return softmax(build, x, -1)
    if function is activations.log_softmax:
        return log_softmax(build, x, -1)
    if function is activations.glu:
        return glu(build, x)
    name = getattr(function, "__name__", repr(function))
    raise NotImplementedError(f"the activation {name!r}")


def softmax(build: Builder, x: Value, axis: int) -> Value:
    """`exp(-log sum_j exp(x_j - x_i))`: differences first, so that what the logits share cancels."""
    return build.within(build.curve(log_softmax(build, x, axis), "exponential"), 0.0, 1.0)


def log_softmax(build: Builder, x: Value, axis: int) -> Value:
    """`-log sum_j exp(x_j - x_i)`."""
    axis = axis % len(x.shape) if axis < 0 else axis - 1
    rest = [a for a in range(len(x.shape)) if a != axis]
    moved = build.gather(x, lambda g: np.transpose(g, (*rest, axis)))
    count = moved.shape[-1]
    wide = (*moved.shape, count)

    def spread(grid: Any) -> Any:
        # An entry less itself is 0, which intervals would not know.
        return np.where(np.eye(count, dtype=bool), -1, np.broadcast_to(grid, wide))

    own = build.gather(moved, lambda g: spread(g[..., :, None]))
    other = build.gather(moved, lambda g: spread(g[..., None, :]))
    total = build.log_sum_exp(build.combine([other, own], [1.0, -1.0]))
    total = build.within(total, 0.0, math.inf)
    back = np.argsort([*rest, axis])
    return build.scale(build.gather(total, lambda g: np.transpose(g, back)), -1.0)


def glu(build: Builder, x: Value) -> Value:
    """First half times the sigmoid of the second."""
    half = x.shape[-1] // 2
    gate = build.curve(build.gather(x, lambda g: g[..., half:]), "sigmoid")
    return build.product(build.gather(x, lambda g: g[..., :half]), gate)


@register(layers.Activation)
def activation(build: Builder, layer: Any, x: Value) -> Value:
    """Activation in primitives."""
    return activate(build, layer.activation, x)


@register(layers.ReLU)
def relu(build: Builder, layer: Any, x: Value) -> Value:
    """Relu in primitives."""
    most = None if layer.max_value is None else float(layer.max_value)
    return build.curve(x, rectifier(float(layer.negative_slope), float(layer.threshold), most))


@register(layers.LeakyReLU)
def leaky(build: Builder, layer: Any, x: Value) -> Value:
    """Leaky in primitives."""
    return build.curve(x, leaky_relu(float(layer.negative_slope)))


@register(layers.PReLU)
def prelu(build: Builder, layer: Any, x: Value) -> Value:
    """`relu(x) - alpha relu(-x)`."""
    alpha = np.asarray(ops.convert_to_numpy(layer.alpha), np.float64)
    below = build.curve(build.scale(x, -1.0), "relu")
    return build.combine([build.curve(x, "relu"), build.scale(below, alpha)], [1.0, -1.0])


@register(layers.ELU)
def exponential_unit(build: Builder, layer: Any, x: Value) -> Value:
    """Exponential unit in primitives."""
    return build.curve(x, elu(float(layer.alpha)))


@register(layers.Softmax)
def softmax_layer(build: Builder, layer: Any, x: Value, mask: Any = None) -> Value:
    """Softmax layer in primitives."""
    if mask is not None:
        raise NotImplementedError("a mask")
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if len(axes) > 1:
        raise NotImplementedError(f"axis={layer.axis}")
    return softmax(build, x, axes[0])
