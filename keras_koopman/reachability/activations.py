"""The curves of Keras's activations and of some functions beside them."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

from keras import ops

from . import double
from .curves import Curve, Lines, clip
from .periodic import Sine
from .rounding import TINY, UNIT

__all__ = ["CURVES", "celu", "elu", "leaky_relu", "rectifier", "soft_shrink", "squareplus", "straight"]

INF = math.inf
# Roots, to the last digit of float64, of the second derivatives, and of the first where a curve turns.
GELU_TURN = -0.7517915246935645
SILU_TURN = -1.278464542761074
SILU_BEND = 2.3993572805154677
GELU_TANH_TURN = -0.7524614220710162
GELU_TANH_BENDS = (-1.4185040087908283, 1.4185040087908283)
MISH_TURN = -1.1924312145154952
MISH_BENDS = (-2.25637639636079312, 1.4905711794854284)


def straight(name: str, breaks: tuple[float, ...], slopes: tuple[float, ...], at: float = 0.0) -> Curve:
    """A piecewise linear curve, from its slopes; `at` is its value at the first break."""
    heights = [at]
    for i in range(1, len(breaks)):
        heights.append(heights[-1] + slopes[i] * (breaks[i] - breaks[i - 1]))

    def value(x: Any) -> Any:
        y = heights[0] + slopes[0] * (x - breaks[0])
        for i, (place, height) in enumerate(zip(breaks, heights, strict=True)):
            y = ops.where(x >= place, height + slopes[i + 1] * (x - place), y)
        return y

    def slope(x: Any) -> Any:
        y = ops.full_like(x, slopes[0])
        for i, place in enumerate(breaks):
            # Not the bare number: torch would round it to float32.
            y = ops.where(x >= place, ops.full_like(x, slopes[i + 1]), y)
        return y

    corners = tuple(itertools.pairwise(slopes))
    turns = tuple(b for b, (left, right) in zip(breaks, corners, strict=True) if left * right <= 0)
    noise = 16 * UNIT * max(map(abs, heights))
    return Curve(name, value, slope, breaks, (0,) * len(slopes), corners, turns, noise=noise)


class Rectifier(Curve):
    """`max(x, 0)`. It lies above every line through the origin with a slope from 0 to 1, without rounding."""

    def __init__(self) -> None:
        super().__init__(
            "relu",
            lambda x: double.maximum(x, ops.zeros_like(x)),
            lambda x: ops.where(x > 0, ops.ones_like(x), ops.zeros_like(x)),
            breaks=(0.0,),
            bends=(0, 0),
            corners=((0.0, 1.0),),
            exact=True,
        )

    def lines(self, low: Any, high: Any, tight: bool = True) -> Lines:
        """The chord above; below the line of slope 0 or 1 that is nearer in the middle."""
        chord, _, above = self.band(low, high)
        return Lines(self.slope(low + high), ops.zeros_like(low), chord, above)

    def band(self, low: Any, high: Any) -> tuple[Any, Any, Any]:
        """The chord, and the line through the origin parallel to it."""
        start, stop = self.value(low), self.value(high)
        width = high - low
        wide = ops.logical_and(width > 0, ops.isfinite(width))
        chord = (stop - start) / ops.where(wide, width, ops.ones_like(width))
        chord = clip(ops.where(wide, chord, self.slope(high)), 0.0, 1.0)
        above = double.maximum(start - chord * low, stop - chord * high)
        # Nothing is rounded where the chord is 0 or 1.
        straddles = ops.logical_and(low < 0, high > 0)
        error = (8 * UNIT) * (stop + ops.abs(chord * low)) + TINY
        above = ops.where(
            straddles, double.maximum(above, ops.zeros_like(above)) + error, ops.zeros_like(above)
        )
        return chord, ops.zeros_like(low), above


@functools.cache
def leaky_relu(negative_slope: float) -> Curve:
    """`x` above zero, `negative_slope * x` below."""
    return straight("leaky_relu", (0.0,), (negative_slope, 1.0))


@functools.cache
def rectifier(negative_slope: float, threshold: float, max_value: float | None) -> Curve:
    """The general form of `keras.layers.ReLU`; it must be continuous."""
    if threshold == 0 and max_value is None:
        return CURVES["relu"] if negative_slope == 0 else leaky_relu(negative_slope)
    if threshold != 0:
        # At the threshold it leaps from `negative_slope * 0` up to the threshold.
        raise ValueError(f"a ReLU with threshold={threshold} is not continuous, so not Lipschitz")
    return straight("relu", (0.0, float(max_value or 0.0)), (negative_slope, 1.0, 0.0))


def _exp_unit(name: str, alpha: float, scale: float, stretch: float) -> Curve:
    """`scale * x` above zero, `scale * alpha * (exp(x / stretch) - 1)` below."""
    edge = scale * alpha / stretch

    def value(x: Any) -> Any:
        below = double.minimum(x, ops.zeros_like(x))
        return ops.where(x > 0, scale * x, (scale * alpha) * ops.expm1(below / stretch))

    def slope(x: Any) -> Any:
        below = double.minimum(x, ops.zeros_like(x))
        return ops.where(x > 0, ops.full_like(x, scale), edge * ops.exp(below / stretch))

    return Curve(
        name,
        value,
        slope,
        breaks=(0.0,),
        bends=(1 if alpha >= 0 else -1, 0),
        corners=((edge, scale),),
        turns=(0.0,) if alpha < 0 else (),
        stationary=lambda number, k: stretch * _log(k / edge) if edge else ops.zeros_like(k),
    )


@functools.cache
def elu(alpha: float) -> Curve:
    """`x` above zero, `alpha (exp(x) - 1)` below."""
    return _exp_unit("elu", alpha, 1.0, 1.0)


@functools.cache
def celu(alpha: float) -> Curve:
    """`x` above zero, `alpha (exp(x / alpha) - 1)` below."""
    return _exp_unit("celu", alpha, 1.0, alpha)


@functools.cache
def selu() -> Curve:
    """The self-normalising exponential unit."""
    return _exp_unit("selu", 1.6732632423543772, 1.0507009873554805, 1.0)


def _log(x: Any) -> Any:
    """Logarithm, minus infinity below zero."""
    return ops.log(double.maximum(x, ops.full_like(x, 1e-300)))


def _sigmoid() -> Curve:
    def slope(x: Any) -> Any:
        small = ops.exp(-ops.abs(x))
        return small / ops.square(1 + small)

    def stationary(number: int, k: Any) -> Any:
        # k = s (1 - s), with t = 1 - 2 s = sqrt(1 - 4 k): x = log(s / (1 - s)).
        root = ops.sqrt(double.maximum(1 - 4 * k, ops.zeros_like(k)))
        x = _log((1 + root) * (1 + root)) - _log(4 * k)
        return -x if number == 0 else x

    return Curve("sigmoid", _sigmoid_value, slope, (0.0,), (1, -1), stationary=stationary)


def _sigmoid_value(x: Any) -> Any:
    # Without cancellation on either side; engines differ in their own.
    small = ops.exp(-ops.abs(x))
    return ops.where(x >= 0, ops.ones_like(x), small) / (1 + small)


def _tanh() -> Curve:
    def slope(x: Any) -> Any:
        small = ops.exp(-2 * ops.abs(x))
        return 4 * small / ops.square(1 + small)

    def stationary(number: int, k: Any) -> Any:
        root = ops.sqrt(double.maximum(1 - k, ops.zeros_like(k)))
        x = _log(1 + root) - 0.5 * _log(k)
        return -x if number == 0 else x

    return Curve("tanh", double.tanh, slope, (0.0,), (1, -1), stationary=stationary)


def _softplus_value(x: Any) -> Any:
    return double.maximum(x, ops.zeros_like(x)) + ops.log1p(ops.exp(-ops.abs(x)))


def _softplus() -> Curve:
    return Curve(
        "softplus",
        _softplus_value,
        _sigmoid_value,
        stationary=lambda number, k: _log(k) - _log(1 - k),
    )


def _log_sigmoid() -> Curve:
    return Curve(
        "log_sigmoid",
        lambda x: -_softplus_value(-x),
        lambda x: _sigmoid_value(-x),
        bends=(-1,),
        stationary=lambda number, k: _log(1 - k) - _log(k),
    )


def _gelu() -> Curve:
    root2, norm = math.sqrt(2.0), 1 / math.sqrt(2 * math.pi)

    def distribution(x: Any) -> Any:
        return 0.5 * (1 + ops.erf(x / root2))

    return Curve(
        "gelu",
        lambda x: x * distribution(x),
        lambda x: distribution(x) + norm * x * ops.exp(-0.5 * x * x),
        breaks=(-root2, root2),
        bends=(-1, 1, -1),
        turns=(GELU_TURN,),
        # 1 + erf cancels on the left: a few rounding units times the x at which erf is -1.
        noise=1e-14,
    )


def _gelu_tanh() -> Curve:
    c, a = math.sqrt(2 / math.pi), 0.044715

    def value(x: Any) -> Any:
        return x * _sigmoid_value(2 * c * (x + a * x * x * x))

    def slope(x: Any) -> Any:
        s = _sigmoid_value(2 * c * (x + a * x * x * x))
        return s + x * s * (1 - s) * 2 * c * (1 + 3 * a * x * x)

    return Curve("gelu_tanh", value, slope, GELU_TANH_BENDS, (-1, 1, -1), turns=(GELU_TANH_TURN,))


def _silu() -> Curve:
    def slope(x: Any) -> Any:
        s = _sigmoid_value(x)
        return s + x * s * _sigmoid_value(-x)

    bends = (-SILU_BEND, SILU_BEND)
    return Curve("silu", lambda x: x * _sigmoid_value(x), slope, bends, (-1, 1, -1), turns=(SILU_TURN,))


def _mish() -> Curve:
    def slope(x: Any) -> Any:
        t = double.tanh(_softplus_value(x))
        return t + x * (1 - t * t) * _sigmoid_value(x)

    return Curve(
        "mish",
        lambda x: x * double.tanh(_softplus_value(x)),
        slope,
        MISH_BENDS,
        (-1, 1, -1),
        turns=(MISH_TURN,),
    )


def _softsign() -> Curve:
    def stationary(number: int, k: Any) -> Any:
        x = 1 / ops.sqrt(double.maximum(k, ops.full_like(k, 1e-300))) - 1
        return -x if number == 0 else x

    return Curve(
        "softsign",
        lambda x: x / (1 + ops.abs(x)),
        lambda x: 1 / ops.square(1 + ops.abs(x)),
        (0.0,),
        (1, -1),
        stationary=stationary,
    )


@functools.cache
def squareplus(b: float) -> Curve:
    """`(x + sqrt(x^2 + b)) / 2`."""

    def value(x: Any) -> Any:
        root = ops.sqrt(x * x + b) + ops.abs(x)
        return ops.where(x >= 0, 0.5 * root, 0.5 * b / root)

    def stationary(number: int, k: Any) -> Any:
        t = double.minimum(double.maximum(2 * k - 1, ops.full_like(k, -1.0)), ops.ones_like(k))
        return math.sqrt(b) * t / ops.sqrt(double.maximum(1 - t * t, ops.full_like(t, 1e-300)))

    return Curve("squareplus", value, lambda x: 0.5 * (1 + x / ops.sqrt(x * x + b)), stationary=stationary)


def _sparse_plus() -> Curve:
    def value(x: Any) -> Any:
        return ops.where(x <= -1, 0.0, ops.where(x < 1, 0.25 * ops.square(x + 1), x))

    def slope(x: Any) -> Any:
        return ops.where(x <= -1, 0.0, ops.where(x < 1, 0.5 * (x + 1), ops.ones_like(x)))

    return Curve("sparse_plus", value, slope, (-1.0, 1.0), (0, 1, 0), stationary=lambda n, k: 2 * k - 1)


def _hard_silu() -> Curve:
    def value(x: Any) -> Any:
        return ops.where(x <= -3, 0.0, ops.where(x < 3, x * (x + 3) / 6, x))

    def slope(x: Any) -> Any:
        return ops.where(x <= -3, 0.0, ops.where(x < 3, (2 * x + 3) / 6, ops.ones_like(x)))

    return Curve(
        "hard_silu",
        value,
        slope,
        (-3.0, 3.0),
        (0, 1, 0),
        corners=((0.0, -0.5), (1.5, 1.0)),
        turns=(-1.5,),
        stationary=lambda n, k: 3 * k - 1.5,
    )


@functools.cache
def soft_shrink(threshold: float) -> Curve:
    """`x` moved towards zero by the threshold."""
    return straight("soft_shrink", (-threshold, threshold), (1.0, 0.0, 1.0))


def _tanh_shrink() -> Curve:
    def stationary(number: int, k: Any) -> Any:
        root = ops.sqrt(double.maximum(k, ops.zeros_like(k)))
        x = 0.5 * (_log(1 + root) - _log(1 - root))
        return -x if number == 0 else x

    return Curve(
        "tanh_shrink",
        lambda x: x - double.tanh(x),
        lambda x: ops.square(double.tanh(x)),
        (0.0,),
        (-1, 1),
        stationary=stationary,
        noise=1e-15,
    )


def _reciprocal() -> Curve:
    def stationary(number: int, k: Any) -> Any:
        return 1 / ops.sqrt(double.maximum(-k, ops.full_like(k, 1e-300)))

    return Curve(
        "reciprocal", lambda x: 1 / x, lambda x: -1 / (x * x), domain=(0.0, INF), stationary=stationary
    )


def _rsqrt() -> Curve:
    def stationary(number: int, k: Any) -> Any:
        return ops.exp((-2 / 3) * _log(-2 * k))

    return Curve(
        "rsqrt",
        lambda x: 1 / ops.sqrt(x),
        lambda x: -0.5 / (x * ops.sqrt(x)),
        domain=(0.0, INF),
        stationary=stationary,
    )


CURVES: dict[str, Curve] = {
    "relu": Rectifier(),
    "sigmoid": _sigmoid(),
    "tanh": _tanh(),
    "softplus": _softplus(),
    "log_sigmoid": _log_sigmoid(),
    "gelu": _gelu(),
    "gelu_tanh": _gelu_tanh(),
    "silu": _silu(),
    "mish": _mish(),
    "softsign": _softsign(),
    "sparse_plus": _sparse_plus(),
    "hard_silu": _hard_silu(),
    "tanh_shrink": _tanh_shrink(),
    "relu6": straight("relu6", (0.0, 6.0), (0.0, 1.0, 0.0)),
    "hard_tanh": straight("hard_tanh", (-1.0, 1.0), (0.0, 1.0, 0.0), at=-1.0),
    "hard_sigmoid": straight("hard_sigmoid", (-3.0, 3.0), (0.0, 1 / 6, 0.0)),
    "sparse_sigmoid": straight("sparse_sigmoid", (-1.0, 1.0), (0.0, 0.5, 0.0)),
    "absolute": straight("absolute", (0.0,), (-1.0, 1.0)),
    "exponential": Curve("exponential", ops.exp, ops.exp, stationary=lambda n, k: _log(k)),
    "square": Curve(
        "square", lambda x: x * x, lambda x: 2 * x, turns=(0.0,), stationary=lambda n, k: 0.5 * k
    ),
    "reciprocal": _reciprocal(),
    "rsqrt": _rsqrt(),
    "sqrt": Curve(
        "sqrt",
        ops.sqrt,
        lambda x: 0.5 / ops.sqrt(x),
        bends=(-1,),
        domain=(0.0, INF),
        stationary=lambda n, k: 0.25 / double.maximum(k * k, ops.full_like(k, 1e-300)),
    ),
    "log": Curve(
        "log",
        ops.log,
        lambda x: 1 / x,
        bends=(-1,),
        domain=(0.0, INF),
        stationary=lambda n, k: 1 / double.maximum(k, ops.full_like(k, 1e-300)),
        noise=1e-15,
    ),
    "sin": Sine(),
}
