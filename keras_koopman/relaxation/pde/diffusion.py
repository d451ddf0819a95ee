"""`Diffusion`: heat between mirrors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import _checks
from . import cosines
from .equation import Equation, series
from .fields import NEUMANN_SHARE, neumann_mismatch, warn_of_mismatch


class Diffusion(Equation):
    """`u_t = D u_xx` on `[0, L]` with `u_x = 0` at both ends.

    The eigenfunctionals are linear, `int u cos(n pi x / L) dx`, with eigenvalues `-D (n pi / L)^2`; number 0
    is conserved. The trapezoidal rule makes them exact for the usual difference scheme too, whose eigenvalue
    is `-(4 D / dx^2) sin^2(n pi dx / 2 L)`.

    Args:
        diffusivity: D, above 0.
        length: L, above 0.

    Raises:
        TypeError: If an argument is no real number.
        ValueError: If it is not above 0.

    Reference:
        Nakao and Mezić, 2020, Spectral analysis of the Koopman operator for partial differential equations.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> heat = kk.relaxation.pde.Diffusion(diffusivity=0.5, length=np.pi)
    >>> x = np.linspace(0, np.pi, 65)
    >>> field = (1 + np.cos(2 * x))[None]
    >>> heat.eigenvalue(2)
    -2.0
    >>> round(float(heat.eigenfunctional(field, 2)[0]), 6)  # pi / 2
    1.570796
    >>> round(float(heat.eigenfunctional(heat.solve(field, 1.0), 2)[0]), 6)  # exp(-2) pi / 2
    0.212584
    """

    def __init__(self, diffusivity: float, length: float) -> None:
        self.diffusivity = _checks.real_number("diffusivity", diffusivity, 0, np.inf)
        super().__init__(self.diffusivity, length)

    def _check_boundary(self, u: Any) -> None:
        warn_of_mismatch(u, neumann_mismatch, NEUMANN_SHARE, "u_x = 0 at both ends", type(self).__name__)

    def _functionals(self, u: Any, modes: int) -> tuple[Any, Any]:
        matrix = cosines.averages(int(u.shape[1]), modes)
        return u @ cosines.constant(self.length * matrix, u), None

    def _rebuild(self, values: Any, level: Any, times: Any, nodes: int, products: int | None) -> Any:
        # Linear: products of eigenfunctionals play no part.
        return (values[..., :1] + series(values, nodes)) / self.length

    def __repr__(self) -> str:
        return f"Diffusion(diffusivity={self.diffusivity:g}, length={self.length:g})"
