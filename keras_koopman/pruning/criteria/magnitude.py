"""`Magnitude`."""

from __future__ import annotations

from typing import Any

import keras

from .criterion import Criterion


@keras.saving.register_keras_serializable("keras_koopman")
class Magnitude(Criterion):
    """`|w|`: small weights go first. The standard; needs nothing.

    Reference:
        Han, Pool, Tran and Dally, 2015, Learning both weights and connections for efficient neural networks.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> kk.pruning.Magnitude().scores(np.array([0.5, -2.0]), {})
    array([0.5, 2. ])
    """

    def scores(self, weight: Any, slots: dict[str, Any]) -> Any:
        """`|w|`."""
        return abs(weight)
