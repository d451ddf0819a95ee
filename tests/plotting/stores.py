"""Stores made by hand, for tests of what reads them."""

import numpy as np

import keras_koopman as kk
from keras_koopman.trajectory.layout import Layout
from keras_koopman.trajectory.store import TrajectoryStore

HOSTILE = """<script>alert(1)</script>"'&$x_1$\N{RIGHT-TO-LEFT OVERRIDE}"""


def make_store(
    path, records=12, logs=True, layers=("first", "second"), metric="loss", unit="epoch", step=1.0
):
    """A run whose steps fall by 0.9 in one layer and by 0.5 in the other, with the logs of a monitor."""
    rates = dict(zip(layers, (0.9, 0.5), strict=True))
    rng = np.random.default_rng(0)
    direction = {name: rng.normal(size=(3, 2)) for name in layers}

    def weights(t):
        return {name: direction[name] * rates[name] ** t for name in layers}

    store = TrajectoryStore.create(path, Layout.of(weights(0)), unit, weights(0), 0.0)
    for t in range(1, records + 1):
        known = {metric: 2.0 * 0.8**t, f"val_{metric}": 2.1 * 0.8**t, "accuracy": 1 - 0.9**t}
        if t > 8:
            known |= {"koopman_rho": 0.9, "koopman_speed": 0.6}
        if t > 3:
            known |= {"koopman_leading": 0.9, "koopman_residual": 1e-6, "koopman_half_life": 6.5788}
            known |= {"koopman_near_one": 1.0}
        store.append(weights(t), t * step, t - 1, known if logs else {})
    return path


def save_path(path, snapshots):
    """A store of bare snapshots, one a column."""
    trajectory = kk.Trajectory(window=max(2, snapshots.shape[1]))
    for column in snapshots.T:
        trajectory.append(column)
    trajectory.save(path)
    return path
