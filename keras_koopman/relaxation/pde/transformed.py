"""What the exponential change of variable costs: its digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from ...backend import precision, to_host
from .fields import seen

# Rounding of the transformed field may be such a share of its smallest value.
ALLOWED_LOSS = 1e-3


def finite_only(exponent: Any, owner: str) -> Any:
    """The exponent; fields that overflow before any exponential is taken are refused.

    While a step is traced they become NaN as a whole.

    Args:
        exponent: `(batch, nodes)`.
        owner: name of the equation or dictionary, for the message.

    Raises:
        ValueError: If the exponent is not finite.
    """
    values = seen(exponent)
    if values is None:
        # A single node at minus infinity would pass for one of weight 0.
        finite = ops.all(ops.isfinite(exponent), axis=1, keepdims=True)
        return ops.where(finite, exponent, ops.full_like(exponent, np.nan))
    if not np.all(np.isfinite(values)):
        raise ValueError(
            f"{owner}: the field divided by the coefficient overflows {precision(exponent)}. "
            "Scale the field, or choose a larger coefficient."
        )
    return exponent


def where_carried(function: Callable[[Any], Any], z: Any, owner: str, gain: Any = None) -> Any:
    """`function(z)`, where rounding and missing modes have not eaten up the transformed field `1 + z`.

    While a step is traced nothing can be raised: fields that are eaten up somewhere become NaN as a whole,
    and no gradient flows through them.

    Args:
        function: of `z`, whose value at 0 is finite.
        z: `(batch, times, nodes)`, of mean 0.
        owner: name of the equation, for the message.
        gain: `(times, 1)` the rounding of what is divided by `1 + z`, in units of that of `z`. Defaults to
            None: nothing is.

    Raises:
        ValueError: If the least value of a transformed field is not well above the rounding of its largest,
            or the rounding that it divides is not well below the field that is made.
    """
    if z.shape[0] == 0:
        return function(z)
    rounding = float(np.finfo(precision(z)).eps) / ALLOWED_LOSS
    wave = 1.0 + z
    least = ops.min(wave, axis=-1, keepdims=True)
    carried = least > rounding * ops.max(ops.abs(wave), axis=-1, keepdims=True)
    # Zeros go in where it is not, so that what becomes of them has a gradient: 0 times NaN would be NaN.
    found = function(ops.where(carried, z, ops.zeros_like(z)))
    if gain is not None:
        largest, size = (ops.max(ops.abs(part), axis=-1, keepdims=True) for part in (z, found))
        carried = ops.logical_and(carried, rounding * largest * gain <= least * size)
    held = seen(carried)
    if held is None:
        return ops.where(carried, found, ops.full_like(found, np.nan))
    if not np.all(held):
        raise ValueError(
            f"{owner}: at a time asked for, the transformed field falls to {to_host(least).min():.2g} of its "
            f"mean, which {precision(z)} with these modes does not carry. Ask for later times, expand in "
            "more modes, use float64, or choose a larger coefficient; the eigenfunctionals themselves are "
            "not affected."
        )
    return found


def geometric(z: Any, products: int) -> Any:
    """`1 / (1 + z)` as a power series with `products` terms."""
    total = ops.ones_like(z)
    for _ in range(products - 1):
        total = 1.0 - z * total
    return total


def logarithm(z: Any, products: int) -> Any:
    """`log(1 + z)` as a power series with `products` terms."""
    total = ops.zeros_like(z)
    for k in range(products, 0, -1):
        total = z * (1.0 / k - total)
    return total
