"""A user's function as a criterion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from .criterion import Criterion


@keras.saving.register_keras_serializable("keras_koopman")
class FunctionCriterion(Criterion):
    """Scores by a function `(weights, state) -> scores`.

    Args:
        function: takes a weight tensor, float32, and a dict with `"mask"` and `"number"`; returns
            scores of its shape. To be saved with the model it must be registered with Keras.
    """

    def __init__(self, function: Callable[[Any, dict[str, Any]], Any]) -> None:
        self.function = function

    def scores(self, weight: Any, slots: dict[str, Any]) -> Any:
        """What the function says."""
        return self.function(weight, slots)

    def get_config(self) -> dict[str, Any]:
        """The function, by its registered name."""
        return {"function": keras.saving.serialize_keras_object(self.function)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FunctionCriterion:
        """The criterion of the function of that name."""
        return cls(keras.saving.deserialize_keras_object(config["function"]))

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))
