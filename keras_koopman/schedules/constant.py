"""`ConstantSparsity`."""

from __future__ import annotations

from typing import Any

import keras

from .schedule import Schedule, checked_sparsity


@keras.saving.register_keras_serializable("keras_koopman")
class ConstantSparsity(Schedule):
    """The whole sparsity from `begin_step` on.

    Args:
        sparsity: Share of zeros, in [0, 1).
        begin_step: Step at which the weights go. Defaults to 0: at the first step.
        end_step: Until then the mask is chosen again now and then. Weights that are gone stay gone, so it
            matters only for criteria that find more to prune. Defaults to None: `begin_step`.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is out of range.

    Example:
    >>> import keras_koopman as kk
    >>> schedule = kk.schedules.ConstantSparsity(0.5, begin_step=10)
    >>> schedule(9), schedule(10)
    (0.0, 0.5)
    """

    def __init__(self, sparsity: float, begin_step: int = 0, end_step: int | None = None) -> None:
        sparsity = checked_sparsity("sparsity", sparsity)
        super().__init__(sparsity, begin_step, begin_step if end_step is None else end_step)

    def shape(self, progress: Any) -> Any:
        """The target, wherever."""
        return self.target + 0.0 * progress

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal schedule."""
        return {"sparsity": self.target, "begin_step": self.begin_step, "end_step": self.end_step}
