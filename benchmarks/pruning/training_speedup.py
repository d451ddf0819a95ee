"""Is training faster if units are pruned early, and the network shrunk, and trained on?

Arms, each with the same seed, data and Adam: the dense network; the dense network whose units are pruned in
one shot after a tenth of the steps, by the criterion named, and which is shrunk there and trained on with its
optimizer's state; and the control, the small network from scratch. Each epoch's wall time (evaluation apart,
the cut and the shrinking counted) and test accuracy are written down; `time_to` is when an arm first reaches
the dense network's final accuracy less half a point, whose own time is the reference. Arms take turns in an
order that changes with the seed.

    python benchmarks/pruning/training_speedup.py [--networks mlp convnet] [--seeds 0 1 2 3 4]
"""

import argparse
import csv
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _networks
import keras
import numpy as np
import tensorflow as tf

import keras_koopman as kk

EPOCHS = 15
CUT = 0.1  # of all steps
SPARSITIES = (0.5, 0.8)
COLUMNS = ("network", "seed", "sparsity", "arm", "epoch", "seconds", "accuracy")


def criteria(recorder):
    """Ways to rank units, by name; those that follow the trajectory need the recorder."""
    return {
        "koopman_mode": kk.pruning.KoopmanMode(recorder),
        "magnitude": "magnitude",
        "magnitude_displacement": "magnitude_displacement",
    }


class Clocked:
    """Trains and tells time and accuracy."""

    def __init__(self, data):
        (self.x, self.y), self.test = data
        self.steps = -(-len(self.x) // _networks.BATCH)
        self.seconds, self.curve = 0.0, []

    def fit(self, model, rows=slice(None), callbacks=()):
        """Train on some of an epoch's rows; the first call of a model compiles it, which counts."""
        begin = time.perf_counter()
        model.fit(
            self.x[rows], self.y[rows], batch_size=_networks.BATCH, verbose=0, callbacks=list(callbacks)
        )
        self.seconds += time.perf_counter() - begin

    def test_accuracy(self, model):
        """Note where it stands."""
        accuracy = model.evaluate(*self.test, batch_size=1000, verbose=0)[1]
        self.curve.append((self.seconds, round(float(accuracy), 4)))


def plain(name, seed, data, widths=None):
    """An ordinary training."""
    keras.utils.set_random_seed(seed)
    build = _networks.NETWORKS[name]
    model = _networks.compiled(build(widths) if widths else build(), keras.optimizers.Adam(1e-3))
    clock = Clocked(data)
    for _ in range(EPOCHS):
        clock.fit(model)
        clock.test_accuracy(model)
    return clock.curve, model


def cut_early(name, seed, data, criterion, sparsity):
    """Prune units after a tenth of the steps, shrink, train on."""
    keras.utils.set_random_seed(seed)
    clock = Clocked(data)
    cut = round(CUT * EPOCHS * clock.steps)
    recorder = kk.callbacks.TrajectoryRecorder(window=16, record_freq=max(1, cut // 17))
    optimizer = kk.optimizers.PruningOptimizer(
        keras.optimizers.Adam(1e-3),
        kk.schedules.OneShot(sparsity, cut),
        criteria(recorder)[criterion],
        share="uniform",
        structure="unit",
    )
    model = _networks.compiled(_networks.NETWORKS[name](), optimizer)
    watching = [recorder] if criterion.startswith("koopman") else []
    done = 0
    while cut - done >= clock.steps:
        clock.fit(model, callbacks=watching)
        clock.test_accuracy(model)
        done += clock.steps
    if cut > done:
        clock.fit(model, slice(0, (cut - done) * _networks.BATCH), callbacks=watching)
    begin = time.perf_counter()
    small = kk.pruning.shrink(model)
    clock.seconds += time.perf_counter() - begin
    if cut > done:
        clock.fit(small, slice((cut - done) * _networks.BATCH, None))
        clock.test_accuracy(small)
    while len(clock.curve) < EPOCHS:
        clock.fit(small)
        clock.test_accuracy(small)
    return clock.curve, small


def widths_of(model):
    """Widths of the hidden layers."""
    return tuple(
        layer.units if hasattr(layer, "units") else layer.filters
        for layer in model.layers[:-1]
        if hasattr(layer, "units") or hasattr(layer, "filters")
    )


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=[*_networks.NETWORKS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[*range(5)])
    table = Path(__file__).parents[1] / "results" / "pruning" / "training_speedup.csv"
    parser.add_argument("--out", type=Path, default=table)
    args = parser.parse_args()
    done = set()
    if args.out.exists():
        with args.out.open() as file:
            rows = csv.DictReader(line for line in file if not line.startswith("#"))
            done = {(row["network"], int(row["seed"]), float(row["sparsity"]), row["arm"]) for row in rows}
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        versions = f"keras_koopman {kk.__version__}, keras {keras.__version__}, tensorflow {tf.__version__}"
        head = (
            f"# python benchmarks/pruning/training_speedup.py; {versions}; {platform.platform()}, 2 cores\n"
        )
        args.out.write_text(head + ",".join(COLUMNS) + "\n")
    data = _networks.fashion()

    def keep(name, seed, sparsity, arm, curve):
        with args.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            for epoch, (seconds, accuracy) in enumerate(curve, 1):
                values = (name, seed, sparsity, arm, epoch, round(seconds, 2), accuracy)
                writer.writerow(dict(zip(COLUMNS, values, strict=True)))
        print(name, seed, sparsity, arm, curve[-1], flush=True)

    for seed in args.seeds:
        for name in args.networks:
            dense_width = _networks.WIDTHS[name]
            arms = [("dense", 0.0), *(("scratch", s) for s in SPARSITIES)]
            arms += [(c, s) for s in SPARSITIES for c in criteria(kk.callbacks.TrajectoryRecorder())]
            for arm, sparsity in np.roll(np.array(arms, object), 2 * seed, axis=0):
                if (name, seed, sparsity, arm) in done:
                    continue
                if arm == "dense":
                    curve, _ = plain(name, seed, data)
                elif arm == "scratch":
                    small = tuple(w - round(sparsity * w) for w in dense_width)
                    curve, _ = plain(name, seed, data, small)
                else:
                    curve, _ = cut_early(name, seed, data, arm, sparsity)
                keep(name, seed, sparsity, arm, curve)


if __name__ == "__main__":
    main()
