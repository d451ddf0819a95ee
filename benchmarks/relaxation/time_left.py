"""Does `kk.relaxation.isostable` tell when a run will be done?

    python benchmarks/relaxation/time_left.py

One thread. A run is done when no more than 1 % of its way is left. It is asked at a third of the epochs that
this takes, from 64 records over that third, how many epochs it takes until 1 % of the motion left then
remains. The truth comes from the run gone on to `LENGTHS` budgets. With minibatches it is run twice with
other shuffles: the mean of the last eighth of both is the end, and the inner product of the two distances
from it is taken for the square of the distance, so that noise drops out. Where the end still moves by more
than 0.3 % of the motion that was left, the two ends differ by more than 30 % of it, or the run is never done,
nothing is known, and the run does not count.

Runs of the set "tuning" are those on which the constants of `isostable` were chosen; the set "judged" was
fixed before, and run after. Two gates came later: `RECEDES`, as random walks with a drift passed without
it, its value from the tuning runs and the walks; and that on half-lives longer than the window. Against it
the loss curve alone: `a + b exp(-c t)` fitted to the losses of the same epochs, whose excess falls as the
square of the distance. Rows that the table holds already are skipped.
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

RECORDS, FRACTION, SETTLED, APART = 64, 0.01, 0.003, 0.3
LENGTHS = {"full": 20, "slow": 80, "minibatch": 20}
RECIPES = {
    ("tuning", "full"): [
        Recipe("diabetes", 0, "sgd", 0.1, 0.9, 0.0, 0, 300),
        Recipe("diabetes", 0, "sgd", 0.2, 0.0, 0.02, 0, 600),
        Recipe("diabetes", 8, "sgd", 0.1, 0.9, 0.01, 0, 600),
        Recipe("digits600", 0, "sgd", 0.5, 0.9, 0.01, 0, 300),
        Recipe("digits600", 0, "sgd", 0.5, 0.9, 0.003, 0, 600),
        Recipe("digits600", 0, "sgd", 0.5, 0.0, 0.05, 0, 600),
        Recipe("digits600", 16, "sgd", 0.3, 0.9, 0.01, 0, 600),
        Recipe("digits600", 16, "sgd", 0.3, 0.9, 0.03, 0, 300),
    ],
    ("tuning", "slow"): [
        Recipe("diabetes", 0, "sgd", 0.001, 0.9, 0.02, 32, 300),
        Recipe("diabetes", 0, "sgd", 0.0003, 0.9, 0.1, 64, 300),
        Recipe("digits600", 0, "sgd", 0.005, 0.9, 0.05, 100, 300),
        Recipe("digits600", 0, "sgd", 0.002, 0.9, 0.2, 100, 300),
    ],
    ("judged", "full"): [
        Recipe("cancer", 0, "sgd", 0.3, 0.0, 0.01, 0, 600),
        Recipe("cancer", 0, "sgd", 0.1, 0.9, 0.003, 0, 600),
        Recipe("cancer", 8, "sgd", 0.1, 0.9, 0.01, 0, 600),
        Recipe("cancer", 0, "adam", 0.01, 0.0, 0.01, 0, 300),
        Recipe("wine", 0, "sgd", 0.3, 0.0, 0.01, 0, 600),
        Recipe("wine", 0, "sgd", 0.1, 0.9, 0.003, 0, 600),
        Recipe("wine", 8, "sgd", 0.1, 0.9, 0.03, 0, 600),
        Recipe("wine", 16, "sgd", 0.2, 0.0, 0.05, 0, 600),
        Recipe("digits600", 0, "sgd", 0.3, 0.9, 0.02, 0, 300),
        Recipe("digits600", 0, "adam", 0.003, 0.0, 0.02, 0, 300),
    ],
    ("judged", "slow"): [
        Recipe("cancer", 0, "sgd", 0.001, 0.9, 0.05, 32, 200),
        Recipe("cancer", 8, "sgd", 0.001, 0.9, 0.1, 32, 200),
        Recipe("wine", 0, "sgd", 0.002, 0.9, 0.05, 16, 200),
        Recipe("wine", 8, "sgd", 0.002, 0.9, 0.1, 16, 200),
        Recipe("diabetes", 0, "sgd", 0.001, 0.9, 0.1, 32, 200),
        Recipe("digits600", 0, "sgd", 0.003, 0.9, 0.1, 100, 200),
    ],
    ("judged", "minibatch"): [
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


def distances(start, paths):
    """`(epochs,)` distances from the end, as shares of the start's, and how well the end is known.

    Returns:
        Distances; how far the end has moved in the last half; how far the ends of the paths lie apart.
    """
    count = len(paths[0])
    width = count // 8 if len(paths) > 1 else 1
    ends = [path[-width:].mean(axis=0) for path in paths]
    end = np.mean(ends, axis=0)
    earlier = np.mean([path[count // 2 :][:width].mean(axis=0) for path in paths], axis=0)
    whole = float(np.linalg.norm(start - end))
    squares = np.einsum("ij,ij->i", paths[0] - end, paths[-1] - end)
    if len(paths) > 1:
        squares = np.convolve(squares, np.ones(25) / 25, "same")
    moved, apart = float(np.linalg.norm(earlier - end)), float(np.linalg.norm(ends[0] - ends[-1]))
    return np.sqrt(np.maximum(squares, 0)) / whole, moved / whole, apart / whole


def first_below(distances, level):
    """First index at which distances are no more than a level, or None."""
    found = np.flatnonzero(distances <= level)
    return int(found[0]) if len(found) else None


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


def ask(recipe, seed, training, length):
    """What `isostable` and the loss curve say of one run, and the truth: a row of the table."""
    count = 1 + training.shuffled
    runs = [training.path(seed, seed + 1000 * i, length * recipe.epochs) for i in range(count)]
    start, path, losses = runs[0]
    distance, moved, apart = distances(start, [run[1] for run in runs])
    done = first_below(distance, FRACTION)
    asked = max(20, (recipe.epochs if done is None else done) // 3)
    left = distance[asked - 1]
    reached = first_below(distance[asked:], FRACTION * left)
    known = done is not None and reached is not None and moved <= SETTLED * left and apart <= APART * left
    every = max(1, asked // RECORDS)
    found = kk.relaxation.isostable(recorded(start, path[:asked], every))
    told = found.time_left(FRACTION)
    true = reached + 1 if known else None
    holds = told.low <= true <= told.high if known and told else None
    curve = from_the_loss(losses[asked % every : asked])
    return (asked, found.status.name, found.spread, *(told or (None,) * 3), true, holds, curve)


def main():
    figures = "asked_at", "status", "spread", "estimate", "low", "high", "truth", "holds", "from_loss"
    table = Table("time_left", ("set", "kind", *Recipe._fields, "seed"), figures)
    for (part, kind), recipes in RECIPES.items():
        for recipe in recipes:
            seeds = [seed for seed in range(SEEDS) if table.lacks(part, kind, *recipe, seed)]
            training = Training(recipe) if seeds else None
            for seed in seeds:
                row = ask(recipe, seed, training, LENGTHS[kind])
                table.append(part, kind, *recipe, seed, *row)
                print(part, kind, *recipe, seed, *row, flush=True)
    summarise(table.rows())


def summarise(rows):
    """A line for each set and kind."""
    for part, kind in RECIPES:
        own = [row for row in rows if (row["set"], row["kind"]) == (part, kind)]
        known = [row for row in own if row["truth"]]
        spoke = [row for row in known if row["estimate"]]
        held = sum(row["holds"] == "True" for row in spoke)

        def within(name, known=known):
            good = [r for r in known if r[name] and 0.8 <= float(r[name]) / float(r["truth"]) <= 1.25]
            return f"{len(good)} of {sum(bool(r[name]) for r in known)}"

        print(
            f"{part}, {kind}: of {len(own)} runs the truth of {len(known)} is known; spoke in {len(spoke)}, "
            f"interval held in {held}; within a quarter: ours {within('estimate')}, loss curve "
            f"{within('from_loss')}; spoke in {sum(bool(r['estimate']) for r in own) - len(spoke)} others"
        )


if __name__ == "__main__":
    main()
