"""What increments say about the motion that is left: sums of decaying modes, on the host."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from ..linalg import rayleigh_ritz, scaled_floor
from ..spectrum.figures import TRUST

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

TOL = 1e-6
# Beyond so many records nothing is told.
FURTHEST = 1e7


@dataclass(frozen=True)
class Decay:
    """Modes of some increments, and the motion that they foretell from the last snapshot on.

    Attributes:
        eigenvalues: `(r,)` factors per record, the slowest first.
        residuals: `(r,)` of the modes.
        modes: `(k, r)` modes in the coordinates of the factor; of unit length without delays.
        last: `(r,)` coordinates of the last increment.
        explained: share of the squared increments that follow from those before.
        step: `(k,)` the last increment.
    """

    eigenvalues: Complex
    residuals: Real
    modes: Complex
    last: Complex
    explained: float
    step: Real

    @classmethod
    def of(cls, factor: Real, rank: int | str | None, size: int, error: float, delays: int = 1) -> Decay:
        """From increments, one a column, in coordinates of any orthonormal basis.

        Args:
            factor: `(k, m)`, not all zero, neither without the first nor without the last.
            rank: as in `kk.decompose`.
            size: how many numbers an increment holds.
            error: of an inner product, as a share of the largest.
            delays: so many increments in a row are one state: with 2 the next follows from the last and
                its velocity, as it does with momentum. Defaults to 1.
        """
        directions, count = factor.shape
        states = np.concatenate([factor[:, i : count - delays + 1 + i] for i in range(delays)])
        x, y = states[:, :-1], states[:, 1:]
        norms = np.linalg.norm(states, axis=0)
        tol = max(TOL, scaled_floor(norms, error))
        least = float(np.max(norms[:-1])) * float(np.sqrt(x.shape[1] * error)) / tol
        pairs = rayleigh_ritz(x, y, rank, tol, shape=(size * delays, x.shape[1]), least=least)
        order = np.argsort(-np.abs(pairs.eigenvalues), kind="stable")
        vectors = pairs.vectors[:, order]
        projected = (pairs.basis.T @ states[:, -1]).astype(np.complex128)
        misfit = y - pairs.image @ (pairs.basis.T @ x)
        return cls(
            pairs.eigenvalues[order],
            pairs.residuals[order],
            (pairs.basis @ vectors)[-directions:],
            np.linalg.lstsq(vectors, projected, rcond=None)[0].astype(np.complex128),
            max(0.0, 1.0 - float(np.sum(misfit**2) / np.sum(y**2))),
            factor[:, -1],
        )

    @property
    def trusted(self) -> NDArray[np.bool_]:
        """`(r,)` modes whose residual is small."""
        return np.asarray(self.residuals <= TRUST * np.abs(self.eigenvalues))

    @property
    def leading(self) -> int | None:
        """Number of the slowest trusted mode."""
        found = np.flatnonzero(self.trusted)
        return int(found[0]) if len(found) else None

    def ahead(self, since: float = 0.0) -> Complex:
        """`(k, r)` what each decaying mode still adds, `since` records after the last; others add nothing."""
        decays = np.abs(self.eigenvalues) < 1
        values = np.where(decays, self.eigenvalues, 0.0)
        # A negative or complex factor has no real power: the modulus decides how much of it is left.
        weights = self.last * values / (1 - values) * np.abs(values) ** since
        return np.asarray(self.modes * weights, np.complex128)

    def rest(self) -> Real:
        """`(k,)` displacement from the last snapshot to where the modes end."""
        return np.asarray(self.ahead().sum(axis=1).real, np.float64)

    def records_left(self, fraction: float, since: float = 0.0) -> float:
        """Records until no more than `fraction` of the motion that is left `since` records later remains."""
        amounts = self.ahead(since)
        squares = (amounts.conj().T @ amounts).real
        modulus = np.abs(self.eigenvalues)

        def remains(records: float) -> float:
            powers = np.where(modulus < 1, modulus, 0.0) ** records
            return float(np.sqrt(max(float(powers @ squares @ powers), 0.0)))

        goal = fraction * remains(0.0)
        if goal == 0:
            return 0.0
        high = 1.0
        while remains(high) > goal:
            high *= 2
            if high > FURTHEST:
                return np.inf
        return float(scipy.optimize.brentq(lambda t: remains(t) - goal, 0.0, high))
