"""`GridLoss`: losses by scale for values on a regular grid."""

from __future__ import annotations

import abc
from typing import Any

from keras import ops

from ..backend import mean
from ..harmonics.grid import Grid, mean_squares
from .spectral_loss import SpectralLoss


class GridLoss(SpectralLoss):
    """Weights the squared coefficients of the error on a grid by their wavenumber.

    Args:
        grid: Where the points lie.
        reduction: As in Keras's losses.
        name: Of the loss.
        dtype: Of the computation; float32 where less is asked for.
    """

    def __init__(self, grid: Grid, reduction: str | None, name: str | None, dtype: Any) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.grid = grid
        self.channels_first = grid.channels == "first" and grid.axes is None

    @abc.abstractmethod
    def weights(self, k_squared: Any) -> Any:
        """Weight of each coefficient, from an array of `|k|^2`."""

    def norms(self, error: Any) -> Any:
        """The loss of each sample, `(batch,)`."""
        squares, k_squared = mean_squares(error, self.grid)
        # The mean over all axes is that over the channels but for the number of points.
        weighted = ops.multiply(squares, self.weights(k_squared) * k_squared.size)
        return mean(weighted, axis=tuple(range(1, len(squares.shape))))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), **self.grid.config(), "dtype": self._dtype}
