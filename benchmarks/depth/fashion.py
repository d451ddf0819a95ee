"""Fashion-MNIST: a residual convnet beside continuous blocks of equal parameters, refinement, projection.

python benchmarks/depth/fashion.py [--seeds 3] [--epochs 12] [--samples 20000] [--width 16] [--networks ...]

Goes on where it was broken off. Each row: test accuracy after training, seconds in `fit`, and the epoch and
second at which the residual network's final accuracy of the same seed was reached first. `halved`: accuracy
with half the nodes and half the steps, without data; `halved_nodes`: with half the nodes at the same steps.
"""

import argparse
import math
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import keras
import numpy as np
from _fashion_mnist import load
from _rows import Table

import keras_koopman as kk

DEPTH = 4
BLOCKS = {
    "residual": {"scheme": "euler", "steps": DEPTH, "nodes": DEPTH, "horizon": float(DEPTH)},
    "euler": {"scheme": "euler", "steps": DEPTH, "nodes": DEPTH},
    "midpoint": {"scheme": "midpoint", "steps": DEPTH, "nodes": DEPTH},
    "rk4": {"scheme": "rk4", "steps": DEPTH, "nodes": DEPTH},
    "refined": {"scheme": "euler", "steps": 1, "nodes": 1, "horizon": float(DEPTH)},
    "refined, horizon 1": {"scheme": "euler", "steps": 1, "nodes": 1},
}


def network(kind, width):
    """Two stages of a continuous block each, with a strided convolution before each."""
    layers = keras.layers
    parts = [keras.Input((28, 28, 1))]
    for stage, channels in enumerate((width, 2 * width)):
        rate = kk.layers.ConvolutionRate(momentum=0.9)
        parts.append(layers.Conv2D(channels, 3, strides=2, padding="same", name=f"down_{stage}"))
        parts.append(kk.layers.ContinuousBlock(rate, name=f"block_{stage}", **BLOCKS[kind]))
    parts += [layers.BatchNormalization(), layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(10)]
    return keras.Sequential(parts)


class Clock(keras.callbacks.Callback):
    """Seconds in training, without validation, at the end of each epoch."""

    def on_train_begin(self, logs=None):
        self.seconds, self._spent = [], 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._spent += time.perf_counter() - self._begun

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(self._spent)


def run(kind, seed, options, data):
    (x, y), test = data
    keras.utils.set_random_seed(seed)
    model = network(kind, options.width)
    steps = options.epochs * -(-len(x) // 128)
    schedule = keras.optimizers.schedules.CosineDecay(0.05, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(schedule, 0.9), loss, metrics=["accuracy"])
    clock = Clock()
    # Its first listener, so that the seconds of a refinement count as training.
    callbacks = [clock]
    if kind.startswith("refined"):
        third = options.epochs // 3
        callbacks.append(kk.callbacks.RefineDepth({third: 2, 2 * third: 2}))
    fit = {"epochs": options.epochs, "batch_size": 128, "verbose": 0, "validation_data": test}
    history = model.fit(x, y, callbacks=callbacks, **fit).history["val_accuracy"]
    return model, history, clock.seconds


def projected(model, test):
    """Accuracy with half the nodes and steps; error of the projection; accuracy with the steps kept."""
    found = [kk.layers.project(model, nodes=DEPTH // 2, steps=steps) for steps in (DEPTH // 2, DEPTH)]
    halved, halved_nodes = (small.evaluate(*test, verbose=0)[1] for small, _ in found)
    return halved, found[0].error, halved_nodes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", nargs="+", choices=BLOCKS, default=[*BLOCKS])
    for name, default in (("seeds", 3), ("epochs", 12), ("samples", 20_000), ("width", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    setting = f"{options.samples} x {options.epochs}, width {options.width}"
    when = ("epoch_reached", "second_reached")
    figures = ("parameters", "accuracy", "seconds", *when, "halved", "error", "halved_nodes")
    table = Table("fashion", ("setting", "seed", "network"), figures)
    (x, y), (x_test, y_test) = load()
    chosen = np.random.default_rng(0).permutation(len(x))[: options.samples]
    x, x_test = (part.reshape(-1, 28, 28, 1) for part in (x[chosen], x_test))
    data = (x, y[chosen]), (x_test, y_test)
    for seed in range(options.seeds):
        for kind in options.networks:
            if not table.lacks(setting, seed, kind):
                continue
            keras.backend.clear_session()
            model, history, seconds = run(kind, seed, options, data)
            goals = {(r["setting"], r["seed"]): r for r in table.rows() if r["network"] == "residual"}
            row = goals.get((setting, str(seed)))
            goal = history[-1] if kind == "residual" else math.inf if row is None else float(row["accuracy"])
            reached = next((i for i, value in enumerate(history) if value >= goal), None)
            place = (None, None) if reached is None else (reached + 1, seconds[reached])
            halved = projected(model, data[1])
            weights = sum(math.prod(v.shape) for v in model.trainable_variables)
            table.append(setting, seed, kind, weights, history[-1], seconds[-1], *place, *halved)


if __name__ == "__main__":
    main()
