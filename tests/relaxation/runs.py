"""Trajectories whose motion is known."""

import numpy as np

import keras_koopman as kk

SIZE = 200


def directions(count, seed=0):
    """Orthonormal rows."""
    normal = np.random.default_rng(seed).normal(size=(count, SIZE))
    return np.linalg.qr(normal.T)[0].T


def relaxing(factors, amplitudes=None, records=48, noise=0.0, seed=0, dt=1.0, offset=1.0, window=64):
    """A run `offset + sum_i amplitude_i factor_i^t direction_i`, with white noise of a given norm."""
    rng = np.random.default_rng(seed)
    amplitudes = np.ones(len(factors)) if amplitudes is None else np.asarray(amplitudes)
    modes = directions(len(factors))
    run = kk.Trajectory(window=window)
    for t in range(records):
        motion = (amplitudes * np.power(factors, t)) @ modes
        shaken = noise * rng.normal(size=SIZE) / np.sqrt(SIZE)
        run.append((offset + motion + shaken).astype("float32"), time=(t + 1) * dt)
    return run


def walk(records=60, seed=0, drift=0.0):
    """A random walk with a drift, which has no end."""
    steps = np.random.default_rng(seed).normal(size=(records, SIZE)) / np.sqrt(SIZE) + drift
    run = kk.Trajectory()
    for values in np.cumsum(steps, axis=0):
        run.append(values.astype("float32"))
    return run
