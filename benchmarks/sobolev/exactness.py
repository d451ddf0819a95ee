"""Is the loss exact? Against NumPy's full complex transform, Parseval, finite differences and least squares.

    python benchmarks/sobolev/exactness.py

Everything in float64 but what is said to be in float32; a fraction of a second each.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
import scipy.fft
import tensorflow as tf
from _rows import Table
from keras import ops

import keras_koopman as kk

SHAPES = ((1,), (2,), (7,), (64,), (97,), (128,), (1021,), (1024,), (32, 32), (31, 48), (7, 9, 8))
ORDERS = (-2.0, -1.0, 0.0, 1.0)
SEEDS = range(5)
SIZE, MODES = 64, 10  # of the least-squares problem
SLOPES = {"white": 0, "blue": 1, "violet": 2, "pink": -1, "red": -2}


def k_squared(sizes, boundary):
    """Of every bin of the full transform."""
    along = [np.arange(n) / 2 if boundary == "mirror" else n * np.fft.fftfreq(n) for n in sizes]
    return sum(np.meshgrid(*[k**2 for k in along], indexing="ij"))


def oracle(error, order, boundary):
    """The loss by the full transform."""
    weights = (1 + k_squared(error.shape, boundary)) ** order
    if boundary == "mirror":
        return np.sum(weights * scipy.fft.dctn(error, norm="ortho") ** 2) / error.size
    return np.sum(weights * np.abs(np.fft.fftn(error)) ** 2) / error.size**2


def loss_of(order, boundary="periodic", dtype="float64"):
    """The library's."""
    return kk.losses.Sobolev(order, boundary=boundary, channels=None, dtype=dtype, reduction="none")


def norms(error, order, boundary="periodic", dtype="float64"):
    """Losses of a batch of errors."""
    error = error.astype(dtype)
    return np.asarray(ops.convert_to_numpy(loss_of(order, boundary, dtype)(0 * error, error)), np.float64)


def waves(sizes, rng):
    """Errors at which a wrong count of a bin would show: a mean, the finest alternation, noise."""
    alternating = np.ones(sizes)
    for axis, n in enumerate(sizes):
        sign = (-1.0) ** np.arange(n)
        alternating = alternating * sign.reshape([-1 if i == axis else 1 for i in range(len(sizes))])
    return {"mean": np.ones(sizes), "alternating": alternating, "noise": rng.normal(size=sizes)}


def worst_relative(found, wanted):
    """Largest relative difference."""
    return float(np.max(np.abs(np.asarray(found) - wanted) / np.abs(wanted)))


def against_the_full_transform(dtype):
    """Worst relative difference over shapes, orders, boundaries, errors and seeds."""
    worst = 0.0
    for seed in SEEDS:
        for sizes in SHAPES:
            for boundary in ("periodic", "mirror"):
                for error in waves(sizes, np.random.default_rng(seed)).values():
                    for order in ORDERS:
                        found = norms(error[None], order, boundary, dtype)
                        worst = max(worst, worst_relative(found, oracle(error, order, boundary)))
    return worst


def parseval():
    """Order 0 against the mean square."""
    return max(
        worst_relative(norms(error[None], 0.0, boundary), np.mean(error**2))
        for sizes in SHAPES
        for boundary in ("periodic", "mirror")
        for error in waves(sizes, np.random.default_rng(0)).values()
    )


def gradients():
    """Along random directions, against the symmetric difference, which is exact for a square."""
    worst = 0.0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        for sizes in SHAPES:
            for boundary in ("periodic", "mirror"):
                y, predicted, direction = rng.normal(size=(3, 1, *sizes))
                loss = loss_of(-1.0, boundary)
                with tf.GradientTape() as tape:
                    tensor = tf.constant(predicted)
                    tape.watch(tensor)
                    value = loss(tf.constant(y), tensor)
                found = np.sum(tape.gradient(value, tensor).numpy() * direction)
                above, below = (loss(y, predicted + sign * direction).numpy() for sign in (1, -1))
                # A sum that nearly cancels is no worse for that: relative to the size of its terms.
                size = np.sqrt(value.numpy() * norms(direction, -1.0, boundary))
                worst = max(worst, float(np.max(np.abs(found - (above - below) / 2) / size)))
    return worst


def least_squares(slope):
    """Expected error, in dB, of a fit of ten waves in the norm of each order, under noise of a slope."""
    rng = np.random.default_rng(7)
    design = np.cos(np.linspace(0, 1, SIZE)[:, None] * rng.uniform(1, 60, MODES) + rng.uniform(0, 6, MODES))
    power = (1 + k_squared((SIZE,), "periodic")) ** (slope / 2)
    fourier = np.fft.fft(np.eye(SIZE)) / np.sqrt(SIZE)
    covariance = (fourier.conj().T @ (power[:, None] / power.mean() * fourier)).real
    unit = np.eye(SIZE)
    found = {}
    for order in (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0):
        pairs = norms((unit[:, None] + unit[None]).reshape(-1, SIZE), order).reshape(SIZE, SIZE)
        own = norms(unit, order)
        norm = (pairs - own[:, None] - own[None]) / 2
        estimator = design @ np.linalg.solve(design.T @ norm @ design, design.T @ norm)
        found[order] = float(10 * np.log10(np.trace(estimator @ covariance @ estimator.T) / SIZE))
    return found


def main():
    """Compute and write everything."""
    table = Table("exactness", ("question", "case", "value"), 2)
    if table.done:
        raise SystemExit(f"{table.path} exists: remove it to compute it again.")
    table.add(
        "worst relative difference from full transform", "float64", against_the_full_transform("float64")
    )
    table.add(
        "worst relative difference from full transform", "float32", against_the_full_transform("float32")
    )
    table.add("worst relative difference from mean square", "order 0", parseval())
    table.add("worst difference of gradient from finite difference", "float64", gradients())
    for name, slope in SLOPES.items():
        for order, error in least_squares(slope).items():
            table.add(f"least squares under {name} noise, error in dB", f"order {order:g}", error)


if __name__ == "__main__":
    main()
