"""`estimate_noise`: slope and level of the noise in measured data."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from .. import _checks
from ..backend import float64_allowed, to_host
from ..harmonics.grid import Axes, Grid, Spacing, mean_squares
from ..harmonics.targets import refuse_nan
from .noise_estimate import NoiseEstimate

Array = NDArray[np.float64]

# Below this share of the highest wavenumber nothing is looked at, by source.
LOWEST_SHARE = {"repeats": 0.0, "residuals": 1 / 8, "top octaves": 1 / 4}
FEWEST_COEFFICIENTS = 8
STEEPEST = 16.0  # of the exponent of 1 + k^2 / knee^2
# A lower knee is taken if it is less likely than the best one by no more than this (log likelihood).
INDIFFERENCE = 2.0
# Standard errors by which a shell must stand out to speak for signal; less speaks against it.
EVIDENCE = 0.5
# Standard errors below the noise at which a shell refutes that there is so much.
REFUTED = 5.0


def estimate_noise(
    y: ArrayLike,
    axes: Axes = None,
    repeats: int | None = None,
    smooth: ArrayLike | None = None,
    above: float | None = None,
    boundary: str = "periodic",
    spacing: Spacing = None,
    channels: str | None = "last",
) -> NoiseEstimate:
    """Measure the power spectrum of the noise in data, to choose the order of a `Sobolev` loss.

    The best source is `repeats`: what differs between measurements of the same thing is noise. Next comes
    `smooth`, a fit that follows the signal. With neither, the top two octaves are taken to be noise alone,
    and the noise below to go on in the same way; if the signal reaches up there, or the noise has a bend,
    the answer is wrong. `print(estimate)` says what it rests on.

    The spectrum `a (1 + |k|^2 / knee^2)^(slope / 2)` is fitted by maximum likelihood to the squared
    coefficients of the transform that the loss uses (Whittle's likelihood), with the lowest knee that is
    about as likely as the best.

    Args:
        y: Data as the loss sees them, `(batch, ..., channels)` or `(batch, points)`.
        axes: As in `Sobolev`.
        repeats: Axis of repeated measurements: 0 if the batch repeats one sample; any other is one that the
            loss's data do not have, and `axes` does not count it. Defaults to None.
        smooth: A fit of the same shape as `y`, from which it differs by noise. Defaults to None.
        above: Lowest wavenumber to look at, in the unit of the knee. Defaults to None: all with `repeats`,
            the top three octaves with `smooth`, else the top two.
        boundary: As in `Sobolev`.
        spacing: As in `Sobolev`.
        channels: As in `Sobolev`.

    Returns:
        A `NoiseEstimate`: pass it to `Sobolev.from_noise`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the data are not finite, too few, or without noise, or both sources are given.

    Reference:
        Whittle, 1953, Estimation and information in stationary time series.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> white = np.random.default_rng(0).normal(size=(200, 257))
    >>> violet = np.diff(white)  # its power grows as k^2, until near the highest wavenumber
    >>> estimate = kk.losses.estimate_noise(violet, repeats=0, boundary="mirror")
    >>> round(estimate.order)
    -1
    """
    grid = Grid.of(axes, boundary, spacing, channels)
    data = np.asarray(y)
    data = data.astype(np.complex128 if np.iscomplexobj(data) else np.float64)
    refuse_nan("y", data)
    data, noise, source, measured = _noise(data, repeats, smooth)
    power, wavenumber, signals = _powers(noise, grid)
    count = signals * measured
    above = _lowest(above, source, wavenumber)
    chosen = (wavenumber >= above) & (wavenumber > 0)
    if chosen.sum() < FEWEST_COEFFICIENTS:
        raise ValueError(
            f"Only {chosen.sum()} wavenumbers are at least {above:.3g}, too few to fit a slope to: "
            f"{FEWEST_COEFFICIENTS} are needed. Lower above=, or pass longer data."
        )
    if not power[chosen].max() > 0:
        raise ValueError("There is no noise: all that was looked at is exactly 0. Pass measured data.")
    knee, exponent, scale, error = _fit(power[chosen], wavenumber[chosen], wavenumber, count)
    model = scale * (1 + (wavenumber / knee) ** 2) ** exponent
    whole = power if source == "top octaves" else _powers(data, grid)[0]
    return NoiseEstimate(
        slope=2 * exponent,
        slope_error=2 * error,
        knee=knee,
        level=float(np.sqrt(model.sum())),
        cutoff=_cutoff(whole, model, wavenumber, signals),
        source=source,
        above=above,
        grid=grid.config(),
    )


def _powers(values: Any, grid: Grid) -> tuple[Array, Array, int]:
    """Mean square of each coefficient, its wavenumber, and how many squares the mean is of."""
    with float64_allowed():
        tensor, k_squared = mean_squares(ops.convert_to_tensor(values, str(values.dtype)), grid)
        squares = to_host(tensor).reshape(-1, k_squared.size)
    # A complex value is two numbers.
    count = len(squares) * (2 if np.iscomplexobj(values) else 1)
    return squares.mean(axis=0), np.sqrt(k_squared).ravel(), count


def _cutoff(power: Array, noise: Array, wavenumber: Array, count: int) -> float:
    """Highest wavenumber up to which the data hold more than noise, by cumulated evidence in shells."""
    lowest = wavenumber[wavenumber > 0].min()
    shell = np.rint(wavenumber / lowest).astype(int)
    members = np.bincount(shell)
    excess, expected = (np.bincount(shell, values)[1:] for values in (power - noise, noise))
    # In standard errors that pure noise would have.
    evidence = excess / expected * np.sqrt(np.maximum(members[1:], 1) * count / 2)
    evidence[members[1:] == 0] = 0.0
    gain = np.cumsum(evidence - EVIDENCE)
    cutoff = 1 + int(np.argmax(gain)) if gain.max() > 0 else 1
    # Where the data hold far less than the noise should, it does not go on down there, and hides nothing.
    quiet = 1 + int(np.flatnonzero(evidence < -REFUTED).max(initial=0))
    return float(lowest * max(cutoff, quiet))


def _noise(y: Any, repeats: int | None, smooth: ArrayLike | None) -> tuple[Any, Any, str, float]:
    """Data, the noise in them, its source, and the share of its degrees of freedom that are left."""
    if repeats is not None and smooth is not None:
        raise ValueError(
            "Pass repeats= or smooth=, not both: either is a way to tell the noise from the signal."
        )
    if smooth is not None:
        fit = np.asarray(smooth)
        refuse_nan("smooth", fit)
        if fit.shape != y.shape:
            raise ValueError(f"smooth must have the shape of y, {y.shape}, got {fit.shape}.")
        return y, y - fit, "residuals", 1.0
    if repeats is None:
        return y, y, "top octaves", 1.0
    axis = _checks.whole_number("repeats", repeats, least=-y.ndim)
    if axis >= y.ndim or y.shape[axis] < 2:
        size = y.shape[axis] if axis < y.ndim else "no"
        raise ValueError(
            f"repeats={repeats} must be an axis of y with two measurements at least, got {size} along it and "
            f"shape {y.shape}."
        )
    y = np.moveaxis(y, axis, 0)
    left, noise = 1 - 1 / len(y), _deviations(y)
    if axis % y.ndim:  # an axis of its own: the batch comes next
        y, noise = (each.reshape(-1, *y.shape[2:]) for each in (y, noise))
    return y, noise, "repeats", left


def _deviations(y: Any) -> Any:
    """Differences from the mean over the first axis, scaled to the size of the noise."""
    return (y - y.mean(axis=0)) / np.sqrt(1 - 1 / len(y))


def _lowest(above: float | None, source: str, wavenumber: Array) -> float:
    if above is None:
        # Of the shortest side: every direction has the wavenumbers up to its end.
        return float(LOWEST_SHARE[source] * wavenumber.max())
    return _checks.real_number("above", above, 0, np.inf, closed=True)


def _fit(power: Array, wavenumber: Array, all_wavenumbers: Array, count: float) -> tuple[float, ...]:
    """Knee, exponent, scale, and the exponent's standard error, by maximum likelihood.

    Args:
        power: Mean squared coefficients.
        wavenumber: Of each of them.
        all_wavenumbers: Those not looked at too: the lowest is the lowest knee.
        count: How many squares each is the mean of.
    """
    lowest = all_wavenumbers[all_wavenumbers > 0].min()
    octaves = int(np.log2(wavenumber.max() / lowest)) + 1
    fits = []
    for knee in lowest * 2.0 ** np.arange(octaves):
        growth = np.log1p((wavenumber / knee) ** 2)
        exponent = _likeliest(power, growth)
        scale = float(np.mean(power * np.exp(-exponent * growth)))
        cost = len(power) * count / 2 * (np.log(scale) + exponent * growth.mean())
        # Fisher information of a gamma distribution whose scale is exp(exponent * growth).
        error = float(np.sqrt(2 / (count * len(power) * growth.var())))
        fits.append((float(cost), float(knee), exponent, scale, error))
    best = min(cost for cost, *_ in fits)
    return next(tuple(fit) for cost, *fit in fits if cost <= best + INDIFFERENCE)


def _likeliest(power: Array, growth: Array) -> float:
    """The exponent at which the derivative of the likelihood, which falls all the way, is 0."""

    def slope(exponent: float) -> float:
        tilted = np.log(np.maximum(power, np.finfo(float).tiny)) - exponent * growth
        share = np.exp(tilted - tilted.max())
        return float(share @ growth / share.sum() - growth.mean())

    if slope(STEEPEST) >= 0:
        return STEEPEST
    return -STEEPEST if slope(-STEEPEST) <= 0 else float(brentq(slope, -STEEPEST, STEEPEST, xtol=1e-10))
