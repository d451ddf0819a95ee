"""Does the error of one neuron fall as the theory says: as the root of the draws, and below sqrt(S / m)?

A neuron with 200 positive weights sees 100 rows of activations, exponential and log-normal. m draws with
replacement, 2,000 coresets for each m: the root mean square of the relative error on each row, the worst row
and the mean over rows. Beside it the same number of entries as those draws find on average, kept by threshold
sampling without replacement (`hybrid`), and by cutting off.

    python benchmarks/coresets/one_neuron.py

One thread. Rows that the table holds already are skipped.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import numpy as np
from _resumable import ResumableTable

from keras_koopman.coresets.bounds import different
from keras_koopman.coresets.reduction import cut_off, drawn, drawn_without
from keras_koopman.coresets.sensitivity import sensitivities

KEYS = ("seed", "activations", "draws")
FIGURES = ("sensitivity_sum", "entries", "limit", "rms_worst", "rms_mean", "without_worst", "cut_worst")
DRAWS = (10, 30, 100, 300, 1000, 3000, 10000)
ROWS, WEIGHTS, COPIES = 100, 200, 2000


def neuron(seed, kind):
    """Activations and weights."""
    rng = np.random.default_rng(seed)
    make = {"exponential": rng.exponential, "lognormal": rng.lognormal}[kind]
    return make(size=(ROWS, WEIGHTS)), rng.lognormal(size=WEIGHTS)


def rms(rows, weights, order, factors):
    """Root mean square of the relative error of many coresets, for each row."""
    sums = rows @ weights
    found = (factors * weights[order]) @ rows[:, order].T
    return np.sqrt((((found - sums) / sums) ** 2).mean(axis=0))


def main():
    """Run what the table lacks, and print the slopes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    table = ResumableTable("coresets", "one_neuron", KEYS, FIGURES)
    for seed in seeds:
        for kind in ("exponential", "lognormal"):
            rows, weights = neuron(seed, kind)
            found = sensitivities(rows, weights[:, None])[:, 0]
            order = np.argsort(-found)
            ranked = found[order]
            for draws in DRAWS:
                if not table.lacks(seed, kind, draws):
                    continue
                rng = np.random.default_rng([seed, draws])
                counts = rng.multinomial(draws, ranked / ranked.sum(), size=COPIES)
                errors = rms(rows, weights, order, np.array([drawn(c, ranked) for c in counts]))
                entries = round(different(ranked / ranked.sum(), draws))
                without = np.array([drawn_without(ranked, entries, rng) for _ in range(COPIES)])
                cut = rms(rows, weights, order, cut_off(ranked, entries)[None])
                limit = float(np.sqrt(ranked.sum() / draws))
                figures = (float(errors.max()), float(errors.mean()))
                others = (float(rms(rows, weights, order, without).max()), float(cut.max()))
                table.append(seed, kind, draws, float(ranked.sum()), entries, limit, *figures, *others)
    slopes(table)


def slopes(table):
    """Print the slope of each run, and whether all errors are below the limit."""
    rows = table.rows()
    for seed, kind in dict.fromkeys((row["seed"], row["activations"]) for row in rows):
        own = [row for row in rows if (row["seed"], row["activations"]) == (seed, kind)]
        draws = np.log([float(row["draws"]) for row in own])
        slope = np.polyfit(draws, np.log([float(row["rms_mean"]) for row in own]), 1)[0]
        below = all(float(row["rms_worst"]) < float(row["limit"]) for row in own)
        print(f"seed {seed}, {kind}: slope {slope:.3f}; every row below sqrt(S/m): {below}")


if __name__ == "__main__":
    main()
