"""What does pruning cost a training step?

The compiled step of the same network on the same batch, ten at a time in turns: with Adam, with Adam in a
`PruningOptimizer` whose ramp is over (masks are only applied), and with one that makes new masks at each
step, which gives what an update costs. By default there are twenty on a ramp, however long it is: their
share is told for a ramp of ten epochs of Fashion-MNIST, and how many epochs it takes for a share of 1 %. The
control is a second model with bare Adam: its ratio should be 1. Ratios are medians over the turns, with
standard errors.

    python benchmarks/pruning/step_time.py [--rounds 200] [--network mlp|convnet] [--criterion magnitude]
"""

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_koopman as kk

sys.path.insert(0, str(Path(__file__).parents[1]))
from _fashion_mnist import load
from _report import report

BATCH = 128
TURN = 10  # steps
EPOCH = 60_000 / BATCH  # steps
UPDATES = 20  # on a ramp
NEVER = 10**8


def network(kind, optimizer):
    """A compiled network of 266,200 or 206,000 weights."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    body = {
        "mlp": [keras.Input((784,)), layers.Dense(300, "relu"), layers.Dense(100, "relu")],
        "convnet": [
            keras.Input((784,)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, "relu"),
        ],
    }[kind]
    model = keras.Sequential([*body, layers.Dense(10)])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def pruning(criterion, end, update_freq=None):
    """Adam that prunes to .9 until step `end`."""
    schedule = kk.schedules.PolynomialSparsity(0.0, 0.9, 1, end)
    return kk.optimizers.PruningOptimizer(
        keras.optimizers.Adam(1e-3), schedule, criterion, update_freq=update_freq
    )


def ratio(times, bare):
    """Median of the ratios of turns that follow each other, and its standard error."""
    ratios = np.array(times) / np.array(bare)
    return float(np.median(ratios)), float(1.25 * np.std(ratios) / np.sqrt(len(ratios)))


def main():
    """Measure and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="turns of ten steps")
    parser.add_argument("--network", default="mlp")
    parser.add_argument("--criterion", default="magnitude")
    arguments = parser.parse_args()
    (x, y), _ = load()
    batch = x[:BATCH].astype("float32"), y[:BATCH]
    arms = {
        "bare": keras.optimizers.Adam(1e-3),
        "control": keras.optimizers.Adam(1e-3),
        "masks": pruning(arguments.criterion, end=2),
        "each step": pruning(arguments.criterion, end=NEVER, update_freq=1),
    }
    steps = {}
    for name, optimizer in arms.items():
        model = network(arguments.network, optimizer)
        model.make_train_function()
        batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
        steps[name] = model.train_function, batches

    def turn(name):
        step, batches = steps[name]
        begin = time.perf_counter()
        for _ in range(TURN):
            logs = step(batches)
        np.asarray(tf.nest.flatten(logs)[0])
        return (time.perf_counter() - begin) / TURN

    seconds = {name: [] for name in arms}
    for number in range(arguments.rounds + 5):
        for name in np.roll(list(arms), number):
            found = turn(name)
            if number >= 5:
                seconds[name].append(found)
    bare = seconds["bare"]
    figures, errors = {}, {}
    for name in ("control", "masks", "each step"):
        figures[f"{name} / bare"], errors[name] = ratio(seconds[name], bare)
    update = figures["each step / bare"] - figures["masks / bare"]
    share = update * UPDATES / (10 * EPOCH)
    report(
        "pruning step time",
        {
            **figures,
            "error of control": errors["control"],
            "error of masks": errors["masks"],
            "an update, in bare steps": update,
            "share of 20 updates on a ramp of 10 epochs": share,
            "epochs on the ramp for 1 %": update * UPDATES / EPOCH / 0.01,
            "bare step, ms": float(np.median(bare)) * 1e3,
        },
        {"step at most 1.03x": figures["masks / bare"] <= 1.03, "updates below 1 %": share < 0.01},
        network=arguments.network,
        criterion=arguments.criterion,
        rounds=arguments.rounds,
        engine=keras.backend.backend(),
    )


if __name__ == "__main__":
    main()
