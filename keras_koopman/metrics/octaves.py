"""`SpectralError`: an error divided into octaves of wavenumber."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from .._table import text_table


@dataclasses.dataclass(frozen=True)
class SpectralError:
    """Mean squared error by octave of wavenumber; `spectral_error` makes it.

    The first entry is the mean, wavenumber 0; each other one goes from its wavenumber up to the next one's.

    Attributes:
        wavenumbers: `(octaves,)`, lowest of each, in cycles per domain or per unit of length.
        errors: `(octaves,)`, mean squared error in each; their sum is the mean squared error.
        signal: `(octaves,)`, mean square of the targets in each.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x = np.arange(32) / 32
    >>> target = np.cos(2 * np.pi * x) + np.cos(2 * np.pi * 5 * x)
    >>> learned = kk.metrics.spectral_error(target[None], np.cos(2 * np.pi * x)[None])
    >>> print(learned)
     wavenumber   error   signal   error / signal
     ────────────────────────────────────────────
              0       0        0                –
          1 – 2       0      0.5            0.000
          2 – 4       0        0                –
          4 – 8     0.5      0.5            1.000
         8 – 16       0        0                –
        from 16       0        0                –
    """

    wavenumbers: NDArray[np.float64]
    errors: NDArray[np.float64]
    signal: NDArray[np.float64]

    @property
    def relative(self) -> NDArray[np.float64]:
        """`(octaves,)`: error as a share of the signal: 0 is learned, 1 is not, NaN is no signal."""
        there = self.signal > np.finfo(np.float32).eps ** 2 * self.signal.sum()
        return np.where(there, self.errors / np.where(there, self.signal, 1.0), np.nan)

    @property
    def labels(self) -> list[str]:
        """Each octave in words."""
        ends = [f"{k:g}" for k in self.wavenumbers]
        inner = [f"{a} – {b}" for a, b in itertools.pairwise(ends[1:])]
        return [ends[0], *inner, *([f"from {ends[-1]}"] if len(ends) > 1 else [])]

    def __str__(self) -> str:
        rounding = np.finfo(float).eps * (self.errors.sum() + self.signal.sum())
        rows = [
            (label, *(f"{value if value > rounding else 0:.3g}" for value in pair), _share(relative))
            for label, *pair, relative in zip(
                self.labels, self.errors, self.signal, self.relative, strict=True
            )
        ]
        return "\n".join(text_table(("wavenumber", "error", "signal", "error / signal"), rows))


def _share(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"
