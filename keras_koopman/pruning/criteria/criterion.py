"""`Criterion`: what all criteria keep to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from keras import ops


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


def checked_scores(criterion: Criterion, scores: Any, weight: Any) -> Any:
    """Scores as a criterion gave them for a weight, float32.

    Raises:
        TypeError: If they are no tensor of real numbers.
        ValueError: If they have another shape than the weight.
    """
    if not hasattr(scores, "shape") or "complex" in str(scores.dtype):
        given = f"dtype {scores.dtype}" if hasattr(scores, "shape") else repr(scores)
        raise TypeError(
            f"criterion {criterion!r} must give a tensor of real scores, got {given}. Give one score for "
            "each weight."
        )
    if tuple(scores.shape) != tuple(weight.shape):
        raise ValueError(
            f"criterion {criterion!r} gave scores of shape {tuple(scores.shape)} for weights of shape "
            f"{tuple(weight.shape)}. Give one score for each weight."
        )
    return ops.cast(scores, "float32")
