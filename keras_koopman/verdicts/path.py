"""Figures of the path of the weights, and the rule that says when to stop. The loss plays no part here."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from .. import _checks
from ..backend import float64_allowed, to_host
from ..spectrum.figures import relative_speed, scalar_propagator
from ..trajectory import Trajectory

Real = NDArray[np.float64]

# Increments that rho and speed look at, as in the experiments that set their thresholds.
WINDOW = 8
# Means of a pure random walk give rho = 1/4, a steady drift gives 1.
RHO = 1 / 3
SPEED = 1 / 2
# Rounding of the inner products may make up so much of a figure at the most.
ALLOWED_ERROR = 0.05


class StopReason(enum.Enum):
    """Why the path says that going on earns little."""

    DRIFT_IS_NOISE = "the drift is drowned in minibatch noise"
    STEPS_DIED_OUT = "the steps have died out"


@dataclass(frozen=True)
class PathFigures:
    """How a run moved over its last increments. A figure that cannot be had, or trusted, is None or absent.

    Attributes:
        snapshots: how many the trajectory held.
        window: how many increments were looked at.
        rho: by which each increment follows from the one before, see `scalar_propagator`.
        speed: over these increments as a share of the mean speed since the start.
        still: whether the weights did not move at all.
        displacement: `|w_T - w_0| / |w_0|`.
        layer_rho: rho of each group of weights that moved.
        layer_displacement: `|w_T - w_0| / |w_0|` of each group with `w_0` not zero.
    """

    snapshots: int
    window: int
    rho: float | None = None
    speed: float | None = None
    still: bool = False
    displacement: float | None = None
    layer_rho: dict[str, float] = field(default_factory=dict)
    layer_displacement: dict[str, float] = field(default_factory=dict)

    @property
    def least_layer_rho(self) -> float | None:
        """Least rho of a group: high if all of them still drift."""
        return min(self.layer_rho.values(), default=None)


def measure_path(trajectory: Trajectory, window: int = WINDOW) -> PathFigures:
    """Figures of the last `window` increments of a trajectory of means.

    Args:
        trajectory: of means over equal intervals, such as epochs, with the weights before the first step as
            its origin.
        window: How many increments to look at, at least 2; it needs one snapshot more. Defaults to 8.

    Returns:
        The figures; those that need more snapshots than there are, are None.

    Raises:
        TypeError: If `trajectory` is no `Trajectory`, or `window` no whole number.
        ValueError: If the trajectory cannot hold `window + 1` snapshots.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> trajectory = kk.Trajectory()
    >>> trajectory.set_origin(np.array([3.0, 4.0]))
    >>> for t in range(1, 11):
    ...     trajectory.append(np.array([3.0 + t, 4.0]))
    >>> path = measure_path(trajectory)
    >>> path.rho, path.speed, path.displacement
    (1.0, 1.0, 2.0)
    """
    window = check_window(trajectory, window)
    count = len(trajectory)
    if not count:
        return PathFigures(0, window)
    layers = relative_displacements(trajectory)
    displacement = layers.pop(None, None)
    named = {name: share for name, share in layers.items() if name is not None}
    if count <= window:
        return PathFigures(count, window, displacement=displacement, layer_displacement=named)
    return PathFigures(
        snapshots=count,
        window=window,
        rho=propagator(trajectory, window),
        speed=speed(trajectory, window),
        still=not np.any(trajectory.increments().tail(window).gram),
        displacement=displacement,
        layer_rho=layer_propagators(trajectory, window),
        layer_displacement=named,
    )


def check_window(trajectory: Any, window: Any) -> int:
    """`window` as a number of increments that the trajectory can hold.

    Raises:
        TypeError: If `trajectory` is no `Trajectory`, or `window` no whole number.
        ValueError: If `window` is below 2 or the trajectory too short for it.
    """
    if not isinstance(trajectory, Trajectory):
        raise TypeError(
            f"trajectory must be a kk.Trajectory, got {type(trajectory).__name__}. "
            "Pass the trajectory of a recorder: recorder.trajectory."
        )
    length = _checks.whole_number("window", window, least=2)
    if length >= trajectory.window:
        raise ValueError(
            f"window={length} increments need {length + 1} snapshots, but the trajectory keeps "
            f"{trajectory.window}. Record with window={length + 1} or more, or lower window here."
        )
    return length


def propagator(trajectory: Trajectory, window: int = WINDOW, group: str | None = None) -> float | None:
    """Number rho with which each of the last increments follows from the one before.

    Args:
        trajectory: with more than `window` snapshots.
        window: how many increments.
        group: of weights; None for all.

    Returns:
        rho; None if the weights stood still, or moved less than the rounding of the inner products shows.
    """
    increments = trajectory.increments().tail(window)
    gram, _, error = increments._products(increments.groups if group is None else group)
    return scalar_propagator(gram) if len(gram) >= window and error <= ALLOWED_ERROR else None


def layer_propagators(trajectory: Trajectory, window: int = WINDOW) -> dict[str, float]:
    """`propagator` of each group that has one."""
    found = {group: propagator(trajectory, window, group) for group in trajectory.groups}
    return {group: rho for group, rho in found.items() if rho is not None}


def speed(trajectory: Trajectory, window: int = WINDOW) -> float | None:
    """Speed over the last increments as a share of the mean speed since the origin.

    `(|w_t - w_{t-window}| / window) / (|w_t - w_0| / t)`, see `relative_speed`.

    Args:
        trajectory: with more than `window` snapshots.
        window: how many increments.

    Returns:
        The share; None if the weights have not left the origin.
    """
    gram = trajectory.increments().tail(window).gram
    if len(gram) < window:
        return None
    # Distances from the first of the last snapshots: sums of the increments since.
    path = np.vstack([np.zeros(window), np.tril(np.ones((window, window)))])
    return relative_speed(
        path @ gram @ path.T,
        trajectory.times[-window - 1 :],
        float(trajectory.displacements[-1]),
        trajectory.origin_time or 0.0,
    )


def relative_displacements(trajectory: Trajectory) -> dict[str | None, float]:
    """`|w_T - w_0| / |w_0|` of each group, and of all under None; groups with `w_0 = 0` are absent.

    Args:
        trajectory: with at least one snapshot.
    """
    moved, at_first = np.zeros(len(trajectory.groups)), np.zeros(len(trajectory.groups))
    pairs = zip(
        _by_group(trajectory, trajectory._origin_values()),
        _by_group(trajectory, trajectory.latest()),
        strict=True,
    )
    with float64_allowed():
        for number, (origin, latest) in enumerate(pairs):
            for a, b in zip(origin, latest, strict=True):
                start, end = ops.cast(a, "float64"), ops.cast(b, "float64")
                moved[number] += to_host(ops.sum(ops.square(end - start)))
                at_first[number] += to_host(ops.sum(ops.square(start)))
    found: dict[str | None, float] = {
        group: float(np.sqrt(m / s))
        for group, m, s in zip(trajectory.groups, moved, at_first, strict=True)
        if s > 0
    }
    if at_first.sum() > 0:
        found[None] = float(np.sqrt(moved.sum() / at_first.sum()))
    return found


def stopping_rule(
    rho: float | None, speed: float | None, rho_below: float = RHO, speed_below: float = SPEED
) -> StopReason | None:
    """Whether going on earns little: the drift is drowned in noise, or the steps have died out.

    Args:
        rho: of means over epochs; None if there is none yet, which never stops a run.
        speed: likewise.
        rho_below: Stop below it. Defaults to 1/3; means of a pure random walk give 1/4.
        speed_below: Stop below it. Defaults to 1/2.

    Returns:
        The reason to stop, or None to go on.

    Example:
    >>> stopping_rule(0.9, 0.8) is None
    True
    >>> stopping_rule(0.25, 0.8).value
    'the drift is drowned in minibatch noise'
    """
    if rho is not None and rho < rho_below:
        return StopReason.DRIFT_IS_NOISE
    if speed is not None and speed < speed_below:
        return StopReason.STEPS_DIED_OUT
    return None


def _by_group(trajectory: Trajectory, values: Any) -> Iterator[list[Any]]:
    """Tensors of each group of a snapshot."""
    if isinstance(values, dict):
        parts = list(values.values())
    else:
        parts = list(values) if isinstance(values, list) else [values]
    assert len(parts) == len(trajectory.groups)
    return (keras.tree.flatten(part) for part in parts)
