"""Is a promise (eps, delta) kept at least 1 - delta of the time?

Small trained networks on scikit-learn's digits are compressed 1,000 times with `error=(eps, delta)`. A draw
keeps the promise on a row if, given the inputs of its layer in the original network, all halves of all
neurons of all layers are within eps of themselves. `weights` is the share of weights that is kept,
`by_chance` the share of halves in which something is drawn. `kept` is the share of draws that keep the
promise, on the row on which it is least, `kept_mean` over all rows; `kept_all` the share that do on all rows
at once, of which the theorem says nothing; `kept_fresh` the mean over as many rows that were not in the
sample.

    python benchmarks/coresets/coverage.py

One thread. Rows that the table holds already are skipped.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import math
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import keras
import numpy as np
from _resumable import ResumableTable
from sklearn.datasets import load_digits

from keras_koopman.coresets.choice import Chooser
from keras_koopman.coresets.reduction import drawn_without
from keras_koopman.coresets.sample import Sample
from keras_koopman.coresets.sensitivity import TINY
from keras_koopman.coresets.target import Target, halves_of

KEYS = ("seed", "activation", "width", "method", "eps", "delta")
FIGURES = ("draws", "weights", "by_chance", "kept", "kept_mean", "kept_all", "kept_fresh")
# Networks for a method: activation and width. Draws with replacement ask for wide layers.
NETWORKS = {
    "sipp": (("relu", 2048), ("tanh", 2048)),
    "corenet": (("relu", 4096),),
    "hybrid": (("relu", 16), ("tanh", 16)),
}
SETTINGS = ((0.9, 0.1), (0.9, 0.5))
DRAWS, ROWS = 1000, 50


def network(seed, activation, width, x, y):
    """A trained network."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(width, activation), keras.layers.Dense(10)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=5, verbose=0)
    return model


def factors(coreset, method, rng):
    """Factors of the entries of a half in many draws, `(draws, entries)`; one row if nothing is drawn."""
    ranked = coreset.half.ranked
    if not coreset.draws:
        return coreset.factors[None]
    if method == "hybrid":
        count = np.count_nonzero(coreset.factors)
        return np.array([drawn_without(ranked, count, rng) for _ in range(DRAWS)])
    counts = rng.multinomial(coreset.draws, ranked / ranked.sum(), size=DRAWS)
    return counts * ranked.sum() / (coreset.draws * ranked)


def within(half, kernel, seen, found, eps):
    """Whether each of many coresets of a half is within eps of it, `(draws, rows)`."""
    good = True
    every = np.concatenate([half.entries, half.idle])
    column = np.abs(kernel[:, half.unit])
    for rows in (np.maximum(seen, 0.0), np.maximum(-seen, 0.0)):
        sums = rows[:, every] @ column[every]
        estimates = (found * column[half.entries]) @ rows[:, half.entries].T
        good = good & ((np.abs(estimates - sums) <= eps * sums) | (sums <= TINY))
    return good


def run(model, seed, method, eps, delta, x):
    """A row of the table."""
    targets = [Target.of(layer) for layer in model.layers]
    sample, fresh = (Sample([x[i : i + ROWS]], ROWS, ROWS, 0) for i in (0, ROWS))
    sample.learn(model, targets)
    inputs = [[groups[0][0] for groups in next(rows.seen(model, model.layers))] for rows in (sample, fresh)]
    parts = halves_of(targets)
    statements = len(parts) + sum(targets[half.target].signed for half in parts)
    rng = np.random.default_rng(seed)
    chooser = Chooser(method, math.log(2 * statements / delta), rng)
    known, new = (np.ones((DRAWS, ROWS), bool) for _ in range(2))
    kept, by_chance = 0.0, 0
    for half in parts:
        coreset = chooser.needed(half, eps)
        found = factors(coreset, method, rng)
        kept += np.count_nonzero(found) / len(found)
        by_chance += coreset.draws > 0
        for good, seen in zip((known, new), inputs, strict=True):
            good &= within(half, targets[half.target].kernels[0], seen[half.target], found, eps)
    entries = sum(half.size for half in parts)
    figures = (float(known.mean(axis=0).min()), float(known.mean()), float(known.all(axis=1).mean()))
    return DRAWS, kept / entries, by_chance / len(parts), *figures, float(new.mean())


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    table = ResumableTable("coresets", "coverage", KEYS, FIGURES)
    x, y = load_digits(return_X_y=True)
    data = (x / 16).astype("float32"), y
    for seed in parser.parse_args().seeds:
        models = {}
        for method, networks in NETWORKS.items():
            for name in networks:
                for eps, delta in SETTINGS:
                    if not table.lacks(seed, *name, method, eps, delta):
                        continue
                    if name not in models:
                        models[name] = network(seed, *name, *data)
                    row = run(models[name], seed, method, eps, delta, data[0])
                    table.append(seed, *name, method, eps, delta, *row)
                    print(seed, *name, method, eps, delta, *row, flush=True)


if __name__ == "__main__":
    main()
