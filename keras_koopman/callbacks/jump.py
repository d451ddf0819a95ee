"""`KoopmanJump`: leaps ahead along the forecast of the weights, and back if the loss does not fall."""

from __future__ import annotations

import warnings
import weakref
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from .. import _checks
from ..backend import read
from ..spectrum.decomposition import KoopmanDecomposition
from ..trajectory import Trajectory
from .clock import Clock
from .guard_loss import Guard, GuardLoss
from .jump_report import JumpAttempt, JumpReport
from .weights import admissible, check_trained, copies, first_moments, moving, put, wrapped

Real = NDArray[np.float64]
Method = Literal["koopman", "linear"]

# A forecast from fewer increments is no better than a straight line.
LEAST_EVERY = 3
# Each failure doubles the wait, up to so many times `every`: a guard that always says no costs little.
LONGEST_WAIT = 16
# So far ahead a forecast from `every` increments may reach, in units of `every`.
FARTHEST = 64


class KoopmanJump(keras.callbacks.Callback):
    """Speeds training up: forecasts the weights some epochs ahead and goes there, if that lowers a loss.

    Every few epochs the increments of the weights since the last jump are decomposed (DMD), and their sum
    over the next `horizon` epochs is added to the weights. A straight line competes: the mean increment times
    `horizon`. The better of both stays if the guard loss falls; as long as doubling the horizon lowers it
    further, it is doubled. Otherwise weights and optimizer stay as they were, bit for bit, the horizon is
    halved, and the next attempt comes later. `report` tells each attempt and what the guard cost, and
    `koopman_jump` in the logs how many records each epoch was leapt ahead.

    It pays where the weights drift: full batches, low learning rates. Where minibatch noise drowns the drift
    most jumps are rejected. Pruned weights stay zero and constraints hold. Batch normalisation keeps its
    moving averages, which follow within an epoch.

    Args:
        every: Records between attempts, at least 3; the spectrum has at most `every - 1` modes. Defaults to
            5.
        horizon: Records to leap ahead at first; adapted from then on. Defaults to None: `every`.
        guard: Samples by which a jump is judged, `(x, y)` or `(x, y, sample_weight)`: some thousand from the
            training set, or validation data; or a function of the model that gives the loss. Needed.
        moments: `"keep"` the momenta of the optimizer over a jump, or `"reset"` them to zero; the scale of
            gradients that Adam and others keep stays. Defaults to `"keep"`.
        record_freq: `"epoch"`, or a number of batches between records. Defaults to `"epoch"`.
        verbose: 1 prints a line for each attempt. Defaults to 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; before the first step, if the guard does not fit the
            model, the model has no optimizer, or the run ends before the first attempt.

    Reference:
        Dogra and Redman, 2020, Optimizing neural networks via Koopman operator theory; Tano, Portwood and
        Ragusa, 2020, Accelerating training in artificial neural networks with dynamic mode decomposition.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x = np.random.default_rng(0).normal(size=(64, 3))
    >>> y = x @ np.array([[1.0], [-2.0], [0.5]])
    >>> losses = []
    >>> for callbacks in [], [kk.callbacks.KoopmanJump(guard=(x, y))]:
    ...     keras.utils.set_random_seed(0)
    ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    ...     model.compile(keras.optimizers.SGD(0.01), "mse")
    ...     history = model.fit(x, y, batch_size=64, epochs=30, verbose=0, callbacks=callbacks)
    ...     losses.append(history.history["loss"][-1])
    >>> losses[1] < 0.1 * losses[0]
    True
    """

    _contenders: tuple[Method, ...] = ("koopman", "linear")

    def __init__(
        self,
        every: int = 5,
        horizon: float | None = None,
        guard: Guard | tuple[Any, ...] | None = None,
        moments: Literal["keep", "reset"] = "keep",
        record_freq: Literal["epoch"] | int = "epoch",
        verbose: int = 0,
    ) -> None:
        super().__init__()
        self.every = _checks.whole_number("every", every, least=LEAST_EVERY)
        self._first_horizon = float(every)
        if horizon is not None:
            self._first_horizon = _checks.real_number("horizon", horizon, 0.0, np.inf)
        if guard is None:
            raise TypeError(
                "guard is missing: a jump is only kept if a loss falls. Pass guard=(x, y) with some thousand "
                "samples, or a function of the model that gives its loss."
            )
        self.guard = GuardLoss(guard)
        self.moments = _checks.one_of("moments", moments, ("keep", "reset"))
        interval = None
        if record_freq != "epoch":
            if isinstance(record_freq, str):
                raise ValueError(f"record_freq must be 'epoch' or a number of batches, got {record_freq!r}.")
            interval = _checks.whole_number("record_freq", record_freq, least=1)
        self.record_freq = record_freq
        self.verbose = verbose
        self._clock = Clock(interval)
        self._followed: weakref.ref[keras.Model] | None = None
        self._paths: list[str] = []
        self._length_checked = False
        self._follow(None)

    def _follow(self, model: keras.Model | None) -> None:
        """Begin with a model: nothing is known of it."""
        self._followed = None if model is None else weakref.ref(model)
        self.horizon = self._first_horizon
        self.report = JumpReport("batch" if self._clock.interval else "epoch")
        self._logged = 0.0  # of what was leapt
        self._wait = self.every
        self._begin_path()

    def _begin_path(self) -> None:
        """Forget the snapshots: those before a jump say nothing of the way after it."""
        self._trajectory = Trajectory(self.every + 1)
        self._since = 0  # records since the last attempt

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check what can be known, and begin a new path; horizon and report go on with the same model."""
        model = self.model
        check_trained(type(self).__name__, model)
        _check_optimizer(model.optimizer)
        if self._followed is None or self._followed() is not model:
            self._follow(model)
        self._length_checked = False
        self._clock.begin_fit((self.params or {}).get("steps"))
        self._begin_path()
        if model.built:
            self.guard.check(model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the length of the run once it is known where it begins, and record where it does."""
        if not self._length_checked:
            self._length_checked = True
            self._check_length(epoch)
            model = self.model
            if model.built:
                self._record(model, float(self._clock.steps if self._clock.interval else epoch))
        self._clock.begin_epoch(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count; record and jump when due, if records are counted in batches."""
        if self._clock.interval is not None and self._clock.tick(batch):
            self._step(self._clock.steps)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record, and jump when due; log how far the jumps of this epoch went."""
        self._clock.end_epoch()
        if self._clock.interval is None:
            self._step(epoch + 1)
        if logs is not None:
            logs["koopman_jump"] = self.report.leapt - self._logged
        self._logged = self.report.leapt

    def _step(self, time: int) -> None:
        model = self.model  # once in a hook: on JAX that brings the weights up to date
        if not self._record(model, float(time)):
            return
        self._since += 1
        if self._since < self._wait or len(self._trajectory) <= self.every:
            return
        attempt = self._attempt(model, time)
        self.report.attempts.append(attempt)
        if self.verbose:
            print(f"{type(self).__name__}: {attempt}")
        if attempt.method is None:
            self.horizon = max(self.horizon / 2, 1.0)
            self._wait = min(2 * self._wait, LONGEST_WAIT * self.every)
            self._since = 0
        else:
            self.horizon, self._wait = attempt.horizon, self.every
            self._begin_path()
            self._record(model, float(time))

    def _record(self, model: keras.Model, time: float) -> bool:
        """Take a snapshot, unless it will have left the window at the next attempt."""
        paths = [v.path for v in model.trainable_variables]
        if len(self._trajectory) and paths != self._paths:
            self._warn("the path starts anew: the trainable weights have changed", paths)
            self._begin_path()
        self._paths = paths
        if self._since + 1 < self._wait - self.every:
            return True
        try:
            self._trajectory.append(moving(model), time)
        except ValueError as error:
            self._warn(f"no record at {time:g}: {error}", self._paths)
            self._begin_path()
            return False
        return True

    def _warn(self, message: str, paths: list[str]) -> None:
        changed = sorted(set(paths) ^ set(self._paths))
        named = f" ({', '.join(changed[:3])})" if changed else ""
        warnings.warn(f"{type(self).__name__}: {message}{named}", stacklevel=4)

    def _attempt(self, model: keras.Model, time: int) -> JumpAttempt:
        """Try to jump; the weights are then where the loss was least, and otherwise untouched."""
        calls, seconds = self.guard.calls, self.guard.seconds
        variables = list(model.trainable_variables)
        here = chosen = copies(variables)
        before = best = self.guard(model)
        method: Method | None = None
        reached = horizon = self.horizon
        ways = Ways(self._trajectory)
        contenders = list(self._contenders)
        try:
            while contenders and horizon <= FARTHEST * self.every:
                better: Method | None = None
                for contender in contenders:
                    there = self._there(model, here, ways.ahead(contender, horizon))
                    put(variables, there)
                    loss = self.guard(model)
                    if loss < best:  # NaN is not
                        better, best, chosen, reached = contender, loss, there, horizon
                method, contenders = better or method, [better] if better else []
                horizon *= 2
        finally:
            put(variables, chosen)
        if method is not None and self.moments == "reset":
            for moment in first_moments(model.optimizer):
                moment.assign(ops.zeros_like(read(moment)))
        evaluations, spent = self.guard.calls - calls, self.guard.seconds - seconds
        return JumpAttempt(time, method, reached, before, best, evaluations, spent)

    def _there(self, model: keras.Model, here: list[Any], coefficients: Real) -> list[Any]:
        """Weights after a jump."""
        leaping = {v.path for v in moving(model)}
        ahead = iter(self._trajectory.increments().combine(coefficients))
        found = [
            value + ops.cast(next(ahead), value.dtype) if v.path in leaping else value
            for v, value in zip(model.trainable_variables, here, strict=True)
        ]
        return admissible(model, found)

    def _check_length(self, epoch: int) -> None:
        params = self.params or {}
        epochs, steps, interval = params.get("epochs"), params.get("steps"), self._clock.interval
        if epochs is None or (interval and not steps):
            return
        records = (epochs - epoch) * steps // interval if interval else epochs - epoch
        if records < self.every:
            raise ValueError(
                f"every={self.every} is longer than the run: this fit has {max(records, 0)} records of the "
                f"weights, and the first jump comes after {self.every}. Lower every, train longer, or record "
                "more often with record_freq."
            )


class Ways:
    """Ways ahead, as coefficients of the increments of a trajectory.

    Args:
        trajectory: since the last jump.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        self._increments = trajectory.increments()
        self._spectrum: KoopmanDecomposition | None = None
        try:
            self._spectrum = self._increments.decompose(dt=1.0)
        except ValueError:  # they stand still
            return

    def ahead(self, method: Method, horizon: float) -> Real:
        """`(k,)` coefficients of the displacement over the next `horizon` records."""
        count = len(self._increments)
        if method == "linear" or self._spectrum is None:
            return np.full(count, horizon / count)
        return self._spectrum.sum_ahead(horizon)


def _check_optimizer(optimizer: Any) -> None:
    if any(type(found).__name__ == "ScheduleFreeAdamW" for found in wrapped(optimizer)):
        raise ValueError(
            "KoopmanJump does not work with ScheduleFreeAdamW: it keeps weights of its own, from which each "
            "step begins, and would take a jump back. Use AdamW."
        )
