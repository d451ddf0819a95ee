"""Which ranking and which share, on a small convnet? Pruned in one shot, through the public optimizer.

10,000 images of Fashion-MNIST, 6 epochs with cosine decay, two strided convolutions and two dense layers of
106,000 weights in all, pruned after a tenth of the steps; each arm is a training of its own from one start.
`hindsight` is an oracle: magnitude of the dense network of the same seed at its end.

    python benchmarks/pruning/convnet.py [--seeds 5] [--sparsities .95] [--summary]

One thread. Rows that the table holds already are skipped.
"""

import argparse
import collections
import itertools
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.append(str(Path(__file__).parents[1]))

import _recipe as recipe
import keras
import numpy as np
from _fashion_mnist import load
from _resumable import ResumableTable

import keras_koopman as kk

SAMPLES, EPOCHS, BATCH, WINDOW = 10_000, 6, 128, 16
STEPS = EPOCHS * -(-SAMPLES // BATCH)
CUT = STEPS // 10
KEYS = ("optimizer", "seed", "sparsity", "ranking", "share")
RANKINGS = (
    *("magnitude", "koopman_mode_means", "koopman_forecast", "magnitude_displacement", "movement", "random"),
    "hindsight",
)


def recorder(average):
    """What a Koopman ranking follows."""
    freq = max(1, CUT // WINDOW)
    return kk.callbacks.TrajectoryRecorder(window=WINDOW, record_freq=freq, average=average)


def criterion_of(ranking, finished):
    """A criterion, and the callbacks that it needs."""
    if ranking == "koopman_mode_means":
        own = recorder(average=True)
        return kk.pruning.KoopmanMode(own), [own]
    if ranking == "koopman_forecast":
        own = recorder(average=False)
        return kk.pruning.KoopmanForecast(own), [own]
    if ranking == "hindsight":

        def scores(weights, state):
            return keras.ops.abs(keras.ops.convert_to_tensor(finished[state["number"]]))

        return scores, []
    return ranking, []


def train(data, optimizer, seed, sparsity=0.0, ranking="magnitude", share="global", finished=None):
    """Accuracy on test data, and the kernels at the end."""
    (x, y), test = data
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(10),
        ]
    )
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer]
    chosen = kind(keras.optimizers.schedules.CosineDecay(recipe.OPTIMIZERS[optimizer], STEPS))
    callbacks = []
    if sparsity:
        criterion, callbacks = criterion_of(ranking, finished)
        chosen = kk.optimizers.PruningOptimizer(
            chosen, kk.schedules.OneShot(sparsity, CUT), criterion, share=share
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(chosen, loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=callbacks)
    accuracy = model.evaluate(*test, batch_size=1000, verbose=0)[1]
    return accuracy, [layer.get_weights()[0] for layer in model.layers if layer.weights]


def summary(rows):
    """Points over magnitude with "global", by optimizer and sparsity, with the standard error over seeds."""
    found = {tuple(row[key] for key in KEYS): float(row["accuracy"]) for row in rows}
    gains = collections.defaultdict(list)
    for (optimizer, seed, sparsity, ranking, share), accuracy in found.items():
        base = found.get((optimizer, seed, sparsity, "magnitude", "global"))
        if base is not None:
            gains[optimizer, sparsity, share, ranking].append(100 * (accuracy - base))
            if (ranking, share) == ("magnitude", "global"):
                gains[optimizer, sparsity, share, "its accuracy"].append(100 * accuracy)
    for key, values in sorted(gains.items()):
        error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        print(*key, f"{np.mean(values):+.2f} ± {error:.2f} ({len(values)} seeds)")


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.95])
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    table = ResumableTable("pruning", "convnet", KEYS, ("accuracy", "dense_accuracy"))
    if options.summary:
        summary(table.rows())
        return
    (x, y), (x_test, y_test) = load()
    kept = np.random.default_rng(0).permutation(len(x))[:SAMPLES]
    data = (x[kept].reshape(-1, 28, 28, 1), y[kept]), (x_test.reshape(-1, 28, 28, 1), y_test)
    for seed, optimizer in itertools.product(range(options.seeds), recipe.OPTIMIZERS):
        arms = itertools.product(options.sparsities, RANKINGS, ("global", "erk"))
        wanted = [arm for arm in arms if table.lacks(optimizer, seed, *arm)]
        if not wanted:
            continue
        dense, finished = train(data, optimizer, seed)
        for arm in wanted:
            accuracy, _ = train(data, optimizer, seed, *arm, finished)
            table.append(optimizer, seed, *arm, accuracy, dense)


if __name__ == "__main__":
    main()
