"""`SobolevNorm`: the size of the error in a Sobolev norm."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from .. import _checks
from ..backend import as_tensor, mean
from ..harmonics import targets
from ..harmonics.grid import Axes, Grid, Spacing, mean_squares


@keras.saving.register_keras_serializable("keras_koopman")
class SobolevNorm(keras.metrics.Metric):
    """Root of the mean, over all samples, of the squared Sobolev norm of the error.

    A figure by which trainings with several losses, or with an order that changes, can be compared: order 0
    is `keras.metrics.RootMeanSquaredError`. `kk.losses.Sobolev` has the formula.

    Args:
        order: Exponent of the weight. Defaults to -1.0.
        knee: As in `kk.losses.Sobolev`.
        axes: As in `kk.losses.Sobolev`.
        boundary: As in `kk.losses.Sobolev`.
        spacing: As in `kk.losses.Sobolev`.
        channels: As in `kk.losses.Sobolev`.
        name: Of the metric. Defaults to `"sobolev_norm"`.
        dtype: As in Keras's metrics.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; in use, if the shapes do not fit.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> metric = kk.metrics.SobolevNorm(order=-1)
    >>> error = np.array([[2.0, -2.0, 2.0, -2.0]])  # 2 cycles
    >>> metric.update_state(0 * error, error)
    >>> round(float(metric.result()), 4)  # sqrt(4 / (1 + 4))
    0.8944
    """

    def __init__(
        self,
        order: float = -1.0,
        knee: float = 1.0,
        axes: Axes = None,
        boundary: str = "periodic",
        spacing: Spacing = None,
        channels: str | None = "last",
        name: str = "sobolev_norm",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.order = _checks.real_number("order", order, -np.inf, np.inf)
        self.knee = _checks.real_number("knee", knee, 0, np.inf)
        self.grid = Grid.of(axes, boundary, spacing, channels)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch.

        Args:
            y_true: Targets, real or complex.
            y_pred: Predictions of the same shape.
            sample_weight: One weight a sample. Defaults to None.
        """
        targets.refuse_nan("y_true", y_true)
        y_true, y_pred = targets.same_shape(as_tensor(y_true), as_tensor(y_pred))
        dtype = targets.working_dtype(self.dtype)
        if not (targets.is_complex(y_true) or targets.is_complex(y_pred)):
            y_true, y_pred = ops.cast(y_true, dtype), ops.cast(y_pred, dtype)
        squares, k_squared = mean_squares(y_pred - y_true, self.grid)
        weights = (1 + k_squared / self.knee**2) ** self.order * k_squared.size
        norms = mean(
            ops.multiply(ops.cast(squares, dtype), weights.astype(dtype)),
            axis=tuple(range(1, len(squares.shape))),
        )
        counts = ops.ones_like(norms)
        if sample_weight is not None:
            counts = ops.reshape(ops.cast(sample_weight, dtype), ops.shape(norms))
        self.total.assign_add(ops.cast(ops.sum(norms * counts), self.total.dtype))
        self.count.assign_add(ops.cast(ops.sum(counts), self.count.dtype))

    def result(self) -> Any:
        """The norm over all batches since the last reset."""
        return ops.sqrt(ops.divide_no_nan(self.total, self.count))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "order": self.order, "knee": self.knee, **self.grid.config()}
