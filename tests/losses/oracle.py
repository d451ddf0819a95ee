"""The loss once more, in NumPy and float64: the full complex FFT, and nothing clever."""

import numpy as np
import scipy.fft


def wavenumbers_squared(sizes, boundary="periodic", spacing=None):
    total = np.zeros(sizes)
    for axis, n in enumerate(sizes):
        k = np.arange(n) / 2 if boundary == "mirror" else n * np.fft.fftfreq(n)
        if spacing is not None:
            k = k / (n * spacing[axis])
        total += (k**2).reshape([-1 if i == axis else 1 for i in range(len(sizes))])
    return total


def norm(error, order, knee=1.0, boundary="periodic", spacing=None):
    """The loss of one error on a grid, real or complex."""
    weights = (1 + wavenumbers_squared(error.shape, boundary, spacing) / knee**2) ** order
    if boundary == "periodic":
        return np.sum(weights * np.abs(np.fft.fftn(error)) ** 2) / error.size**2
    parts = [scipy.fft.dctn(part, norm="ortho") for part in (np.real(error), np.imag(error))]
    return sum(np.sum(weights * part**2) for part in parts) / error.size


def loss(error, axes, **options):
    """Losses of a batch: the mean over the axes that are neither the batch's nor the grid's."""
    error = np.moveaxis(error, axes, range(-len(axes), 0))
    grid = error.shape[error.ndim - len(axes) :]
    rows = error.reshape(len(error), -1, *grid)
    return np.array([np.mean([norm(channel, **options) for channel in sample]) for sample in rows])


def noise(rng, slope, size, count):
    """Rows of real periodic noise whose power grows as `k^slope`; without a mean."""
    k = np.arange(size // 2 + 1.0)
    k[0] = np.inf if slope < 0 else 0.0 if slope else 1.0
    return np.fft.irfft(np.fft.rfft(rng.normal(size=(count, size))) * k ** (slope / 2), size)
