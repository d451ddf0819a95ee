"""Cosine series on a uniform grid that includes both ends, as matrices.

The trapezoidal rule is used throughout. Fields that solve an equation with mirror boundaries have smooth even
(or odd) periodic extensions, and on those it is spectrally accurate: no end correction could better it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

Array = NDArray[np.float64]


@functools.lru_cache(maxsize=32)
def trapezoid(nodes: int) -> Array:
    """`(nodes,)` weights of the integral over [0, 1]."""
    weights = np.full(nodes, 1.0 / (nodes - 1))
    weights[[0, -1]] /= 2
    return _shared(weights)


@functools.lru_cache(maxsize=32)
def waves(nodes: int, modes: int) -> tuple[Array, Array]:
    """`(modes + 1, nodes)` each: `cos(n pi x)` and `sin(n pi x)` on the grid over [0, 1]."""
    # Whole multiples of pi / (nodes - 1), reduced before the rounding of pi can matter.
    turns = np.outer(np.arange(modes + 1), np.arange(nodes)) % (2 * (nodes - 1))
    phase = np.pi * turns / (nodes - 1)
    return _shared(np.cos(phase)), _shared(np.sin(phase))


def averages(nodes: int, modes: int) -> Array:
    """`(nodes, modes + 1)`: takes a field to the integrals over [0, 1] of field times `cos(n pi x)`."""
    return waves(nodes, modes)[0].T * trapezoid(nodes)[:, None]


def shares(nodes: int, modes: int) -> Array:
    """`(modes + 1,)` factors with which those integrals make up the field as a cosine series."""
    factors = np.full(modes + 1, 2.0)
    factors[0] = 1.0
    if modes == nodes - 1:
        factors[-1] = 1.0  # the highest wave is its own mirror image on the grid
    return factors


@functools.lru_cache(maxsize=4)
def antiderivative(nodes: int) -> Array:
    """`(nodes, nodes)`: takes a field that is zero at both ends to its integral over [0, x], L = 1."""
    cos, sin = waves(nodes, nodes - 2)
    number = np.arange(1, nodes - 1)
    coefficients = 2.0 / (nodes - 1) * sin[1:].T
    return _shared(coefficients @ ((1.0 - cos[1:]) / (np.pi * number)[:, None]))


def constant(values: Array, like: Any) -> Any:
    """A tensor with the precision of `like`."""
    # Keras makes float32 of a float64 array on torch unless it is told.
    return ops.convert_to_tensor(np.ascontiguousarray(values), like.dtype)


def _shared(values: Array) -> Array:
    values.flags.writeable = False
    return values
