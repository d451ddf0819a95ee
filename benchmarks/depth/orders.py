"""Orders of convergence: the harmonic oscillator, and a block that was trained on two spirals.

python benchmarks/depth/orders.py
"""

import math
from pathlib import Path

import keras
import numpy as np
from _rows import Table

import keras_koopman as kk

SCHEMES = ("euler", "midpoint", "heun", "rk4", "rk38")
STEPS = (2, 4, 8, 16)
FIGURE = Path(__file__).parents[2] / "docs" / "figures" / "depth_orders.svg"


def oscillator(table):
    """Half a turn, against the closed solution, in float64."""
    keras.config.set_floatx("float64")
    turn = keras.initializers.Constant(np.array([[0.0, 1.0], [-1.0, 0.0]]))
    start = np.array([[1.0, 0.0]])
    for scheme in SCHEMES:
        before = None
        for steps in STEPS:
            rate = keras.layers.Dense(2, use_bias=False, kernel_initializer=turn)
            block = kk.layers.ContinuousBlock(rate, steps, 1, scheme, horizon=math.pi)
            error = float(np.abs(keras.ops.convert_to_numpy(block(start)) - [[-1.0, 0.0]]).max())
            order = None if before is None else math.log2(before / error)
            if table.lacks("oscillator", scheme, steps):
                table.append("oscillator", scheme, steps, error, order)
            before = error
    keras.config.set_floatx("float32")


def spirals(count=400, seed=0):
    """Two spirals in the plane, and which of them."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    angle = 3 * np.sqrt(rng.random(count)) + 0.3
    x = np.stack([angle * np.cos(2 * angle + np.pi * label), angle * np.sin(2 * angle + np.pi * label)], 1)
    return (x + 0.05 * rng.normal(size=x.shape)).astype("float32") / 2, label


def trained(table, scheme, steps):
    """A block trained with one scheme, run with all of them; what `convergence_test` makes of it."""
    keras.utils.set_random_seed(0)
    x, y = spirals()
    block = kk.layers.ContinuousBlock(kk.layers.DenseRate(32), steps, 2, scheme, "fem", horizon=2.0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8), block, keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=60, batch_size=50, verbose=0)
    report = kk.layers.convergence_test(model, x, y, steps=STEPS, schemes=SCHEMES)
    print(f"trained with {steps} steps of {scheme}\n{report}\n")
    for row in report.rows:
        if table.lacks(f"spirals, {steps} {scheme}", row.scheme, row.steps):
            table.append(f"spirals, {steps} {scheme}", row.scheme, row.steps, row.difference, row.order)
    return report


def main():
    table = Table("orders", ("equation", "scheme", "steps"), ("error", "order"))
    oscillator(table)
    reports = [trained(table, "rk4", 4), trained(table, "euler", 2)]
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    titles = ("trained with 4 steps of rk4", "trained with 2 steps of euler")
    for ax, report, title in zip(axes, reports, titles, strict=True):
        report.plot(ax)
        ax.set_title(title, fontsize=10)
    axes[1].set_ylabel("")
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
