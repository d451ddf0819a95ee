"""Fields and times as a user may hand them in, checked."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from keras import ops
from numpy.typing import NDArray

from ...backend import float64_allowed, is_tensor, precision

Array = NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., Any])

LEAST_NODES = 5
# Mismatches up to these, as a share of the field's size, are left to pass.
DIRICHLET_SHARE = 0.03
NEUMANN_SHARE = 0.05
# One-sided first derivative of fourth order, in units of 1 / spacing.
SLOPE = np.array([-25 / 12, 4.0, -3.0, 4 / 3, -1 / 4])
NOISE_FACTOR = 4.0
COARSE = 8  # intervals


def as_fields(name: str, u: Any) -> Any:
    """`u` as a tensor `(batch, nodes)` of float32 or float64.

    Raises:
        TypeError: If it holds no real numbers.
        ValueError: If it has another shape, or is not finite.
    """
    if not is_tensor(u):
        try:
            u = np.asarray(u)
        except ValueError:
            raise ValueError(
                f"{name} must have shape (batch, nodes), got {type(u).__name__} that is no array: are its "
                "fields of unequal length?"
            ) from None
        if u.dtype.kind not in "iuf":
            raise TypeError(f"{name} must hold real numbers, got dtype {u.dtype}.")
        if u.dtype.kind in "iu" or u.dtype.itemsize > 8:  # engines know no longer floats
            u = u.astype(np.float64)
    dtype = precision(u)
    if "complex" in dtype or "int" in dtype or dtype == "bool":
        raise TypeError(f"{name} must hold real floating-point numbers, got dtype {dtype}.")
    shape = tuple(u.shape)
    if len(shape) != 2:
        hint = f" Of a single field pass {name}[None]." if len(shape) == 1 else ""
        raise ValueError(f"{name} must have shape (batch, nodes), got {shape}.{hint}")
    if shape[1] is None or shape[1] < LEAST_NODES:
        raise ValueError(
            f"{name} must hold fields on a grid of at least {LEAST_NODES} nodes, both ends included, "
            f"got shape {shape}."
        )
    u = ops.convert_to_tensor(u, dtype if dtype in ("float32", "float64") else "float32")
    values = seen(u)
    if values is not None and not np.all(np.isfinite(values)):
        raise ValueError(f"{name} must be finite, got NaN or infinity. Leave such fields out.")
    return u


def in_precision_of(u: Any) -> contextlib.AbstractContextManager[None]:
    """Within it float64 fields stay float64 on JAX too."""
    dtype = str(getattr(u, "dtype", "float64"))
    single = "float32" in dtype or "float16" in dtype
    return contextlib.nullcontext() if single else float64_allowed()


def in_own_precision(method: F) -> F:
    """For methods that take fields: `in_precision_of` them."""

    @functools.wraps(method)
    def call(self: Any, fields: Any) -> Any:
        with in_precision_of(fields):
            return method(self, fields)

    return cast(F, call)


def seen(u: Any) -> Array | None:
    """A tensor's values on the host; None while a step is traced."""
    try:
        return np.asarray(ops.convert_to_numpy(u), np.float64)
    except Exception:  # each engine has its own for a tensor without values
        return None


def as_times(times: Any) -> Array:
    """`times` as an array of one axis, or none for a number.

    Raises:
        TypeError: If they are no real numbers.
        ValueError: If one is negative or not finite.
    """
    found = as_real(times)
    if found is None:
        raise TypeError(
            f"times must be a number or a sequence of numbers, known before a step is traced, got {times!r}."
        )
    if found.ndim > 1 or found.size == 0 or not np.all(np.isfinite(found)) or np.any(found < 0):
        raise ValueError(
            f"times must be a finite number >= 0, or a sequence of such, got {times!r}: relaxation cannot be "
            "run backwards."
        )
    return found


def as_real(values: Any) -> Array | None:
    """`values` in float64; None if they are no real numbers: text, truth values, complex numbers."""
    try:
        found = np.asarray(values)
    except (TypeError, ValueError, NotImplementedError):
        return None
    return found.astype(np.float64) if found.dtype.kind in "iuf" else None


def dirichlet_mismatch(u: Array) -> float:
    """Largest end value as a share of the largest value."""
    size = np.max(np.abs(u), axis=1)
    ends = np.max(np.abs(u[:, [0, -1]]), axis=1)
    return float(np.max(ends / np.where(size > 0, size, 1.0), initial=0.0))


def neumann_mismatch(u: Array) -> float:
    """Largest slope at an end as a share of range over length; 0 where noise could have made it."""
    span = np.ptp(u, axis=1)
    intervals = u.shape[1] - 1
    slopes = np.stack([u[:, :5] @ SLOPE, u[:, :-6:-1] @ SLOPE])
    # What a field of this size cannot carry in its precision is noise too.
    noise = 1e-7 * np.max(np.abs(u), axis=1)
    # A few fourth differences may vanish by chance: the one on five nodes does in fields that are odd.
    for order in (3, 4) if intervals < COARSE else (4,):
        # White noise of size s has differences of size sqrt(20) s and sqrt(70) s.
        size = 0.6745 * np.sqrt(math.comb(2 * order, order))
        noise = np.maximum(noise, np.median(np.abs(np.diff(u, order, axis=1)), axis=1) / size)
    clear = np.abs(slopes) > NOISE_FACTOR * np.linalg.norm(SLOPE) * noise
    found = np.where(clear, np.abs(slopes), 0.0) * intervals / np.where(span > 0, span, 1.0)
    return float(np.max(found, initial=0.0))


def warn_of_mismatch(
    u: Any, measure: Callable[[Array], float], allowed: float, condition: str, owner: str
) -> None:
    """Warn if the fields break a boundary condition; nothing is said while a step is traced."""
    values = seen(u)
    if values is None:
        return
    mismatch = measure(values)
    if mismatch > allowed:
        warnings.warn(
            f"{owner}: the fields break the boundary condition {condition} by {mismatch:.2g} of their size "
            f"(up to {allowed:g} is let pass). Quadrature is then good to a few digits only; is this the "
            "right equation, and does the grid include both ends?",
            stacklevel=_level_of_caller(),
        )


def _level_of_caller() -> int:
    """`stacklevel` of the line outside the package, for a warning given by the function that asks."""
    frame, level = sys._getframe(1), 1
    package = __name__.partition(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
