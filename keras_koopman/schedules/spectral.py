"""`SpectralSparsity`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from .._recorder import checked_recorder
from ..backend import greater_of
from ..spectrum.figures import explained_share
from ..trajectory import Trajectory
from .polynomial import PolynomialSparsity

INCREMENTS = 8


@keras.saving.register_keras_serializable("keras_koopman")
class SpectralSparsity(PolynomialSparsity):
    """A ramp that goes on while the weights can be foretold, and waits while they cannot.

    Its pace is `2 q` times that of the plain ramp, where q is the share of the last 8 increments that
    follows from the increment before each (`1 - r^2`, r the relative residual of the rank-one DMD of the
    increments). So it runs at twice the pace in a steady drift, at the plain pace when half of the motion
    is explained, and all but stands after a cut that has thrown the weights about. Whatever the figures
    say, it never lags so far that it must go at more than twice the plain pace: the target is reached at
    `end_step` or before.

    Called with a step alone it is the plain ramp, at pace 1.

    Args:
        recorder: `kk.callbacks.TrajectoryRecorder` that is also among the callbacks of `fit`; None after
            loading, until it is set.
        initial: Sparsity at `begin_step`, in [0, 1).
        final: Sparsity from the end on, at least `initial`.
        begin_step: Step at which the ramp begins.
        end_step: Step at which the target is reached at the latest.
        power: As in `PolynomialSparsity`. Defaults to 3.

    Raises:
        TypeError: If `recorder` is none, or another argument is no number.
        ValueError: If an argument is out of range.

    Example:
    >>> import keras_koopman as kk
    >>> recorder = kk.callbacks.TrajectoryRecorder(record_freq=10)
    >>> schedule = kk.schedules.SpectralSparsity(recorder, 0.0, 0.9, begin_step=100, end_step=900)
    >>> schedule(900)
    0.9
    """

    def __init__(
        self,
        recorder: Any,
        initial: float,
        final: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
    ) -> None:
        super().__init__(initial, final, begin_step, end_step, power)
        self.recorder = checked_recorder("SpectralSparsity", recorder)

    def initial_figures(self) -> dict[str, float]:
        """Numbers that are carried from step to step, and what they are at first."""
        return {"progress": 0.0, "pace": 1.0}

    def advance(self, figures: dict[str, Any], step: Any) -> dict[str, Any]:
        """The figures after one step more: tensors, and no look at anything else.

        Args:
            figures: `progress` and `pace`, tensors.
            step: how many steps are done then, a tensor.
        """
        length = self.end_step - self.begin_step
        going = ops.cast(step > self.begin_step, "float32")
        progress = figures["progress"] + going * figures["pace"] / length
        # Twice the plain pace from here on must be enough.
        latest = 1.0 - 2.0 * (self.end_step - ops.cast(step, "float32")) / length
        return {"progress": ops.clip(greater_of(progress, latest), 0.0, 1.0), "pace": figures["pace"]}

    def observe(self, trajectory: Trajectory) -> dict[str, float]:
        """Figures that the latest record changes; none while there are too few increments."""
        share = explained_share(trajectory.increments().tail(INCREMENTS).gram)
        return {} if share is None else {"pace": 2.0 * share}

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal schedule, the recorder aside."""
        return {"recorder": None, **super().get_config()}
