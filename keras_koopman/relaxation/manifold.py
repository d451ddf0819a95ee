"""`inertial_manifold`: the few slow directions in which a run moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from .. import _checks
from ..backend import float64_allowed, to_host
from ..linalg import factor_gram
from ..trajectory import Trajectory, TrajectoryView
from .decay import TOL, Decay
from .isostable import ALLOWED_ERROR, UNEVEN

Real = NDArray[np.float64]

LEAST_INCREMENTS = 4


@dataclass(frozen=True, repr=False)
class InertialManifold:
    """The slow directions that a run needs, and coordinates on them.

    Made by `kk.relaxation.inertial_manifold`. It can be used until a snapshot from which it was made leaves
    the window of its trajectory.

    Attributes:
        dimension: how many directions it takes; a pair of complex modes counts twice.
        complete: whether they span the path up to `tol`; if not, no more directions stand out of the noise.
        eigenvalues: `(r,)` factors per record of all modes, the slowest first, conjugates side by side.
        half_lives: `(r,)` in units of the trajectory's times; infinite for modes that do not fall.
        errors: `(r,)` share of the motion that the first 1, 2, ... directions miss; the two of a pair alike.
        tol: share of the motion that may be missed.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> run = kk.Trajectory()
    >>> for t in range(30):
    ...     run.append(np.array([0.95**t, 0.7**t, 1e-4 * 0.3**t]))
    >>> slow = kk.relaxation.inertial_manifold(run, tol=0.01)
    >>> slow.dimension, slow.eigenvalues.real[:2].round(4)
    (2, array([0.95, 0.7 ]))
    >>> slow.project(run).shape
    (30, 2)
    """

    dimension: int
    complete: bool
    eigenvalues: NDArray[np.complex128]
    half_lives: Real
    errors: Real
    tol: float
    _duals: Real = field(repr=False)
    _ahead: Real = field(repr=False)
    _increments: TrajectoryView = field(repr=False)
    _latest: Any = field(repr=False)

    def project(self, trajectory: Trajectory, directions: int | None = None) -> Real:
        """Isostable coordinates of a run: along this run's own path each goes as a power of its eigenvalue.

        Of a complex mode they are the real and the imaginary part. The origin is the end that this run's
        decaying modes foretell. Another run in the same coordinates shows whether it goes the same way.

        Args:
            trajectory: This run or another one of the same weights.
            directions: How many coordinates. Defaults to None: `dimension`.

        Returns:
            `(m, directions)`, a row for each snapshot, oldest first.

        Raises:
            TypeError: If `trajectory` is no `Trajectory`, or `directions` no whole number.
            ValueError: If there are not so many directions, or the runs have different weights.
        """
        count = self.dimension if directions is None else _checks.whole_number("directions", directions, 1)
        if count > len(self.eigenvalues):
            raise ValueError(
                f"directions={count} is more than the {len(self.eigenvalues)} that the run has shown."
            )
        if not isinstance(trajectory, Trajectory):
            raise TypeError(f"trajectory must be a kk.Trajectory, got {type(trajectory).__name__}.")
        latest = _tensors(self._latest)
        found = np.zeros((len(trajectory), count))
        snapshots = [_tensors(trajectory.combine(row)) for row in np.eye(len(trajectory))]
        if snapshots and [tuple(t.shape) for t in snapshots[0]] != [tuple(t.shape) for t in latest]:
            raise ValueError(
                "trajectory is of other weights: their shapes differ. Runs can be compared if their models "
                "have the same layers and they were recorded with the same observables."
            )
        for i in range(count):
            dual = _tensors(self._increments.combine(self._duals[:, i]))
            for row, snapshot in enumerate(snapshots):
                found[row, i] = _inner(dual, snapshot, latest)
        return found - self._ahead[:count]

    def __repr__(self) -> str:
        slow = ", ".join(f"{abs(v):.3g}" for v in self.eigenvalues[: self.dimension])
        short = "" if self.complete else ", not all of the motion"
        return f"<InertialManifold of {self.dimension} directions, |lambda| {slow}{short}>"


def inertial_manifold(trajectory: Trajectory, tol: float = 0.05) -> InertialManifold:
    """How many slow directions a run needs, and which.

    The modes of the increments are taken from the slowest on until they span the path in the window up to
    `tol`. A run that relaxes needs few. Coordinates along them are Koopman eigenfunctions: the level sets of
    the first are the isostables.

    Args:
        trajectory: With at least five snapshots.
        tol: Root mean square distance of the path from the span, as a share of that from its mean. Defaults
            to 0.05.

    Returns:
        An `InertialManifold`.

    Raises:
        TypeError: If `trajectory` is no `Trajectory`.
        ValueError: If there are too few snapshots, or they do not move; if `tol` is not between 0 and 1.

    Reference:
        Foias, Sell and Temam, 1988, Inertial manifolds for nonlinear evolutionary equations; Mauroy, Mezić
        and Moehlis, 2013, Isostables, isochrons, and Koopman spectrum.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> run = kk.Trajectory()
    >>> for t in range(30):
    ...     run.append(np.array([0.95**t, 2 * 0.95**t]))
    >>> kk.relaxation.inertial_manifold(run).dimension
    1
    """
    tol = _checks.real_number("tol", tol, 0, 1)
    if not isinstance(trajectory, Trajectory):
        raise TypeError(
            f"trajectory must be a kk.Trajectory, got {type(trajectory).__name__}. "
            "Pass the trajectory of a recorder: recorder.trajectory."
        )
    if len(trajectory) <= LEAST_INCREMENTS:
        raise ValueError(
            f"{len(trajectory)} snapshots are too few to tell slow directions from fast ones: it takes "
            f"{LEAST_INCREMENTS + 1}. Record more."
        )
    spacing = np.diff(trajectory.times)
    if np.ptp(spacing) > UNEVEN * spacing.mean():
        raise ValueError(
            f"the snapshots lie {spacing.min():g} to {spacing.max():g} apart in time, so no mode has one "
            "half-life. Record at equal times."
        )
    increments = trajectory.increments()
    gram, error = increments.measured()
    if not np.all(np.isfinite(gram)):
        raise ValueError("the weights are so large that their inner products overflow.")
    if not (np.any(gram[:-1, :-1]) and np.any(gram[1:, 1:])) or error > ALLOWED_ERROR:
        raise ValueError("the weights move less than rounding shows: there are no directions to tell.")
    factor = factor_gram(gram)
    rank = "svht" if trajectory.size > len(increments) else None
    decay = Decay.of(factor, rank, trajectory.size, error)
    order = _pairs_together(decay.eigenvalues)
    values, modes = decay.eigenvalues[order], decay.modes[:, order]
    # Real directions: of a pair the real and the imaginary part.
    upper, lower = values.imag > 0, values.imag < 0
    directions = np.where(lower, np.roll(modes, 1, axis=1).imag, modes.real)
    path = np.cumsum(factor, axis=1)
    path = np.concatenate([np.zeros((len(path), 1)), path], axis=1)
    path -= path.mean(axis=1, keepdims=True)
    errors = np.array([_missed(path, directions[:, : i + 1]) for i in range(len(values))])
    errors[upper] = errors[np.flatnonzero(upper) + 1]
    enough = np.flatnonzero(errors <= tol)
    dimension = int(enough[0]) + 1 if len(enough) else len(values)
    dimension += int(upper[dimension - 1])
    duals = np.linalg.pinv(directions)
    # As combinations of the increments, to be made into weights.
    coefficients = np.linalg.pinv(factor, rcond=TOL) @ duals.T
    modulus = np.abs(values)
    lives = np.full(len(values), np.inf)
    falls = (modulus > 0) & (modulus < 1)
    lives[falls] = -np.log(2) / np.log(modulus[falls]) * float(np.mean(np.diff(trajectory.times)))
    lives[modulus == 0] = 0.0
    return InertialManifold(
        dimension=dimension,
        complete=bool(len(enough)),
        eigenvalues=values,
        half_lives=lives,
        errors=errors,
        tol=tol,
        _duals=coefficients,
        _ahead=duals @ decay.rest(),
        _increments=increments,
        _latest=trajectory.latest(),
    )


def _pairs_together(values: NDArray[np.complex128]) -> NDArray[np.intp]:
    """Order by falling modulus, conjugates side by side, the one above the real axis first."""
    rounded = np.array([float(f"{abs(v):.10e}") for v in values])
    return np.lexsort((-values.imag, -np.abs(values.imag), -values.real, -rounded))


def _missed(path: Real, directions: Real) -> float:
    """Share of a centred path off the span of directions."""
    basis = np.linalg.qr(directions)[0]
    return float(np.linalg.norm(path - basis @ (basis.T @ path)) / np.linalg.norm(path))


def _tensors(values: Any) -> list[Any]:
    return list(keras.tree.flatten(values))


def _inner(dual: list[Any], values: list[Any], origin: list[Any]) -> float:
    """Inner product of `dual` and `values - origin`."""
    total = 0.0
    with float64_allowed():
        for d, v, o in zip(dual, values, origin, strict=True):
            apart = ops.cast(v, "float64") - ops.cast(o, "float64")
            total += float(to_host(ops.sum(ops.cast(d, "float64") * apart)))
    return total
