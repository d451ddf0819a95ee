"""What the three equations share: after a change of variable each of them is diffusion between mirrors."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from ... import _checks
from . import cosines
from .expansion import Expansion
from .fields import as_fields, as_times, in_precision_of

Array = NDArray[np.float64]


class Equation(abc.ABC):
    """Base of the equations: the eigenvalues `-rate (n pi / length)^2` and what follows from the functionals.

    Args:
        rate: coefficient of the second derivative.
        length: of the domain.
    """

    def __init__(self, rate: float, length: float) -> None:
        self._rate = rate
        self.length = _checks.real_number("length", length, 0, np.inf)

    def eigenvalue(self, n: int) -> float:
        """Koopman eigenvalue of eigenfunctional `n`, a rate: the functional goes as `exp(eigenvalue t)`.

        Raises:
            TypeError: If `n` is no whole number.
            ValueError: If it is negative.
        """
        n = _checks.whole_number("n", n, least=0)
        return -self._rate * (n * np.pi / self.length) ** 2

    def eigenfunctional(self, u: Any, n: int) -> Any:
        """Koopman eigenfunctional `n` of each field; differentiable.

        Args:
            u: `(batch, nodes)` fields on a uniform grid that includes both ends.
            n: Number of half waves, below the number of nodes.

        Returns:
            `(batch,)`, in the precision of the fields.

        Raises:
            TypeError: If the fields hold no real numbers, or `n` is no whole number.
            ValueError: If the fields have the wrong shape or are not finite, or `n` is out of range. While a
                step is traced fields that are not finite give NaN or infinity instead.
        """
        n = _checks.whole_number("n", n, least=0)
        with in_precision_of(u):
            u = as_fields("u", u)
            self._check_modes("n", n, u.shape[1])
            self._check_boundary(u)
            return self._functionals(u, n)[0][:, n]

    def isostable(self, u: Any) -> Any:
        """Modulus of the slowest eigenfunctional: fields on one level set relax together.

        Args:
            u: As in `eigenfunctional`.

        Returns:
            `(batch,)`.

        Raises:
            TypeError: As `eigenfunctional`.
            ValueError: As `eigenfunctional`.
        """
        return ops.abs(self.eigenfunctional(u, 1))

    def expand(self, u: Any, modes: int) -> Expansion:
        """Koopman expansion of the fields: the eigenfunctionals 0 to `modes`, and the fields they make up.

        Args:
            u: As in `eigenfunctional`.
            modes: Highest eigenfunctional, below the number of nodes.

        Returns:
            An `Expansion`; its `at(times)` gives the fields.

        Raises:
            TypeError: As `eigenfunctional`.
            ValueError: As `eigenfunctional`.
        """
        modes = _checks.whole_number("modes", modes, least=1)
        with in_precision_of(u):
            u = as_fields("u", u)
            self._check_modes("modes", modes, u.shape[1])
            self._check_boundary(u)
            values, level = self._functionals(u, modes)
        eigenvalues = np.array([self.eigenvalue(n) for n in range(modes + 1)])
        return Expansion(eigenvalues, values, level, u.shape[1], self)

    def solve(self, u0: Any, times: Any) -> Any:
        """The flow, by the expansion in as many eigenfunctionals as the grid carries; differentiable.

        Args:
            u0: `(batch, nodes)` fields at time 0.
            times: When they are wanted: a number, or a sequence of them.

        Returns:
            `(batch, times, nodes)`; of a single number `(batch, nodes)`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If the fields have the wrong shape, a time is negative, or the field asked for cannot
                be told in the precision of `u0`; while a step is traced it is NaN instead: see
                `Expansion.at`.
        """
        times = as_times(times)
        with in_precision_of(u0):
            u0 = as_fields("u0", u0)
        return self.expand(u0, int(u0.shape[1]) - 1).at(times)

    def _check_modes(self, name: str, modes: int, nodes: int) -> None:
        if modes >= nodes:
            raise ValueError(
                f"{name}={modes} half waves cannot be told apart on {nodes} nodes: at most {nodes - 1}. "
                "Take a finer grid."
            )

    @abc.abstractmethod
    def _check_boundary(self, u: Any) -> None:
        """Warn if the fields break the boundary condition."""

    @abc.abstractmethod
    def _functionals(self, u: Any, modes: int) -> tuple[Any, Any]:
        """`(batch, modes + 1)` eigenfunctionals, and the `(batch, 1)` level that they leave open, or None."""

    @abc.abstractmethod
    def _rebuild(self, values: Any, level: Any, times: Any, nodes: int, products: int | None) -> Any:
        """Fields `(batch, times, nodes)` of eigenfunctionals `(batch, times, modes + 1)`."""


def series(values: Any, nodes: int) -> Any:
    """`(..., nodes)` sum of cosines, without the constant, of averages `(..., modes + 1)`."""
    modes = values.shape[-1] - 1
    cos = cosines.waves(nodes, modes)[0]
    matrix = cosines.shares(nodes, modes)[1:, None] * cos[1:]
    return values[..., 1:] @ cosines.constant(matrix, values)


def slopes(values: Any, nodes: int) -> Any:
    """Derivative of `series`, for a domain of length 1."""
    modes = values.shape[-1] - 1
    factors = cosines.shares(nodes, modes)[1:] * np.pi * np.arange(1, modes + 1)
    return values[..., 1:] @ cosines.constant(-factors[:, None] * cosines.waves(nodes, modes)[1][1:], values)


def normalised(exponent: Any, modes: int) -> tuple[Any, Any]:
    """Averages of `exp(exponent) cos(n pi x)` divided by that of `exp(exponent)`, and its logarithm.

    The exponent may be as large as it likes: only differences are raised.
    """
    # Of no fields there is no maximum to Keras, not even along their nodes.
    top = exponent[:, :1] if exponent.shape[0] == 0 else ops.max(exponent, axis=1, keepdims=True)
    top = ops.stop_gradient(top)
    matrix = cosines.averages(int(exponent.shape[1]), modes)
    # Less 1, so that fields near their rest keep their digits; it adds to the first average alone.
    moments = ops.expm1(exponent - top) @ cosines.constant(matrix, exponent)
    mass = 1.0 + moments[:, :1]
    values = ops.concatenate([ops.ones_like(mass), moments[:, 1:] / mass], axis=1)
    return values, ops.log1p(moments[:, :1]) + top
