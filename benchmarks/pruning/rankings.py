"""Which ranking of weights finds, early in training, the mask with which training ends best? And is it the
ranking that matters, or the share of each layer?

LeNet-300-100 is trained densely to a fraction f of its steps; there masks are made of each ranking and share
(see `_masks.py`), and with each mask the training goes on to the end. At f = 1 a fifth of the steps is added.
The optimizer's moments are kept through the cut, as `kk.optimizers.PruningOptimizer` does.

    python benchmarks/pruning/rankings.py --verify        # the engine against Keras
    python benchmarks/pruning/rankings.py --data digits   # on which defaults may be chosen
    python benchmarks/pruning/rankings.py                 # Fashion-MNIST, on which they are judged

One thread. Rows that the table holds already are skipped. `kept_*` are parts of each kernel; `jaccard_*`
compare the weights kept with those of the magnitude and hindsight masks of share `own`.
`summarise_rankings.py` reads the tables.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import csv
import functools
import itertools
import platform
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import _recipe as recipe
import keras
import numpy as np
import torch
from _masks import RANKINGS, Masks, dense_run, overlap
from _report import processor, versions
from _training import Networks, tasks, train_variants

import keras_koopman as kk

RESULTS = Path(__file__).parents[1] / "results" / "pruning"
TABLES = {"fashion": RESULTS / "rankings.csv", "digits": RESULTS / "rankings_digits.csv"}
KEYS = ("network", "optimizer", "seed", "fraction", "sparsity", "ranking", "share")
COLUMNS = (
    *(*KEYS, "accuracy", "dense_accuracy", "kept_first", "kept_second", "kept_third"),
    *("jaccard_magnitude", "jaccard_hindsight"),
)
FRACTIONS = {"fashion": (0.05, 0.1, 0.3, 0.6, 1.0), "digits": (0.05, 0.1, 0.3)}
EARLY, LATE = (0.05, 0.1, 0.3), (0.6, 1.0)
LONGER = 0.2  # training after a cut at the end
# Cut and last step of the check against Keras. Adam divides by what is nearly 0, and so makes rounding grow:
# a thousandfold within ten steps.
VERIFIED = {"sgd": (63, 103), "adam": (6, 9)}
OTHERS = ("uniform", "erk", "magnitude", "magnitude_displacement", "hindsight")


def stages(data):
    """What to run, in this order: fractions, sparsities and pairs of ranking and share."""
    if data == "digits":
        pairs = [*itertools.product(RANKINGS, ("own", "erk", "magnitude_displacement"))]
        floors = ("own_nofloor", "own_floor0.1", "own_floor0.4", "own_floor0.5", "uniform")
        return [(EARLY, (0.95, 0.98), [*pairs, *itertools.product(["magnitude"], floors)])]
    own = [*itertools.product(RANKINGS, ["own"])]
    with_floorless = [*own, ("magnitude", "own_nofloor")]
    shared = [*itertools.product(RANKINGS, OTHERS)]
    recommended = [*itertools.product(RANKINGS, ["erk"])]
    return [
        (EARLY, (0.95,), with_floorless),
        (EARLY, (0.95,), recommended),
        (EARLY, (0.98,), with_floorless),
        (LATE, (0.95, 0.98), with_floorless),
        (EARLY, (0.9,), own),
        (EARLY, (0.8,), own),
        (EARLY, (0.95,), shared),
        (EARLY, (0.5,), own),
        (LATE, (0.9,), own),
        (LATE, (0.8,), own),
        (LATE, (0.5,), own),
        (EARLY, (0.98,), shared),
    ]


class Table:
    """The rows done so far, and a place for more."""

    def __init__(self, path):
        self.path = path
        self.done = set()
        if path.exists():
            with path.open() as file:
                rows = csv.DictReader(line for line in file if not line.startswith("#"))
                self.done = {tuple(row[key] for key in KEYS) for row in rows}
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        used = ", ".join(f"{name} {version}" for name, version in versions().items())
        with path.open("w") as file:
            file.write(f"# python {' '.join(sys.argv)}; {used}, torch {torch.__version__}; ")
            file.write(f"{processor()}, one thread, {platform.platform()}\n{','.join(COLUMNS)}\n")

    def lacks(self, *row):
        """Whether there is no row with these keys."""
        return tuple(map(str, row)) not in self.done

    def append(self, rows):
        """Put rows at the end."""
        with self.path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        self.done |= {tuple(map(str, row[: len(KEYS)])) for row in rows}


class Grid:
    """Runs what a table lacks."""

    def __init__(self, task, table):
        self.task, self.table = task, table
        self.cuts = [round(f * task.steps) for f in FRACTIONS[task.name]]
        # Both hold what is needed again at a later stage.
        self.sets = functools.cache(self._sets)
        self.dense = functools.cache(self._dense)

    def _sets(self, seed):
        return [(torch.from_numpy(x), torch.from_numpy(y).long()) for x, y in self.task.sets(seed)]

    def _dense(self, optimizer, seed):
        return dense_run(self.task, optimizer, seed, self.sets(seed), self.cuts)

    def run(self, optimizer, seed, fraction, sparsities, pairs):
        """All masks of one cut; returns how many rows and different networks that took."""
        keys = (self.task.name, optimizer, seed, fraction)
        wanted = [
            (sparsity, *pair)
            for sparsity, pair in itertools.product(sparsities, pairs)
            if self.table.lacks(*keys, sparsity, *pair)
        ]
        if not wanted:
            return 0, 0
        dense_accuracy, found = self.dense(optimizer, seed)
        cut = self.cuts[FRACTIONS[self.task.name].index(fraction)]
        state, scores = found[cut]
        made = Masks(scores)
        masks = [made.mask(ranking, share, sparsity) for sparsity, ranking, share in wanted]
        # Many shares come to the same mask: it is trained once.
        names = [b"".join(np.packbits(part.numpy()).tobytes() for part in mask) for mask in masks]
        different = dict(zip(names, masks, strict=True))
        end = self.task.steps + (round(LONGER * self.task.steps) if fraction == 1.0 else 0)
        accuracies = train_variants(
            self.task, optimizer, seed, self.sets(seed), state, [*different.values()], end
        )
        accuracy = dict(zip(different, accuracies, strict=True))
        known = {
            (name, sparsity): made.mask(name, "own", sparsity)
            for name in ("magnitude", "hindsight")
            for sparsity in sparsities
        }
        self.table.append(
            [
                (
                    *(*keys, sparsity, ranking, share, f"{accuracy[name]:.4f}", f"{dense_accuracy:.4f}"),
                    *(f"{float(part.float().mean()):.5f}" for part in mask),
                    *(f"{overlap(mask, known[other, sparsity]):.4f}" for other in ("magnitude", "hindsight")),
                )
                for (sparsity, ranking, share), mask, name in zip(wanted, masks, names, strict=True)
            ]
        )
        return len(wanted), len(different)


def verify():
    """Train by Keras what the engine trains, and print how far weights and masks are apart."""
    task, sparsity, seed = tasks()["fashion"], 0.95, 0
    sets = task.sets(seed)
    (x, y), _ = sets
    tensors = [(torch.from_numpy(some), torch.from_numpy(labels).long()) for some, labels in sets]
    for optimizer, ranking in itertools.product(recipe.OPTIMIZERS, RANKINGS[:-1]):
        cut, steps = VERIFIED[optimizer]
        order = task.order(seed, 0)[: steps * task.batch]
        _, found = dense_run(task, optimizer, seed, tensors, [cut], cut)
        state, scores = found[cut]
        mask = Masks(scores).mask(ranking, "own", sparsity)
        engine = Networks(optimizer, state, [mask])
        for batch in task.batches(seed, cut, steps):
            engine.step(*(part[batch] for part in tensors[0]))
        model = _keras_run(task, optimizer, ranking, sparsity, cut, seed, (x[order], y[order]))
        pairs = [*zip(engine.state()["weights"], model.get_weights(), strict=True)]
        theirs = [torch.from_numpy(weights != 0) for _, weights in pairs[::2]]
        apart = sum(int((a != b).sum()) for a, b in zip(mask, theirs, strict=True))
        # Weights that rounding put on the other side of the threshold are left out.
        same = [(a == b) for a, b in zip(mask, theirs, strict=True)]
        distances = [
            np.abs(a.numpy() - b)[same[number // 2].numpy() if number % 2 == 0 else ...].max()
            for number, (a, b) in enumerate(pairs)
        ]
        print(
            f"{optimizer:5}{ranking:24} mask: {apart} of {sum(m.numel() for m in mask)} differ; "
            f"weights after {steps} steps: at most {max(distances):.1e} apart",
            flush=True,
        )


def _keras_run(task, optimizer, ranking, sparsity, cut, seed, data):
    """The model that Keras trains with the package's optimizer."""
    keras.backend.clear_session()
    first, *_, last = task.units
    hidden = [keras.layers.Dense(units, "relu") for units in task.units[1:-1]]
    model = keras.Sequential([keras.Input((first,)), *hidden, keras.layers.Dense(last)])
    for layer, weights in zip(model.layers, task.weights(seed), strict=True):
        layer.set_weights(weights)
    recorder = kk.callbacks.TrajectoryRecorder(
        window=16, record_freq=max(1, round(cut / 16)), average=ranking.endswith("means")
    )
    criterion = {
        "koopman_mode": kk.pruning.KoopmanMode(recorder),
        "koopman_mode_means": kk.pruning.KoopmanMode(recorder),
        "koopman_forecast": kk.pruning.KoopmanForecast(recorder),
        "random": kk.pruning.Random(seed),
    }.get(ranking, ranking)
    inner = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer]
    model.compile(
        kk.optimizers.PruningOptimizer(
            inner(recipe.OPTIMIZERS[optimizer]), kk.schedules.OneShot(sparsity, step=cut), criterion
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(*data, batch_size=task.batch, shuffle=False, verbose=0, callbacks=[recorder])
    return model


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=TABLES, default="fashion")
    parser.add_argument("--out", type=Path, help="table; by default the one in results/")
    parser.add_argument("--optimizers", nargs="+", choices=recipe.OPTIMIZERS, default=[*recipe.OPTIMIZERS])
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--verify", action="store_true", help="compare the engine with Keras, and stop")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.verify:
        verify()
        return
    task = tasks()[args.data]
    grid = Grid(task, Table(args.out or TABLES[args.data]))
    begin = time.perf_counter()
    for number, (fractions, sparsities, pairs) in enumerate(stages(args.data), 1):
        for seed, optimizer, fraction in itertools.product(
            args.seeds or task.seeds, args.optimizers, fractions
        ):
            rows, networks = grid.run(optimizer, seed, fraction, sparsities, pairs)
            if rows:
                print(
                    f"stage {number}, sparsities {sparsities}: {optimizer} seed {seed} f={fraction}: "
                    f"{rows} rows, {networks} networks, {time.perf_counter() - begin:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
