"""`NoiseEstimate`: slope and level of a noise, and what follows for a loss."""

from __future__ import annotations

import dataclasses
from typing import Any

# A smaller slope moves the order by less than a tenth.
NEARLY_WHITE = 0.2


@dataclasses.dataclass(frozen=True)
class NoiseEstimate:
    """The power spectrum of noise as `(1 + |k|^2 / knee^2)^(slope / 2)`; `estimate_noise` makes it.

    Attributes:
        slope: Exponent of the power spectrum beyond the knee: 0 for white noise, 2 for violet, -2 for red.
        slope_error: Standard error of the slope.
        knee: Wavenumber below which the spectrum is flat, in the unit of the loss's knee.
        level: Root mean square of the noise, in the unit of the data, with the spectrum continued to all
            wavenumbers.
        cutoff: Highest wavenumber at which the signal is not lost in the noise, in the unit of the knee.
        source: What the noise was read off: `"repeats"`, `"residuals"` or `"top octaves"`.
        above: Lowest wavenumber that was looked at.
        grid: Arguments of a loss on the same grid: axes, boundary, spacing, channels.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> noise = np.random.default_rng(0).normal(size=(50, 128))
    >>> estimate = kk.losses.estimate_noise(noise, repeats=0)
    >>> estimate.is_white, estimate.order
    (True, 0.0)
    """

    slope: float
    slope_error: float
    knee: float
    level: float
    cutoff: float
    source: str
    above: float
    grid: dict[str, Any]

    @property
    def is_white(self) -> bool:
        """Whether the slope is too small to matter, or no larger than chance makes it."""
        return abs(self.slope) <= max(NEARLY_WHITE, 2 * self.slope_error)

    @property
    def order(self) -> float:
        """The best order for a model that can represent the signal: -slope / 2, or 0 for white noise."""
        return 0.0 if self.is_white else -self.slope / 2

    def __str__(self) -> str:
        found = (
            f"Noise of slope {self.slope:.2f} ± {self.slope_error:.2f} above wavenumber {self.knee:.3g}, "
            f"rms {self.level:.3g}; above {self.cutoff:.3g} the signal is lost in it. Read off "
            f"{_ASSUMPTIONS[self.source]}"
        )
        return f"{found} {self._advice()}"

    def _advice(self) -> str:
        if self.is_white:
            said = (
                "It is white: order 0, keras.losses.MeanSquaredError, is best for a model that can represent "
                "the signal and little else; a negative order would not help it."
            )
        elif self.order < 0:
            said = f"It grows with the wavenumber: order {self.order:.2f} plays fine scales down."
        else:
            said = f"It falls with the wavenumber: order {self.order:.2f} stresses fine scales."
        return f"{said} For a network that would fit the noise: Sobolev.from_noise(estimate, overfits=True)."


_ASSUMPTIONS = {
    "repeats": "repeated measurements, on the assumption that only noise differs between them.",
    "residuals": (
        "the residuals of a smooth fit, on the assumption that it left no signal, and took no noise, in the "
        "wavenumbers looked at."
    ),
    "top octaves": (
        "the top octaves of the data, on the assumption that there is no signal in them and that the "
        "noise goes on below as it does there."
    ),
}
