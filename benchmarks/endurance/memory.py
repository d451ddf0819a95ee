"""What does recording a model of 1e8 weights take, with a window of 32 snapshots, under a limit of memory?

A network of dense layers is trained for some epochs on a few samples, once without a recorder and once with
one whose `memory_limit` is given; each in a process of its own. The figure is the difference of the peaks of
resident memory. A second part records a small training whole, in scratch files and as a random projection,
and compares the eigenvalues: how far each that carries a hundredth of the motion or more has moved.

    python benchmarks/endurance/memory.py [--weights 100000000] [--window 32] [--limit 1.5GB] [--store]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
from _report import report
from gram_vs_pydmd import status_bytes
from keras import layers
from scipy.optimize import linear_sum_assignment

import keras_koopman as kk

WIDTH = 3500


def large(weights):
    """Dense layers of 12.25 million weights each."""
    depth = max(1, round(weights / WIDTH**2))
    body = [layers.Dense(WIDTH, "relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((WIDTH,)), *body, layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    return model


def peak(arguments):
    """Peak of resident memory of one training, and what the recorder said."""
    keras.utils.set_random_seed(0)
    model = large(arguments.weights)
    x = np.random.default_rng(0).normal(size=(8, WIDTH)).astype("float32")
    callbacks = []
    holder = tempfile.TemporaryDirectory(dir=arguments.folder)
    with holder as folder, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if arguments.one == "recorded":
            store = Path(folder) / "run.zarr" if arguments.store else None
            recorder = kk.callbacks.TrajectoryRecorder(
                window=arguments.window, memory_limit=arguments.limit, store=store
            )
            callbacks.append(recorder)
        epochs = arguments.window + 4
        model.fit(x, x[:, :1], epochs=epochs, verbose=0, callbacks=callbacks)
        found = {"peak": status_bytes("VmHWM"), "weights": model.count_params()}
        if callbacks:
            spectrum = recorder.trajectory.increments().decompose(rank=4)
            found["eigenvalues"] = len(spectrum.eigenvalues)
            found["snapshots"] = len(recorder.trajectory)
            found["said"] = [str(w.message) for w in said if "memory_limit" in str(w.message)]
    print(json.dumps(found))


def apart(found, truth, weights):
    """Largest distance of the eigenvalues that carry the motion from those of the whole trajectory."""
    distances = np.abs(np.asarray(truth)[:, None] - np.asarray(found)[None, :])
    rows, columns = linear_sum_assignment(distances)
    return float(np.max(distances[rows, columns][weights[rows] >= 0.01 * weights.max()]))


def spectra_apart():
    """How far the eigenvalues of a real training move when it is kept elsewhere, or projected."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), layers.Dense(64, "relu"), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss)
    make = kk.callbacks.TrajectoryRecorder
    ways = {"whole": make(window=16, average=True)}
    for dim in (1024, 4096, 16384):
        ways[f"projection to {dim}"] = make(
            window=16, average=True, observables=kk.observables.RandomProjection(dim=dim)
        )
    model.fit(x, y, epochs=24, verbose=0, callbacks=list(ways.values()))
    spectra = {name: way.trajectory.increments().decompose(rank=3) for name, way in ways.items()}
    whole = spectra.pop("whole")
    weights = np.abs(np.asarray(whole.importance))
    return {name: apart(s.eigenvalues, whole.eigenvalues, weights) for name, s in spectra.items()}


def main():
    """Train in processes of their own, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=int, default=10**8)
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--limit", default="1GB")
    parser.add_argument("--store", action="store_true", help="give a store: snapshots spill to the disk")
    parser.add_argument("--folder", default=None, help="where the store is made")
    parser.add_argument("--one", choices=("bare", "recorded"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        peak(arguments)
        return
    found = {}
    for one in ("bare", "recorded"):
        command = [sys.executable, *sys.argv, "--one", one]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[one] = json.loads(done.stdout.splitlines()[-1])
    more = found["recorded"]["peak"] - found["bare"]["peak"]
    report(
        "recording_memory",
        {
            "weights": found["bare"]["weights"],
            "snapshots": found["recorded"]["snapshots"],
            "peak_gb": {one: f["peak"] / 1e9 for one, f in found.items()},
            "recorder_gb": more / 1e9,
            "said": " ".join(found["recorded"]["said"]),
            "eigenvalues_apart": spectra_apart(),
        },
        {"recorded within 1.5 GB over the model": more <= 1.5e9},
        window=arguments.window,
        limit=arguments.limit,
        store=arguments.store,
    )


if __name__ == "__main__":
    main()
