"""A trajectory seen through a linear map: its snapshots, or their increments."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from ..backend import complex_like
from ..linalg import factor_gram, gram_floor, raw_gram, scaled_floor
from ..spectrum.decompose import check_gram, check_motion, check_options
from ..spectrum.decomposition import KoopmanDecomposition, decompose_factor

if TYPE_CHECKING:
    from .trajectory import Trajectory

Real = NDArray[np.float64]


class TrajectoryView:
    """Linear combinations of a trajectory's snapshots, one a column, known by their inner products.

    Made by `Trajectory.increments`; a snapshot that is recorded later is not in it. It can be used until one
    that is in it leaves the window.

    Args:
        trajectory: whose snapshots are combined.
        matrix: `(m, k)`, column j holds the coefficients of the snapshots in column j of the view.
        times: `(k,)`, the time of each column.
        appended: how many snapshots the trajectory had been given then. Defaults to None: so many as now.
    """

    def __init__(
        self, trajectory: Trajectory, matrix: Real, times: Real, appended: int | None = None
    ) -> None:
        self._trajectory = trajectory
        self._matrix = matrix
        self._appended = trajectory._appended if appended is None else appended
        self.times = times

    def __len__(self) -> int:
        return int(self._matrix.shape[1])

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups whose Gram matrices add up to `gram`."""
        return self._trajectory.groups

    @property
    def gram(self) -> Real:
        """`(k, k)` inner products of the columns, float64."""
        return self.gram_of(self.groups)

    def gram_of(self, group: str | Iterable[str]) -> Real:
        """`(k, k)` inner products of the columns within a group, or in several together.

        Raises:
            KeyError: If there is no such group.
        """
        return self._products(group)[0]

    def tail(self, count: int) -> TrajectoryView:
        """The last `count` columns."""
        start = max(len(self) - count, 0)
        return TrajectoryView(self._trajectory, self._matrix[:, start:], self.times[start:], self._appended)

    def _on_window(self, matrix: Real) -> Real:
        """Rows of `matrix`, one for each snapshot of then, brought to the snapshots of now.

        Raises:
            ValueError: If a snapshot with a coefficient has left the window.
        """
        count = len(self._trajectory)
        gone = len(matrix) + self._trajectory._appended - self._appended - count
        if np.any(matrix[:gone]):
            raise ValueError(
                f"snapshots of which this was made have left the window of {self._trajectory.window} since. "
                "Ask for it before the next append, or raise window."
            )
        kept = matrix[gone:]
        return np.pad(kept, [(0, count - len(kept))] + [(0, 0)] * (matrix.ndim - 1))

    def measured(self) -> tuple[Real, float]:
        """`gram`, and how far rounding may have moved an entry, as a share of the largest."""
        gram, _, error = self._products(self.groups)
        return gram, error

    def _products(
        self, group: str | Iterable[str], center: bool = False
    ) -> tuple[Real, tuple[Real, float] | None, float]:
        """Inner products of the columns within some groups.

        Returns:
            Their Gram matrix; None or, with `center` where the columns are snapshots, the inner products of
            each with the reference that has then been taken off it, and of that with itself; and the error
            of an entry of the Gram matrix as a share of the largest.
        """
        gram, error = self._trajectory._products(group)
        t = self._on_window(self._matrix)
        sums = t.sum(axis=0)
        apart = None
        if center or not np.any(sums):  # the reference drops out, and with it its rounding
            of_columns: Real = t.T @ gram @ t
            if np.any(sums):
                cross, square = self._trajectory._reference_products(group)
                apart = (t.T @ cross, square)
        else:
            of_columns = t.T @ raw_gram(gram, *self._trajectory._reference_products(group)) @ t
        reach = np.abs(t).T @ np.sqrt(np.maximum(np.diag(gram), 0.0))
        size = max(float(np.max(np.diag(of_columns), initial=0.0)), np.finfo(float).tiny)
        relative = error * float(np.max(reach, initial=0.0)) ** 2 / size
        return of_columns, apart, max(relative, float(np.finfo(float).eps))

    def combine(self, coefficients: Any) -> Any:
        """Sum of the columns with these weights, in the form in which snapshots were handed in.

        Args:
            coefficients: `(k,)` real numbers.

        Raises:
            ValueError: If there is not one for each column, or a snapshot that is needed has left the window.
        """
        weights = np.asarray(coefficients, np.float64)
        if weights.shape != (len(self),) or not np.all(np.isfinite(weights)):
            raise ValueError(
                f"coefficients must be {len(self)} finite numbers, one for each snapshot, "
                f"got shape {weights.shape}."
            )
        return self._trajectory._combine(self._on_window(self._matrix @ weights))

    def decompose(
        self,
        group: str | Iterable[str] | None = None,
        *,
        rank: int | Literal["svht"] | None = None,
        tol: float | None = None,
        delays: int = 1,
        center: bool = False,
        dt: float | None = None,
    ) -> KoopmanDecomposition:
        """Koopman spectrum of the columns, from their Gram matrix alone.

        Args:
            group: Take the inner products within this group, or these groups, alone. The modes are still
                those of whole snapshots. Defaults to None: all.
            rank: As in `kk.decompose`.
            tol: As in `kk.decompose`; raised to what the rounding of the inner products allows.
            delays: As in `kk.decompose`.
            center: As in `kk.decompose`.
            dt: Time between columns. Defaults to the mean difference of `times`.

        Raises:
            KeyError: If there is no such group.
            ValueError: If there are too few snapshots, they do not move, or an argument is out of range.
        """
        chosen = self.groups if group is None else (group,) if isinstance(group, str) else tuple(group)
        count = len(self)
        spacing = np.diff(self.times)
        if dt is None:
            dt = float(spacing.mean()) if count > 1 else 1.0
            if count > 1 and np.max(np.abs(spacing - dt)) > 0.01 * dt:
                warnings.warn(
                    f"Snapshots are not evenly spaced in time (from {spacing.min():g} to {spacing.max():g}): "
                    "eigenvalues are per snapshot, half-lives use the mean. Record at equal times.",
                    stacklevel=3,
                )
        delays, tol, dt = check_options(count, delays, tol, self._trajectory._dtype, dt)
        size = self._trajectory._size(chosen)
        limit = _checks.rank_choice(rank, min(size * delays, count - delays))
        gram, apart, error = self._products(chosen, bool(center))
        check_gram(gram, "snapshots")
        reference = None
        if apart is None:
            factor = factor_gram(gram)
        else:
            cross, square = apart
            factor = factor_gram(np.block([[gram, cross[:, None]], [cross[None, :], np.array([[square]])]]))
            factor, reference = factor[:, :-1], factor[:, -1]
        check_motion(factor, bool(center), "snapshots", reference)
        # Centred columns may be as short as they like: they are scaled only as far as their rounding allows.
        norms = np.sqrt(np.maximum(np.diag(gram), 0.0))
        floor = gram_floor(count, error) if center else scaled_floor(norms, error)
        return decompose_factor(
            factor,
            rank=limit,
            tol=max(tol, floor),
            delays=delays,
            center=bool(center),
            dt=dt,
            dimension=size,
            combine=self.combine,
            make_complex=complex_like,
            reference=reference,
            error=error,
        )
