"""`PolynomialSparsity`."""

from __future__ import annotations

from typing import Any

import keras

from .. import _checks
from .schedule import Schedule, checked_sparsity


@keras.saving.register_keras_serializable("keras_koopman")
class PolynomialSparsity(Schedule):
    """A ramp from one sparsity to another: many weights go early, when there are many, and few late.

    `final + (initial - final) * (1 - p)^power`, p the share of the way from `begin_step` to `end_step`.

    Args:
        initial: Sparsity at `begin_step`, in [0, 1).
        final: Sparsity from `end_step` on, at least `initial`.
        begin_step: Step at which the ramp begins.
        end_step: Step at which it ends; later than `begin_step`.
        power: Above 0; 1 is a straight line. Defaults to 3.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is out of range.

    Reference:
        Zhu and Gupta, 2017, To prune, or not to prune: exploring the efficacy of pruning for model
        compression.

    Example:
    >>> import keras_koopman as kk
    >>> schedule = kk.schedules.PolynomialSparsity(0.0, 0.8, begin_step=100, end_step=300)
    >>> schedule(100), round(schedule(200), 3), schedule(300)
    (0.0, 0.7, 0.8)
    """

    def __init__(
        self, initial: float, final: float, begin_step: int, end_step: int, power: float = 3
    ) -> None:
        super().__init__(checked_sparsity("final", final), begin_step, end_step)
        self.initial = checked_sparsity("initial", initial)
        if self.initial > self.target:
            raise ValueError(
                f"initial={initial} is above final={final}, but weights do not come back. Lower initial."
            )
        if self.end_step == self.begin_step:
            raise ValueError(
                f"end_step={end_step} must come after begin_step={begin_step}. Raise it, or take "
                "OneShot(sparsity, step)."
            )
        self.power = _checks.real_number("power", power, 0.0, float("inf"))

    def shape(self, progress: Any) -> Any:
        """The ramp."""
        return self.target + (self.initial - self.target) * (1.0 - progress) ** self.power

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal schedule."""
        return {
            "initial": self.initial,
            "final": self.target,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "power": self.power,
        }
