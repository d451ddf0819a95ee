"""Does `kk.relaxation.isostable` tell when a run will be done?

    python benchmarks/relaxation/time_left.py

One thread. Each run is asked at a third of its budget, from its last 64 records, for the epochs until 1 % of
the motion left then remains. The truth: the run goes on for twenty budgets, and where it ends is its rest.
With minibatches it goes on for ten budgets, twice with other shuffles; the mean of the last eighth of both is
the rest, and the inner product of the two distances from it is taken for the square of the distance, so that
noise drops out. Where the rest still moves by more than 0.3 % of the motion that was left, the true number is
not known, only that it is above a quarter of the time looked at: an interval that ends below is wrong.

Against it the loss curve alone: `a + b exp(-c t)` fitted to the losses of the same epochs, whose excess falls
as the square of the distance. Rows that the table holds already are skipped.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import warnings

import numpy as np
import scipy.optimize
from _runs import Recipe, Training
from _table import Table

import keras_koopman as kk

RECORDS, FRACTION, SETTLED = 64, 0.01, 0.003
BUDGETS = {"full": 20, "slow": 10, "minibatch": 10}
RECIPES = {
    "full": [
        Recipe("diabetes", 0, "sgd", 0.1, 0.9, 0.0, 0, 300),
        Recipe("diabetes", 0, "sgd", 0.2, 0.0, 0.02, 0, 600),
        Recipe("diabetes", 8, "sgd", 0.1, 0.9, 0.01, 0, 600),
        Recipe("digits600", 0, "sgd", 0.5, 0.9, 0.01, 0, 300),
        Recipe("digits600", 0, "sgd", 0.5, 0.9, 0.003, 0, 600),
        Recipe("digits600", 0, "sgd", 0.5, 0.0, 0.05, 0, 600),
        Recipe("digits600", 16, "sgd", 0.3, 0.9, 0.01, 0, 600),
        Recipe("digits600", 16, "sgd", 0.3, 0.9, 0.03, 0, 300),
    ],
    "slow": [
        Recipe("diabetes", 0, "sgd", 0.001, 0.9, 0.02, 32, 300),
        Recipe("diabetes", 0, "sgd", 0.0003, 0.9, 0.1, 64, 300),
        Recipe("digits600", 0, "sgd", 0.005, 0.9, 0.05, 100, 300),
        Recipe("digits600", 0, "sgd", 0.002, 0.9, 0.2, 100, 300),
    ],
    "minibatch": [
        Recipe("digits", 32, "sgd", 0.1, 0.0, 0.0, 32, 60),
        Recipe("digits", 32, "adam", 0.001, 0.0, 0.0, 32, 60),
        Recipe("digits", 0, "sgd", 0.1, 0.9, 0.01, 32, 60),
        Recipe("diabetes", 8, "sgd", 0.05, 0.9, 0.01, 32, 180),
    ],
}
SEEDS = 2


def recorded(start, weights, every):
    """The trajectory of a recorder that takes the mean over so many epochs."""
    run = kk.Trajectory(window=RECORDS)
    run.set_origin(start)
    for begin in range(len(weights) % every, len(weights), every):
        run.append(weights[begin : begin + every].mean(axis=0), time=float(begin + every))
    return run


def truth(training, asked, key, budgets):
    """True epochs left, whether they are known, and the share of the motion left that is noise."""
    branches = [training.go_on(1000 * key + i, 3 * budgets) for i in range(1 + training.shuffled)]
    paths = [np.concatenate([part.astype(np.float32) for part in branch]) for branch in branches]
    count = len(paths[0])
    width = count // 8 if training.shuffled else 1
    rest = np.mean([path[-width:].mean(axis=0) for path in paths], axis=0)
    earlier = np.mean([path[count // 2 :][:width].mean(axis=0) for path in paths], axis=0)
    left = float(np.linalg.norm(asked - rest))
    moved = float(np.linalg.norm(earlier - rest))
    squares = np.einsum("ij,ij->i", paths[0] - rest, paths[-1] - rest)
    noise = float(np.linalg.norm(paths[0][-1] - rest)) / left
    if training.shuffled:
        squares = np.convolve(squares, np.ones(5) / 5, "same")
    reached = np.flatnonzero(squares <= (FRACTION * left) ** 2)
    known = moved <= SETTLED * left and len(reached) > 0
    return (int(reached[0]) + 1 if known else count // 4), known, noise


def from_the_loss(losses):
    """Epochs until the excess of a fitted loss curve falls by the square of the fraction."""
    t = np.arange(len(losses), dtype=float)
    spread = float(losses[0] - losses[-1]) or 1e-12

    def curve(t, a, b, c):
        return a + b * np.exp(-np.exp(c) * t)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first = (losses[-1], spread, np.log(3 / len(t)))
            found, _ = scipy.optimize.curve_fit(curve, t, losses, first, maxfev=5000)
    except RuntimeError:
        return None
    return float(2 * np.log(1 / FRACTION) / np.exp(found[2])) if np.isfinite(found[2]) else None


def main():
    figures = (
        "asked_at", "status", "mismatch", "estimate", "low", "high", "truth", "known", "holds", "noise",
        "from_loss",
    )  # fmt: skip
    table = Table("time_left", ("kind", *Recipe._fields, "seed"), figures)
    for kind, recipes in RECIPES.items():
        for recipe in recipes:
            seeds = [seed for seed in range(SEEDS) if table.lacks(kind, *recipe, seed)]
            ask = recipe.epochs // 3
            training = Training(recipe, ask) if seeds else None
            for seed in seeds:
                start, weights, losses = training.begin(seed)
                every = max(1, ask // RECORDS)
                found = kk.relaxation.isostable(recorded(start, weights, every))
                left = found.time_left(FRACTION)
                true, known, noise = truth(training, weights[-every:].mean(axis=0), seed, BUDGETS[kind])
                holds = None
                if left is not None:
                    holds = left.low <= true <= left.high if known else left.high >= true
                curve = from_the_loss(losses[-RECORDS * every :])
                row = (ask, found.status.name, found.mismatch, *(left or (None,) * 3))
                table.append(kind, *recipe, seed, *row, true, known, holds, noise, curve)
                print(
                    kind, recipe, seed, *row, "truth", true, known, holds, "noise", noise, curve, flush=True
                )
    summarise(table.rows())


def summarise(rows):
    """A line for each kind."""
    for kind in RECIPES:
        own = [row for row in rows if row["kind"] == kind]
        spoke = [row for row in own if row["estimate"]]
        held = sum(row["holds"] == "True" for row in spoke)
        known = [row for row in own if row["known"] == "True"]

        def within(name, known=known):
            good = [r for r in known if r[name] and 0.8 <= float(r[name]) / float(r["truth"]) <= 1.25]
            return f"{len(good)} of {sum(bool(r[name]) for r in known)}"

        print(
            f"{kind}: spoke in {len(spoke)} of {len(own)}, interval held in {held}; of {len(known)} with a "
            f"known truth within a quarter: ours {within('estimate')}, loss curve {within('from_loss')}"
        )


if __name__ == "__main__":
    main()
