"""What does a Sobolev loss cost a compiled training step?

`fit` of the same network on the same batches with the mean squared error and with the loss, in turns: the
median over the rounds of the ratio of two fits that follow each other. The control is a second model with the
mean squared error: its ratio should be 1. One thread.

    python benchmarks/sobolev/cost.py [--rounds 15] [--steps 60]
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from _report import report
from _rows import Table

import keras_koopman as kk

LAYERS = keras.layers


def fields(size):
    """Images to images: three convolutions of 16 filters."""
    body = [LAYERS.Conv2D(16, 3, padding="same", activation="relu") for _ in range(2)]
    return [keras.Input((size, size, 1)), *body, LAYERS.Conv2D(1, 3, padding="same")], (size, size, 1)


def signals(size):
    """32 numbers to a signal: an MLP with two hidden layers of 256."""
    body = [LAYERS.Dense(256, "relu") for _ in range(2)]
    return [keras.Input((32,)), *body, LAYERS.Dense(size)], (size,)


# Network, size, boundary, what it may cost.
CASES = {
    "fields 32x32": (fields, 32, "periodic", 1.1),
    "fields 32x32 mirror": (fields, 32, "mirror", 1.1),
    "fields 31x31": (fields, 31, "periodic", 1.1),
    "signals 1024": (signals, 1024, "periodic", 1.4),
    "signals 1024 mirror": (signals, 1024, "mirror", 1.4),
    "signals 1021": (signals, 1021, "periodic", 1.4),
    "signals 1009": (signals, 1009, "periodic", 1.4),
    "signals 509": (signals, 509, "periodic", 1.4),
}
BATCH = 32


def model_of(make, size, loss):
    """A compiled model, and its data."""
    keras.utils.set_random_seed(0)
    layers, shape = make(size)
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return model, shape


def ratios(case, rounds, steps):
    """Median ratios of the step times, and the bare step in milliseconds."""
    make, size, boundary, _ = CASES[case]
    arms = {
        "mse": "mse",
        "control": "mse",
        "sobolev": kk.losses.NegativeSobolev(boundary=boundary),
    }
    models = {name: model_of(make, size, loss) for name, loss in arms.items()}
    shape = models["mse"][1]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * steps, *models["mse"][0].input_shape[1:])).astype("float32")
    y = rng.normal(size=(BATCH * steps, *shape)).astype("float32")
    seconds = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name in np.roll(list(models), number):
            begin = time.perf_counter()
            models[name][0].fit(x, y, batch_size=BATCH, epochs=1, verbose=0, shuffle=False)
            if number:
                seconds[name].append(time.perf_counter() - begin)
    bare = np.array(seconds["mse"])
    found = {name: float(np.median(np.array(seconds[name]) / bare)) for name in ("sobolev", "control")}
    return found, float(np.median(bare)) / steps * 1e3


def main():
    """Measure what the table lacks, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    arguments = parser.parse_args()
    table = Table("cost", ("engine", "case", "ratio", "control", "mse_step_ms", "rounds", "goal"), 2)
    engine = keras.backend.backend()
    for case in arguments.cases:
        if table.has(engine, case):
            continue
        found, step = ratios(case, arguments.rounds, arguments.steps)
        table.add(engine, case, found["sobolev"], found["control"], step, arguments.rounds, CASES[case][3])
    rows = [row for row in table.rows() if row["engine"] == engine]
    report(
        "sobolev cost",
        {row["case"]: float(row["ratio"]) for row in rows},
        {f"{row['case']} at most {row['goal']}x": float(row["ratio"]) <= float(row["goal"]) for row in rows},
        engine=engine,
        rounds=arguments.rounds,
    )


if __name__ == "__main__":
    main()
