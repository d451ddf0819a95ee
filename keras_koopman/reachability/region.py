"""Sets of inputs: boxes and balls, in all inputs or in a few of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .program import Real

__all__ = ["Ball", "Box", "Domain", "domain_of"]

NORMS = (1.0, 2.0, math.inf)


class Box:
    """All inputs between two corners.

    Args:
        low: lower corner, of the shape of one input without the batch, or one number for all; with `free`
            also one number for each input that varies, in the order of `free`.
        high: upper corner, likewise.
        free: which inputs vary: a mask of the input's shape, or a list of indices (tuples, or numbers into
            the flat input). The others keep the value of `base`. Defaults to all.
        base: an input; needed with `free`.

    Raises:
        TypeError: If a corner is not numeric.
        ValueError: If a bound is NaN or infinite, or a lower one above the upper one, or `base` is missing.

    Example:
    >>> import keras_koopman as kk
    >>> kk.reachability.Box([0, 0], [10, 10])
    Box(2 inputs, at most 10 wide)
    """

    def __init__(self, low: Any, high: Any, *, free: Any = None, base: Any = None) -> None:
        self.low, self.high = numbers("low", low), numbers("high", high)
        self.free, self.base = free, None if base is None else numbers("base", base)
        if free is not None and base is None:
            raise ValueError("free needs base: the input whose other entries stay as they are.")
        if self.low.size == 0 or self.high.size == 0:
            raise ValueError(f"a Box needs numbers, got low of shape {self.low.shape}: it is empty.")
        try:
            crossed = np.argwhere(
                np.broadcast_to(self.low > self.high, np.broadcast(self.low, self.high).shape)
            )
        except ValueError:
            raise ValueError(
                f"low and high must have one shape, got {self.low.shape} and {self.high.shape}."
            ) from None
        if len(crossed):
            at = tuple(int(i) for i in crossed[0])
            raise ValueError(
                f"low must not be above high, got {self._at(self.low, at)} > {self._at(self.high, at)} at "
                f"{at}: "
                "the box is empty. Swap them."
            )

    @staticmethod
    def _at(array: Real, at: tuple[int, ...]) -> float:
        return float(array[at] if array.ndim else array)

    def __repr__(self) -> str:
        count = "all" if self.free is None and self.low.ndim == 0 else max(self.low.size, self.high.size)
        if self.free is not None:
            count = len(np.argwhere(self.free)) if np.asarray(self.free).dtype == bool else len(self.free)
        return f"Box({count} inputs, at most {float(np.max(self.high - self.low)):g} wide)"

    def part(self, name: str, shape: tuple[int, ...]) -> _Part:
        """The region in flat numbers, for an input of this shape."""
        corners = {"low": self.low, "high": self.high}
        base = None if self.base is None else _shaped(f"base of {name}", self.base, shape)
        if self.free is not None:
            assert base is not None
            places = _free_places(self.free, shape)
            for word, corner in corners.items():
                if corner.shape == places.shape and corner.shape != shape:
                    corners[word] = whole = base.copy().reshape(shape)
                    whole.flat[places] = corner
        low, high = (_shaped(f"{word} of {name}", corner, shape) for word, corner in corners.items())
        return _Part(low, high, low if base is None else base, _free_mask(self.free, shape), None)


class Ball:
    """All inputs within a distance of one.

    Args:
        center: an input without the batch.
        radius: at least 0.
        norm: 1, 2 or `inf`, by which the distance is taken. Defaults to `inf`.
        free: which inputs vary: a mask of the input's shape, or a list of indices (tuples, or numbers into
        the
            flat input). Defaults to all.

    Raises:
        TypeError: If an argument is not numeric.
        ValueError: If one is NaN or infinite, the radius negative, or the norm unknown.

    Example:
    >>> import keras_koopman as kk
    >>> kk.reachability.Ball([0.5, 0.5], 0.1, norm=2)
    Ball(2 inputs, radius 0.1, norm 2)
    """

    def __init__(self, center: Any, radius: float, norm: Any = math.inf, *, free: Any = None) -> None:
        self.center = numbers("center", center)
        if self.center.size == 0:
            raise ValueError(f"a Ball needs numbers, got center of shape {self.center.shape}: it is empty.")
        self.radius = _checks.real_number("radius", radius, 0.0, math.inf, closed=True)
        self.norm = norm_of(norm)
        self.free = free

    def __repr__(self) -> str:
        return f"Ball({self.center.size} inputs, radius {self.radius:g}, norm {self.norm:g})"

    def part(self, name: str, shape: tuple[int, ...]) -> _Part:
        """The region in flat numbers, for an input of this shape."""
        center = _shaped(f"center of {name}", self.center, shape)
        # Outwards, so that the box about the ball holds it all.
        low = np.nextafter(center - self.radius, -np.inf) if self.radius else center
        high = np.nextafter(center + self.radius, np.inf) if self.radius else center
        ball = None if math.isinf(self.norm) else (self.norm, self.radius)
        return _Part(low, high, center, _free_mask(self.free, shape), ball)


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    low: Real
    high: Real
    base: Real
    free: NDArray[np.bool_]
    ball: tuple[float, float] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    """Regions of all inputs of a model as one set of flat vectors of the numbers that vary.

    Attributes:
        low: lower corner of the box about it.
        high: upper corner.
        bases: for each input of the model its flat values.
        index: for each input the places in it that vary.
        balls: `(start, stop, norm, radius, center)` of the stretches that lie in a ball.
        shapes: of the inputs.
    """

    low: Real
    high: Real
    bases: tuple[Real, ...]
    index: tuple[NDArray[np.int64], ...]
    balls: tuple[tuple[int, int, float, float, Real], ...]
    shapes: tuple[tuple[int, ...], ...]

    def inputs(self, points: Real) -> list[Real]:
        """Inputs of the model, `(batch, *shape)` each, for points `(batch, size)`."""
        found, start = [], 0
        for base, index, shape in zip(self.bases, self.index, self.shapes, strict=True):
            full = np.tile(base, (len(points), 1))
            full[:, index] = points[:, start : start + len(index)]
            start += len(index)
            found.append(full.reshape(len(points), *shape))
        return found

    def project(self, points: Real) -> Real:
        """Points of the box moved into the region."""
        points = np.clip(points, self.low, self.high)
        for start, stop, norm, radius, center in self.balls:
            step = points[:, start:stop] - center
            far = np.linalg.norm(step, norm, axis=1, keepdims=True)
            shrink = np.where(far > radius, radius / np.maximum(far, 1e-300) * (1 - 1e-14), 1.0)
            points[:, start:stop] = center + step * shrink
        return points

    def contains(self, point: Real) -> bool:
        """Whether a point is in the region."""
        inside = bool((point >= self.low).all() and (point <= self.high).all())
        for start, stop, norm, radius, center in self.balls:
            inside &= bool(np.linalg.norm(point[start:stop] - center, norm) <= radius)
        return inside

    def outside(self, low: Real, high: Real) -> NDArray[np.bool_]:
        """Which boxes `(batch, size)` do not meet the region."""
        out = np.zeros(len(low), bool)
        for start, stop, norm, radius, center in self.balls:
            gap = np.maximum(np.maximum(low[:, start:stop] - center, center - high[:, start:stop]), 0.0)
            out |= np.linalg.norm(gap, norm, axis=1) > radius * (1 + 1e-12)
        return out


def domain_of(region: Any, names: list[str], shapes: list[tuple[int, ...]]) -> Domain:
    """The region, or the dict of regions by input name, of a model with these inputs.

    Raises:
        TypeError: If it is none.
        ValueError: If it does not fit the inputs.
    """
    if isinstance(region, Mapping):
        if set(region) != set(names):
            raise ValueError(
                f"region must have a Box or Ball for each input {sorted(names)}, got one for "
                f"{sorted(region)}."
            )
        regions = [region[name] for name in names]
    elif len(names) > 1:
        raise ValueError(
            f"the model has {len(names)} inputs: pass a dict of regions with the keys {names}, got "
            f"{region!r}."
        )
    else:
        regions = [region]
    for each in regions:
        if not isinstance(each, Box | Ball):
            raise TypeError(f"region must be a Box or a Ball, got {each!r} of type {type(each).__name__}.")
    parts = [r.part(name, shape) for r, name, shape in zip(regions, names, shapes, strict=True)]
    lows, highs, bases, index, balls, start = [], [], [], [], [], 0
    for part in parts:
        moves = part.free & (part.high > part.low)
        # What has no width is kept fixed; one number stays, so that there is an input at all.
        if not moves.any():
            moves[np.flatnonzero(part.free)[0]] = True
        places = np.flatnonzero(moves)
        base = np.where(part.free, part.low, part.base)
        if part.ball:
            stop = start + len(places)
            balls.append((start, stop, *part.ball, part.base[places]))
        lows.append(part.low[places])
        highs.append(part.high[places])
        bases.append(base)
        index.append(places)
        start += len(places)
    return Domain(
        np.concatenate(lows),
        np.concatenate(highs),
        tuple(bases),
        tuple(index),
        tuple(balls),
        tuple(shapes),
    )


def norm_of(norm: Any) -> float:
    """1, 2 or infinity as a float."""
    if norm in (1, 2, math.inf) and not isinstance(norm, bool):
        return float(norm)
    if norm == "inf":
        return math.inf
    raise ValueError(f"norm must be 1, 2 or inf, got {norm!r}.")


def numbers(name: str, value: Any) -> Real:
    """`value` as a finite float64 array."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, got {value!r} of type {type(value).__name__}.") from None
    if not np.isfinite(array).all():
        kind = "NaN" if np.isnan(array).any() else "an infinite bound"
        raise ValueError(f"{name} must be finite, got {kind}. Bounds hold on bounded regions only.")
    return array


def _shaped(name: str, array: Real, shape: tuple[int, ...]) -> Real:
    if array.shape == (1, *shape) and array.shape != shape:
        array = array[0]
    if array.ndim and array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape} of one input, got {array.shape}.")
    return np.broadcast_to(array, shape).ravel().astype(np.float64)


def _free_mask(free: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(math.prod(shape), bool)
    mask[_free_places(free, shape)] = True
    return mask


def _free_places(free: Any, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Where the inputs that vary stand in the flat input, in the order in which they are named."""
    size = math.prod(shape)
    if free is None:
        return np.arange(size)
    choice = np.asarray(free)
    if choice.dtype == bool:
        if choice.shape != shape:
            raise ValueError(f"free must be a mask of shape {shape}, got one of shape {choice.shape}.")
        places = np.flatnonzero(choice)
    else:
        try:
            if not np.issubdtype(choice.dtype, np.integer):
                raise IndexError
            flat = choice if choice.ndim == 1 else np.ravel_multi_index(tuple(choice.T), shape)
            places = np.arange(size)[flat]
        except (IndexError, ValueError):
            raise ValueError(f"free must be indices into an input of shape {shape}, got {free!r}.") from None
    if not places.size:
        raise ValueError("free chooses no input: nothing varies.")
    return places
