"""`KoopmanEarlyStopping`: stops when the path of the weights says that going on earns little."""

from __future__ import annotations

import math
import warnings
import weakref
from typing import Any, Literal

import keras
import numpy as np

from .. import _checks
from ..backend import agreed, process, shared
from ..observables import TrainableWeights
from ..trajectory import Trajectory
from ..verdicts.path import RHO, SPEED, WINDOW, StopReason, propagator, speed, stopping_rule
from .batch_norm import batch_normalizations, recompute_statistics
from .recorder import TrajectoryRecorder
from .weights import admissible, check_trained, copies, put


class KoopmanEarlyStopping(keras.callbacks.Callback):
    """Stops when the drift of the weights is drowned in noise, or their steps have died out.

    Needs no validation data: it looks at the means of the weights over the last epochs. `koopman_rho` is the
    number by which each of their increments follows from the one before: 1 is a steady drift, 1/4 a random
    walk. `koopman_speed` is the speed over the window as a share of the mean speed since the start. Both
    stand in `logs`; training stops when one falls below its bound.

    A run in which rho was never above its bound has no drift that could have drowned, most likely since its
    learning rate is too high: it goes on until the training loss has had no new minimum for a window. A loss
    that is not finite stops the run if the weights are not finite either.

    Over several fits of one model the path goes on, unless the last one was stopped or other weights were put
    in place at its end. `reason` says in words why it stopped.

    Args:
        window: Increments to look at, at least 2; the first decision comes one epoch later. Defaults to 8.
        rho: Stop when `koopman_rho` is below it, in [0, 1). Defaults to 1/3.
        speed: Stop when `koopman_speed` is below it, in [0, 1). Defaults to 0.5.
        patience: Epochs in a row in which the rule must hold, at least 1. Defaults to 1.
        restore: Weights that the model has after the fit, stopped or not. `"last"` leaves them. `"best"`:
            those at the end of the epoch of lowest training loss. `"average"`: the mean over the last
            `window` epochs if it was stopped, which averages the noise out; over the last epoch alone if it
            was not, as the weights still drift. Defaults to `"last"`.
        min_epochs: Number of epochs before which it never stops. Defaults to 0.
        recorder: A `TrajectoryRecorder` or `KoopmanMonitor` to look at, with `average=True`, a record each
            epoch and a window of at least `window + 1`, listed before this callback. Defaults to None: its
            own.
        inputs: Some thousand inputs from which `restore="average"` computes the moving statistics of batch
            normalisation anew. Defaults to None: they are left as they are, and a warning says so.
        verbose: 1 prints why it stopped. Defaults to 0.

    Attributes:
        reason: Why it stopped, in words; None if it did not.
        stopped_epoch: Number of the epoch after which it stopped, from 0; None if it did not.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; before the first step, if the run ends before the first
            decision, the model has no optimizer or no trainable weights, or the recorder is not among the
            callbacks before this one.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> stopping = kk.callbacks.KoopmanEarlyStopping()
    >>> history = model.fit(x, x @ np.ones((2, 1)), epochs=60, verbose=0, callbacks=[stopping])
    >>> len(history.epoch) < 60
    True
    >>> stopping.reason.split(" (")[0]
    'the steps have died out'
    """

    def __init__(
        self,
        window: int = WINDOW,
        rho: float = RHO,
        speed: float = SPEED,
        patience: int = 1,
        restore: Literal["last", "best", "average"] = "last",
        min_epochs: int = 0,
        recorder: TrajectoryRecorder | None = None,
        inputs: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        self.window = _checks.whole_number("window", window, least=2)
        self.rho = _checks.real_number("rho", rho, 0.0, 1.0, closed=True)
        self.speed = _checks.real_number("speed", speed, 0.0, 1.0, closed=True)
        self.patience = _checks.whole_number("patience", patience, least=1)
        self.restore = _checks.one_of("restore", restore, ("last", "best", "average"))
        self.min_epochs = _checks.whole_number("min_epochs", min_epochs, least=0)
        if recorder is not None:
            _check_recorder(recorder, self.window)
        self.recorder = recorder
        self.inputs = inputs
        self.verbose = verbose
        self.reason: str | None = None
        self.stopped_epoch: int | None = None
        self._recorder = TrajectoryRecorder(self.window + 1, average=True) if recorder is None else recorder
        self._followed: weakref.ref[keras.Model] | None = None
        self._broken = False  # whether the path was broken off at the end of the last fit
        self._best: tuple[float, list[Any]] | None = None
        self._length_checked = False
        self._begin_path(None, 0)

    def _begin_path(self, path: Trajectory | None, skipped: int) -> None:
        """Look at the snapshots of a trajectory from number `skipped` on."""
        self._path, self._skipped = path, skipped
        self._seen = skipped
        self._held = 0  # epochs in a row in which the rule has held
        self._drifted = False  # whether rho was ever above its bound
        self._losses: list[float] = []

    # --- its own recorder goes through the same hooks ---

    def set_params(self, params: dict[str, Any]) -> None:
        """Passed on."""
        super().set_params(params)
        if self.recorder is None:
            self._recorder.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        """Passed on."""
        super().set_model(model)
        if self.recorder is None:
            self._recorder.set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check what can be known before the first step."""
        model, name = self.model, type(self).__name__
        check_trained(name, model)
        same = self._followed is not None and self._followed() is model
        self._followed = weakref.ref(model)
        if self.recorder is None and (self._broken or not same):
            self._recorder = TrajectoryRecorder(self.window + 1, average=True)
            self._recorder.set_params(self.params)
            self._recorder.set_model(model)
        if self._broken:
            self._begin_path(self._recorder.trajectory, self._recorder.trajectory._appended)
        self.reason = self.stopped_epoch = self._best = None
        self._broken = self._length_checked = False
        if self.recorder is None:
            self._recorder.on_train_begin(logs)
        elif not self._recorder.in_fit or self._recorder.model is not model:
            raise ValueError(
                f"recorder must be among the callbacks of this fit, before {name}. Pass "
                "callbacks=[recorder, stopping]."
            )
        if self.restore == "average" and model.built:
            self._check_average(model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the length of the run once it is known where it begins."""
        if self.recorder is None:
            self._recorder.on_epoch_begin(epoch, logs)
        if not self._length_checked:
            self._length_checked = True
            self._check_length(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Passed on."""
        if self.recorder is None:
            self._recorder.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the path, log what is seen, and stop if going on earns little."""
        model = self.model
        if self.recorder is None:
            self._recorder.on_epoch_end(epoch)
        trajectory = self._recorder.trajectory
        if trajectory is not self._path:
            self._begin_path(trajectory, 0)
        recorded, self._seen = trajectory._appended > self._seen, trajectory._appended
        told = (logs or {}).get("loss")
        several = shared(v.value for v in model.trainable_variables)
        loss = math.nan if told is None else agreed(float(told), several=several)
        self._losses.append(loss)
        if self.restore == "best" and loss < (math.inf if self._best is None else self._best[0]):
            self._best = (loss, copies(model.weights))
        figures = self._figures() if recorded else {}
        if logs is not None:
            logs.update({f"koopman_{name}": value for name, value in figures.items()})
        if not recorded and told is not None and not math.isfinite(loss):
            self._stop(model, epoch, f"the run has diverged (loss {loss:g}): lower the learning rate")
            return
        reason = self._rule(figures)
        self._held = 0 if reason is None else self._held + 1
        due = reason is not None and self._held >= self.patience and epoch + 1 >= self.min_epochs
        # Machines may round the figures differently: the first process decides for all.
        if agreed(due, several=several):
            seen = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
            self._stop(model, epoch, f"{reason} ({seen})")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Put the weights in place that `restore` asks for."""
        model = self.model
        if self.recorder is None:
            self._recorder.on_train_end(logs)
        self._broken = self.stopped_epoch is not None
        if self.restore == "best" and self._best is not None:
            put(model.weights, self._best[1])
            put(model.trainable_variables, admissible(model, copies(model.trainable_variables)))
            self._broken = True
        elif self.restore == "average" and len(self._recorder.trajectory):
            self._put_average(model)
            self._broken = True
        self._best = None

    def _figures(self) -> dict[str, float]:
        """Figures rho and speed, as far as they can be had."""
        trajectory = self._recorder.trajectory
        if trajectory._appended - self._skipped <= self.window:
            return {}
        found = {"rho": propagator(trajectory, self.window), "speed": speed(trajectory, self.window)}
        return {name: value for name, value in found.items() if value is not None}

    def _rule(self, figures: dict[str, float]) -> str | None:
        """Why to stop, in words; None to go on."""
        rho = figures.get("rho")
        self._drifted = self._drifted or (rho is not None and rho >= self.rho)
        reason = stopping_rule(rho, figures.get("speed"), self.rho, self.speed)
        if reason is not StopReason.DRIFT_IS_NOISE or self._drifted:
            return None if reason is None else reason.value
        # A drift that was never seen cannot have drowned: the steps are too long for it, and the loss may
        # still fall. So the loss itself decides.
        if not self._stalled():
            return None
        return (
            f"there was no drift in the noise from the start, and no lower loss for {self.window} epochs: "
            "try a lower learning rate"
        )

    def _stalled(self) -> bool:
        """Whether the last window brought no new minimum of the training loss; True if there is no loss."""
        finite = [loss if math.isfinite(loss) else math.inf for loss in self._losses]
        before, last = finite[: -self.window], finite[-self.window :]
        return min(finite) == math.inf or (bool(before) and min(last) >= min(before))

    def _stop(self, model: keras.Model, epoch: int, reason: str) -> None:
        self.reason, self.stopped_epoch = reason, epoch
        model.stop_training = True
        if self.verbose and process() == 0:
            print(f"{type(self).__name__}: stopped after epoch {epoch + 1}: {reason}.")

    def _put_average(self, model: keras.Model) -> None:
        trajectory = self._recorder.trajectory
        count = 1
        if self.stopped_epoch is not None:
            count = min(self.window, max(trajectory._appended - self._skipped, 1), len(trajectory))
        weights = np.zeros(len(trajectory))
        weights[-count:] = 1 / count
        places = self._places(model)
        means = dict(zip(places, keras.tree.flatten(trajectory.combine(weights)), strict=True))
        variables = model.trainable_variables
        put(variables, admissible(model, [means[v.path] for v in variables]))
        if self.inputs is not None:
            recompute_statistics(model, self.inputs)

    def _places(self, model: keras.Model) -> list[str]:
        """Path of each trainable weight, in the order of the recorder's snapshots.

        Raises:
            ValueError: If the recorder does not record all trainable weights as they are.
        """
        observed = self._recorder.observables
        if isinstance(observed, TrainableWeights):
            paths = [v.path for v in keras.tree.flatten(observed.named(model))]
            if set(paths) == {v.path for v in model.trainable_variables}:
                return paths
        raise ValueError(
            "restore='average' needs the means of all trainable weights, but recorder records other values. "
            "Leave observables out, or leave recorder out."
        )

    def _check_average(self, model: keras.Model) -> None:
        self._places(model)
        if batch_normalizations(model) and self.inputs is None:
            warnings.warn(
                f"{type(self).__name__}: restore='average' leaves the moving statistics of batch "
                "normalisation as they are, which do not fit the mean of the weights. Pass inputs=x, some "
                "thousand of the training inputs, to have them computed anew.",
                stacklevel=3,
            )

    def _check_length(self, epoch: int) -> None:
        epochs = (self.params or {}).get("epochs")
        trajectory = self._recorder.trajectory
        known = trajectory._appended - self._skipped if trajectory is self._path else 0
        first = max(epoch + max(self.window + 1 - known, 1), self.min_epochs) + self.patience - 1
        if epochs is not None and first > epochs:
            raise ValueError(
                f"window={self.window} is longer than the run: with patience={self.patience} and "
                f"min_epochs={self.min_epochs} it could stop after epoch {first} at the earliest, but the "
                f"fit ends after epoch {epochs}. Lower window, train longer, or leave {type(self).__name__} "
                "out."
            )


def _check_recorder(recorder: Any, window: int) -> None:
    if not isinstance(recorder, TrajectoryRecorder):
        raise TypeError(
            f"recorder must be a TrajectoryRecorder, got {recorder!r} of type {type(recorder).__name__}."
        )
    if not recorder.average or recorder.unit != "epoch" or recorder.window <= window:
        raise ValueError(
            f"recorder must record a mean each epoch and keep {window + 1} or more, got average="
            f"{recorder.average}, record_freq={recorder.record_freq!r}, window={recorder.window}. Make it "
            f"TrajectoryRecorder(window={window + 1}, average=True)."
        )
