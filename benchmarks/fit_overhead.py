"""What does recording cost in `fit`?

A 784-300-100-10 network on Fashion-MNIST, batches of 128. Every way of recording has its own model, all are
warm, and their epochs take turns, so that the machine's moods fall on all alike; the figure is the median
over rounds of the ratio to the epoch without callbacks in the same round. On JAX reading `self.model` in a
callback has a price of its own, so a callback that does only that is in the table too.

    python benchmarks/fit_overhead.py
    KERAS_BACKEND=jax python benchmarks/fit_overhead.py
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _fashion_mnist
import keras
import numpy as np
from _report import report

import keras_koopman as kk


class Reader(keras.callbacks.Callback):
    """Reads `self.model` each 10 batches and does nothing else."""

    def on_train_batch_end(self, batch, logs=None):
        if batch % 10 == 9:
            self.model  # noqa: B018


def ways():
    """Callbacks to compare, by name."""
    recorder, monitor = kk.callbacks.TrajectoryRecorder, kk.callbacks.KoopmanMonitor
    return {
        "nothing": None,
        "again nothing": None,
        "recorder, each epoch": recorder(),
        "recorder, each 10 batches, window 32": recorder(window=32, record_freq=10),
        "recorder, each batch, window 32": recorder(window=32, record_freq=1),
        "monitor, each epoch": monitor(),
        "monitor, each 10 batches, window 32": monitor(window=32, record_freq=10, average=False),
        "reads self.model each 10 batches": Reader(),
    }


def build():
    """The network."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(300, "relu"), keras.layers.Dense(100, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((784,)), *layers])
    model.compile(keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def main():
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=60_000)
    args = parser.parse_args()
    x, y = (part[: args.samples] for part in _fashion_mnist.load()[0])
    callbacks = ways()
    models = {name: build() for name in callbacks}
    epoch = dict.fromkeys(callbacks, 0)

    def run(name, epochs=1):
        wanted = [callbacks[name]] if callbacks[name] is not None else []
        begin = time.perf_counter()
        first, epoch[name] = epoch[name], epoch[name] + epochs
        models[name].fit(
            x, y, batch_size=128, initial_epoch=first, epochs=epoch[name], verbose=0, callbacks=wanted
        )
        return time.perf_counter() - begin

    for name in callbacks:
        run(name, epochs=2)
    rng = np.random.default_rng(0)
    times = {name: [] for name in callbacks}
    for _ in range(args.rounds):
        for i in rng.permutation(len(callbacks)):
            name = list(callbacks)[i]
            times[name].append(run(name))
    plain = np.array(times["nothing"])
    ratio = {name: float(np.median(np.array(t) / plain)) for name, t in times.items() if name != "nothing"}
    backend = keras.backend.backend()
    ten = ratio["recorder, each 10 batches, window 32"]
    if backend == "jax":
        batches = {
            "each 10 batches at most 1.05 times reading self.model": ten
            <= 1.05 * ratio["reads self.model each 10 batches"]
        }
    else:
        batches = {"each 10 batches at most 1.08": ten <= 1.08}
    report(
        "fit_overhead",
        {"backend": backend, "ratio": ratio, "epoch_seconds": float(np.median(plain))},
        {"each epoch at most 1.02": ratio["recorder, each epoch"] <= 1.02, **batches},
        rounds=args.rounds,
        samples=args.samples,
        batch_size=128,
    )


if __name__ == "__main__":
    main()
