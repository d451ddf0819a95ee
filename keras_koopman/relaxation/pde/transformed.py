"""What the exponential change of variable costs: its digits."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from ...backend import precision
from .fields import seen

# Rounding of the transformed field may be such a share of its smallest value.
ALLOWED_LOSS = 1e-3


def check_finite(exponent: Any, owner: str) -> None:
    """Refuse fields that overflow before any exponential is taken.

    Raises:
        ValueError: If the exponent is not finite.
    """
    values = seen(exponent)
    if values is not None and not np.all(np.isfinite(values)):
        raise ValueError(
            f"{owner}: the field divided by the coefficient overflows {precision(exponent)}. "
            "Scale the field, or choose a larger coefficient."
        )


def check_digits(wave: Any, owner: str) -> None:
    """Refuse a transformed field, mean 1, that rounding or missing modes have eaten up somewhere.

    Raises:
        ValueError: If its least value is not well above the rounding of its largest.
    """
    values = seen(wave)
    if values is None:
        return
    eps = float(np.finfo(precision(wave)).eps)
    least = float(np.min(values))
    if least <= eps * float(np.max(np.abs(values))) / ALLOWED_LOSS:
        raise ValueError(
            f"{owner}: at a time asked for, the transformed field falls to {least:.2g} of its mean, which "
            f"{precision(wave)} with these modes does not carry. Ask for later times, expand in more modes, "
            "use float64, or choose a larger coefficient; the eigenfunctionals themselves are not affected."
        )


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
