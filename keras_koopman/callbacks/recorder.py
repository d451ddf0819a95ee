"""`TrajectoryRecorder`: records the weights while `fit` runs."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from .. import _checks
from ..observables import TrainableWeights
from ..trajectory import Trajectory
from ..trajectory.layout import Layout
from ..trajectory.store import TrajectoryStore, fill_from
from .clock import Clock

Observable = Callable[[keras.Model], Any]


class TrajectoryRecorder(keras.callbacks.Callback):
    """Records the weights of a model during `fit` in a `Trajectory`; the training is not changed.

    Snapshots stay on the device. Over several `fit` calls of one model the trajectory goes on; with another
    model, or other trainable weights, it starts anew and says so. Trouble inside `fit` (weights that are not
    finite, a full disk) is a warning, once, and the training goes on.

    Args:
        window: How many snapshots to keep, at least 2. Defaults to 64.
        record_freq: `"epoch"`, or a number of batches between records. With `steps_per_execution` it should
            be a multiple of that. Defaults to `"epoch"`.
        average: Record the mean of the weights over the interval, of about 32 samples, in place of the
            weights at its end. Means show the drift that minibatch noise hides. Defaults to False.
        observables: What to record: a callable `model -> values`, values as `Trajectory.append` takes them,
            or a list of such callables that return dicts. Defaults to all trainable weights.
        store: Folder, by custom `name.zarr`, in which each snapshot is kept as it is taken. If it exists, it
            is resumed. With `keras.callbacks.BackupAndRestore` an interrupted run goes on where its backup
            stands. Defaults to None.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; at the start of `fit` if the store holds another model's
            snapshots, or the observables choose no weight.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> recorder = kk.callbacks.TrajectoryRecorder()
    >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=3, verbose=0, callbacks=[recorder])
    >>> recorder.trajectory.times
    array([1., 2., 3.])
    """

    def __init__(
        self,
        window: int = 64,
        record_freq: Literal["epoch"] | int = "epoch",
        average: bool = False,
        observables: Observable | list[Observable] | None = None,
        store: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self.window = window
        self.record_freq = record_freq
        self.average = bool(average)
        self.observables = TrainableWeights() if observables is None else observables
        if not callable(self.observables) and not (
            isinstance(self.observables, list | tuple) and all(callable(o) for o in self.observables)
        ):
            raise TypeError(
                f"observables must be a callable model -> values or a list of them, got {observables!r}."
            )
        self.store = store
        self.trajectory = Trajectory(window)
        interval = None
        if record_freq != "epoch":
            if isinstance(record_freq, str):
                raise ValueError(f"record_freq must be 'epoch' or a number of batches, got {record_freq!r}.")
            interval = _checks.whole_number("record_freq", record_freq, least=1)
        self._clock = Clock(interval)
        self._followed: weakref.ref[keras.Model] | None = None
        self._layout: Layout | None = None
        self._open_store: TrajectoryStore | None = None
        self._resumed = False
        self._warned: set[str] = set()
        self._ready = False

    @property
    def unit(self) -> str:
        """Unit of the trajectory's times: `"epoch"` or `"batch"`."""
        return "batch" if self._clock.interval else "epoch"

    def record(self, logs: dict[str, Any] | None = None) -> bool:
        """Record now, at the time of the clock; for loops of your own.

        Args:
            logs: numbers to keep beside the snapshot in the store.

        Returns:
            Whether a snapshot was taken.
        """
        time = float(self._clock.steps) if self._clock.interval else self._clock.epoch_time
        if not self._ready:
            self._prepare()
        if not self._ready:
            return False
        if len(self.trajectory) and time <= self.trajectory.times[-1]:
            time = float(self.trajectory.times[-1]) + 1.0
        try:
            if self.average:
                self.trajectory.append_mean(time)
            else:
                self.trajectory.append(self._observe(), time)
        except ValueError as error:
            self._warn("snapshot", f"no snapshot at {self.unit} {time:g}: {error}")
            return False
        figures = self._after_record()
        self._write(time, {**(logs or {}), **figures})
        if logs is not None:
            logs.update(figures)
        return True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start, or go on with what the last `fit` recorded."""
        self._warned.clear()
        self._prepare()
        self._new_fit = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Find the place of the first epoch of a fit behind what is recorded."""
        self._clock.begin_epoch(epoch)
        if self._ready and getattr(self, "_new_fit", True):
            self._new_fit = False
            self._place(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count; sample the mean and record when due."""
        due = self._clock.tick(batch)
        if self.average and (self._clock.sample_due() or due):
            self._sample()
        if due:
            self.record(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record, if that is done once an epoch."""
        self._clock.end_epoch()
        if self._clock.interval is None:
            self._clock.epoch = epoch
            self.record(logs)
        elif self._open_store is not None:
            self._guarded(lambda store: store.mark_epoch(epoch, self._clock.steps))

    def _after_record(self) -> dict[str, float]:
        """Figures to log after a record; a subclass gives some."""
        return {}

    def _observe(self) -> Any:
        """Values to record. Reading the model syncs its state on JAX: only done when a record is due."""
        model = self.model
        if callable(self.observables):
            return self.observables(model)
        return {name: value for observable in self.observables for name, value in observable(model).items()}

    def _sample(self) -> None:
        if not self._ready:
            self._prepare()
        if self._ready:
            try:
                self.trajectory.accumulate(self._observe())
            except ValueError as error:
                self._warn("snapshot", f"a sample at batch {self._clock.steps} was left out: {error}")

    def _prepare(self) -> None:
        """Take up the model: go on, start anew, or resume a store."""
        self._ready = False
        model = self.model
        if not model.built:
            return  # the first batch builds it
        if callable(self.observables) and not model.trainable_variables:
            self._warn(
                "weights",
                f"nothing is recorded: model {model.name!r} has no trainable weights. "
                "Set trainable=True on a layer.",
            )
            return
        values = self._observe()
        layout = Layout.of(values)
        if self._layout is not None:
            known = self._followed() if self._followed is not None else None
            difference = self._layout.difference(layout)
            if known is model and difference is None:
                self._ready = True
                return
            reason = (
                "it is another model" if known is not model else f"its weights have changed: {difference}"
            )
            self._start_anew(reason)
        self._followed, self._layout = weakref.ref(model), layout
        try:
            self._begin(values, layout)
        except ValueError as error:
            if "finite" not in str(error):
                raise
            self._warn("snapshot", f"nothing is recorded: {error}")
            return
        self._ready = True

    def _start_anew(self, reason: str) -> None:
        self._warn("anew", f"the trajectory starts anew: {reason}.")
        self.trajectory = Trajectory(self.window)
        self._clock = Clock(self._clock.interval)
        if self._open_store is not None:
            self._warn(
                "store",
                f"store={str(self.store)!r} keeps the old trajectory; the new one is not stored. "
                "Give a new recorder another store.",
            )
            self._open_store = self.store = None

    def _begin(self, values: Any, layout: Layout) -> None:
        """First values of a new trajectory: the origin, or where a store goes on."""
        if self.store is None:
            self.trajectory.set_origin(values)
        elif os.path.exists(self.store):
            self._resume(layout)
        else:
            self.trajectory.set_origin(values)
            try:
                self._open_store = TrajectoryStore.create(self.store, layout, self.unit, values, 0.0)
            except OSError as error:
                raise OSError(
                    f"store={str(self.store)!r} cannot be made: {error}. Give a folder on a disk with room."
                ) from error

    def _resume(self, layout: Layout) -> None:
        """Go on with a store.

        Raises:
            ValueError: If it holds other values or times than this recorder's.
        """
        assert self.store is not None
        found = TrajectoryStore.open(self.store, read_only=False)
        difference = found.layout.difference(layout)
        if difference is not None:
            raise ValueError(
                f"store={str(self.store)!r} holds another model's snapshots: here {difference}. "
                "Give another store."
            )
        if found.unit != self.unit:
            raise ValueError(
                f"store={str(self.store)!r} has one snapshot per {found.unit}, this recorder "
                f"one per {self.unit}. Give another store, or the record_freq it was recorded with."
            )
        self._open_store = found
        self._resumed = True

    def _place(self, epoch: int) -> None:
        """Set the clock for the first epoch of a fit; take back what an interrupted run will record again."""
        store = self._open_store
        if store is not None and self._resumed:
            self._resumed = False
            if epoch > 0 or self._at_origin():
                steps = store.steps_at(epoch - 1) if epoch > 0 else 0
                limit = float(epoch) if self._clock.interval is None else float(steps or 0)
                keep = (
                    int(np.sum(store.times <= limit))
                    if steps is not None or self._clock.interval is None
                    else None
                )
                if keep is not None and keep < len(store.times):
                    self._guarded(lambda opened: opened.take_back(keep))
            fill_from(self.trajectory, store)
            last = float(store.times[-1]) if len(store.times) else 0.0
            if self._clock.interval:
                self._clock.steps = max(int(last), store.steps_at(epoch - 1) or 0)
        if self._clock.interval is None and len(self.trajectory):
            self._clock.epochs_before = max(0, int(self.trajectory.times[-1]) - epoch)

    def _at_origin(self) -> bool:
        """Whether the weights are those with which the store began: its run starts again."""
        assert self._open_store is not None
        ours = self._open_store.layout.tensors(self._observe())
        theirs = self._open_store.layout.tensors(self._open_store.origin()[0])
        return all(
            np.array_equal(ops.convert_to_numpy(a), np.asarray(b)) for a, b in zip(ours, theirs, strict=True)
        )

    def _write(self, time: float, logs: dict[str, Any]) -> None:
        if self._open_store is None:
            return
        values = self.trajectory.latest() if self.average else self._observe()
        self._guarded(lambda store: store.append(values, time, self._clock.epoch, logs))

    def _guarded(self, write: Callable[[TrajectoryStore], None]) -> None:
        """Write to the store; if the disk refuses, say so and go on without it."""
        if self._open_store is None:
            return
        try:
            write(self._open_store)
        except OSError as error:
            self._open_store = None
            self._warn(
                "store",
                f"store={str(self.store)!r} is given up, the training goes on: {error}. "
                "What it holds can be loaded; make room on the disk.",
            )

    def _warn(self, kind: str, message: str) -> None:
        """Warn once in a fit."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"{type(self).__name__}: {message}", stacklevel=3)
