"""Operations that `keras.ops` computes in float32 on some engine even if their input is float64."""

from __future__ import annotations

from typing import Any

from keras import ops

from ..backend import engine


def _call(name: str, *args: Any) -> Any:
    """The engine's own operation; tensors and numbers in float64."""
    if engine() == "tensorflow":
        return getattr(ops, name)(*args)
    if engine() == "jax":
        import jax.numpy

        return getattr(jax.numpy, name)(*args)
    import torch

    return getattr(torch, name)(*(torch.as_tensor(a, dtype=torch.float64) for a in args))


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return _call("tanh", x)


def sin(x: Any) -> Any:
    """Sine."""
    return _call("sin", x)


def cos(x: Any) -> Any:
    """Cosine."""
    return _call("cos", x)


def arccos(x: Any) -> Any:
    """Inverse cosine."""
    return _call("arccos", x)


def floor(x: Any) -> Any:
    """Greatest whole number not above."""
    return _call("floor", x)


def maximum(x: Any, y: Any) -> Any:
    """The greater of two; NaN if one is."""
    return _call("maximum", x, y)


def minimum(x: Any, y: Any) -> Any:
    """The lesser of two; NaN if one is."""
    return _call("minimum", x, y)


def matmul(x: Any, y: Any) -> Any:
    """Product of matrices."""
    return _call("matmul", x, y)
