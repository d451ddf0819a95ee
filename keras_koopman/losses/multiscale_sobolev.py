"""`MultiscaleSobolev`: a weighted sum of Sobolev norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from .. import _checks
from ..harmonics.grid import Axes, Grid, Spacing
from .grid_loss import GridLoss


@keras.saving.register_keras_serializable("keras_koopman")
class MultiscaleSobolev(GridLoss):
    """A weighted sum of `Sobolev` losses of one error, for signals with several scales.

    One transform serves all terms: the weight of the wavenumber k is
    `sum_i weight_i (1 + |k|^2 / knee_i^2)^order_i`. A steep term with a high knee and a faint term of order
    0, `[(-4, 20, 1), (0, 1, 0.01)]`, for instance, take all scales up to 20 cycles in full and finer ones
    with a hundredth.

    Args:
        scales: `(order, knee, weight)` of each term; weights above 0.
        axes: As in `Sobolev`.
        boundary: As in `Sobolev`.
        spacing: As in `Sobolev`.
        channels: As in `Sobolev`.
        reduction: As in `Sobolev`.
        name: Of the loss. Defaults to `"multiscale_sobolev"`.
        dtype: As in Keras's losses.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there is no term, or an argument is out of range.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> error = np.array([[1.0, -1.0, 1.0, -1.0]])  # 2 cycles
    >>> loss = kk.losses.MultiscaleSobolev([(-1, 1.0, 1.0), (0, 1.0, 0.05)])
    >>> float(loss(0 * error, error))  # 1 / (1 + 4) + 0.05
    0.25
    """

    def __init__(
        self,
        scales: Sequence[tuple[float, float, float]],
        axes: Axes = None,
        boundary: str = "periodic",
        spacing: Spacing = None,
        channels: str | None = "last",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "multiscale_sobolev",
        dtype: Any = None,
    ) -> None:
        super().__init__(Grid.of(axes, boundary, spacing, channels), reduction, name, dtype)
        self.scales = tuple(_checked(term) for term in scales)
        if not self.scales:
            raise ValueError("scales is empty: pass one (order, knee, weight) at least.")

    def weights(self, k_squared: Any) -> Any:
        """Weight of each coefficient."""
        total = sum(weight * (1 + k_squared / knee**2) ** order for order, knee, weight in self.scales)
        return np.asarray(total, self.dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "scales": [list(term) for term in self.scales]}


def _checked(term: Any) -> tuple[float, float, float]:
    if not isinstance(term, Sequence) or isinstance(term, str) or len(term) != 3:
        raise TypeError(f"scales must hold (order, knee, weight), got {term!r}.")
    return (
        _checks.real_number("order", term[0], -np.inf, np.inf),
        _checks.real_number("knee", term[1], 0, np.inf),
        _checks.real_number("weight", term[2], 0, np.inf),
    )
