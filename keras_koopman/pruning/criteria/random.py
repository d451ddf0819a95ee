"""`Random`."""

from __future__ import annotations

from typing import Any

import keras

from ... import _checks
from .criterion import Criterion


@keras.saving.register_keras_serializable("keras_koopman")
class Random(Criterion):
    """Random scores, the same at each update: the control that every criterion must beat.

    Args:
        seed: Of the scores. Defaults to 0.

    Raises:
        TypeError: If `seed` is no whole number.
        ValueError: If it is negative.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> random = kk.pruning.Random(seed=1)
    >>> scores = random.scores(keras.ops.ones(3), {})
    >>> bool(keras.ops.all(scores == random.scores(keras.ops.ones(3), {})))
    True
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = _checks.whole_number("seed", seed, least=0)

    def scores(self, weight: Any, slots: dict[str, Any]) -> Any:
        """Uniform in [0, 1), whatever the weights."""
        number = int(slots.get("number", 0))  # tensors of one shape must not share their scores
        seed = (self.seed + 7919 * number) % 2**32  # engines take no more
        return keras.random.uniform(weight.shape, seed=seed)

    def get_config(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed}
