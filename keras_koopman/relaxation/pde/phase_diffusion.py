"""`PhaseDiffusion`: oscillators that come to agree on a phase."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from ... import _checks
from . import cosines
from .equation import Equation, normalised, series
from .fields import NEUMANN_SHARE, neumann_mismatch, warn_of_mismatch
from .transformed import finite_only, logarithm, where_carried

# Below it b / a is held with few digits or none, and what it adds to a phase is nothing.
NEGLIGIBLE = 1e-290


class PhaseDiffusion(Equation):
    """`theta_t = omega + a theta_xx + b theta_x^2` on `[0, L]` with `theta_x = 0` at both ends.

    The phase of a field of oscillators; also the deterministic Kardar-Parisi-Zhang equation. With
    `v = exp(b theta / a)` it becomes diffusion between mirrors. The eigenfunctionals are
    `int v cos(n pi x / L) dx / int v dx`, with eigenvalues `-a (n pi / L)^2`; number 0 is 1. With `b = 0`
    they are linear, `int theta cos(n pi x / L) dx`. Of the phase reached at last, and of the frequency, they
    know nothing: `expand` keeps the first as `level`. While a step is traced no error can be raised: fields
    that overflow, and those that the precision does not carry, become NaN as a whole.

    Args:
        diffusion: a, above 0.
        nonlinearity: b, any real number.
        frequency: omega, any real number.
        length: L, above 0.

    Raises:
        TypeError: If an argument is no real number.
        ValueError: If it is out of range.

    Reference:
        Kuramoto, 1984, Chemical oscillations, waves, and turbulence; Nakao and Mezić, 2020, Spectral analysis
        of the Koopman operator for partial differential equations.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> ring = kk.relaxation.pde.PhaseDiffusion(0.1, 0.3, frequency=2.0, length=1.0)
    >>> field = np.cos(np.pi * np.linspace(0, 1, 65))[None]
    >>> late = ring.solve(field, 10.0)
    >>> round(float(late[0, 0] - ring.expand(field, 4).level[0, 0]), 3)  # frequency times time
    20.0
    """

    def __init__(self, diffusion: float, nonlinearity: float, frequency: float, length: float) -> None:
        self.diffusion = _checks.real_number("diffusion", diffusion, 0, np.inf)
        self.nonlinearity = _checks.real_number("nonlinearity", nonlinearity, -np.inf, np.inf)
        self.frequency = _checks.real_number("frequency", frequency, -np.inf, np.inf)
        super().__init__(self.diffusion, length)
        if abs(self._steepness) < NEGLIGIBLE:
            self.nonlinearity = 0.0

    def _check_boundary(self, u: Any) -> None:
        warn_of_mismatch(u, neumann_mismatch, NEUMANN_SHARE, "theta_x = 0 at both ends", type(self).__name__)

    def _functionals(self, u: Any, modes: int) -> tuple[Any, Any]:
        matrix = cosines.averages(int(u.shape[1]), modes)
        if self.nonlinearity == 0:
            moments = u @ cosines.constant(self.length * matrix, u)
            level = moments[:, :1] / self.length
            return ops.concatenate([ops.ones_like(level), moments[:, 1:]], axis=1), level
        # Differences first: a phase may have turned many times.
        first = u[:, :1]
        exponent = finite_only((u - first) * self._steepness, type(self).__name__)
        values, log_mass = normalised(exponent, modes)
        return values, first + log_mass / self._steepness

    def _rebuild(self, values: Any, level: Any, times: Any, nodes: int, products: int | None) -> Any:
        base = level[:, None, :] + self.frequency * times
        z = series(values, nodes)
        if self.nonlinearity == 0:
            return base + z / self.length
        if products is not None:
            return base + logarithm(z, products) / self._steepness
        return base + where_carried(ops.log1p, z, type(self).__name__) / self._steepness

    @property
    def _steepness(self) -> float:
        return self.nonlinearity / self.diffusion

    def __repr__(self) -> str:
        return (
            f"PhaseDiffusion(diffusion={self.diffusion:g}, nonlinearity={self.nonlinearity:g}, "
            f"frequency={self.frequency:g}, length={self.length:g})"
        )
