"""Snapshots of every form, and what NumPy makes of them."""

import keras
import numpy as np
from keras import ops

import keras_koopman as kk

LENGTH = 12


FORMS = {
    "array": lambda x: x,
    "matrix": lambda x: x.reshape(3, 4),
    "tensor": ops.convert_to_tensor,
    "variable": lambda x: keras.Variable(x.reshape(2, 6)),
    "list": lambda x: [x[:5].reshape(5, 1), ops.convert_to_tensor(x[5:])],
    "tuple": lambda x: (x[:2].reshape(2, 1), ops.convert_to_tensor(x[2:])),
    "variables": lambda x: [keras.Variable(x[:6], name="kernel"), keras.Variable(x[6:], name="kernel")],
    "dict": lambda x: {"a": x[0], "b": x[1:].reshape(11, 1)},
    "dict of dicts": lambda x: {"a": {"k": x[:4].reshape(2, 2), "b": x[4]}, "c": {"k": x[5:]}},
    "dict of lists": lambda x: {"a": [x[:3], x[3:5]], "b": [x[5:]]},
    "dict of variables": lambda x: {"a": FORMS["variables"](x[:8]), "b": keras.Variable(x[8:])},
    "with empty parts": lambda x: {"a": {"k": x[:0].reshape(0, 3), "b": x}, "none": x[:0]},
}


def walk(count, length=5, seed=0, dtype="float32"):
    """Rows of a random walk whose differences are exact in float32."""
    steps = np.random.default_rng(seed).standard_normal((count, length))
    return (np.round(np.cumsum(steps, axis=0) * 1024) / 1024).astype(dtype)


def record(rows, window=64, form=lambda x: x):
    trajectory = kk.Trajectory(window)
    for row in rows:
        trajectory.append(form(row))
    return trajectory


def exact(rows):
    wide = np.asarray(rows, np.float64).reshape(len(rows), -1 if len(rows) else 0)
    return wide @ wide.T


def host(tensor):
    return np.asarray(ops.convert_to_numpy(tensor), np.float64)


def flat(values):
    return np.concatenate([host(leaf).reshape(-1) for leaf in keras.tree.flatten(values)])


def same(found, wanted, tolerance=1e-13):
    size = np.sqrt(np.diag(wanted))
    np.testing.assert_array_less(np.abs(found - wanted), tolerance * np.outer(size, size) + 1e-300)
