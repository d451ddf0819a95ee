"""Real orthogonal transforms in which every Sobolev norm is a diagonal matrix.

On a periodic axis the functions are the cosines and sines, on a mirrored one the half-wave cosines: the real
discrete Fourier transform and the DCT-II. Both are real and orthonormal, so that Parseval's identity holds
coefficient by coefficient: no bin counts twice, neither DC nor Nyquist is special, and an odd, an even, a
prime length and a length of 1 are all the same. Along several axes one is taken after the other.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..backend import exact_matmul

Array = NDArray[np.float64]

# Up to this length the product with the matrix is as quick as the engine's FFT, and needs no complex numbers.
LONGEST_MATRIX = 64


def frequencies(count: int, boundary: str) -> Array:
    """Cycles per domain of each of the `count` functions, in the order of the transform."""
    first, rest = np.arange(count // 2 + 1), np.arange(1, (count + 1) // 2)
    if boundary == "mirror":
        return np.concatenate([first, count - rest]) / 2
    return np.concatenate([first, rest]).astype(np.float64)


def squared_frequencies(
    sizes: tuple[int, ...], boundary: str, spacing: tuple[float, ...] | None = None
) -> Array:
    """`|k|^2` on the grid of coefficients: in cycles per domain, or with `spacing` in physical frequency."""
    lengths = [1.0] * len(sizes) if spacing is None else [n * h for n, h in zip(sizes, spacing, strict=True)]
    total = np.zeros(())
    for size, length in zip(sizes, lengths, strict=True):
        total = total[..., None] + (frequencies(size, boundary) / length) ** 2
    return np.asarray(total, np.float64)


def basis(positions: Array, count: int, boundary: str) -> Array:
    """`(count, points)`: the functions, orthonormal on [0, 1], at some positions."""
    cycles = frequencies(count, boundary)
    phase = 2 * np.pi * np.outer(cycles, positions)
    sine = (np.arange(count) > count // 2) & (boundary == "periodic")
    values = np.where(sine[:, None], np.sin(phase), np.cos(phase))
    return np.asarray(values * np.where(cycles == 0, 1.0, np.sqrt(2.0))[:, None], np.float64)


@functools.lru_cache(maxsize=32)
def matrix(size: int, boundary: str) -> Array:
    """The transform of one axis as a matrix: coefficients = matrix @ values."""
    positions = (np.arange(size) + (0.5 if boundary == "mirror" else 0.0)) / size
    rows = basis(positions, size, boundary)
    # The cosine at Nyquist is +1 and -1 on the grid: its norm there is not that on [0, 1].
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) * np.sqrt(size)
    rows.flags.writeable = False  # shared by all who ask
    return rows


def transform(values: Any, axes: int, boundary: str) -> Any:
    """Coefficients along the last `axes` axes; the sum of their squares is the mean of the squared values.

    Args:
        values: Real tensor of float32 or float64 whose last axes have sizes that are known.
        axes: How many axes to transform.
        boundary: `"periodic"` or `"mirror"`.
    """
    rank = len(values.shape)
    turn = [*range(rank - axes), rank - 1, *range(rank - axes, rank - 1)]
    for _ in range(axes):
        values = _transform_last(values, boundary)
        if axes > 1:  # the next axis comes last; after all of them the order is the old one
            values = ops.transpose(values, turn)
    return values


def _transform_last(values: Any, boundary: str) -> Any:
    size = values.shape[-1]
    dtype = keras.backend.standardize_dtype(values.dtype)
    if size <= LONGEST_MATRIX:
        return exact_matmul(values, _constant(matrix(size, boundary).T, dtype))
    return (_mirror_fft if boundary == "mirror" else _periodic_fft)(values, size, dtype)


def _periodic_fft(values: Any, size: int, dtype: str) -> Any:
    real, imaginary = ops.rfft(values)
    once = np.concatenate([real_only(size), np.zeros((size + 1) // 2 - 1, bool)])
    scale = np.where(once, 1.0, np.sqrt(2.0)) / size
    both = ops.concatenate([real, imaginary[..., 1 : (size + 1) // 2]], -1)
    return both * _constant(scale, dtype)


def _mirror_fft(values: Any, size: int, dtype: str) -> Any:
    """The DCT-II by an FFT of the same length: even samples forwards, then odd ones backwards."""
    real, imaginary = ops.rfft(ops.concatenate([values[..., ::2], ops.flip(values[..., 1::2], -1)], -1))
    angle = np.pi * np.arange(size // 2 + 1) / (2 * size)
    factor = np.sqrt(2.0) / size
    cos, sin = (factor * f(angle) for f in (np.cos, np.sin))
    cos[0] = 1 / size
    cos, sin = _constant(cos, dtype), _constant(sin, dtype)
    inner = slice(1, (size + 1) // 2)
    first = real * cos + imaginary * sin
    rest = real[..., inner] * sin[inner] - imaginary[..., inner] * cos[inner]
    return ops.concatenate([first, rest], -1)


def _constant(values: Array, dtype: str) -> Any:
    # Keras makes float32 of a float64 array on torch unless it is told.
    return ops.convert_to_tensor(np.ascontiguousarray(values, dtype), dtype)


def real_only(size: int) -> NDArray[np.bool_]:
    """Which bins of a real FFT stand for one coefficient, having no imaginary part: DC, Nyquist."""
    bins = np.arange(size // 2 + 1)
    return np.asarray((bins == 0) | (2 * bins == size))
