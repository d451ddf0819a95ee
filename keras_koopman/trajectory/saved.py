"""A whole trajectory to a store, and from one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .shards import Shards
from .store import TrajectoryStore

if TYPE_CHECKING:
    from .trajectory import Trajectory


def save_trajectory(trajectory: Trajectory, path: str | os.PathLike[str]) -> None:
    """Write the snapshots of a trajectory to a new store; see `Trajectory.save`."""
    layout, origin = trajectory._layout, trajectory._origin_values()
    if layout is None or not len(trajectory):
        raise ValueError("there is no snapshot to save. Append some first.")
    time = trajectory.origin_time
    store = TrajectoryStore.create(path, layout, "snapshot", origin, 0.0 if time is None else time)
    for i, when in enumerate(trajectory.times):
        store.append(trajectory.combine(np.eye(len(trajectory))[i]), float(when))


def load_trajectory(path: str | os.PathLike[str], window: int | None) -> Trajectory:
    """Read a store; see `Trajectory.load`."""
    from .trajectory import Trajectory

    store = TrajectoryStore.open(path)
    count = len(store.times)
    if count == 0:
        raise ValueError(f"path={str(path)!r} holds no finished snapshot yet. Record at least one.")
    trajectory = Trajectory(max(count, 2) if window is None else window)
    fill_from(trajectory, store)
    return trajectory


def fill_from(trajectory: Trajectory, store: TrajectoryStore, like: Any = None) -> None:
    """Append the last stored snapshots to an empty trajectory, as many as its window holds.

    Args:
        trajectory: to append to.
        store: to read.
        like: values that lie on the devices on which the snapshots are to lie. Defaults to None: on one.
    """
    layout = store.layout
    shards = None if like is None else Shards.of(layout.tensors(like))

    def placed(values: Any) -> Any:
        return values if shards is None else layout.regroup(shards.place(layout.tensors(values)))

    values, time = store.origin()
    trajectory.set_origin(placed(values), time)
    count = len(store.times)
    for i in range(max(0, count - trajectory.window), count):
        trajectory.append(placed(store.read(i)), float(store.times[i]))
