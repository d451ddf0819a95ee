"""`ScatteredSobolev`: a Sobolev norm of values at scattered points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from .. import _checks
from ..backend import exact_matmul, mean
from ..harmonics import transform as waves
from ..harmonics.grid import BOUNDARIES
from ..harmonics.quadrature import cell_volumes
from .spectral_loss import SpectralLoss


@keras.saving.register_keras_serializable("keras_koopman")
class ScatteredSobolev(SpectralLoss):
    """`Sobolev` for values at scattered points, the same ones in every sample.

    For sensors, and for a coordinate network that is trained on random points: give it inputs of shape
    `(1, points, coordinates)`, so that the points are one sample. The Fourier sums over the points use
    quadrature weights, the size of each point's cell, so that a crowd of points does not count as often as it
    has members. On a uniform grid with all its modes it is `Sobolev`.

    What the modes cannot represent is not seen at all: a model is free to do as it likes there. Take as many
    modes as the points can tell apart, about half their number along an axis, unless noise is to be left out.

    Args:
        points: `(points,)` or `(points, coordinates)`, each coordinate from 0 to 1.
        order: Exponent of the weight, as in `Sobolev`. Defaults to -1.0.
        modes: Highest wavenumber along each axis, in cycles per domain, one number or one for each axis.
            Defaults to None: the highest that as many points on a uniform grid would have.
        knee: As in `Sobolev`, in cycles per domain. Defaults to 1.0.
        boundary: As in `Sobolev`.
        quadrature: Weight of each point in the sums, not negative; they are scaled to a sum of 1. Defaults to
            None: size of its Voronoi cell.
        reduction: As in Keras's losses.
        name: Of the loss. Defaults to `"scattered_sobolev"`.
        dtype: As in Keras's losses.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or points coincide and `quadrature` is not given; in use,
            if there is not one value for each point.

    Reference:
        Yu, Yang and Townsend, 2023, Tuning frequency bias in neural network training with nonuniform data.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> points = np.sort(np.random.default_rng(0).uniform(size=300))
    >>> error = np.cos(2 * np.pi * 3 * points)[None]
    >>> loss = kk.losses.ScatteredSobolev(points, order=-1, modes=8)
    >>> round(float(loss(0 * error, error)), 2)  # 0.5 / (1 + 9)
    0.05
    """

    def __init__(
        self,
        points: ArrayLike,
        order: float = -1.0,
        modes: int | Sequence[int] | None = None,
        knee: float = 1.0,
        boundary: str = "periodic",
        quadrature: ArrayLike | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "scattered_sobolev",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.points = _checked_points(points)
        count, dimensions = self.points.shape
        self.order = _checks.real_number("order", order, -np.inf, np.inf)
        self.knee = _checks.real_number("knee", knee, 0, np.inf)
        self.boundary = _checks.one_of("boundary", boundary, BOUNDARIES)
        self.modes = _checked_modes(modes, dimensions, count)
        self.quadrature = (
            cell_volumes(self.points, self.boundary)
            if quadrature is None
            else _checked_quadrature(quadrature, count)
        )
        self._rows = self._weighted_rows()

    def norms(self, error: Any) -> Any:
        """The loss of each sample, `(batch,)`."""
        count = len(self.points)
        if len(error.shape) < 2 or error.shape[1] != count:
            raise ValueError(
                f"There are {count} points, so predictions must have shape (batch, {count}) or (batch, "
                f"{count}, channels), got {tuple(error.shape)}. Give a coordinate network inputs of shape "
                f"(1, {count}, {self.points.shape[1]})."
            )
        if len(error.shape) > 2:
            error = ops.moveaxis(error, 1, -1)
        squares = ops.square(exact_matmul(error, ops.convert_to_tensor(self._rows, self.dtype)))
        # The mean over all axes is that over the channels but for the number of modes.
        return mean(squares, axis=tuple(range(1, len(squares.shape)))) * self._rows.shape[1]

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {
            **super().get_config(),
            "points": self.points.tolist(),
            "order": self.order,
            "modes": list(self.modes),
            "knee": self.knee,
            "boundary": self.boundary,
            "quadrature": self.quadrature.tolist(),
            "dtype": self._dtype,
        }

    def _weighted_rows(self) -> Any:
        """`(points, modes)`: functions at the points with all their weights."""
        counts = tuple(2 * m + 1 for m in self.modes)  # a cosine and a sine each, or two half waves
        functions = np.ones((1, len(self.points)))
        for axis, count in enumerate(counts):
            along = waves.basis(self.points[:, axis], count, self.boundary)
            functions = (functions[:, None] * along[None]).reshape(-1, len(self.points))
        k_squared = waves.squared_frequencies(counts, self.boundary).reshape(-1, 1)
        weights = (1 + k_squared / self.knee**2) ** (self.order / 2)
        return np.ascontiguousarray((weights * functions * self.quadrature).T, self.dtype)


def _checked_points(points: ArrayLike) -> Any:
    array = np.asarray(points, np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"points must have shape (points,) or (points, coordinates), got {array.shape}.")
    if not np.all((array >= 0) & (array <= 1)):
        raise ValueError(
            f"points must lie from 0 to 1 along each axis, got {array.min():g} to {array.max():g}. Shift and "
            "divide them by the size of the domain; the knee is in cycles per domain."
        )
    return array


def _checked_modes(modes: Any, dimensions: int, count: int) -> tuple[int, ...]:
    if modes is None:
        modes = max(1, (round(count ** (1 / dimensions)) - 1) // 2)
    several = modes if isinstance(modes, Sequence) else [modes] * dimensions
    if len(several) != dimensions:
        raise ValueError(
            f"modes must be one number or {dimensions}, one for each coordinate, got {len(several)}: "
            f"{modes!r}."
        )
    return tuple(_checks.whole_number("modes", value, least=0) for value in several)


def _checked_quadrature(quadrature: ArrayLike, count: int) -> Any:
    array = np.asarray(quadrature, np.float64)
    if array.shape != (count,) or not np.all(np.isfinite(array) & (array >= 0)) or array.sum() == 0:
        raise ValueError(
            f"quadrature must have {count} finite numbers that are not negative, one for each point, got "
            f"shape {array.shape}. Pass None for the sizes of the points' cells."
        )
    return array / array.sum()
