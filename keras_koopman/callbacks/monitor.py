"""`KoopmanMonitor`: the spectrum of the training, in the logs of `fit`."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from ..backend import process
from ..relaxation import Isostable, Relaxation, isostable
from ..spectrum.decomposition import KoopmanDecomposition
from ..spectrum.figures import leading_mode, relative_speed, scalar_propagator
from .recorder import Observable, TrajectoryRecorder
from .tensorboard import SpectrumWriter

# Increments that rho and speed look at, as in the experiments that set their thresholds.
INCREMENTS = 8
TIME_LEFT = "koopman_time_left"
# Rounding of the inner products may make up so much of a figure at the most.
ALLOWED_ERROR = 0.05


class KoopmanMonitor(TrajectoryRecorder):
    """Records the training and logs the figures of its spectrum.

    After each record these stand in `logs` (so in `history`, `CSVLogger`, and as `monitor=` of
    `EarlyStopping`); one that cannot be computed yet, or cannot be trusted, is absent:

    - `koopman_rho`: the number by which each of the last 8 increments follows from the one before, no unit.
      1: steady drift; 1/4: a random walk; below 1/3 the drift is drowned in noise. Means only; from the 9th
      record on.
    - `koopman_speed`: speed over the last 8 increments as a share of the mean speed since the start, no unit.
      Below 0.5 the steps have died out. Means only; from the 9th record on.
    - `koopman_leading`: `|lambda|` of the leading mode: the slowest mode of the increments whose residual is
      at most a fifth of it, which random walks do not pass. Growth per record.
    - `koopman_residual`: residual of that mode; near 0: a true mode of the motion.
    - `koopman_half_life`: time in which it falls to half, in epochs or, with `record_freq=N`, in batches;
      absent if it does not fall.
    - `koopman_near_one`: how many eigenvalues of the increments lie within 0.1 of 1: directions that still
      drift.
    - `koopman_time_left`: epochs, or with `record_freq=N` batches, until 1 % of the motion that is left now
      remains; only where the run relaxes to an end that can be foretold, see `kk.relaxation.isostable`. It is
      looked at once an epoch, or with `verbose=1` at each record, and kept as `monitor.isostable`.

    The spectrum is that of all increments in the window, with the rank chosen by the optimal hard threshold;
    of full rank where there are more increments than weights, whose noise then averages out.

    Args:
        window: As in `TrajectoryRecorder`; rho and speed need at least 9. Defaults to 64.
        record_freq: As in `TrajectoryRecorder`. Defaults to `"epoch"`.
        average: As in `TrajectoryRecorder`. Defaults to True: rho and speed are defined on means alone.
        observables: As in `TrajectoryRecorder`.
        store: As in `TrajectoryRecorder`; the logs are stored too.
        verbose: 1 prints a line after each record, with the time left or why it cannot be told. Defaults
            to 0.
        log_dir: Folder for TensorBoard: the figures, and a picture of the spectrum where Matplotlib is
            installed. Defaults to None.

    Raises:
        ImportError: If `log_dir` is given and TensorBoard is not installed.
        TypeError: As `TrajectoryRecorder`.
        ValueError: As `TrajectoryRecorder`.

    Reference:
        Dogra and Redman, 2020, Optimizing neural networks via Koopman operator theory.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.02), "mse")
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> monitor = kk.callbacks.KoopmanMonitor()
    >>> history = model.fit(
    ...     x, x[:, :1] - 2 * x[:, 1:], batch_size=64, epochs=20, verbose=0, callbacks=[monitor]
    ... )
    >>> 0.9 < history.history["koopman_leading"][-1] < 1  # full batches: each step is a little shorter
    True
    """

    def __init__(
        self,
        window: int = 64,
        record_freq: Literal["epoch"] | int = "epoch",
        average: bool = True,
        observables: Observable | list[Observable] | None = None,
        store: str | os.PathLike[str] | None = None,
        verbose: int = 0,
        log_dir: str | os.PathLike[str] | None = None,
        memory_limit: int | float | str | None = None,
    ) -> None:
        super().__init__(window, record_freq, average, observables, store, memory_limit)
        self.verbose = verbose
        self.figures: dict[str, float] = {}
        self.decomposition: KoopmanDecomposition | None = None
        self.isostable: Isostable | None = None
        self._writer = SpectrumWriter(log_dir) if log_dir is not None else None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record if that is due, and log the latest figures."""
        super().on_epoch_end(epoch, logs)
        self._look_ahead()
        if logs is not None:
            logs.update(self.figures)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Finish what TensorBoard is to see."""
        super().on_train_end(logs)
        if self._writer is not None:
            self._writer.flush()

    def record(self, logs: dict[str, Any] | None = None) -> bool:
        """Record now and measure; see `TrajectoryRecorder.record`."""
        # If this fails, the last ones are out of date.
        self.figures, self.decomposition, self.isostable = {}, None, None
        return super().record(logs)

    def _new_trajectory(self) -> None:
        super()._new_trajectory()
        self.figures, self.decomposition, self.isostable = {}, None, None

    def _after_record(self) -> dict[str, float]:
        self.figures = {f"koopman_{name}": value for name, value in self._measure().items()}
        if self.verbose or self._clock.interval is None:  # batches are not to wait for it
            self._look_ahead()
        if self.verbose and process() == 0:
            shown = [
                f"{name.removeprefix('koopman_')} {value:.3g}"
                for name, value in self.figures.items()
                if name != TIME_LEFT
            ]
            told = "  ".join([*shown, *self._words()])
            print(f"{self.unit} {self.trajectory.times[-1]:g}: {told or 'too few records yet'}")
        if self._writer is not None and process() == 0:
            self._writer.write(int(self.trajectory.times[-1]), self.figures, self.decomposition)
        return self.figures

    def _look_ahead(self) -> None:
        """Find the time that is left, if that was not done since the last record."""
        if self.isostable is not None or not len(self.trajectory):
            return
        self.isostable = isostable(self.trajectory)
        left = self.isostable.time_left()
        if left is not None and np.isfinite(left.estimate):
            self.figures[TIME_LEFT] = left.estimate

    def _words(self) -> list[str]:
        """The time left, or why there is none, for the line that is printed."""
        found = self.isostable
        if found is None or found.status is Relaxation.TOO_SHORT:
            return []
        left = found.time_left()
        if left is None:
            return [f"not relaxing: {found.status.value}"]
        return [f"about {left.estimate:.0f} {self.unit}s left ({left.low:.0f}-{left.high:.0f})"]

    def _measure(self) -> dict[str, float]:
        """What can be said after the latest record."""
        trajectory = self.trajectory
        found: dict[str, float] = {}
        if self.average and len(trajectory) > INCREMENTS:
            found |= self._drift()
        if len(trajectory) > 3:
            increments = trajectory.increments()
            # With fewer directions none is of noise alone, and the threshold cannot tell how large that is.
            rank: Literal["svht"] | None = "svht" if trajectory.size > len(increments) else None
            spacing = float(np.mean(np.diff(trajectory.times)))  # what comes unevenly has been told
            try:
                self.decomposition = increments.decompose(rank=rank, dt=spacing)
            except ValueError:  # the weights stand still: no motion, no spectrum
                return found
            found["near_one"] = float(len(self.decomposition.near_one(0.1)))
            leading = leading_mode(self.decomposition)
            if leading is not None:
                found["leading"] = float(abs(self.decomposition.eigenvalues[leading]))
                found["residual"] = float(self.decomposition.residuals[leading])
                life = float(self.decomposition.half_lives[leading])
                if np.isfinite(life):
                    found["half_life"] = life
        return found

    def _drift(self) -> dict[str, float]:
        """Figures rho and speed over the last increments."""
        trajectory = self.trajectory
        found: dict[str, float] = {}
        increments, error = trajectory.increments().tail(INCREMENTS).measured()
        if error <= ALLOWED_ERROR:
            rho = scalar_propagator(increments)
            if rho is not None:
                found["rho"] = rho
        # Distances from the first of the last snapshots: sums of the increments since.
        path = np.vstack([np.zeros(INCREMENTS), np.tril(np.ones((INCREMENTS, INCREMENTS)))])
        speed = relative_speed(
            path @ increments @ path.T,
            trajectory.times[-INCREMENTS - 1 :],
            float(trajectory.displacements[-1]),
            trajectory.origin_time or 0.0,
        )
        return found if speed is None else {**found, "speed": speed}
