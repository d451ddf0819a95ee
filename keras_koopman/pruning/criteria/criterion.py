"""`Criterion`: what all criteria keep to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Criterion(ABC):
    """Ranks weights: the lowest scores are pruned first. Make a subclass for a criterion of your own.

    The optimizer keeps, for each weight tensor and each name in `slots`, a float32 tensor of its shape,
    zero at first, saved with the optimizer. `update` and `scores` run inside the compiled step: they must
    be made of `keras.ops`, and see nothing but what they are given.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> @keras.saving.register_keras_serializable("my_project")
    ... class GradientSize(kk.pruning.Criterion):
    ...     slots = ("squares",)
    ...
    ...     def update(self, slots, weight, gradient, step):
    ...         return {"squares": slots["squares"] + gradient**2}
    ...
    ...     def scores(self, weight, slots):
    ...         return slots["squares"] * weight**2
    >>> kk.optimizers.PruningOptimizer("sgd", kk.schedules.OneShot(0.5, 10), GradientSize()).criterion
    GradientSize()
    """

    slots: tuple[str, ...] = ()

    def update(self, slots: dict[str, Any], weight: Any, gradient: Any, step: Any) -> dict[str, Any]:
        """The slots after a step.

        Args:
            slots: their values before it, float32.
            weight: before the step, float32.
            gradient: of the loss, zero for weights that are gone, float32.
            step: how many steps were done before, a tensor.
        """
        return slots

    @abstractmethod
    def scores(self, weight: Any, slots: dict[str, Any]) -> Any:
        """Scores of the shape of `weight`, after the step.

        Args:
            weight: after the step, float32.
            slots: by name, float32; `"mask"`: True where the weight is still there; `"number"`: which of the
                pruned tensors this is, a whole number.
        """

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal criterion."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Criterion:
        """The criterion that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"
