"""Trajectories whose motion is known."""

import numpy as np

import keras_koopman as kk


def record(rows, origin=None, window=64, form=lambda row: row):
    """A trajectory of rows, from an origin at time 0."""
    trajectory = kk.Trajectory(window)
    if origin is not None:
        trajectory.set_origin(form(np.asarray(origin, float)))
    for t, row in enumerate(rows, start=1):
        trajectory.append(form(np.asarray(row, float)), float(t))
    return trajectory


def layers(row):
    """The two halves of a row as layers."""
    half = len(row) // 2
    return {"first": {"kernel": row[:half]}, "last": {"kernel": row[half:]}}


def means(path, interval):
    """Means over successive intervals of steps."""
    return path.reshape(-1, interval, path.shape[1]).mean(axis=1)


def walk(epochs, seed=0, size=2000, interval=50, drift=0.0):
    """Means over epochs of a random walk with a drift, the latter so many times a step of the former."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((epochs * interval, size)) + drift * np.ones(size)
    return means(np.cumsum(steps, axis=0), interval)


def drift(epochs, size=8):
    """Each epoch goes as far as the one before."""
    return np.outer(np.arange(1, epochs + 1), np.ones(size))


def decay(epochs, rate=0.5, size=8):
    """Each step is a share of the one before."""
    return np.outer(1 - rate ** np.arange(1.0, epochs + 1), np.ones(size))
