"""How long does the range of a network with two inputs take, to within 0.01 on [0, 10]^2?

The published table of DeepGO: 1 x 100, 200, 500, 1000 units and 6 layers of 250. Weights are random or
trained
on a smooth function. The first call of each architecture compiles, the second is timed.
"""

import argparse
import os
import time

import keras
import numpy as np
from _table import write
from keras import layers

import keras_koopman as kk

SIZES = {"1x100": [100], "1x200": [200], "1x500": [500], "1x1000": [1000], "6x250": [250] * 6}
BOX = kk.reachability.Box([0, 0], [10, 10])


def network(units, weights, seed):
    """Random: He normal with random biases; default: as Keras makes them; trained: on a product of sines."""
    keras.utils.set_random_seed(seed)
    made = {}
    if weights == "random":
        normal = keras.initializers.RandomNormal(stddev=1.0)
        made = {"kernel_initializer": "he_normal", "bias_initializer": normal}
    model = keras.Sequential(
        [keras.Input((2,)), *(layers.Dense(u, "relu", **made) for u in units), layers.Dense(1)]
    )
    if weights == "trained":
        x = np.random.default_rng(seed).uniform(0, 10, (4096, 2)).astype("float32")
        y = np.sin(x[:, :1]) * np.cos(0.5 * x[:, 1:]) + 0.1 * x[:, :1]
        model.compile(keras.optimizers.Adam(2e-3), "mse")
        model.fit(x, y, batch_size=64, epochs=15, verbose=0)
    return model


def timed(model, method, limit):
    began = time.perf_counter()
    found = kk.reachability.output_range(model, BOX, tol=0.01, method=method, time_limit=limit)
    return time.perf_counter() - began, found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--weights", nargs="*", default=["random", "default", "trained"])
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for each search")
    parser.add_argument("--name", default="two_inputs", help="of the table")
    settings = parser.parse_args()
    rows = []
    for size in settings.sizes:
        for weights in settings.weights:
            model = network(SIZES[size], weights, seed=0)
            first, _ = timed(model, "branch", settings.limit)
            seconds, found = timed(model, "branch", settings.limit)
            timed(model, "nested", 0.001)
            slow, nested = timed(model, "nested", settings.limit)
            rows.append(
                {
                    "units": size,
                    "weights": weights,
                    "first_call_s": first,
                    "branch_s": seconds,
                    "branch_gap": found.gap,
                    "branch_finished": found.finished,
                    "boxes": found.evaluations,
                    "nested_s": slow,
                    "nested_gap": nested.gap,
                    "nested_finished": nested.finished,
                    "lower": found.lower,
                    "upper": found.upper,
                }
            )
            print(rows[-1], flush=True)
            write(settings.name, rows, f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
