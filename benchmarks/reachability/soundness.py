"""Does any point lie outside a bound? Random networks and boxes, points in long double.

Bounds are those by which boxes are bounded in branch-and-bound: affine forms and a backward pass of CROWN,
and of
one box of every fifth network also plain CROWN and plain intervals. Half of the points are corners.
"""

import argparse

import keras
import numpy as np
from _table import write
from keras import layers

import keras_koopman as kk
from keras_koopman.reachability.problem import Problem
from keras_koopman.reachability.walks import Walks

FUNCTIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, np.longdouble(0.2) * z),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "softplus": lambda z: np.logaddexp(z, np.longdouble(0)),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
}
UNITS = ([12], [8, 8])
BOXES, POINTS = 128, 40


def exact(weights, x, activation):
    kernels, biases = weights[::2], weights[1::2]
    for number, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        x = x @ kernel.astype(np.longdouble) + bias.astype(np.longdouble)
        x = activation(x) if number + 1 < len(kernels) else x
    return x


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000, help="networks times boxes")
    settings = parser.parse_args()
    rng = np.random.default_rng(0)
    rows, done = [], 0
    counts = dict.fromkeys(FUNCTIONS, 0)
    outside = dict.fromkeys(FUNCTIONS, 0)
    nearest = dict.fromkeys(FUNCTIONS, np.inf)
    networks = 0
    while done < settings.pairs:
        for name, function in FUNCTIONS.items():
            units = UNITS[networks // len(FUNCTIONS) % len(UNITS)]
            networks += 1
            model = keras.Sequential(
                [keras.Input((3,)), *(layers.Dense(u, name) for u in units), layers.Dense(1)]
            )
            scale = 10 ** rng.uniform(-1, 1)
            weights = [(scale * rng.normal(size=w.shape)).astype("float32") for w in model.get_weights()]
            model.set_weights(weights)
            center, radius = rng.normal(size=(BOXES, 3)), 10 ** rng.uniform(-6, 1, (BOXES, 3))
            low, high = center - radius, center + radius
            problem = Problem.of(model, kk.reachability.Box(low.min(0), high.max(0)))
            least, most = Walks(problem.program).bound(low, high)[:2]
            share = rng.uniform(0, 1, (BOXES, POINTS, 3))
            share[:, ::2] = np.round(share[:, ::2])
            points = np.longdouble(low)[:, None] + share * (np.longdouble(high) - low)[:, None]
            values = exact(weights, points.reshape(-1, 3), function).reshape(BOXES, POINTS)
            bad = (values < least[:, None]) | (values > most[:, None])
            box = kk.reachability.Box(low[0], high[0])
            for method in ("crown", "interval") if networks % 5 == 1 else ():
                bottom, top = kk.reachability.bounds(model, box, method)
                bad[0] |= (values[0] < bottom[0]) | (values[0] > top[0])
            outside[name] += int(bad.sum())
            counts[name] += values.size
            width = np.maximum(most - least, 1e-300)[:, None]
            gap = np.minimum(values - least[:, None], most[:, None] - values) / width
            nearest[name] = min(nearest[name], float(gap.min()))
            done += BOXES
        print(done, sum(outside.values()), flush=True)
    for name in FUNCTIONS:
        rows.append(
            {
                "activation": name,
                "points": counts[name],
                "outside": outside[name],
                "nearest_to_a_bound_relative": nearest[name],
            }
        )
        print(rows[-1])
    write("soundness", rows, f"{done} pairs of network and box, {networks} networks")


if __name__ == "__main__":
    main()
