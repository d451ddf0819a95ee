"""Reference of the pruning benchmark: LeNet-300-100 pruned by magnitude with the library for Keras 2.

tensorflow-model-optimization knows Keras 2 only, so it needs an environment of its own:

    python3.11 -m venv tfmot
    tfmot/bin/pip install tensorflow==2.21.0 tf_keras==2.21.0 tensorflow-model-optimization==0.8.1
    tfmot/bin/python benchmarks/pruning/reference_tfmot.py

It runs on one thread, and skips what the table holds already, so a run that was cut off goes on where it
stood. `zeros_first` to `zeros_third` count the zeros in the three kernels; `seconds` is the whole training,
tracing included.

The library's step n comes before the n-th update: its masks change once n - 1 updates are done. They are
chosen from weights that the last update moved off zero, so one above the threshold would come back.
"""

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(Path(__file__).parents[1]))

import _recipe as recipe
import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from _report import processor

LIBRARY = "tensorflow-model-optimization"
PACKAGES = (LIBRARY, "tensorflow", "tf_keras", "numpy")


def build(optimizer, seed, sparsity):
    """The compiled network, wrapped for pruning unless sparsity is 0."""
    keras.backend.clear_session()
    first, *_, last = recipe.UNITS
    hidden = [keras.layers.Dense(units, "relu") for units in recipe.UNITS[1:-1]]
    model = keras.Sequential([keras.Input((first,)), *hidden, keras.layers.Dense(last)])
    if sparsity:
        schedule = tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=sparsity,
            begin_step=recipe.BEGIN,
            end_step=recipe.END,
            frequency=recipe.EVERY,
        )
        model = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    for layer, weights in zip(model.layers, recipe.initial_weights(seed), strict=True):
        layer.set_weights(weights)
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kind(recipe.OPTIMIZERS[optimizer]), loss)
    return model


def run(sets, optimizer, seed, sparsity):
    """Train, strip, test; a row of the table."""
    (x, y), (x_test, y_test) = sets
    model = build(optimizer, seed, sparsity)
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()] if sparsity else []
    begin = time.perf_counter()
    for epoch in range(recipe.EPOCHS):
        order = recipe.order(seed, epoch)
        model.fit(x[order], y[order], batch_size=recipe.BATCH, shuffle=False, verbose=0, callbacks=callbacks)
    seconds = time.perf_counter() - begin
    if sparsity:
        model = tfmot.sparsity.keras.strip_pruning(model)
    guesses = np.argmax(model.predict(x_test, batch_size=1000, verbose=0), axis=1)
    return {
        "library": LIBRARY,
        "version": importlib.metadata.version(LIBRARY),
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
    table = Path(__file__).parents[1] / "results" / "pruning" / "reference_tfmot.csv"
    parser.add_argument("--out", type=Path, default=table)
    parser.add_argument("--optimizers", nargs="+", choices=recipe.OPTIMIZERS, default=[*recipe.OPTIMIZERS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[*recipe.SEEDS])
    parser.add_argument("--sparsities", nargs="+", type=float, default=[*recipe.SPARSITIES])
    args = parser.parse_args()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    comment = "; ".join(
        [
            " ".join(["python", *sys.argv]),
            ", ".join([f"python {platform.python_version()}", *versions]),
            f"{processor()}, one thread, {platform.platform()}",
        ]
    )
    grid = [(o, seed, s) for seed in args.seeds for s in args.sparsities for o in args.optimizers]
    done = recipe.finished(args.out)
    grid = [config for config in grid if tuple(map(str, (LIBRARY, *config))) not in done]
    sets = recipe.data(keras.datasets.fashion_mnist.load_data)
    for i, config in enumerate(grid):
        row = run(sets, *config)
        recipe.append(args.out, row, comment)
        print(f"{i + 1}/{len(grid)}", *(row[name] for name in recipe.COLUMNS[2:]), flush=True)


if __name__ == "__main__":
    main()
