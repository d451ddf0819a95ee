"""`OneShot`."""

from __future__ import annotations

from typing import Any

import keras

from .. import _checks
from .schedule import Schedule, checked_sparsity


@keras.saving.register_keras_serializable("keras_koopman")
class OneShot(Schedule):
    """All at once, at one step.

    Args:
        sparsity: Share of zeros, in [0, 1).
        step: Step after which they are zeros.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is out of range.

    Example:
    >>> import keras_koopman as kk
    >>> schedule = kk.schedules.OneShot(0.9, step=100)
    >>> schedule(99), schedule(100)
    (0.0, 0.9)
    """

    def __init__(self, sparsity: float, step: int) -> None:
        step = _checks.whole_number("step", step, least=0)
        super().__init__(checked_sparsity("sparsity", sparsity), step, step)

    def shape(self, progress: Any) -> Any:
        """The target, wherever."""
        return self.target + 0.0 * progress

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal schedule."""
        return {"sparsity": self.target, "step": self.begin_step}
