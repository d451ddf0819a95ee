"""`Schedule`: what all pruning schedules keep to."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import keras
import numpy as np

from .. import _checks
from ..backend import is_tensor


class Schedule(ABC):
    """A sparsity for each step; make a subclass for a schedule of your own.

    `schedule(step)` is the sparsity that the weights have once `step` steps are done: 0 before `begin_step`,
    `target` from `end_step` on. A subclass gives `shape`, and `get_config` if it has arguments of its own.

    Args:
        target: Sparsity from `end_step` on, in [0, 1).
        begin_step: Step at which the first weights go, at least 0.
        end_step: Step at which the target is reached, at least `begin_step`.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is out of range.

    Example:
    >>> import keras_koopman as kk
    >>> class Linear(kk.schedules.Schedule):
    ...     def shape(self, progress):
    ...         return self.target * progress
    >>> Linear(0.8, begin_step=100, end_step=200)(150)
    0.4
    """

    def __init__(self, target: float, begin_step: int, end_step: int) -> None:
        self.target = checked_sparsity("target", target)
        self.begin_step = _checks.whole_number("begin_step", begin_step, least=0)
        self.end_step = _checks.whole_number("end_step", end_step, least=0)
        if self.end_step < self.begin_step:
            raise ValueError(
                f"end_step={end_step} comes before begin_step={begin_step}. Raise end_step: the target is "
                "reached there."
            )

    @abstractmethod
    def shape(self, progress: Any) -> Any:
        """Sparsity at a share of the way from `begin_step` to `end_step`, in [0, 1]; a number or a tensor."""

    def __call__(self, step: Any) -> Any:
        """Sparsity after `step` steps.

        Args:
            step: a whole number, an array or a tensor of them.

        Returns:
            A float for a number, else an array or tensor of the same shape.
        """
        return self.at(step, self.progress(step))

    def progress(self, step: Any) -> Any:
        """Share of the way from `begin_step` to `end_step` that is done after `step` steps."""
        length = max(self.end_step - self.begin_step, 1)
        gone = step - self.begin_step + (self.end_step == self.begin_step)
        if is_tensor(step):
            return keras.ops.clip(keras.ops.cast(gone, "float32") / length, 0.0, 1.0)
        return np.clip(np.asarray(gone, np.float64) / length, 0.0, 1.0)

    def at(self, step: Any, progress: Any) -> Any:
        """Sparsity after `step` steps with `progress` of the way behind: 0 before `begin_step`."""
        begun = step >= self.begin_step
        if is_tensor(step) or is_tensor(progress):
            return keras.ops.where(begun, keras.ops.cast(self.shape(progress), "float32"), 0.0)
        found = np.where(begun, self.shape(progress), 0.0)
        return float(found) if found.ndim == 0 else found

    def default_update_freq(self) -> int:
        """Steps between updates of a mask, if nobody says: a twentieth of the ramp or less."""
        return max(1, math.floor((self.end_step - self.begin_step) / 20))

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal schedule."""
        return {"target": self.target, "begin_step": self.begin_step, "end_step": self.end_step}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        """The schedule that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def checked_sparsity(name: str, value: Any) -> float:
    """`value` as a share of zeros in [0, 1).

    Raises:
        TypeError: If it is no real number.
        ValueError: If it lies outside.
    """
    return _checks.real_number(name, value, 0.0, 1.0, closed=True)
