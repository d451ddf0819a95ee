"""`InitializationGuard`: judges a run early, stops a bad one, and names the cause."""

from __future__ import annotations

import math
from typing import Any

import keras

from .. import _checks
from ..verdicts import Diagnosis, Thresholds, Verdict, assess
from ..verdicts.path import WINDOW
from .guard_loss import Guard, GuardLoss
from .learning_rate import rate_of, schedule_of
from .recorder import TrajectoryRecorder
from .weights import check_trained

# At a fifth of a run its training loss tells good from bad as well as later.
SHARE = 0.2


class InitializationGuard(keras.callbacks.Callback):
    """Stops a run that began badly, and says whether the learning rate or the initialisation is to blame.

    After a fifth of the epochs `kk.verdicts.assess` judges the training losses and the path of the weights. A
    bad run is stopped; `verdict` holds the diagnosis and `advice` what to do. A run that cannot be told good
    or bad goes on. A loss that is not finite is judged at once. `kk.fit_with_restarts` follows the advice.

    Args:
        at: Epoch after which to judge, counted from 1, at least `window + 1`. Defaults to None: a fifth of
            the epochs, but not before `window + 1`.
        baseline: What the loss was before any training, by which it is told whether it has fallen: samples
            `(x, y)`, some hundred, or a function of the model, or the number itself. Defaults to None: the
            first epoch's loss stands in, and fewer bad runs are told.
        window: Increments of the path to look at. Defaults to 8.
        thresholds: `kk.verdicts.Thresholds`. Defaults to None: theirs.
        verbose: 1 prints the verdict. Defaults to 0.

    Attributes:
        verdict: The `kk.verdicts.Verdict`; None before there is one.
        advice: What to do about a bad run, in words; None for another.
        stopped_epoch: Number of the epoch after which the run was stopped, from 0; None if it was not.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; before the first step, if the run ends before it would be
            judged, the model has no optimizer or no trainable weights, or the baseline does not fit it.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(1e-4), "mse")  # far too slow
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> y = x[:, :1] - 2 * x[:, 1:]
    >>> guard = kk.callbacks.InitializationGuard(baseline=(x, y))
    >>> history = model.fit(x, y, epochs=60, verbose=0, callbacks=[guard])
    >>> len(history.epoch), guard.verdict.diagnosis.name
    (12, 'LEARNING_RATE_TOO_LOW')
    >>> guard.advice
    'raise the learning rate, which is 0.0001'
    """

    def __init__(
        self,
        at: int | None = None,
        baseline: Guard | tuple[Any, ...] | float | None = None,
        window: int = WINDOW,
        thresholds: Thresholds | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        self.window = _checks.whole_number("window", window, least=2)
        self.at = None if at is None else _checks.whole_number("at", at, least=self.window + 1)
        self.baseline = baseline
        self._samples: GuardLoss | None = None
        if callable(baseline) or isinstance(baseline, tuple | list):
            self._samples = GuardLoss(baseline, name="baseline")
        elif baseline is not None:
            self.baseline = _checks.real_number("baseline", baseline, -math.inf, math.inf)
        if thresholds is not None and not isinstance(thresholds, Thresholds):
            raise TypeError(f"thresholds must be Thresholds, got {type(thresholds).__name__}.")
        self.thresholds = thresholds
        self.verbose = verbose
        self.verdict: Verdict | None = None
        self.advice: str | None = None
        self.stopped_epoch: int | None = None
        self._losses: list[float] = []
        self._start: float | None = None
        self._due: int | None = None
        self._new_recorder()

    def _new_recorder(self) -> None:
        self._recorder = TrajectoryRecorder(self.window + 1, average=True)

    def set_params(self, params: dict[str, Any]) -> None:
        """Passed on to its recorder."""
        super().set_params(params)
        self._recorder.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        """Passed on to its recorder."""
        super().set_model(model)
        self._recorder.set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check what can be known; each fit is judged for itself."""
        model = self.model
        check_trained(type(self).__name__, model)
        self._new_recorder()
        self._recorder.set_params(self.params)
        self._recorder.set_model(model)
        self.verdict = self.advice = self.stopped_epoch = self._due = None
        self._losses = []
        self._start = self.baseline if isinstance(self.baseline, float) else None
        if self._samples is not None and model.built:
            self._start = self._samples.check(model)
        self._recorder.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch after which to judge, once it is known where the run begins."""
        self._recorder.on_epoch_begin(epoch, logs)
        if self._due is not None:
            return
        epochs = (self.params or {}).get("epochs")
        least = epoch + self.window + 1
        if self.at is not None:
            self._due = max(self.at, least)
        else:
            self._due = max(least, epoch + math.ceil(SHARE * ((epochs or 0) - epoch)))
        if epochs is not None and self._due > epochs:
            raise ValueError(
                f"{'window' if self.at is None else 'at'}={self.window if self.at is None else self.at} is "
                f"longer than the run: it would be judged after epoch {self._due}, but the fit ends after "
                f"epoch {epochs}. Lower it, train longer, or leave {type(self).__name__} out."
            )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Passed on to its recorder, until the verdict."""
        if self.verdict is None:
            self._recorder.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Judge when due, and stop a bad run."""
        if self.verdict is not None:
            return
        model = self.model
        self._recorder.on_epoch_end(epoch)
        if logs is not None and "loss" in logs:
            self._losses.append(float(logs["loss"]))
        broken = bool(self._losses) and not math.isfinite(self._losses[-1])
        if not broken and epoch + 1 < (self._due or 0):
            return
        self.verdict = assess(
            self._recorder.trajectory,
            self._losses or None,
            baseline=self._start if self._losses else None,
            window=self.window,
            thresholds=self.thresholds,
        )
        if self.verdict.diagnosis.bad:
            self.advice = advice(self.verdict.diagnosis, model.optimizer)
            self.stopped_epoch = epoch
            model.stop_training = True
        if self.verbose:
            told = f"; {self.advice}" if self.advice else ""
            print(f"{type(self).__name__}: after epoch {epoch + 1} {self.verdict}{told}")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Let the snapshots go."""
        self._recorder.on_train_end(logs)
        self._new_recorder()


def direction(diagnosis: Diagnosis) -> int:
    """Whether a diagnosis asks for a higher learning rate, 1, a lower one, -1, or none, 0."""
    if diagnosis is Diagnosis.LEARNING_RATE_TOO_LOW:
        return 1
    return -1 if diagnosis in (Diagnosis.LEARNING_RATE_TOO_HIGH, Diagnosis.DIVERGED) else 0


def advice(diagnosis: Diagnosis, optimizer: Any) -> str:
    """What to do about a bad run, in words."""
    turn = direction(diagnosis)
    if not turn:
        return "start anew with another seed or initialisation"
    verb = "raise" if turn > 0 else "lower"
    schedule = schedule_of(optimizer)
    if schedule is not None:
        return (
            f"{verb} the learning rate; it follows a {type(schedule).__name__}, which no callback can "
            "change: do so where the optimizer is made"
        )
    return f"{verb} the learning rate, which is {rate_of(optimizer):g}"
