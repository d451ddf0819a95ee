"""How often does a 90 % credible interval of `kk.spectrum.posterior` hold the true eigenvalue?

Stationary systems `z_{t+1} = A z_t + e_t` with r eigenvalues and m pairs of snapshots, 500 draws of each
kind. A has random eigenvectors, the noise a random covariance. An interval holds if the modulus of the
eigenvalue matched with it lies within.

    python benchmarks/verdicts/coverage.py

One thread. Kinds that the table holds already are skipped. `apart` counts the draws in which all eigenvalues
lie at least four posterior standard deviations apart, `trusted` those whose posterior says it can be trusted.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import itertools

import numpy as np
from _table import Table
from scipy.optimize import linear_sum_assignment

import keras_koopman as kk

KEYS = ("kind", "eigenvalues", "pairs")
FIGURES = ("draws", "share_apart", "share_trusted", "covered", "covered_apart", "covered_trusted", "width")
DRAWS, SAMPLES, LEVEL = 500, 500, 0.9
FORGET = 300  # steps, until the start is forgotten
RANKS, PAIRS = (1, 2, 4), (10, 20, 40, 80, 160, 320)


def spectrum(kind, r, rng):
    """True eigenvalues, conjugates side by side."""
    if kind == "spread":  # evenly over the interval, so apart
        return np.linspace(0.95, 0.3, r) + rng.uniform(-0.05, 0.05, r) + 0j
    if kind == "close":
        return 0.8 + 0.02 * np.arange(r) + 0j
    if kind == "near one":
        return np.append(0.99, np.linspace(0.7, 0.2, r - 1)) + 0j
    pairs = [rng.uniform(0.5, 0.95) * np.exp(1j * rng.uniform(0.5, 2.6)) for _ in range(r // 2)]
    single = [rng.uniform(0.3, 0.95) + 0j] * (r % 2)
    return np.array([v for pair in pairs for v in (pair, pair.conjugate())] + single)


def system(values, rng):
    """A real operator with these eigenvalues, and a factor of the noise."""
    blocks, i = np.zeros((len(values), len(values))), 0
    while i < len(values):
        if values[i].imag:
            a, b = values[i].real, values[i].imag
            blocks[i : i + 2, i : i + 2] = [[a, b], [-b, a]]
        else:
            blocks[i, i] = values[i].real
        i += 1 + bool(values[i].imag)
    square = (len(values), len(values))
    frame = np.linalg.qr(rng.standard_normal(square))[0] + 0.3 * rng.standard_normal(square)
    return frame @ blocks @ np.linalg.inv(frame), rng.standard_normal(square) + np.eye(len(values))


def draw(kind, r, m, seed):
    """Which intervals hold, whether the eigenvalues lie apart, whether they are trusted, and how wide."""
    rng = np.random.default_rng([seed, r, m, *kind.encode()])
    values = spectrum(kind, r, rng)
    operator, noise = system(values, rng)
    path, state = [], np.zeros(r)
    for step in rng.standard_normal((FORGET + m + 1, r)) @ noise.T:
        state = operator @ state + step
        path.append(state)
    path = np.array(path[FORGET:]).T
    found = kk.spectrum.posterior(path.T @ path, samples=SAMPLES, seed=seed, rank=r)
    order = linear_sum_assignment(np.abs(found.eigenvalues[:, None] - values[None, :]))[1]
    interval = found.interval(LEVEL)
    truth = np.abs(values[order])
    held = (interval[:, 0] <= truth) & (truth <= interval[:, 1])
    return held, bool(found.separation.min() >= 4), found.trusted, float(np.mean(interval @ [-1, 1]))


def main():
    table = Table("coverage", KEYS, FIGURES)
    for r, m, kind in itertools.product(RANKS, PAIRS, ("spread", "complex", "near one", "close")):
        if m < 2 * r or (kind in ("close", "complex") and r == 1) or not table.lacks(kind, r, m):
            continue
        held, apart, trusted, width = map(
            np.array, zip(*(draw(kind, r, m, seed) for seed in range(DRAWS)), strict=True)
        )

        def share(chosen, held=held):
            return float(held[chosen].mean()) if chosen.any() else None

        every = np.ones(DRAWS, bool)
        row = (share(every), share(apart), share(trusted), float(width.mean()))
        table.append(kind, r, m, DRAWS, float(apart.mean()), float(trusted.mean()), *row)
        print(kind, r, m, *(f"{v:.3g}" if v is not None else "-" for v in row), flush=True)


if __name__ == "__main__":
    main()
