"""Bounds on what float64 rounding can do, by which every computed bound is widened.

There is no directed rounding: a sum of `n` products, in whatever order and with or without fused
multiply-add, misses the real one by at most `gamma(n)` times the sum of the absolute values (Higham 2002,
section 3.1). Elementary functions are trusted to `ULPS` units in the last place.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from . import double

UNIT = 2.0**-53
# Of exp, tanh, erf and the like on TensorFlow, JAX, XLA and torch; the worst that tests have seen is below 8.
ULPS = 32
# Engines flush numbers below 2.3e-308 to zero. It can happen to each of the products of a sum.
TINY = 1e-280


def gamma(count: int) -> float:
    """Relative error of a sum of `count` products, doubled for the rounding of the bound itself."""
    return 2 * (count + 4) * UNIT / (1 - (count + 4) * UNIT)


def outward(low: Any, high: Any, error: Any) -> tuple[Any, Any]:
    """The interval widened by `error >= 0` and by the rounding of this step; NaN becomes infinite."""
    low = low - error - (2 * UNIT) * ops.abs(low) - TINY
    high = high + error + (2 * UNIT) * ops.abs(high) + TINY
    return without_nan(low, high)


def without_nan(low: Any, high: Any) -> tuple[Any, Any]:
    """The interval with an unknown end put at infinity, as after an overflow."""
    nowhere = ops.logical_or(ops.isnan(low), ops.isnan(high))
    infinite = ops.full_like(low, float("inf"))
    return ops.where(nowhere, -infinite, low), ops.where(nowhere, infinite, high)


def function_error(value: Any) -> Any:
    """How far a computed elementary function may be from the real one."""
    return (2 * ULPS * UNIT) * ops.abs(value) + TINY


def magnitude(low: Any, high: Any) -> Any:
    """Greatest absolute value in an interval."""
    return double.maximum(ops.abs(low), ops.abs(high))
