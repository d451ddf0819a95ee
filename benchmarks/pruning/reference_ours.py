"""Our arm of the comparison with the library for Keras 2: the same network, data, batches and schedule.

Magnitude, with the sparsity shared out uniformly (what that library does), globally (our default) and by
Erdős-Rényi-kernel. See `reference_tfmot.py` for the other arm and the columns of the table.

    python benchmarks/pruning/reference_ours.py
"""

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(Path(__file__).parents[1]))

import _recipe as recipe
import keras
import numpy as np
from _report import processor

import keras_koopman as kk

PACKAGES = ("keras-koopman", "keras", "tensorflow", "numpy")
SHARES = ("uniform", "global", "erk")


def build(optimizer, seed, sparsity, share):
    """The compiled network, with an optimizer that prunes."""
    keras.backend.clear_session()
    first, *_, last = recipe.UNITS
    hidden = [keras.layers.Dense(units, "relu") for units in recipe.UNITS[1:-1]]
    model = keras.Sequential([keras.Input((first,)), *hidden, keras.layers.Dense(last)])
    for layer, weights in zip(model.layers, recipe.initial_weights(seed), strict=True):
        layer.set_weights(weights)
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer]
    schedule = kk.schedules.PolynomialSparsity(0.0, sparsity, recipe.BEGIN, recipe.END)
    model.compile(
        kk.optimizers.PruningOptimizer(
            kind(recipe.OPTIMIZERS[optimizer]), schedule, share=share, update_freq=recipe.EVERY
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def run(sets, optimizer, seed, sparsity, share):
    """Train and test; a row of the table."""
    (x, y), (x_test, y_test) = sets
    model = build(optimizer, seed, sparsity, share)
    begin = time.perf_counter()
    for epoch in range(recipe.EPOCHS):
        order = recipe.order(seed, epoch)
        model.fit(x[order], y[order], batch_size=recipe.BATCH, shuffle=False, verbose=0)
    seconds = time.perf_counter() - begin
    guesses = np.argmax(model.predict(x_test, batch_size=1000, verbose=0), axis=1)
    return {
        "library": f"keras_koopman {share}",
        "version": kk.__version__,
        "optimizer": optimizer,
        "seed": seed,
        "sparsity_asked": sparsity,
        "accuracy": round(float(np.mean(guesses == y_test)), 4),
        "seconds": round(seconds, 2),
        **recipe.figures([layer.get_weights()[0] for layer in model.layers]),
    }


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    table = Path(__file__).parents[1] / "results" / "pruning" / "reference_ours.csv"
    parser.add_argument("--out", type=Path, default=table)
    args = parser.parse_args()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    comment = "; ".join(
        [
            " ".join(["python", *sys.argv]),
            ", ".join([f"python {platform.python_version()}", *versions]),
            f"{processor()}, one thread, {platform.platform()}",
        ]
    )
    grid = [
        (optimizer, seed, sparsity, share)
        for seed in recipe.SEEDS
        for sparsity in recipe.SPARSITIES
        if sparsity
        for share in SHARES
        for optimizer in recipe.OPTIMIZERS
    ]
    done = recipe.finished(args.out)
    grid = [c for c in grid if (f"keras_koopman {c[3]}", *map(str, c[:3])) not in done]
    sets = recipe.data(keras.datasets.fashion_mnist.load_data)
    for i, config in enumerate(grid):
        row = run(sets, *config)
        recipe.append(args.out, row, comment)
        print(f"{i + 1}/{len(grid)}", *(row[name] for name in recipe.COLUMNS), flush=True)


if __name__ == "__main__":
    main()
