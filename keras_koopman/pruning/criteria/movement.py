"""`Movement`."""

from __future__ import annotations

from typing import Any

import keras

from .criterion import Criterion


@keras.saving.register_keras_serializable("keras_koopman")
class Movement(Criterion):
    """The sum over the steps of `-w * gradient`: weights that training drives towards zero go first.

    Scores may be negative. Costs one copy of the weights, and a pass over them each step.

    Reference:
        Sanh, Wolf and Rush, 2020, Movement pruning: adaptive sparsity by fine-tuning.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> movement = kk.pruning.Movement()
    >>> w, gradient = np.array([1.0, -1.0]), np.array([0.25, 0.5])  # descent shrinks the first
    >>> movement.update({"moved": np.zeros(2)}, w, gradient, step=0)
    {'moved': array([-0.25, 0.5 ])}
    """

    slots = ("moved",)

    def update(self, slots: dict[str, Any], weight: Any, gradient: Any, step: Any) -> dict[str, Any]:
        """Add `-w * gradient`."""
        return {"moved": slots["moved"] - weight * gradient}

    def scores(self, weight: Any, slots: dict[str, Any]) -> Any:
        """What was added up."""
        return slots["moved"]
