"""Do pruned units make inference faster, and what do they cost?

Each network is trained dense, and with `structure="unit"` on a cubic ramp over the middle half of as many
steps; the pruned one is then shrunk. Dense and shrunk are exported as SavedModels, and timed in turns at
batches of 1 and 256. The control is a network that had the small one's widths from the start. A row a run
goes to the table, what is there already is skipped.

    python benchmarks/pruning/structured.py [--networks mlp convnet] [--seeds 0 1 2 3 4]
"""

import argparse
import csv
import os
import platform
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _networks
import keras
import numpy as np
import tensorflow as tf

import keras_koopman as kk

EPOCHS = 12
SPARSITIES = (0.5, 0.75, 0.9)
COLUMNS = (
    *("network", "seed", "sparsity", "dense_accuracy", "pruned_accuracy", "shrunk_accuracy"),
    *("scratch_accuracy", "widths", "weights_dense", "weights_shrunk", "difference"),
    *("dense_ms_1", "shrunk_ms_1", "dense_ms_256", "shrunk_ms_256"),
)


def trained(name, seed, data, widths=None, sparsity=0.0):
    """A network trained on the 20,000 images."""
    keras.utils.set_random_seed(seed)
    (x, y), _ = data
    optimizer = keras.optimizers.Adam(1e-3)
    if sparsity:
        steps = EPOCHS * -(-len(x) // _networks.BATCH)
        ramp = kk.schedules.PolynomialSparsity(0.0, sparsity, steps // 4, 3 * steps // 4)
        optimizer = kk.optimizers.PruningOptimizer(optimizer, ramp, structure="unit", share="uniform")
    build = _networks.NETWORKS[name]
    model = _networks.compiled(build(widths) if widths else build(), optimizer)
    model.fit(x, y, batch_size=_networks.BATCH, epochs=EPOCHS, verbose=0)
    return model


def accuracy(model, data):
    """On the test set."""
    return round(model.evaluate(*data[1], batch_size=1000, verbose=0)[1], 4)


def served(model, folder):
    """The model as its SavedModel serves it."""
    kk.export.export_pruned(model, folder)
    loaded = tf.saved_model.load(folder)
    return lambda x: loaded.serve(x)  # holds on to the variables


def milliseconds(calls, batch, rounds=60):
    """Median time of each call on so many rows, in turns."""
    x = tf.constant(np.random.default_rng(0).random((batch, 784), "float32"))
    times = []
    for number in range(rounds):
        row = []
        for call in calls:
            begin = time.perf_counter()
            for _ in range(5):
                call(x)
            row.append((time.perf_counter() - begin) / 5 * 1e3)
        if number >= 10:
            times.append(row)
    return np.median(times, axis=0).round(4)


def run(name, seed, sparsity, data, dense):
    """A row of the table."""
    pruned = trained(name, seed, data, sparsity=sparsity)
    small = kk.pruning.shrink(pruned)
    widths = tuple(
        layer.units if hasattr(layer, "units") else layer.filters
        for layer in small.layers[:-1]
        if hasattr(layer, "units") or hasattr(layer, "filters")
    )
    scratch = trained(name, seed, data, widths=widths)
    x = data[1][0][:1000]
    gap = np.abs(np.asarray(small(x)) - np.asarray(pruned(x))).max()
    with tempfile.TemporaryDirectory() as folder:
        calls = [served(dense, f"{folder}/dense"), served(small, f"{folder}/small")]
        one, many = milliseconds(calls, 1), milliseconds(calls, 256)
    return {
        "network": name,
        "seed": seed,
        "sparsity": sparsity,
        "dense_accuracy": accuracy(dense, data),
        "pruned_accuracy": accuracy(pruned, data),
        "shrunk_accuracy": accuracy(small, data),
        "scratch_accuracy": accuracy(scratch, data),
        "widths": "-".join(map(str, widths)),
        "weights_dense": dense.count_params(),
        "weights_shrunk": small.count_params(),
        "difference": float(f"{gap:.2g}"),
        "dense_ms_1": one[0],
        "shrunk_ms_1": one[1],
        "dense_ms_256": many[0],
        "shrunk_ms_256": many[1],
    }


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=[*_networks.NETWORKS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[*range(5)])
    table = Path(__file__).parents[1] / "results" / "pruning" / "structured.csv"
    parser.add_argument("--out", type=Path, default=table)
    args = parser.parse_args()
    done = set()
    if args.out.exists():
        with args.out.open() as file:
            rows = csv.DictReader(line for line in file if not line.startswith("#"))
            done = {(row["network"], int(row["seed"]), float(row["sparsity"])) for row in rows}
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        versions = f"keras_koopman {kk.__version__}, keras {keras.__version__}, tensorflow {tf.__version__}"
        head = f"# python benchmarks/pruning/structured.py; {versions}; {platform.platform()}, 2 cores\n"
        args.out.write_text(head + ",".join(COLUMNS) + "\n")
    data = _networks.fashion()
    for seed in args.seeds:
        for name in args.networks:
            wanted = [s for s in SPARSITIES if (name, seed, s) not in done]
            dense = trained(name, seed, data) if wanted else None
            for sparsity in wanted:
                row = run(name, seed, sparsity, data, dense)
                with args.out.open("a", newline="") as file:
                    csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
                print(row, flush=True)


if __name__ == "__main__":
    main()
