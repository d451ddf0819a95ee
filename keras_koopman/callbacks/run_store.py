"""The store of a recorder: made or resumed when a fit begins, given up if the disk refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import agreed, shared, told
from ..trajectory import Trajectory
from ..trajectory.layout import Layout
from ..trajectory.pieces import equal
from ..trajectory.store import TrajectoryStore
from .clock import Clock


class RunStore:
    """Where the snapshots of a run go as they are taken, and from where an interrupted run goes on.

    Args:
        path: folder of the store.
        unit: of its times, `"epoch"` or `"batch"`.
        warn: called with a kind and a sentence when it is given up.
    """

    def __init__(self, path: str | os.PathLike[str], unit: str, warn: Callable[[str, str], None]) -> None:
        self.path = path
        self._unit, self._warn = unit, warn
        self._due = False  # it is to be made
        self._given_up = False
        self._opened: TrajectoryStore | None = None

    @property
    def in_use(self) -> bool:
        """Whether it is open, and not given up."""
        return self._opened is not None and not self._given_up

    @property
    def opened(self) -> TrajectoryStore:
        """The store, which can be read even if it is given up.

        Raises:
            RuntimeError: If it is not there yet.
        """
        if self._opened is None:
            raise RuntimeError(f"{self._name} is not open.")
        return self._opened

    @property
    def _name(self) -> str:
        return f"store={str(self.path)!r}"

    # --- at the start ---

    def found(self, layout: Layout, values: Any) -> bool:
        """Open the store if there is one; else it is made as soon as there is an origin.

        Raises:
            ValueError: If it holds other values or times than this run's.
        """
        several = shared(layout.tensors(values))
        # Of several processes the first decides.
        if not agreed(os.path.exists(self.path), several=several):
            self._due = True
            return False
        found = TrajectoryStore.open(self.path, read_only=False, several=several)
        difference = found.layout.difference(layout)
        if difference is not None:
            raise ValueError(
                f"{self._name} holds another model's snapshots: here {difference}. Give another store."
            )
        if found.unit != self._unit:
            raise ValueError(
                f"{self._name} has one snapshot per {found.unit}, this recorder "
                f"one per {self._unit}. Give another store, or the record_freq it was recorded with."
            )
        found.check_writers(values)
        self._opened = found
        return True

    def make(self, trajectory: Trajectory) -> None:
        """Make the store, if it is due and the trajectory has an origin.

        Raises:
            OSError: If the disk refuses.
        """
        origin, layout = trajectory._origin_values(), trajectory._layout
        if not self._due or origin is None or layout is None:
            return
        self._due = False
        try:
            self._opened = TrajectoryStore.create(
                self.path, layout, self._unit, origin, trajectory.origin_time or 0.0
            )
        except OSError as error:
            raise OSError(
                f"{self._name} cannot be made: {error}. Give a folder on a disk with room."
            ) from error

    # --- while the run goes on ---

    def write(
        self, trajectory: Trajectory, values: Callable[[], Any], time: float, epoch: int, logs: dict[str, Any]
    ) -> None:
        """Append a snapshot, of `trajectory`, and make the store first if that is still due."""
        try:
            self.make(trajectory)
        except OSError as error:
            self._give_up(error)
        if self.in_use:
            taken = values()
            self._guarded(lambda store: store.append(taken, time, epoch, logs))

    def mark_epoch(self, epoch: int, steps: int) -> None:
        """Note that an epoch ended when so many batches had been seen."""
        self._guarded(lambda store: store.mark_epoch(epoch, steps))

    def _guarded(self, write: Callable[[TrajectoryStore], None]) -> None:
        """Write to the store; if the disk refuses, say so and go on without it."""
        if not self.in_use:
            return
        try:
            write(self.opened)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._warn(
            "store",
            f"{self._name} is given up, the training goes on: {error}. "
            "What it holds can be loaded; make room on the disk.",
        )
        self._given_up = True

    # --- when the run goes on from it ---

    def go_back(self, epoch: int | None, clock: Clock, values: Any) -> None:
        """Take back what the run, begun again at `epoch` with these values, will record once more.

        Args:
            epoch: that begins; None if that was not told.
            clock: of the recorder.
            values: of the model now.
        """
        keep = len(self.opened.times)
        if epoch == 0 and self._at_origin(values):
            keep = 0
        elif epoch:
            keep = self._before(epoch, clock)
        if keep < len(self.opened.times):
            self._guarded(lambda store: store.take_back(keep))

    def steps(self, epoch: int | None, clock: Clock) -> int:
        """Batches that the run had seen before `epoch`, or at the last record."""
        store = self.opened
        records = store.records()
        noted = self._steps_before(epoch, clock) if epoch else store.steps_at(self.last_epoch())
        return max(int(records[-1].time) if records else 0, noted or 0)

    def last_epoch(self) -> int:
        """Epoch of the last record, within its fit; -1 if there is none."""
        records = self.opened.records()
        latest = records[-1].epoch if records else None
        return -1 if latest is None else latest

    def _before(self, epoch: int, clock: Clock) -> int:
        """How many stored snapshots were taken before `epoch` of the last fit."""
        store = self.opened
        if clock.interval:
            steps = self._steps_before(epoch, clock)
            return len(store.times) if steps is None else int(np.sum(store.times <= steps))
        epochs = [record.epoch for record in store.records()]
        while epochs and epochs[-1] is not None and epochs[-1] >= epoch:
            epochs.pop()
        return len(epochs)

    def _steps_before(self, epoch: int, clock: Clock) -> int | None:
        """Batches seen before `epoch`; None if that was not noted."""
        store = self.opened
        steps, length = store.steps_at(epoch - 1), clock.announced
        if steps is None and length:  # the backup was made, the note not
            earlier = store.steps_at(epoch - 2) if epoch > 1 else 0
            steps = None if earlier is None else earlier + length
        return steps

    def _at_origin(self, values: Any) -> bool:
        """Whether the values are those with which the store began: its run starts again."""
        layout = self.opened.layout
        ours, theirs = layout.tensors(values), layout.tensors(self.opened.origin()[0])
        same = all(equal(a, np.asarray(b)) for a, b in zip(ours, theirs, strict=True))
        return bool(told(same).all()) if shared(ours) else same
