"""`posterior`: how sure a spectrum is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.linalg
import scipy.special
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from .. import _checks
from .._table import text_table
from ..linalg import factor_gram, gram_floor, rayleigh_ritz
from .decompose import check_gram, check_motion
from .decomposition import KoopmanDecomposition

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

# Where `benchmarks/verdicts/coverage.py` found that a 90 % interval holds the truth in 85-95 % of the draws.
MIN_SEPARATION = 4.0
MIN_COLUMNS_PER_RANK = 10
# White residuals are taken for coloured in so many of the cases.
WHITENESS = 0.01
LAGS = 5
# Residuals below this share of what is regressed are made of the rounding of a Gram matrix.
ROUNDING = 1e-6
TOL = 1e-6


class _Regression(NamedTuple):
    """Columns and their successors in coordinates of a basis of r directions, and what is known of them."""

    x: Real
    y: Real
    centered: bool
    delays: int
    dt: float


@dataclass(frozen=True, repr=False)
class SpectrumPosterior:
    """What the snapshots leave open about the eigenvalues: samples, intervals, and whether to trust them.

    Made by `kk.spectrum.posterior`. Arrays are sorted by falling modulus.

    Attributes:
        eigenvalues: `(r,)` complex, of the mean operator.
        samples: `(samples, r)` complex; column i belongs to eigenvalue i.
        separation: `(r,)` distance of each eigenvalue to the nearest other, in posterior standard deviations
            of the wider of the two; infinite where there is one eigenvalue alone.
        dt: time between snapshots, the unit of half-lives.
        columns: from how many pairs of successive snapshots.
        trusted: whether intervals of this kind were seen to hold what they promise.
        reason: why they are trusted or not, in words.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> rng = np.random.default_rng(0)
    >>> path = np.zeros((1, 400))
    >>> for t in range(399):
    ...     path[:, t + 1] = 0.8 * path[:, t] + rng.normal(size=1)
    >>> found = kk.spectrum.posterior(path.T @ path)
    >>> low, high = found.interval(0.9)[0]
    >>> bool(low < 0.8 < high), found.trusted
    (True, True)
    """

    eigenvalues: Complex
    samples: Complex
    separation: Real
    dt: float
    columns: int
    trusted: bool
    reason: str

    @property
    def rank(self) -> int:
        """Number of eigenvalues."""
        return len(self.eigenvalues)

    @property
    def growth(self) -> Real:
        """`(r,)` probability that each mode grows, `P(|lambda| > 1)`."""
        return np.asarray(np.mean(np.abs(self.samples) > 1, axis=0), np.float64)

    @property
    def any_growth(self) -> float:
        """Probability that some mode grows."""
        return float(np.mean(np.any(np.abs(self.samples) > 1, axis=1)))

    def interval(self, level: float = 0.9, part: Literal["modulus", "real", "imaginary"] = "modulus") -> Real:
        """Credible interval of each eigenvalue.

        Args:
            level: Probability within; as much is left below as above. Defaults to 0.9.
            part: Of `|lambda|`, or of its real or imaginary part. Defaults to `"modulus"`.

        Returns:
            `(r, 2)`, lower and upper ends.

        Raises:
            ValueError: If `level` is not between 0 and 1, or there is no such part.
        """
        level = _checks.real_number("level", level, 0, 1)
        _checks.one_of("part", part, ("modulus", "real", "imaginary"))
        values = {
            "modulus": np.abs(self.samples),
            "real": self.samples.real,
            "imaginary": self.samples.imag,
        }[part]
        return np.asarray(np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0).T, np.float64)

    def half_life_interval(self, level: float = 0.9) -> Real:
        """Credible interval of the time in which each mode falls to half; infinite where it does not fall.

        Args:
            level: As in `interval`.

        Returns:
            `(r, 2)` in units of `dt`.

        Raises:
            ValueError: If `level` is not between 0 and 1.
        """
        modulus = self.interval(level)
        with np.errstate(divide="ignore"):
            lives = np.where(modulus < 1, -np.log(2) * self.dt / np.log(np.minimum(modulus, 1.0)), np.inf)
        return np.asarray(lives, np.float64)

    def to_dict(self, level: float = 0.9) -> dict[str, Any]:
        """Numbers and lists for JSON, without the samples; infinity as None."""

        def ends(interval: Real) -> list[list[float | None]]:
            return [[float(end) if np.isfinite(end) else None for end in pair] for pair in interval]

        return {
            "level": level,
            "eigenvalues": [[float(v.real), float(v.imag)] for v in self.eigenvalues],
            "modulus": ends(self.interval(level)),
            "half_life": ends(self.half_life_interval(level)),
            "growth": self.growth.tolist(),
            "any_growth": self.any_growth,
            "samples": len(self.samples),
            "columns": self.columns,
            "dt": self.dt,
            "trusted": self.trusted,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        rows = [
            [
                f"{value.real:.3f}" + (f"{value.imag:+.3f}i" if value.imag else ""),
                f"{low:.3f} to {high:.3f}",
                f"{growth:.2g}",
                f"{short:.3g} to {long:.3g}",
            ]
            for value, (low, high), growth, (short, long) in zip(
                self.eigenvalues, self.interval(), self.growth, self.half_life_interval(), strict=True
            )
        ]
        lines = text_table(["eigenvalue", "90 % of |lambda|", "P(|lambda| > 1)", "90 % of half-life"], rows)
        return "\n".join([*lines, f"{'Trusted' if self.trusted else 'Not trusted'}: {self.reason}"])

    def __repr__(self) -> str:
        trust = "trusted" if self.trusted else "not trusted"
        return f"<SpectrumPosterior of {self.rank} eigenvalues, {len(self.samples)} samples, {trust}>"


def posterior(
    decomposition_or_gram: Any,
    *,
    samples: int = 1000,
    seed: int = 0,
    rank: int | None = None,
    dt: float | None = None,
) -> SpectrumPosterior:
    """Posterior of the eigenvalues: how far noise and the length of the run leave them open.

    The snapshots, projected on r directions, are taken to follow `z_{t+1} = A z_t + e_t` with white Gaussian
    noise of unknown covariance. Under the flat prior `|Sigma|^-(r+1)/2` the posterior is matrix-normal
    inverse Wishart: `Sigma ~ IW(S, m - r)` and `A | Sigma ~ MN(A_ols, Sigma, (XX')^-1)`, with S the residual
    sum of squares of m pairs. Eigenvalues of sampled operators are matched with those of `A_ols`. These are
    not quite those of `kk.decompose`, which scales columns to unit length and so gives more weight to small
    snapshots.

    Intervals are honest where the eigenvalues lie apart and the run is long: in simulated systems 90 %
    intervals held 87-96 % of the true values (`benchmarks/verdicts/coverage.py`). Elsewhere `trusted` is
    False and `reason` says why. But where eigenvalues truly lie closer than four standard deviations, the few
    draws that look apart by chance are trusted wrongly: there intervals held .4 to .7. Needs TensorFlow
    Probability; its first use loads TensorFlow.

    Args:
        decomposition_or_gram: The `(m + 1, m + 1)` inner products of successive snapshots; or what has them
            as `.gram`: a `Trajectory`, or `trajectory.increments()`, which has no fixed point; or a
            `KoopmanDecomposition`.
        samples: How many operators to draw. Defaults to 1000.
        seed: Of the draws. Defaults to 0.
        rank: How many directions, at most half of the pairs. Defaults to None: that of the decomposition, or
            as many as singular values above 1e-6 of the largest allow, and at most a tenth of the pairs.
        dt: Time between snapshots. Defaults to None: as in what is given, or 1.

    Returns:
        A `SpectrumPosterior`.

    Raises:
        ImportError: If TensorFlow Probability cannot be imported.
        TypeError: If an argument has the wrong type.
        ValueError: If a Gram matrix is not square, symmetric and finite, the snapshots do not move, or there
            are too few of them for the rank.

    Reference:
        Zellner, 1971, An introduction to Bayesian inference in econometrics, chapter 8; Hosking, 1980, The
        multivariate portmanteau statistic.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> rng = np.random.default_rng(0)
    >>> path = np.zeros((2, 300))
    >>> for t in range(299):
    ...     path[:, t + 1] = [0.9, 0.3] * path[:, t] + rng.normal(size=2)
    >>> found = kk.spectrum.posterior(path.T @ path, samples=500)
    >>> found.eigenvalues.real.round(1)
    array([0.9, 0.3])
    >>> found.growth
    array([0., 0.])
    """
    samples = _checks.whole_number("samples", samples, least=2)
    seed = _checks.whole_number("seed", seed, least=0)
    data = _regression(decomposition_or_gram, rank, dt)
    r, m = data.x.shape
    freedom = m - data.centered - r
    left, singular_values, right = scipy.linalg.svd(data.x, full_matrices=False)
    mean = (data.y @ right.T / singular_values) @ left.T
    residual = data.y - mean @ data.x
    squares, directions = np.linalg.eigh(residual @ residual.T)
    spread = directions * np.sqrt(np.maximum(squares, 0.0))
    # With W ~ Wishart(freedom, 1) and S = C C', Sigma = C W^-1 C'.
    inverse = np.linalg.inv(_wishart_factors(r, freedom, samples, seed)).transpose(0, 2, 1)
    normal = np.random.default_rng(seed).standard_normal((samples, r, r))
    operators = mean + spread @ inverse @ normal @ (left / singular_values).T
    eigenvalues = _sorted(np.linalg.eigvals(mean))
    drawn = _matched(eigenvalues, np.linalg.eigvals(operators).astype(np.complex128))
    separation = _separation(eigenvalues, drawn)
    fault = _fault(data, residual, separation)
    reason = fault or (
        f"{m} pairs of snapshots for {r} eigenvalue{'s' * (r > 1)} that lie apart, with white residuals."
    )
    return SpectrumPosterior(eigenvalues, drawn, separation, data.dt, m, fault is None, reason)


def _wishart_factors(r: int, freedom: int, samples: int, seed: int) -> Real:
    """`(samples, r, r)` Cholesky factors of draws from the Wishart law with unit scale."""
    # Imported here: it loads TensorFlow, and few need it.
    import tensorflow_probability.substrates.numpy as tfp

    law = tfp.distributions.WishartTriL(float(freedom), np.eye(r), input_output_cholesky=True)
    return np.asarray(law.sample(samples, seed=seed), np.float64)


def _regression(source: Any, rank: int | None, dt: float | None) -> _Regression:
    """The projected pairs of a decomposition, a Gram matrix, or what has one."""
    if isinstance(source, KoopmanDecomposition):
        columns, basis = source._columns, source._pairs.basis
        centered, delays = source._centered, source._delays
        dt = source.dt if dt is None else dt
    else:
        gram = _gram(source)
        factor = factor_gram(gram)
        check_motion(factor, False, "snapshots")
        columns, centered, delays = factor, False, 1
        pairs = rayleigh_ritz(
            factor[:, :-1], factor[:, 1:], None, max(TOL, gram_floor(len(gram))), shape=factor.shape
        )
        basis = pairs.basis
        if rank is None:
            rank = max(1, min(basis.shape[1], (len(gram) - 1) // MIN_COLUMNS_PER_RANK))
        times = getattr(source, "times", None)
        if dt is None:
            dt = 1.0 if times is None else float(np.mean(np.diff(times)))
    x, y = columns[:, :-1], columns[:, 1:]
    if centered:
        x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    count, available = x.shape[1] - centered, basis.shape[1]
    if rank is None:
        rank = available
    rank = _checks.whole_number("rank", rank, least=1)
    if 2 * rank > count or rank > available:
        raise ValueError(
            f"rank={rank} is too much for {count} pairs of snapshots in {available} directions: the noise is "
            f"unknown too, so at most {min(count // 2, available)} can be told. Lower rank, or record more."
        )
    basis = basis[:, :rank]
    return _Regression(basis.T @ x, basis.T @ y, centered, delays, _checks.real_number("dt", dt, 0, np.inf))


def _gram(source: Any) -> Real:
    """A checked Gram matrix of at least three snapshots."""
    found = getattr(source, "gram", source)
    try:
        if found is None:
            raise TypeError
        gram = np.asarray(found, np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            "decomposition_or_gram must be a Gram matrix, something with .gram, or a KoopmanDecomposition, "
            f"got {type(source).__name__}."
        ) from None
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
        raise ValueError(
            f"decomposition_or_gram must be a square Gram matrix, got shape {gram.shape}. Of snapshots "
            "`x`, one a column, it is x.T @ x."
        )
    if len(gram) < 3:
        raise ValueError(f"{len(gram)} snapshots leave no noise to see: at least 3 are needed. Record more.")
    check_gram(gram, "snapshots")
    size = float(np.max(np.abs(gram)))
    if float(np.max(np.abs(gram - gram.T))) > 1e-8 * size or np.min(np.diag(gram)) < 0:
        raise ValueError(
            "decomposition_or_gram must be symmetric with squares on its diagonal. Of snapshots `x`, one a "
            "column, it is x.T @ x."
        )
    return gram


def _sorted(values: Any) -> Complex:
    found: Complex = np.asarray(values, np.complex128)
    return found[np.lexsort((-found.imag, -np.abs(found).round(12)))]


def _matched(eigenvalues: Complex, drawn: Complex) -> Complex:
    """Samples with their columns in the order of `eigenvalues`, matched at the least total distance."""
    cost = np.abs(eigenvalues[None, :, None] - drawn[:, None, :])
    order = np.argmin(cost, axis=2)  # the best matching wherever no eigenvalue is taken twice
    twice = np.any(np.diff(np.sort(order, axis=1), axis=1) == 0, axis=1)
    for i in np.flatnonzero(twice):
        order[i] = linear_sum_assignment(cost[i])[1]
    return np.take_along_axis(drawn, order, axis=1)


def _separation(eigenvalues: Complex, drawn: Complex) -> Real:
    """Distance to the nearest other eigenvalue in standard deviations of the wider of the two."""
    if len(eigenvalues) == 1:
        return np.full(1, np.inf)
    width = np.sqrt(np.mean(np.abs(drawn - eigenvalues) ** 2, axis=0))
    wider = np.maximum(np.maximum(width[:, None], width[None, :]), np.finfo(float).tiny)
    apart = np.abs(eigenvalues[:, None] - eigenvalues[None, :]) / wider
    np.fill_diagonal(apart, np.inf)
    return np.asarray(apart.min(axis=1), np.float64)


def _fault(data: _Regression, residual: Real, separation: Real) -> str | None:
    """Why intervals cannot be trusted, in words; None if they can."""
    r, m = data.x.shape
    if data.delays > 1:
        return f"with delays={data.delays} neighbouring columns share snapshots, so their noise is not white."
    if m < MIN_COLUMNS_PER_RANK * r:
        return (
            f"{m} pairs of snapshots are few for {r} eigenvalue{'s' * (r > 1)}: intervals from fewer than "
            f"{MIN_COLUMNS_PER_RANK} pairs for each were too narrow. Record more, or lower rank."
        )
    nearest = float(separation.min())
    if nearest < MIN_SEPARATION:
        return (
            f"two eigenvalues lie only {nearest:.2g} standard deviations apart, so samples cannot be told "
            f"apart: it takes {MIN_SEPARATION:g}."
        )
    share = _whiteness(residual, float(np.linalg.norm(data.y)))
    if share < WHITENESS:
        return (
            f"the residuals are not white (p = {share:.1g}): each follows from the one before, which the "
            "model has no room for."
        )
    return None


def _whiteness(residual: Real, size: float) -> float:
    """Probability of such correlations between residuals, were they white: a portmanteau over a few lags.

    Args:
        residual: `(r, m)`, of a regression on the column before.
        size: norm of what was regressed.
    """
    r, m = residual.shape
    left, sizes, right = scipy.linalg.svd(residual, full_matrices=False)
    if sizes[0] <= ROUNDING * size:
        return 1.0
    white = left[:, sizes > ROUNDING * size] @ right[sizes > ROUNDING * size] * np.sqrt(m)
    lags = max(2, min(LAGS, m // 10))
    squares = sum(
        np.sum((white[:, lag:] @ white[:, :-lag].T / m) ** 2) / (m - lag) for lag in range(1, lags + 1)
    )
    # The regression has used up one lag.
    return float(scipy.special.chdtrc(r * r * (lags - 1), m * m * squares))
