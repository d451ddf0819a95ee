"""`KoopmanDecomposition`: the spectrum of a trajectory and what is read off it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from ..linalg import RitzPairs, delay_embedding, rayleigh_ritz, refine
from .table import spectrum_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


class RefinedPairs(NamedTuple):
    """Refined Ritz pairs: for each Ritz value, the unit vector with the least residual.

    Attributes:
        eigenvalues: `(r,)` the Ritz values.
        residuals: `(r,)` never above those of the Ritz vectors.
        coefficients: `(m + 1, r)` of the snapshots in the refined vectors.

    Reference:
        Drmač, Mezić and Mohr, 2018, Data driven modal decompositions: analysis and enhancements.
    """

    eigenvalues: Complex
    residuals: Real
    coefficients: Complex


@dataclass(frozen=True, repr=False)
class KoopmanDecomposition:
    """Eigenvalues, modes and residuals of the best linear map from each snapshot to the next.

    Made by `kk.decompose` and `Trajectory.decompose`. Arrays are sorted by falling importance.

    Attributes:
        eigenvalues: `(r,)` complex, the Ritz values, one factor of growth per snapshot.
        residuals: `(r,)`, `|A z - lambda z|` for the unit mode z. Well below `|lambda|`: the pair is real;
            near it: an artefact of noise or truncation.
        amplitudes: `(r,)` complex, coordinates of the first raw snapshot in the unit modes.
        importance: `(r,)`, `|amplitude| * |mode|`.
        singular_values: of the snapshots with columns scaled to unit length, decreasing, before truncation.
        tol: relative singular value at which they were truncated.
        dt: time between snapshots, the unit of `half_lives` and of the inverse of `frequencies`.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> t = np.arange(6)
    >>> decay = kk.decompose(np.array([0.9**t, 0.5**t]), rank=2)
    >>> np.sort(decay.eigenvalues.real)
    array([0.5, 0.9])
    >>> float(decay.predict(1)[0]) / 0.9**6
    1.0
    """

    eigenvalues: Complex
    residuals: Real
    amplitudes: Complex
    importance: Real
    singular_values: Real
    tol: float
    dt: float
    _count: int = field(repr=False)
    _delays: int = field(repr=False)
    _centered: bool = field(repr=False)
    _columns: Real = field(repr=False)
    _pairs: RitzPairs = field(repr=False)
    _state: Complex = field(repr=False)
    _drift: Complex = field(repr=False)
    _combine: Callable[[Real], Any] = field(repr=False)
    _complex: Callable[[Any, Any], Any] = field(repr=False)

    @property
    def rank(self) -> int:
        """Number of singular values kept, and of eigenvalues."""
        return len(self.eigenvalues)

    @property
    def half_lives(self) -> Real:
        """`(r,)` time in which a mode falls to half, in units of `dt`; infinite where `|lambda| >= 1`."""
        modulus = np.abs(self.eigenvalues)
        lives = np.full(modulus.shape, np.inf)
        falling = (modulus > 0) & (modulus < 1)
        lives[falling] = -np.log(2) / np.log(modulus[falling]) * self.dt
        lives[modulus == 0] = 0.0
        return lives

    @property
    def frequencies(self) -> Real:
        """`(r,)` oscillations of each mode per unit of time, from `-1 / (2 dt)` to `1 / (2 dt)`."""
        return np.asarray(np.angle(self.eigenvalues) / (2 * np.pi * self.dt), np.float64)

    @cached_property
    def refined(self) -> RefinedPairs:
        """Refined Ritz pairs with their residuals; computed when first asked for."""
        coefficients, residuals = refine(self._pairs)
        return RefinedPairs(self.eigenvalues, residuals, self._on_snapshots(coefficients, block=0))

    def near_one(self, radius: float = 0.1) -> NDArray[np.intp]:
        """Indices of the eigenvalues with `|lambda - 1| <= radius`, the most important first."""
        return np.flatnonzero(np.abs(self.eigenvalues - 1) <= radius)

    def mode(self, index: int) -> Any:
        """Unit Koopman mode `index`, in the shape of a snapshot; real if its eigenvalue is real.

        With delays it is the first snapshot of the embedded mode.

        Raises:
            IndexError: If there is no such mode.
        """
        if not -self.rank <= index < self.rank:
            raise IndexError(f"index={index} is out of range: the decomposition has {self.rank} modes.")
        coefficients = self._on_snapshots(self._pairs.coefficients[:, [index]], block=0)[:, 0]
        real = self._combine(np.ascontiguousarray(coefficients.real))
        if self.eigenvalues[index].imag == 0:
            return real
        return self._complex(real, self._combine(np.ascontiguousarray(coefficients.imag)))

    def prediction_coefficients(self, steps: float) -> Real:
        """`(m + 1,)` weights of the snapshots in the prediction `steps` steps after the last one."""
        growth = self.eigenvalues**steps
        # Sum of lambda^k for k < steps; its limit where lambda is 1.
        gap = self.eigenvalues - 1
        near = np.abs(gap) < 1e-8
        total = np.where(near, steps, (growth - 1) / np.where(near, 1, gap))
        state = growth * self._state + total * self._drift
        on_columns = self._pairs.coefficients @ state
        coefficients = self._on_snapshots(on_columns[:, None], block=self._delays - 1)[:, 0].real
        if self._centered:
            first = self._delays - 1
            columns = len(on_columns)
            coefficients[first : first + columns] += 1 / columns
        return np.ascontiguousarray(coefficients)

    def sum_ahead(self, steps: float) -> Real:
        """`(m + 1,)` weights of the snapshots in the sum of the next `steps` predictions.

        Of increments, this is the displacement ahead. Modes that grow are held at their size. Without delays
        or centring.
        """
        modulus = np.abs(self.eigenvalues)
        held = self.eigenvalues / np.maximum(modulus, 1.0)
        gap = held - 1
        near = np.abs(gap) < 1e-8
        total = np.where(near, steps, held * (held**steps - 1) / np.where(near, 1, gap))
        on_columns = self._pairs.coefficients @ (total * self._state)
        return np.ascontiguousarray(self._on_snapshots(on_columns[:, None], block=0)[:, 0].real)

    def predict(self, steps: float | Sequence[float]) -> Any:
        """Predicted snapshot, `steps` steps after the last one.

        The last snapshot is projected on the modes and each mode grows by its eigenvalue; with `center=True`
        the fitted constant is added at each step.

        Args:
            steps: a number of steps >= 0, or a sequence of them.

        Returns:
            A snapshot `(n,)`; for a sequence a list of them, or an `(n, len(steps))` array if the snapshots
            came as an array.

        Raises:
            ValueError: If a number of steps is negative or not finite.
        """
        wanted = np.asarray(steps, np.float64)
        if wanted.ndim > 1 or not np.all(np.isfinite(wanted)) or np.any(wanted < 0):
            raise ValueError(f"steps must be a number >= 0 or a sequence of such numbers, got {steps!r}.")
        if wanted.ndim == 0:
            return self._combine(self.prediction_coefficients(float(wanted)))
        found = [self._combine(self.prediction_coefficients(float(s))) for s in wanted]
        return np.stack(found, axis=-1) if found and isinstance(found[0], np.ndarray) else found

    def summary(
        self, limit: int = 10, sort: Literal["importance", "residual", "modulus"] = "importance"
    ) -> str:
        """A table of modes, to print.

        Args:
            limit: How many modes to show. Defaults to 10.
            sort: Which come first, as in `order`; modes keep their numbers. Defaults to `"importance"`.

        Raises:
            ValueError: If `sort` is no such order, or `limit` is below 1.
        """
        return spectrum_table(self, self.order(sort), _checks.whole_number("limit", limit, least=1))

    def order(self, sort: Literal["importance", "residual", "modulus"]) -> NDArray[np.intp]:
        """Indices of the modes, sorted.

        Args:
            sort: First the most important, or those with the smallest residual as a share of `|lambda|`,
                which can be trusted most, or those of greatest `|lambda|`, which last longest.

        Raises:
            ValueError: If `sort` is none of these.
        """
        _checks.one_of("sort", sort, ("importance", "residual", "modulus"))
        modulus = np.abs(self.eigenvalues)
        keys = {
            "importance": np.arange(self.rank),  # they are so sorted, conjugates side by side
            "residual": self.residuals / np.maximum(modulus, np.finfo(float).tiny),
            "modulus": -modulus,
        }
        return np.argsort(keys[sort], kind="stable")

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists for JSON; complex numbers as `[real, imaginary]`, infinity as None."""

        def pairs(values: Complex) -> list[list[float]]:
            return [[float(v.real), float(v.imag)] for v in values]

        return {
            "rank": self.rank,
            "tol": self.tol,
            "dt": self.dt,
            "snapshots": self._count,
            "delays": self._delays,
            "center": self._centered,
            "eigenvalues": pairs(self.eigenvalues),
            "residuals": self.residuals.tolist(),
            "refined_residuals": self.refined.residuals.tolist(),
            "amplitudes": pairs(self.amplitudes),
            "importance": self.importance.tolist(),
            "half_lives": [float(v) if np.isfinite(v) else None for v in self.half_lives],
            "frequencies": self.frequencies.tolist(),
            "singular_values": self.singular_values.tolist(),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Eigenvalues in the complex plane: colour is the residual, size the importance.

        Args:
            ax: Matplotlib axes to draw on. Defaults to new ones.

        Raises:
            ImportError: If Matplotlib is not installed.
        """
        from .picture import draw_spectrum

        return draw_spectrum(self, ax)

    def __repr__(self) -> str:
        return f"<KoopmanDecomposition of rank {self.rank} from {self._count} snapshots, dt={self.dt:g}>"

    def _on_snapshots(self, on_columns: Complex, block: int) -> Complex:
        """Coefficients of the columns of X as coefficients of the snapshots in delay block `block`."""
        if self._centered:
            on_columns = on_columns - on_columns.mean(axis=0)
        after = self._count - block - len(on_columns)
        return np.pad(on_columns, ((block, after), (0, 0)))


def decompose_factor(
    factor: Real,
    *,
    rank: int | str | None,
    tol: float,
    delays: int,
    center: bool,
    dt: float,
    dimension: int,
    combine: Callable[[Real], Any],
    make_complex: Callable[[Any, Any], Any],
    reference: Real | None = None,
    error: float = 0.0,
) -> KoopmanDecomposition:
    """Decomposition from a factor of the snapshots; the arguments have been checked.

    Args:
        factor: `(k, m + 1)`, the snapshots in coordinates of their span.
        rank: upper limit of the rank, `"svht"` or None.
        tol: relative singular value at which to truncate.
        delays: how many successive snapshots are stacked in one column.
        center: fit `y = A x + b` in place of `y = A x`.
        dt: time between snapshots.
        dimension: length n of a snapshot.
        combine: takes `(m + 1,)` coefficients to the sum of the snapshots so weighted.
        make_complex: makes one value of a real and an imaginary result of `combine`.
        reference: `(k,)` column that was taken off all snapshots in `factor`; only with `center`, which
            does not feel it.
        error: error of the inner products as a share of the largest. Defaults to 0: columns are scaled to
            unit length however short they are.
    """
    columns = delay_embedding(factor, delays)
    x, y = columns[:, :-1], columns[:, 1:]
    mean, next_mean = x.mean(axis=1), y.mean(axis=1)
    # A short column is made of rounding: stretched to unit length its rounding must stay below tol.
    size = float(np.max(np.linalg.norm(x, axis=0)))
    least = size * float(np.sqrt(x.shape[1] * error)) / tol if tol else 0.0
    if center:
        x, y = x - mean[:, None], y - next_mean[:, None]
    pairs = rayleigh_ritz(x, y, rank, tol, shape=(dimension * delays, x.shape[1]), least=least)

    def coordinates(column: Real) -> Complex:
        """The Ritz vectors' part in a column."""
        projected = (pairs.basis.T @ column).astype(np.complex128)
        return np.linalg.lstsq(pairs.vectors, projected, rcond=None)[0].astype(np.complex128)

    amplitudes = coordinates(columns[:, 0] + (0.0 if reference is None else np.tile(reference, delays)))
    state = coordinates(columns[:, -1] - mean * center)
    drift = coordinates((next_mean - mean) * center)
    importance = np.abs(amplitudes)
    order = _order(pairs.eigenvalues, importance)
    pairs = pairs._replace(
        eigenvalues=pairs.eigenvalues[order],
        residuals=pairs.residuals[order],
        coefficients=pairs.coefficients[:, order],
        vectors=pairs.vectors[:, order],
    )
    return KoopmanDecomposition(
        eigenvalues=pairs.eigenvalues,
        residuals=pairs.residuals,
        amplitudes=amplitudes[order],
        importance=importance[order],
        singular_values=pairs.singular_values,
        tol=tol,
        dt=dt,
        _count=factor.shape[1],
        _delays=delays,
        _centered=center,
        _columns=columns,
        _pairs=pairs,
        _state=state[order],
        _drift=drift[order],
        _combine=combine,
        _complex=make_complex,
    )


def _order(eigenvalues: Complex, importance: Real) -> NDArray[np.intp]:
    """Order of falling importance, conjugates side by side."""
    # Conjugate pairs tie to rounding: so few digits decide, then the eigenvalue.
    rounded = np.array([float(f"{i:.8e}") for i in importance])
    imaginary = eigenvalues.imag
    return np.lexsort((-imaginary, -np.abs(imaginary), -eigenvalues.real, -rounded))
