"""Which ranking of weights finds, early in training, the mask with which training ends best? And is it the
ranking that matters, or the share of each layer?

A network is trained densely to a fraction f of its steps; there masks are made of each ranking and share (see
`_masks.py`), and with each mask the training goes on to the end. At f = 1 a fifth of the steps is added. The
optimizer's moments are kept through the cut, as `kk.optimizers.PruningOptimizer` does.

    python benchmarks/pruning/rankings.py --verify        # the engine against Keras
    python benchmarks/pruning/rankings.py --data digits   # on which defaults may be chosen
    python benchmarks/pruning/rankings.py                 # Fashion-MNIST, on which they are judged
    python benchmarks/pruning/rankings.py --candidates    # scores that were tried, in tables of their own

`--network convnet` is two strided convolutions and two dense layers instead of LeNet-300-100. Each data,
network and optimizer has its table; rows that it holds already are skipped. A quarter of an hour on a GPU, a
day or two on a processor. `kept_*` are parts of each kernel; `jaccard_*` compare the weights kept with those
of the magnitude and hindsight masks of share `own`. `summarise_rankings.py` reads the tables.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import argparse
import functools
import itertools
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import _recipe as recipe
import keras
import numpy as np
import torch
from _masks import CANDIDATES, RANKINGS, Masks, dense_run, overlap
from _resumable import ResumableTable
from _training import DEVICE, KERNEL, NETWORKS, STRIDE, Networks, task, train_variants

import keras_koopman as kk

KEYS = ("data", "network", "optimizer", "seed", "fraction", "sparsity", "ranking", "share")
FIGURES = (
    *("accuracy", "dense_accuracy", "kept_first", "kept_second", "kept_third", "kept_fourth"),
    *("jaccard_magnitude", "jaccard_hindsight"),
)
FRACTIONS = {"fashion": (0.05, 0.1, 0.3, 0.6, 1.0), "digits": (0.05, 0.1, 0.3)}
SPARSITIES = {"fashion": (0.95, 0.98, 0.9, 0.8, 0.5), "digits": (0.95, 0.98)}
EARLY, SPARSE = (0.05, 0.1, 0.3), (0.95, 0.98)  # what candidates are tried at
LONGER = 0.2  # training after a cut at the end
# Cut and last step of the check against Keras. Rounding grows: under Adam, which divides by what is nearly 0,
# a thousandfold within ten steps, and in the convnet fast too.
VERIFIED = {
    ("lenet", "sgd"): (63, 103),
    ("lenet", "adam"): (6, 9),
    ("convnet", "sgd"): (16, 24),
    ("convnet", "adam"): (6, 9),
}


def stages(data):
    """Pairs of ranking and share, in the order in which they are run."""
    first = [*itertools.product(RANKINGS, ("own", "erk")), ("magnitude", "own_nofloor")]
    if data == "digits":
        floors = ("own_floor0.1", "own_floor0.4", "own_floor0.5", "uniform")
        first += [("magnitude", share) for share in floors]
        return [first, [*itertools.product(RANKINGS, ["magnitude_displacement"])]]
    others = ("uniform", "magnitude", "magnitude_displacement", "hindsight")
    return [first, [*itertools.product(RANKINGS, others)]]


def on_device(sets):
    """`(x, y)` pairs of arrays as tensors."""
    return [(torch.from_numpy(x).to(DEVICE), torch.from_numpy(y).long().to(DEVICE)) for x, y in sets]


class Grid:
    """Runs what a table lacks."""

    def __init__(self, data, network, optimizer, fractions, sparsities, name="rankings"):
        self.data, self.network, self.optimizer = data, network, optimizer
        self.fractions, self.sparsities = fractions, sparsities
        self.task = task(data, network)
        self.cuts = [round(f * self.task.steps) for f in fractions]
        on = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{torch.get_num_threads()} threads"
        self.table = ResumableTable("pruning", f"{name}_{data}_{network}_{optimizer}", KEYS, FIGURES, on)
        # Both hold what is needed again at a later stage.
        self.sets = functools.cache(self._sets)
        self.dense = functools.cache(self._dense)

    def _sets(self, seed):
        return on_device(self.task.sets(seed))

    def _dense(self, seed):
        return dense_run(self.task, self.optimizer, seed, self.sets(seed), self.cuts)

    def run(self, seed, fraction, pairs):
        """All masks of one cut; returns how many rows and different networks that took."""
        keys = (self.data, self.network, self.optimizer, seed, fraction)
        wanted = [
            (sparsity, *pair)
            for sparsity, pair in itertools.product(self.sparsities, pairs)
            if self.table.lacks(*keys, sparsity, *pair)
        ]
        if not wanted:
            return 0, 0
        dense_accuracy, found = self.dense(seed)
        cut = self.cuts[self.fractions.index(fraction)]
        state, scores = found[cut]
        made = Masks(scores)
        masks = [made.mask(ranking, share, sparsity) for sparsity, ranking, share in wanted]
        # Many shares come to the same mask: it is trained once.
        names = [b"".join(np.packbits(part.cpu().numpy()).tobytes() for part in mask) for mask in masks]
        different = dict(zip(names, masks, strict=True))
        end = self.task.steps + (round(LONGER * self.task.steps) if fraction == 1.0 else 0)
        accuracies = train_variants(
            self.task, self.optimizer, seed, self.sets(seed), state, [*different.values()], end
        )
        accuracy = dict(zip(different, accuracies, strict=True))
        known = {
            (name, sparsity): made.mask(name, "own", sparsity)
            for name in ("magnitude", "hindsight")
            for sparsity in self.sparsities
        }
        for pair, mask, name in zip(wanted, masks, names, strict=True):
            kept = [float(part.float().mean()) for part in mask]
            overlaps = [overlap(mask, known[other, pair[0]]) for other in ("magnitude", "hindsight")]
            kept += [None] * (4 - len(kept))
            self.table.append(*keys, *pair, accuracy[name], dense_accuracy, *kept, *overlaps)
        return len(wanted), len(different)


def verify(network):
    """Train by Keras what the engine trains, and print how far weights and masks are apart."""
    wanted, sparsity, seed = task("fashion", network), 0.95, 0
    sets = wanted.sets(seed)
    (x, y), _ = sets
    tensors = on_device(sets)
    for optimizer, ranking in itertools.product(recipe.OPTIMIZERS, RANKINGS[:-1]):
        cut, steps = VERIFIED[network, optimizer]
        order = wanted.order(seed, 0)[: steps * wanted.batch]
        _, found = dense_run(wanted, optimizer, seed, tensors, [cut], cut)
        state, scores = found[cut]
        mask = Masks(scores).mask(ranking, "own", sparsity)
        engine = Networks(wanted.network, optimizer, state, [mask])
        for batch in wanted.batches(seed, cut, steps):
            engine.step(*(part[batch] for part in tensors[0]))
        model = _keras_run(wanted, optimizer, ranking, sparsity, cut, seed, (x[order], y[order]))
        ours = [tensor.cpu().numpy() for tensor in engine.state()["weights"]]
        pairs = [*zip(ours, model.get_weights(), strict=True)]
        same = [
            mask.cpu().numpy() == (theirs != 0) for mask, (_, theirs) in zip(mask, pairs[::2], strict=True)
        ]
        apart = sum(int((~part).sum()) for part in same)
        # Weights that rounding put on the other side of the threshold are left out.
        distances = [
            np.abs(a - b)[same[number // 2] if number % 2 == 0 else ...].max()
            for number, (a, b) in enumerate(pairs)
        ]
        print(
            f"{network} {optimizer:5}{ranking:24} mask: {apart} of {sum(part.size for part in same)} differ; "
            f"weights after {steps} steps: at most {max(distances):.1e} apart",
            flush=True,
        )


def _keras_run(wanted, optimizer, ranking, sparsity, cut, seed, data):
    """The model that Keras trains with the package's optimizer."""
    keras.backend.clear_session()
    net, layers = wanted.network, keras.layers
    model = keras.Sequential([keras.Input((data[0].shape[1],)), layers.Reshape(net.image)])
    for filters in net.filters:
        model.add(layers.Conv2D(filters, KERNEL, STRIDE, padding="same", activation="relu"))
    model.add(layers.Flatten())
    for units in net.units:
        model.add(layers.Dense(units, None if units == net.units[-1] else "relu"))
    model.set_weights(net.weights(seed))
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
    model.fit(*data, batch_size=wanted.batch, shuffle=False, verbose=0, callbacks=[recorder])
    return model


def main():
    """Run what the tables lack."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=FRACTIONS, default="fashion")
    parser.add_argument("--network", choices=NETWORKS, default="lenet")
    parser.add_argument("--optimizers", nargs="+", choices=recipe.OPTIMIZERS, default=[*recipe.OPTIMIZERS])
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--candidates", nargs="*", choices=CANDIDATES, help="by default all of them")
    parser.add_argument("--verify", action="store_true", help="compare the engine with Keras, and stop")
    args = parser.parse_args()
    if args.verify:
        verify(args.network)
        return
    where = FRACTIONS[args.data], SPARSITIES[args.data]
    wanted = stages(args.data)
    if args.candidates is not None:
        where = EARLY, SPARSE, "candidates"
        tried = ("magnitude", "magnitude_displacement", *(args.candidates or CANDIDATES))
        wanted = [[*itertools.product(tried, ("own", "erk"))]]
    grids = [Grid(args.data, args.network, optimizer, *where) for optimizer in args.optimizers]
    begin = time.perf_counter()
    for pairs in wanted:
        for seed, grid, fraction in itertools.product(args.seeds or grids[0].task.seeds, grids, where[0]):
            rows, networks = grid.run(seed, fraction, pairs)
            if rows:
                print(
                    f"{args.network} {grid.optimizer} seed {seed} f={fraction}: {rows} rows, "
                    f"{networks} networks, {time.perf_counter() - begin:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
