"""`learn_eigenfunctionals`: Koopman eigenfunctionals of an equation that is known by its solutions alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import scipy.linalg
from keras import ops
from numpy.typing import NDArray

from .. import _checks
from ..backend import is_tensor, to_host
from ..linalg import RitzPairs, rayleigh_ritz
from .eigenfunctionals import Eigenfunctionals
from .pde.fields import in_precision_of

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]
Dictionary = Callable[[Any], Any]

# A pair is believed if its misfit over some steps is at most this share of what they change.
TRUST = 0.1
# What changes less is taken to change so much.
LEAST_CHANGE = 0.01
TOL = 1e-8
LARGEST = 1e150
# A product must fit so well, in its rate and on the data.
PRODUCT_RATE = 0.05
PRODUCT_FIT = 0.1


def learn_eigenfunctionals(
    snapshots: Any,
    dictionary: Dictionary | Sequence[Dictionary],
    *,
    dt: float = 1.0,
    order: int = 1,
    rank: int | None = None,
    tol: float = TOL,
    trust: float = TRUST,
) -> Eigenfunctionals:
    """Koopman eigenfunctionals of an evolution equation, from snapshots of its solutions.

    Extended dynamic mode decomposition: on the span of the dictionary's observables the Koopman operator is
    replaced by the map of least squares from the values at one snapshot to those at the next. Each
    eigenfunctional comes with its residual `|phi(u_{t+1}) - mu phi(u_t)| / |mu phi(u_t)|` over the data, and
    with its misfit over the time in which it changes by half: that says whether the dictionary can represent
    it.

    Several runs from different fields say more than one: along a single run, observables that differ may
    take the same values.

    Args:
        snapshots: `(runs, times, nodes)` or, of one run, `(times, nodes)`: fields at equal times on a uniform
            grid. A network learns from three runs of four, and the errors are those of the fourth; with
            fewer than four runs it learns from the first three quarters of the times.
        dictionary: Takes fields `(batch, nodes)` to observables `(batch, features)`; or several of these.
            See `kk.relaxation.dictionaries`, one of which is a network to be trained. Observables that are
            zero at rest leave out the constant, which says nothing.
        dt: Time between snapshots. Defaults to 1.0.
        order: Add all products of up to so many observables. Defaults to 1: none.
        rank: Most eigenfunctionals. Defaults to None: `tol` alone decides.
        tol: Directions of the observables, scaled to the same size, whose singular value is below `tol` times
            the largest are dropped. Defaults to 1e-8.
        trust: Largest misfit of an eigenfunctional that is believed, as a share of its change. Defaults to
            0.1.

    Returns:
        `Eigenfunctionals`, the slowest of those that can be trusted first.

    Raises:
        TypeError: If an argument has the wrong type, or the dictionary returns no numbers.
        ValueError: If there are fewer than two pairs of snapshots for each observable, the snapshots are not
            finite or have the wrong shape, or the dictionary returns another number of rows.

    Reference:
        Williams, Kevrekidis and Rowley, 2015, A data-driven approximation of the Koopman operator; Colbrook
        and Townsend, 2024, Rigorous data-driven computation of spectral properties of Koopman operators.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> heat = kk.relaxation.pde.Diffusion(0.1, 1.0)
    >>> starts = np.cos(np.pi * np.outer([1, 2, 3], np.linspace(0, 1, 33)))
    >>> runs = np.asarray(heat.solve(starts, np.linspace(0, 1, 11)))
    >>> moments = kk.relaxation.dictionaries.FourierMoments(3)
    >>> found = kk.relaxation.learn_eigenfunctionals(runs, moments, dt=0.1)
    >>> found.eigenvalues.real.round(4), heat.eigenvalue(2).__round__(4)
    (array([-0.987 , -3.9478, -8.8826]), -3.9478)
    """
    runs = _as_runs(snapshots)
    dt = _checks.real_number("dt", dt, 0, np.inf)
    order = _checks.whole_number("order", order, least=1)
    trust = _checks.real_number("trust", trust, 0, np.inf)
    tol = _checks.real_number("tol", tol, 0, 1, closed=True)
    parts = _as_dictionaries(dictionary)
    # A Keras model is a dictionary like another: its `fit` is not ours.
    trained = [part for part in parts if hasattr(part, "fit") and not isinstance(part, keras.Model)]
    learned, judged = _kept_back(runs) if trained else (runs, (slice(None), slice(None)))
    before, after = (part.reshape(-1, runs.shape[2]) for part in (learned[:, :-1], learned[:, 1:]))
    for part in trained:
        part.fit(before, after, learned[:, -1])
    observe = _Observables(parts, order)
    values = _values(observe, runs.reshape(-1, runs.shape[2])).reshape(*runs.shape[:2], -1)
    features = values.shape[2]
    x, y = values[:, :-1].reshape(-1, features), values[:, 1:].reshape(-1, features)
    if rank is not None:
        rank = _checks.rank_choice(_checks.whole_number("rank", rank, 1), features)  # type: ignore[assignment]
    if len(x) < 2 * features:
        raise ValueError(
            f"{len(x)} pairs of snapshots are too few for {features} observables: at least {2 * features} "
            "are needed. Pass more runs or times, a smaller dictionary or a lower order."
        )
    if not np.any(x):
        raise ValueError("the observables are zero on all snapshots: nothing can be learned from them.")
    if np.array_equal(x, y):
        raise ValueError(
            "the observables do not change from snapshot to snapshot: there is no decay to learn."
        )
    # The same inner products in few rows.
    both = scipy.linalg.qr(np.hstack([x, y]), mode="r", check_finite=False)[0][: 2 * features]
    pairs = rayleigh_ritz(both[:, :features], both[:, features:], rank, tol)
    return _result(pairs, values, judged, observe, dt, trust)


def _kept_back(runs: Real) -> tuple[Real, tuple[slice, slice]]:
    """Runs from which a network learns, and where among all runs and times it is judged.

    A network can learn by heart: what it has seen says little of its eigenfunctionals. Each fourth run is
    kept back, of fewer runs the last quarter of the times.

    Raises:
        ValueError: If there are too few of both.
    """
    if len(runs) >= 4:
        return np.delete(runs, np.s_[3::4], axis=0), (slice(3, None, 4), slice(None))
    if runs.shape[1] < 8:
        raise ValueError(
            f"{len(runs)} runs of {runs.shape[1]} times are too few to train a network on some and judge it "
            "by others. Pass four runs, or eight times."
        )
    kept = runs.shape[1] // 4
    return runs[:, :-kept], (slice(None), slice(-kept, None))


def _result(
    pairs: RitzPairs,
    values: Real,
    judged: tuple[slice, slice],
    observe: _Observables,
    dt: float,
    trust: float,
) -> Eigenfunctionals:
    """Pairs in order, of a fixed size and sign, with what can be said of them."""
    count = values.shape[0] * (values.shape[1] - 1)
    factors = pairs.eigenvalues
    rates = (np.log(np.where(factors == 0, np.finfo(float).tiny, factors)) / dt).astype(np.complex128)
    # The Ritz vectors have norm 1 over the pairs; for a mean square of 1 and a positive largest value:
    coefficients = pairs.coefficients * np.sqrt(count)
    functionals = values @ coefficients
    flat = functionals.reshape(-1, len(factors))
    peak = flat[np.argmax(np.abs(flat), axis=0), np.arange(len(factors))]
    turn = np.where(peak == 0, 1.0, np.conj(peak) / np.where(peak == 0, 1.0, np.abs(peak)))
    coefficients, functionals = coefficients * turn, functionals * turn
    if np.all(factors.imag == 0):
        coefficients = coefficients.real + 0j
    errors = np.array(
        [
            _error(functionals[(*judged, i)], v, v_rate * dt)
            for i, (v, v_rate) in enumerate(zip(factors, rates, strict=True))
        ]
    )
    trusted = errors <= trust
    order = np.lexsort((-rates.imag, -rates.real, ~trusted))
    rates, trusted = rates[order], trusted[order]
    residuals = pairs.residuals / np.maximum(np.abs(factors), np.finfo(float).tiny)
    return Eigenfunctionals(
        eigenvalues=rates,
        factors=factors[order],
        residuals=residuals[order],
        errors=errors[order],
        trusted=trusted,
        products=_products(rates, trusted, functionals.reshape(-1, len(rates))[:, order]),
        dt=dt,
        pairs=count,
        _coefficients=coefficients[:, order],
        _observe=observe,
    )


def _error(functional: Complex, factor: complex, rate: complex) -> float:
    """Misfit over so many steps as change it by about half, as a share of that change.

    Over one step noise would drown the small change of a slow functional, and over many it does not; what
    the dictionary lacks shows over any number.

    Args:
        functional: `(runs, times)`.
        factor: of one step.
        rate: its logarithm.
    """
    most = max(1, functional.shape[1] // 2)
    steps = int(np.clip(round(np.log(2) / max(abs(rate), 1e-6)), 1, most))
    before, after = functional[:, :-steps], functional[:, steps:]
    change = max(abs(1 - factor**steps), LEAST_CHANGE) * float(np.linalg.norm(before))
    return float(np.linalg.norm(after - factor**steps * before)) / max(change, 1e-300)


class _Observables:
    """Values of dictionaries side by side, with their products.

    Args:
        parts: the dictionaries.
        order: most factors in a product.
    """

    def __init__(self, parts: list[Dictionary], order: int) -> None:
        self.parts = parts
        self.order = order

    def __call__(self, fields: Any) -> Any:
        """`(batch, features)`."""
        found = [part(fields) for part in self.parts]
        features = found[0] if len(found) == 1 else ops.concatenate(found, axis=1)
        if self.order == 1:
            return features
        single = [features[:, i] for i in range(int(features.shape[1]))]
        columns = list(single)
        for factors in range(2, self.order + 1):
            for chosen in itertools.combinations_with_replacement(range(len(single)), factors):
                product = single[chosen[0]]
                for i in chosen[1:]:
                    product = product * single[i]
                columns.append(product)
        return ops.stack(columns, axis=1)


def _as_runs(snapshots: Any) -> Real:
    """`(runs, times, nodes)` on the host."""
    if is_tensor(snapshots):
        runs = to_host(snapshots)
    else:
        try:
            runs = np.asarray(snapshots)
        except ValueError:
            raise ValueError(
                "snapshots must have shape (runs, times, nodes) or (times, nodes), got rows of unequal "
                "length."
            ) from None
        if runs.dtype.kind not in "iuf":
            raise TypeError(f"snapshots must hold real numbers, got dtype {runs.dtype}.")
        runs = runs.astype(np.float64)
    if runs.ndim == 2:
        runs = runs[None]
    if runs.ndim != 3 or 0 in runs.shape:
        raise ValueError(
            f"snapshots must have shape (runs, times, nodes) or (times, nodes), got {tuple(runs.shape)}."
        )
    if runs.shape[1] < 2:
        raise ValueError(
            f"snapshots of {runs.shape[1]} time show no motion: at least two are needed. The shape is "
            "(runs, times, nodes)."
        )
    if not np.all(np.isfinite(runs)):
        raise ValueError("snapshots must be finite, got NaN or infinity. Leave such runs out.")
    return runs


def _as_dictionaries(dictionary: Any) -> list[Dictionary]:
    parts = list(dictionary) if isinstance(dictionary, list | tuple) else [dictionary]
    wrong = [part for part in parts if not callable(part) or isinstance(part, type)]
    if wrong or not parts:
        given = "an empty list"
        if wrong:
            first = wrong[0]
            given = f"the class {first.__name__}" if isinstance(first, type) else type(first).__name__
        raise TypeError(
            "dictionary must take fields (batch, nodes) to observables (batch, features), or be several such "
            f"functions, got {given}. See kk.relaxation.dictionaries."
        )
    return parts


def _values(observe: _Observables, fields: Real) -> Real:
    """Observables of fields, on the host."""
    with in_precision_of(fields):
        values = np.asarray(keras.ops.convert_to_numpy(observe(fields)))
    if values.dtype.kind not in "fiub":
        raise TypeError(
            f"the dictionary must return real numbers, got {values.dtype}. Pass the real and the imaginary "
            "part of a complex observable as two."
        )
    values = values.astype(np.float64)
    if values.ndim != 2 or len(values) != len(fields) or values.shape[1] == 0:
        raise ValueError(
            f"the dictionary must return (batch, features), here ({len(fields)}, features), got shape "
            f"{values.shape}."
        )
    if not np.all(np.isfinite(values)):
        raise ValueError("the dictionary returned NaN or infinity. Look at the fields, or scale them.")
    if np.max(np.abs(values)) > LARGEST:
        raise ValueError(
            f"the dictionary returned values up to {np.max(np.abs(values)):.1g}, whose squares overflow. "
            "Scale the fields."
        )
    return values


def _products(rates: Complex, trusted: NDArray[np.bool_], values: Complex) -> dict[int, tuple[int, int]]:
    """Which eigenfunctionals are the product of two slower ones: by their rates and by their values."""
    found: dict[int, tuple[int, int]] = {}
    believed = [i for i in np.flatnonzero(trusted) if abs(rates[i]) > 1e-6 * np.max(np.abs(rates[trusted]))]
    for k in believed:
        best = PRODUCT_FIT
        for i, j in itertools.combinations_with_replacement([b for b in believed if b < k], 2):
            if abs(rates[i] + rates[j] - rates[k]) > PRODUCT_RATE * abs(rates[k]):
                continue
            product = values[:, i] * values[:, j]
            scale = np.vdot(product, values[:, k]) / max(float(np.vdot(product, product).real), 1e-300)
            misfit = float(np.linalg.norm(values[:, k] - scale * product) / np.linalg.norm(values[:, k]))
            if misfit < best:
                best, found[int(k)] = misfit, (int(i), int(j))
    return found
