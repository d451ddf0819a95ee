"""`Burgers`: a shock that viscosity wears away."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from ... import _checks
from . import cosines
from .equation import Equation, normalised, series, slopes
from .fields import DIRICHLET_SHARE, dirichlet_mismatch, warn_of_mismatch
from .transformed import finite_only, geometric, where_carried


class Burgers(Equation):
    """`u_t + u u_x = nu u_xx` on `[0, L]` with `u = 0` at both ends.

    By the Cole-Hopf transform `v = exp(-int u dx / (2 nu))` it becomes diffusion between mirrors. The
    eigenfunctionals are `int v cos(n pi x / L) dx / int v dx`, with eigenvalues `-nu (n pi / L)^2`; number 0
    is 1. Only differences of the exponent are raised, so that no field is too large for them; the field
    itself is rebuilt where the precision carries it. While a step is traced no error can be raised: fields
    that overflow, and those that the precision does not carry, become NaN as a whole.

    Args:
        viscosity: nu, above 0.
        length: L, above 0.

    Raises:
        TypeError: If an argument is no real number.
        ValueError: If it is not above 0.

    Reference:
        Cole, 1951, On a quasi-linear parabolic equation occurring in aerodynamics; Nakao and Mezić, 2020,
        Spectral analysis of the Koopman operator for partial differential equations.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> flow = kk.relaxation.pde.Burgers(viscosity=0.1, length=1.0)
    >>> field = np.sin(np.pi * np.linspace(0, 1, 65))[None]
    >>> later = flow.solve(field, [0.5])[:, 0]
    >>> ratio = flow.eigenfunctional(later, 1) / flow.eigenfunctional(field, 1)
    >>> round(float(np.log(ratio[0]) / 0.5), 6), round(flow.eigenvalue(1), 6)
    (-0.98696, -0.98696)
    """

    def __init__(self, viscosity: float, length: float) -> None:
        self.viscosity = _checks.real_number("viscosity", viscosity, 0, np.inf)
        super().__init__(self.viscosity, length)

    def _check_boundary(self, u: Any) -> None:
        warn_of_mismatch(u, dirichlet_mismatch, DIRICHLET_SHARE, "u = 0 at both ends", type(self).__name__)

    def _functionals(self, u: Any, modes: int) -> tuple[Any, Any]:
        integral = u @ cosines.constant(self.length * cosines.antiderivative(int(u.shape[1])), u)
        exponent = finite_only(integral / (-2 * self.viscosity), type(self).__name__)
        return normalised(exponent, modes)[0], None

    def _rebuild(self, values: Any, level: Any, times: Any, nodes: int, products: int | None) -> Any:
        z = series(values, nodes)
        steepness = -2 * self.viscosity / self.length * slopes(values, nodes)
        if products is not None:
            return steepness * geometric(z, products)
        # A slope is a sum of half waves, each with the rounding of its average times its number.
        number = np.arange(1, int(values.shape[-1]))
        weights = cosines.shares(nodes, len(number))[1:] * (np.pi / np.sqrt(nodes)) * number
        rates = np.array([self.eigenvalue(n) for n in range(1, len(number) + 1)])
        left = ops.exp(times * cosines.constant(rates, times)) * cosines.constant(weights, times)
        gain = 2 * self.viscosity / self.length * ops.sqrt(ops.sum(left * left, axis=-1, keepdims=True))
        return where_carried(lambda z: steepness / (1.0 + z), z, type(self).__name__, gain)

    def __repr__(self) -> str:
        return f"Burgers(viscosity={self.viscosity:g}, length={self.length:g})"
