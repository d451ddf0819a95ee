"""What every arm of the pruning benchmark shares: data, initial weights, batch order, schedule, table.

Plain numpy, so that arms whose libraries cannot live in one environment get the same numbers.
"""

import csv
import gzip
import itertools
import os
from pathlib import Path

import numpy as np

FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts it
UNITS = (784, 300, 100, 10)
SHAPES = tuple(itertools.pairwise(UNITS))  # of the kernels
SAMPLES, BATCH, EPOCHS = 20_000, 128, 12
STEPS = EPOCHS * -(-SAMPLES // BATCH)  # the last batch of an epoch is a small one
BEGIN, END = STEPS * 2 // 10, STEPS * 7 // 10
EVERY = (END - BEGIN) // 20
OPTIMIZERS = {"sgd": 0.1, "adam": 1e-3}  # learning rates
SEEDS = range(5)
SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)  # 0 is the dense network
KEYS = ("library", "optimizer", "seed", "sparsity_asked")
COLUMNS = (
    *("library", "version", "optimizer", "seed", "sparsity_asked", "sparsity_reached", "accuracy"),
    *("seconds", "zeros_first", "zeros_second", "zeros_third"),
)


def data(download):
    """`(x, y), (x_test, y_test)` of Fashion-MNIST: x `(count, 784)` float32 in [0, 1], `SAMPLES` to train on.

    Args:
        download: gives `(images, labels), (images, labels)` where Debian's files do not exist.
    """
    train, test = [_read("train"), _read("t10k")] if FOLDER.exists() else download()
    chosen = np.random.default_rng(0).permutation(60_000)[:SAMPLES]
    sets = [(np.asarray(part)[chosen] for part in train), test]
    return [(np.reshape(x, (-1, 784)).astype("float32") / 255, np.asarray(y, "int32")) for x, y in sets]


def _read(part):
    for name, header in ((f"{part}-images-idx3-ubyte.gz", 16), (f"{part}-labels-idx1-ubyte.gz", 8)):
        with gzip.open(FOLDER / name) as file:
            values = np.frombuffer(file.read(), np.uint8, offset=header)
        yield values.reshape(-1, 784) if header == 16 else values


def initial_weights(seed, shapes=SHAPES):
    """`[(kernel, bias), ...]`, float32: Glorot's uniform kernels of these shapes, zero biases."""
    rng = np.random.default_rng(seed)
    layers = []
    for *field, fan_in, fan_out in shapes:
        limit = (6 / (int(np.prod(field)) * (fan_in + fan_out))) ** 0.5
        kernel = rng.uniform(-limit, limit, (*field, fan_in, fan_out)).astype("float32")
        layers.append((kernel, np.zeros(fan_out, "float32")))
    return layers


def order(seed, epoch):
    """Order of the training samples in an epoch, which is then cut into batches of `BATCH`."""
    return np.random.default_rng([seed, epoch]).permutation(SAMPLES)


def figures(kernels):
    """Columns that say how sparse three kernels are; zeros are counted."""
    zeros = [int(np.sum(kernel == 0)) for kernel in kernels]
    names = ("zeros_first", "zeros_second", "zeros_third")
    reached = sum(zeros) / sum(kernel.size for kernel in kernels)
    return {"sparsity_reached": round(reached, 6), **dict(zip(names, zeros, strict=True))}


def finished(path):
    """Runs that a table holds, each as the strings of its `KEYS`."""
    if not path.exists():
        return set()
    with path.open() as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {tuple(row[key] for key in KEYS) for row in rows}


def append(path, row, comment):
    """Put a run at the end of a table; a new table begins with the comment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            file.write(f"# {comment}\n")
            table.writeheader()
        table.writerow(row)
        file.flush()
        os.fsync(file.fileno())
