"""`Eigenfunctionals`: what `learn_eigenfunctionals` has learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from .. import _checks
from .._table import text_table
from ..backend import complex_like
from .pde.cosines import constant
from .pde.fields import as_fields, in_precision_of

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, repr=False)
class Eigenfunctionals:
    """Koopman eigenfunctionals learned from snapshots. Call it with fields to get their values.

    Made by `kk.relaxation.learn_eigenfunctionals`. Those that can be trusted come first, the slowest first.
    Each has root mean square 1 over the data, and its largest value there is positive.

    Attributes:
        eigenvalues: `(r,)` complex rates: the functional goes as `exp(eigenvalue t)`. Frequencies beyond
            `1 / (2 dt)` are folded back.
        factors: `(r,)` complex, `exp(eigenvalue dt)`.
        residuals: `(r,)`, `|phi(u_{t+1}) - mu phi(u_t)| / |mu phi(u_t)|` over the data.
        errors: `(r,)` misfit over k steps, in which it changes by about half, as a share of that change:
            `|phi(u_{t+k}) - mu^k phi(u_t)| / |(1 - mu^k) phi(u_t)|`; if a network was trained, on fields that
            it has not seen.
        trusted: `(r,)` whether the error is small.
        products: for the number of an eigenfunctional the numbers of two slower ones of which it is the
            product, by its eigenvalue and by its values.
        dt: time between snapshots.
        pairs: how many pairs of snapshots they were learned from.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> heat = kk.relaxation.pde.Diffusion(0.1, 1.0)
    >>> starts = np.cos(np.pi * np.outer([1, 2], np.linspace(0, 1, 33))) + [[0.5], [1.0]]
    >>> runs = np.asarray(heat.solve(starts, np.linspace(0, 1, 11)))
    >>> moments = kk.relaxation.dictionaries.FourierMoments(2)
    >>> found = kk.relaxation.learn_eigenfunctionals(runs, moments, dt=0.1, order=2)
    >>> found.products[1], found.eigenvalues.real[:2].round(3)  # the square of the first
    ((0, 0), array([-0.987, -1.974]))
    >>> np.asarray(found(runs[0, :3])).shape
    (3, 5)
    """

    eigenvalues: Complex
    factors: Complex
    residuals: Real
    errors: Real
    trusted: NDArray[np.bool_]
    products: dict[int, tuple[int, int]]
    dt: float
    pairs: int
    _coefficients: Complex = field(repr=False)
    _observe: Callable[[Any], Any] = field(repr=False)

    def __call__(self, fields: Any) -> Any:
        """Values of all eigenfunctionals; differentiable if the dictionary is.

        Args:
            fields: `(batch, nodes)`.

        Returns:
            `(batch, r)`, complex only if an eigenvalue turns.

        Raises:
            TypeError: If the fields hold no real numbers.
            ValueError: If they have the wrong shape.
        """
        with in_precision_of(fields):
            features = ops.convert_to_tensor(self._observe(as_fields("fields", fields)))
            real = features @ constant(self._coefficients.real, features)
            if not np.any(self._coefficients.imag):
                return real
            return complex_like(real, features @ constant(self._coefficients.imag, features))

    def __len__(self) -> int:
        return len(self.eigenvalues)

    def summary(self, limit: int = 10) -> str:
        """A table of eigenfunctionals, to print.

        Args:
            limit: How many to show. Defaults to 10.

        Raises:
            TypeError: If `limit` is no whole number.
            ValueError: If it is below 1.
        """
        shown = range(min(_checks.whole_number("limit", limit, least=1), len(self)))
        rows = [
            [
                str(i),
                f"{self.eigenvalues[i].real:.5g}"
                + (f"{self.eigenvalues[i].imag:+.3g}i" if abs(self.eigenvalues[i].imag) > 1e-12 else ""),
                f"{self.residuals[i]:.2g}",
                f"{self.errors[i]:.2g}",
                "yes" if self.trusted[i] else "no",
                " times ".join(map(str, self.products[i])) if i in self.products else "",
            ]
            for i in shown
        ]
        return "\n".join(
            text_table(["number", "eigenvalue", "residual", "error", "trusted", "product of"], rows)
        )

    def __repr__(self) -> str:
        return f"<Eigenfunctionals: {int(self.trusted.sum())} of {len(self)} trusted, {self.pairs} pairs>"
