"""`spectral_error`: which scales a model has learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from ..backend import float64_allowed, is_tensor, to_host
from ..harmonics import targets
from ..harmonics.grid import Axes, Grid, Spacing, mean_squares
from .octaves import SpectralError


def spectral_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    axes: Axes = None,
    boundary: str = "periodic",
    spacing: Spacing = None,
    channels: str | None = "last",
) -> SpectralError:
    """Mean squared error by octave of wavenumber, to see which scales a model has learned.

    Computed in float64, in the basis that `kk.losses.Sobolev` uses; averaged over samples and channels.

    Args:
        y_true: What is to be learned, `(batch, ..., channels)` or `(batch, points)`, real or complex; without
            noise if you have it.
        y_pred: Predictions of the same shape.
        axes: As in `kk.losses.Sobolev`.
        boundary: As in `kk.losses.Sobolev`.
        spacing: As in `kk.losses.Sobolev`.
        channels: As in `kk.losses.Sobolev`.

    Returns:
        A `SpectralError`: print it, or draw it with `kk.plotting.plot_spectral_error`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, values are not finite, or the shapes do not fit.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> coarse, fine = np.ones((1, 8)), np.array([[1.0, -1.0] * 4])
    >>> kk.metrics.spectral_error(coarse + fine, coarse).errors.round(12)  # 0, 1, 2 to 4, 4 cycles
    array([0., 0., 0., 1.])
    """
    grid = Grid.of(axes, boundary, spacing, channels)
    true, predicted = (_host(name, y) for name, y in (("y_true", y_true), ("y_pred", y_pred)))
    with float64_allowed():
        tensors = targets.same_shape(*(ops.convert_to_tensor(y, str(y.dtype)) for y in (true, predicted)))
        error, k_squared = mean_squares(tensors[1] - tensors[0], grid)
        signal, _ = mean_squares(tensors[0], grid)
        powers = [_averaged(to_host(squares), k_squared.ndim) for squares in (error, signal)]
    wavenumber = np.sqrt(k_squared)
    lowest = wavenumber[wavenumber > 0].min(initial=np.inf)
    # Rounding must not put 2 below 2.
    octave = np.zeros(wavenumber.shape, int)
    octave[wavenumber > 0] = np.floor(np.log2(wavenumber[wavenumber > 0] / lowest) + 1e-9).astype(int) + 1
    starts = np.concatenate([[0.0], lowest * 2.0 ** np.arange(octave.max())])
    errors, signals = (np.bincount(octave.ravel(), power.ravel()).astype(np.float64) for power in powers)
    return SpectralError(starts, errors, signals)


def _host(name: str, y: Any) -> NDArray[Any]:
    array = np.asarray(ops.convert_to_numpy(y) if is_tensor(y) else y)
    targets.refuse_nan(name, array)
    complex_ = np.iscomplexobj(array)
    return array.astype(np.complex128 if complex_ else np.float64)


def _averaged(squares: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """Mean over all but the grid's axes."""
    return np.asarray(squares.mean(axis=tuple(range(squares.ndim - dimensions))))
