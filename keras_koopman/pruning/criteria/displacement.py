"""`MagnitudeDisplacement`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from .criterion import Criterion


@keras.saving.register_keras_serializable("keras_koopman")
class MagnitudeDisplacement(Criterion):
    """`|w| |w - w0|`: weights that are small, or have not moved from where they began, go first.

    Early in training many weights are large only because they were drawn so: that they have moved says
    that they are of use. Costs one copy of the weights.

    Reference:
        Zhou, Lan, Liu and Yosinski, 2019, Deconstructing lottery tickets: zeros, signs, and the supermask
        (scores of |w| and |w - w0|).

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> w, start = np.array([1.0, 2.0]), np.array([0.0, 1.9])
    >>> kk.pruning.MagnitudeDisplacement().scores(w, {"origin": start})
    array([1. , 0.2])
    """

    slots = ("origin",)

    def update(self, slots: dict[str, Any], weight: Any, gradient: Any, step: Any) -> dict[str, Any]:
        """Keep the weights from before the first step."""
        return {"origin": ops.cond(step == 0, lambda: weight, lambda: slots["origin"])}

    def scores(self, weight: Any, slots: dict[str, Any]) -> Any:
        """`|w| |w - w0|`."""
        return abs(weight) * abs(weight - slots["origin"])
