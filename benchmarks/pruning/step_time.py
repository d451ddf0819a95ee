"""What does pruning cost a training step?

`fit` of the same network on the same batches, with Adam and with Adam in a `PruningOptimizer`, in turns: the
median over the rounds of the ratio of two epochs that follow each other. Once while nothing is due (masks are
only applied), once on the ramp with its twenty updates spread over as many steps as a short training has.
The control is a second model with bare Adam: its ratio should be 1.

    python benchmarks/pruning/step_time.py [--rounds 9] [--network mlp|convnet] [--criterion magnitude]
"""

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np

import keras_koopman as kk

sys.path.insert(0, str(Path(__file__).parents[1]))
from _fashion_mnist import load
from _report import report

BATCH = 128
STEPS = 160


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


def pruning(criterion, begin, end):
    """Adam that prunes to .9 from `begin` to `end`."""
    schedule = kk.schedules.PolynomialSparsity(0.0, 0.9, begin, end)
    return kk.optimizers.PruningOptimizer(keras.optimizers.Adam(1e-3), schedule, criterion)


def main():
    """Measure and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--network", default="mlp")
    parser.add_argument("--criterion", default="magnitude")
    arguments = parser.parse_args()
    (x, y), _ = load()
    x, y = x[: BATCH * STEPS], y[: BATCH * STEPS]
    total = STEPS * (arguments.rounds + 2)
    arms = {
        "bare": keras.optimizers.Adam(1e-3),
        "control": keras.optimizers.Adam(1e-3),
        "masks": pruning(arguments.criterion, 1, 2),  # done in the warm-up
        "ramp": pruning(arguments.criterion, STEPS, total),  # its 20 updates lie within the rounds
    }
    models = {name: network(arguments.network, optimizer) for name, optimizer in arms.items()}
    seconds = {name: [] for name in arms}
    for round_number in range(arguments.rounds + 1):
        for name in np.roll(list(models), round_number):
            begin = time.perf_counter()
            models[name].fit(x, y, batch_size=BATCH, epochs=1, verbose=0, shuffle=False)
            if round_number:
                seconds[name].append(time.perf_counter() - begin)
    bare = np.array(seconds["bare"])
    ratios = {name: float(np.median(np.array(times) / bare)) for name, times in seconds.items()}
    update = ratios["ramp"] - ratios["masks"]
    report(
        "pruning step time",
        {
            **{f"{name} / bare": ratio for name, ratio in ratios.items() if name != "bare"},
            "mask updates, share of a step": update,
            "bare step, ms": float(np.median(bare)) / STEPS * 1e3,
            "steps on the ramp": total - STEPS,
        },
        {
            "step at most 1.03x": ratios["masks"] <= 1.03,
            "updates below 1 %": update < 0.01,
        },
        network=arguments.network,
        criterion=arguments.criterion,
        rounds=arguments.rounds,
        engine=keras.backend.backend(),
    )


if __name__ == "__main__":
    main()
