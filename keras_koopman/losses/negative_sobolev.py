"""`NegativeSobolev`: a Sobolev loss that rejects noise of fine scales."""

from __future__ import annotations

from typing import Any

import keras

from ..harmonics.grid import Axes, Spacing
from .sobolev import Sobolev


@keras.saving.register_keras_serializable("keras_koopman")
class NegativeSobolev(Sobolev):
    """`Sobolev` of a negative order: fine scales, and noise that lives there, count little.

    For targets under noise that grows with the wavenumber (violet or blue noise, differentiated data), and
    for networks that would fit the noise if trained to the end. It does not help a model that can represent
    the signal and little else under white noise, nor where what matters is fine. `Sobolev` has the formula.

    Args:
        order: Exponent of the weight, below 0. Defaults to -1.0.
        knee: As in `Sobolev`.
        axes: As in `Sobolev`.
        boundary: As in `Sobolev`.
        spacing: As in `Sobolev`.
        channels: As in `Sobolev`.
        reduction: As in `Sobolev`.
        name: Of the loss. Defaults to `"negative_sobolev"`.
        dtype: As in Keras's losses.

    Raises:
        TypeError: As `Sobolev`.
        ValueError: As `Sobolev`, and if the order is not negative.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> noise = np.array([[1.0, -1.0, 1.0, -1.0]])  # the finest scale: 2 cycles
    >>> float(kk.losses.NegativeSobolev()(0 * noise, noise))  # 1 / (1 + 4)
    0.2
    """

    def __init__(
        self,
        order: float = -1.0,
        knee: float = 1.0,
        axes: Axes = None,
        boundary: str = "periodic",
        spacing: Spacing = None,
        channels: str | None = "last",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "negative_sobolev",
        dtype: Any = None,
    ) -> None:
        super().__init__(order, knee, axes, boundary, spacing, channels, reduction, name, dtype)
        if self.order >= 0:
            raise ValueError(
                f"order must be negative, got {order}. Order 0 is keras.losses.MeanSquaredError; for a "
                "positive order, which stresses fine scales, take kk.losses.Sobolev."
            )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sobolev:
        """The loss again; a `Sobolev` if an annealing has taken the order up to 0."""
        return (cls if config.get("order", -1.0) < 0 else Sobolev)(**config)
