"""The sine, whose pieces go on for ever."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from . import double
from .curves import Curve, Lines, clip
from .rounding import UNIT, without_nan


def _arc_cosine(k: Any) -> Any:
    return double.arccos(clip(k, -1.0, 1.0))


# One bump either side of the origin: convex on the left, concave on the right.
_NEAR = Curve(
    "sin",
    double.sin,
    double.cos,
    (0.0,),
    (1, -1),
    turns=(-0.5 * math.pi, 0.5 * math.pi),
    stationary=lambda number, k: _arc_cosine(k) * (-1 if number == 0 else 1),
    noise=1e-15,
)


class Sine(Curve):
    """`sin(x)`: moved by a multiple of pi, an interval narrower than pi lies within one bump either side."""

    def __init__(self) -> None:
        super().__init__("sin", double.sin, double.cos, bends=(0,), noise=1e-15)

    def interval(self, low: Any, high: Any) -> tuple[Any, Any]:
        """Range on intervals."""
        moved_low, moved_high, sign, wide, error = _moved(low, high)
        least, most = _NEAR.interval(moved_low, moved_high)
        least, most = ops.where(sign > 0, least, -most), ops.where(sign > 0, most, -least)
        least, most = without_nan(least - error, most + error)
        return (
            ops.where(wide, -1.0, double.maximum(least, -ops.ones_like(least))),
            ops.where(wide, 1.0, double.minimum(most, ops.ones_like(most))),
        )

    def slopes(self, low: Any, high: Any) -> tuple[Any, Any]:
        """The cosine is a sine, a quarter later."""
        quarter = 0.5 * math.pi
        return self.interval(low + quarter - 1e-15, high + quarter + 1e-15)

    def lines(self, low: Any, high: Any, tight: bool = True) -> Lines:
        """Lines below and above."""
        moved_low, moved_high, sign, wide, error = _moved(low, high)
        moved_low, moved_high = ops.where(wide, 0.0, moved_low), ops.where(wide, 0.0, moved_high)
        near = _NEAR.lines(moved_low, moved_high, tight)
        up = sign > 0
        low_slope = ops.where(up, near.low_slope, -near.high_slope)
        high_slope = ops.where(up, near.high_slope, -near.low_slope)
        low_offset = ops.where(up, near.low_offset, -near.high_offset)
        high_offset = ops.where(up, near.high_offset, -near.low_offset)
        # Back from t to x = t + shift.
        shift = low - moved_low
        error = 4 * error + 8 * UNIT * (1 + ops.abs(low))
        flat = ops.zeros_like(low)
        return Lines(
            ops.where(wide, flat, low_slope),
            ops.where(wide, -1.0, low_offset - low_slope * shift - error),
            ops.where(wide, flat, high_slope),
            ops.where(wide, 1.0, high_offset - high_slope * shift + error),
        )

    def band(self, low: Any, high: Any) -> tuple[Any, Any, Any]:
        """One slope: halfway between those of the two lines, which differ little on narrow intervals."""
        lines = self.lines(low, high, False)
        slope = 0.5 * lines.low_slope + 0.5 * lines.high_slope
        below, above = lines.low_slope - slope, lines.high_slope - slope
        error = (16 * UNIT) * (1 + ops.abs(low) + ops.abs(high))
        return (
            slope,
            lines.low_offset + double.minimum(below * low, below * high) - error,
            lines.high_offset + double.maximum(above * low, above * high) + error,
        )


def _moved(low: Any, high: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The interval about zero, the sign that goes with it, which are too wide, and the error of moving."""
    turns = ops.round((0.5 * low + 0.5 * high) / math.pi)
    shift = turns * math.pi
    wide = ops.logical_not(high - low < 3.0)
    sign = 1 - 2 * ops.abs(turns - 2 * double.floor(0.5 * turns))
    # math.pi is off by 1.3e-16.
    error = (8 * UNIT) * (1 + ops.abs(low) + ops.abs(high))
    return (
        clip(low - shift, -math.pi, math.pi),
        clip(high - shift, -math.pi, math.pi),
        sign,
        wide,
        error,
    )
