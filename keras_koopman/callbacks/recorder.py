"""`TrajectoryRecorder`: records the weights while `fit` runs."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from .. import _checks
from ..backend import has_own_memory
from ..observables import RandomProjection, TrainableWeights
from ..trajectory import Trajectory
from ..trajectory.layout import Layout
from ..trajectory.memory import free_on_host, number_of_bytes, place
from ..trajectory.saved import fill_from
from ..trajectory.shards import Shards
from .clock import Clock
from .run_store import RunStore

Observable = Callable[[keras.Model], Any]


class TrajectoryRecorder(keras.callbacks.Callback):
    """Records the weights of a model during `fit` in a `Trajectory`; the training is not changed.

    Snapshots stay on the device. Over several `fit` calls of one model the trajectory goes on; with another
    model, or other trainable weights, it starts anew and says so. Trouble inside `fit` (weights that are not
    finite, a full disk) is a warning, once, and the training goes on.

    Args:
        window: How many snapshots to keep, at least 2. Defaults to 64.
        record_freq: `"epoch"`, or a number of batches between records. With `steps_per_execution` it should
            be a multiple of that: a record is taken, and dated, when Keras next calls. Defaults to `"epoch"`.
        average: Record the mean of the weights over the interval, of at most about 32 samples, in place of
            the weights at its end. Means show the drift that minibatch noise hides. Defaults to False.
        observables: What to record: a callable `model -> values`, values as `Trajectory.append` takes them,
            or a list of such callables that return dicts. Defaults to all trainable weights.
        store: Folder, by custom `name.zarr`, in which each snapshot is kept as it is taken. If it exists, it
            is resumed. With `keras.callbacks.BackupAndRestore`, listed after the recorder, an interrupted
            run goes on where its backup stands; of means, if `record_freq` divides the batches of an epoch.
            Defaults to None.
        memory_limit: Bytes that the window may take on the device, or text like `"1.5GB"`. Where the whole
            window would take more, snapshots are kept in the host's memory, if that is not the device's own;
            else with `store` in scratch files beside it; else, for the weights of the model, only as a
            `RandomProjection`. A warning says which, and what that costs. Defaults to None: no limit.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; at the start of `fit` if the store holds another model's
            snapshots, the observables choose no weight, or the memory limit is too little for any way.
        OSError: At the start of `fit`, if the store cannot be made.

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
        memory_limit: int | float | str | None = None,
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
        self.memory_limit = None if memory_limit is None else number_of_bytes("memory_limit", memory_limit)
        self._keep: str | os.PathLike[str] = "device"
        self.trajectory = Trajectory(window)
        interval = None
        if record_freq != "epoch":
            if isinstance(record_freq, str):
                raise ValueError(f"record_freq must be 'epoch' or a number of batches, got {record_freq!r}.")
            interval = _checks.whole_number("record_freq", record_freq, least=1)
        self._clock = Clock(interval)
        self._followed: weakref.ref[keras.Model] | None = None
        self._layout: Layout | None = None
        self._trainable: list[str] = []
        self._kept = None if store is None else RunStore(store, self.unit, self._warn)
        self._resumed = False
        self._warned: set[str] = set()
        self._ready = False
        self._new_fit = False
        self._in_fit = False
        self._sampled = False
        self._followers: list[weakref.WeakMethod[Callable[[TrajectoryRecorder], None]]] = []

    @property
    def in_fit(self) -> bool:
        """Whether a `fit` is under way with this recorder among its callbacks."""
        return self._in_fit

    def subscribe(self, follower: Callable[[TrajectoryRecorder], None]) -> None:
        """Call a bound method, with the recorder, after each record; for as long as its object lives."""
        if follower not in [known() for known in self._followers]:
            self._followers.append(weakref.WeakMethod(follower))

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
        if not self._be_ready():
            return False
        time = float(self._clock.steps) if self._clock.interval else self._clock.epoch_time
        if len(self.trajectory) and time <= self.trajectory.times[-1]:
            time = float(self.trajectory.times[-1]) + 1.0
        if self.average and not self._sampled:
            self._sample()
            if not self._sampled:
                return False
        try:
            if self.average:
                self.trajectory.append_mean(time)
            else:
                self.trajectory.append(self._observe(), time)
        except (ValueError, OSError) as error:  # not finite, or no room for scratch files
            self._warn("snapshot", f"no snapshot at {self.unit} {time:g}: {error}")
            return False
        self._sampled = False
        figures = self._after_record()
        if self._kept is not None:
            latest = self.trajectory.latest if self.average else self._observe
            self._kept.write(self.trajectory, latest, time, self._clock.epoch, {**(logs or {}), **figures})
        if logs is not None:
            logs.update(figures)
        self._followers = [known for known in self._followers if known() is not None]
        for known in self._followers:
            follower = known()
            if follower is not None:
                follower(self)
        return True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start, or go on with what the last `fit` recorded."""
        self._warned.clear()
        # A fit that broke off may be repeated from a backup.
        self._resumed = self._in_fit and self._kept is not None and self._kept.in_use
        self._in_fit = self._new_fit = True
        self._prepare()
        self._clock.begin_fit((self.params or {}).get("steps"))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """This fit has run to its end."""
        self._in_fit = False
        if self._ready and self._resumed:
            self._take_up(None)  # there was no epoch left to run

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Find the place of the first epoch of a fit behind what is recorded."""
        if self._ready and self._new_fit:
            self._place(epoch)
        self._new_fit = False
        self._clock.begin_epoch(epoch)
        if self._clock.interval is None and self._sampled:
            # Samples of an epoch that was broken off.
            self._sampled = False
            self.trajectory.drop_mean()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count; sample the mean and record when due."""
        if self._ready and self._resumed:
            self._take_up(None)
        due = self._clock.tick(batch)
        if self.average and (self._clock.sample_due() or due):
            self._sample()
        if due:
            late = self._clock.steps % (self._clock.interval or 1)
            if late:
                self._warn(
                    "late",
                    f"the record due at batch {self._clock.steps - late} was taken at batch "
                    f"{self._clock.steps}, when Keras called next. Make record_freq={self.record_freq} a "
                    "multiple of steps_per_execution, and so the batches of an epoch.",
                )
            self.record(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record, if that is done once an epoch."""
        self._clock.end_epoch()
        if self._clock.interval is None:
            self._clock.epoch = epoch
            self.record(logs)
        elif self._kept is not None:
            self._kept.mark_epoch(epoch, self._clock.steps)

    def _after_record(self) -> dict[str, float]:
        """Figures to log after a record; a subclass gives some."""
        return {}

    def _observe(self) -> Any:
        """Values to record. Reading the model syncs its state on JAX: only done when a record is due."""
        model = self.model
        if callable(self.observables):
            return self.observables(model)
        found: dict[str, Any] = {}
        for observable in self.observables:
            values = observable(model)
            twice = sorted(set(found) & set(values))
            if twice:
                raise ValueError(
                    f"observables: two of them give a group {twice[0]!r}. Join them, or give other names."
                )
            found |= values
        return found

    def _sample(self) -> None:
        if self._be_ready():
            try:
                self.trajectory.accumulate(self._observe())
                self._sampled = True
            except ValueError as error:
                self._warn("snapshot", f"a sample at batch {self._clock.steps} was left out: {error}")

    def _be_ready(self) -> bool:
        """Whether there is something to record, in a loop of the user's own too."""
        if not self._ready:
            self._prepare()
        if self._ready and self._resumed:
            self._take_up(None)
        return self._ready

    def _prepare(self) -> None:
        """Take up the model: go on, start anew, or resume a store."""
        self._ready = False
        model = self.model
        if model is None:
            raise RuntimeError(
                f"{type(self).__name__} has no model. Pass it to fit, or call set_model(model)."
            )
        if not model.built:
            return  # the first batch builds it
        try:
            values = self._observe()
        except ValueError as error:
            if model.trainable_variables:
                raise
            self._warn("weights", f"nothing is recorded: {error}")
            return
        if self.memory_limit is not None and self._layout is None:
            values = self._within_memory(values)
        layout, trainable = Layout.of(values), [v.path for v in model.trainable_variables]
        if self._layout is not None:
            reason = self._what_changed(model, layout, trainable)
            if reason is None:
                self._ready = True
                return
            self._start_anew(reason)
        self._followed, self._layout, self._trainable = weakref.ref(model), layout, trainable
        self._resumed = self._kept is not None and self._kept.found(layout, values)
        if self._resumed:
            self._ready = True
        else:
            self._set_origin(values, 0.0)

    def _within_memory(self, values: Any) -> Any:
        """Choose where the window is kept, and give what is to be recorded then.

        Raises:
            ValueError: If it does not fit anywhere.
        """
        assert self.memory_limit is not None
        layout = Layout.of(values)
        spread = Shards.of(layout.tensors(values))
        found = place(
            layout.size * np.dtype(layout.dtype).itemsize // (spread.count if spread else 1),
            self.window,
            self.memory_limit,
            disk=self.store is not None,
            host=free_on_host() if has_own_memory() else None,
            project=isinstance(self.observables, TrainableWeights),
            stays=spread is not None,
        )
        if found.reason:
            self._warn("memory", found.reason)
        if found.where == "projection":
            assert isinstance(self.observables, TrainableWeights)
            self.observables = RandomProjection(found.dimensions or 0, weights=self.observables)
            return self._observe()
        if found.where == "disk":
            assert self.store is not None
            self._keep = os.path.dirname(os.path.abspath(self.store))
            os.makedirs(self._keep, exist_ok=True)
        elif found.where == "host":
            self._keep = "host"
        self._new_trajectory()
        return values

    def _what_changed(self, model: keras.Model, layout: Layout, trainable: list[str]) -> str | None:
        """Why the trajectory cannot go on; None if it can."""
        assert self._layout is not None
        if self._followed is None or self._followed() is not model:
            return "it is another model"
        difference = self._layout.difference(layout)
        if difference is not None:
            return f"its weights have changed: {difference}"
        changed = sorted(set(trainable) ^ set(self._trainable))
        if changed:
            now = "now" if changed[0] in trainable else "no longer"
            return f"its weights have changed: {changed[0]!r} is {now} trainable"
        return None

    def _start_anew(self, reason: str) -> None:
        self._warn("anew", f"the trajectory starts anew: {reason}.")
        self._new_trajectory()
        self._clock = Clock(self._clock.interval)
        if self.store is not None:
            self._warn(
                "store",
                f"store={str(self.store)!r} keeps the old trajectory; the new one is not stored. "
                "Give a new recorder another store.",
            )
            self._kept = self.store = None
            self._resumed = False

    def _new_trajectory(self) -> None:
        self.trajectory = Trajectory(self.window, self._keep)
        self._sampled = False

    def _set_origin(self, values: Any, time: float) -> None:
        try:
            self.trajectory.set_origin(values, time)
        except ValueError as error:  # they are not finite
            self._warn("snapshot", f"nothing is recorded: {error}")
        else:
            self._ready = True

    def _place(self, epoch: int) -> None:
        """Set origin and clock for the first epoch of a fit."""
        if self._resumed:
            self._take_up(epoch)
        elif not len(self.trajectory) and self._clock.steps == 0:
            # Only now it is known which epoch comes first, and what weights a backup has brought back.
            self._new_trajectory()
            self._set_origin(self._observe(), 0.0 if self._clock.interval else float(epoch))
        if self._kept is not None:
            self._kept.make(self.trajectory)
        if self._clock.interval is None and len(self.trajectory):
            self._clock.epochs_before = max(0, int(self.trajectory.times[-1]) - epoch)

    def _take_up(self, epoch: int | None) -> None:
        """Read a store, without what the run, begun again at `epoch`, will record once more.

        Args:
            epoch: that begins; None if that was not told.
        """
        kept, self._resumed = self._kept, False
        if kept is None or not kept.in_use or (epoch is None and len(self.trajectory)):
            return
        kept.go_back(epoch, self._clock, self._observe())
        self._new_trajectory()
        fill_from(self.trajectory, kept.opened, like=self._observe())
        if self._clock.interval:
            counted = self._clock.steps if epoch is None else 0
            self._clock.set_steps(kept.steps(epoch, self._clock) + counted)
        elif epoch and epoch - kept.last_epoch() == 2:
            self._make_up_for(epoch - 1)

    def _make_up_for(self, epoch: int) -> None:
        """Record the end of `epoch`, of which there is a backup and no snapshot."""
        if self.average:
            self._warn(
                "lost",
                f"the mean of epoch {epoch} was not stored before the run broke off. "
                "List the recorder before BackupAndRestore.",
            )
            return
        last = int(self.trajectory.times[-1]) if len(self.trajectory) else 0
        self._clock.epoch, self._clock.epochs_before = epoch, max(0, last - epoch)
        self.record()

    def _warn(self, kind: str, message: str) -> None:
        """Warn once in a fit."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"{type(self).__name__}: {message}", stacklevel=3)
