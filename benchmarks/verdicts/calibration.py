"""Which thresholds tell a bad run from a good one early, and name its cause?

Four small networks on scikit-learn's digits, each with initialisations and learning rates from far too small
to far too large. A run is judged after 10 epochs of 40 by the figures that `kk.verdicts.assess` reads. What
is true comes from the grid itself: a run is bad if it ends with a training loss far above the best of its
network; its cause is the learning rate if the same initialisation ends well with another rate, and which side
that rate lies on says whether it was too low or too high; otherwise the initialisation.

    python benchmarks/verdicts/calibration.py              # runs what the table lacks
    python benchmarks/verdicts/calibration.py --summarise  # thresholds, within and across networks

One thread. The figures of the path come from means over epochs of every step's weights.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import itertools
import sys

import jax
import jax.numpy as jnp
import keras
import numpy as np
import sklearn.datasets
from _table import Table
from keras import layers

import keras_koopman as kk
from keras_koopman.verdicts.path import measure_path, stopping_rule

KEYS = ("network", "optimizer", "start", "rate", "seed")
FIGURES = (
    *("loss_start", "loss_1", "loss_2", "loss_judged", "loss_end", "loss_worst"),
    *("accuracy_end", "accuracy_best"),
    *("rho", "speed", "least_layer_rho", "displacement"),
    *("stop_epoch", "stop_reason", "accuracy_stop"),
)
EPOCHS, JUDGED, BATCH, SEEDS = 40, 10, 32, (0, 1)
# What all kernels are multiplied with; "equal" gives them all one value, so that units stay alike.
STARTS = {"default": 1.0, "tiny": 0.01, "small": 0.2, "large": 4.0, "huge": 16.0, "equal": None}
RATES = {
    "sgd": (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0),
    "momentum": (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0),
    "adam": (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1),
}


def mlp():
    return [layers.Dense(128, "relu", kernel_initializer="he_normal") for _ in range(2)]


def deep_tanh():
    return [layers.Dense(64, "tanh") for _ in range(5)]


def convnet():
    convolutions = [layers.Conv2D(8, 3, 2, "same", activation="relu") for _ in range(2)]
    return [layers.Reshape((8, 8, 1)), *convolutions, layers.Flatten()]


class Block(layers.Layer):
    """A block of a transformer."""

    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 8)
        self.norms = layers.LayerNormalization(), layers.LayerNormalization()
        self.up, self.down = layers.Dense(32, "gelu"), layers.Dense(16)

    def build(self, shape):
        self.attention.build(shape, shape)
        for norm in self.norms:
            norm.build(shape)
        self.up.build(shape)
        self.down.build((*shape[:-1], 32))

    def call(self, x):
        y = self.norms[0](x)
        x = x + self.attention(y, y)
        return x + self.down(self.up(self.norms[1](x)))


def transformer():
    rows = [layers.Reshape((8, 8)), layers.Dense(16)]
    return [*rows, Block(), Block(), layers.LayerNormalization(), layers.GlobalAveragePooling1D()]


NETWORKS = {
    "mlp": (mlp, "sgd"),
    "deep tanh": (deep_tanh, "momentum"),
    "transformer": (transformer, "adam"),
    "convnet": (convnet, "adam"),
}


def digits():
    """Training and validation parts, inputs from 0 to 1."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x / 16).astype("float32")[order], y[order]
    return (x[:1408], y[:1408]), (x[1408:], y[1408:])


def build(network, start, seed):
    """The network with kernels scaled; seed None leaves the seed that is set."""
    if seed is not None:
        keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((64,)), *NETWORKS[network][0](), layers.Dense(10)])
    for variable in model.trainable_variables:
        if "kernel" not in variable.path:
            continue
        scale = STARTS[start]
        value = keras.ops.full(variable.shape, 0.05) if scale is None else variable.value * scale
        variable.assign(value)
    return model


def trainer(model, optimizer):
    """Compiled: all epochs of a run from the weights and the rate."""
    (x, y), (x_val, y_val) = digits()
    steps = len(x) // BATCH
    fixed = [v.value for v in model.non_trainable_variables]

    def forward(weights, inputs):
        return model.stateless_call(weights, fixed, inputs)[0]

    def loss_of(weights, inputs, labels):
        return -jnp.take_along_axis(jax.nn.log_softmax(forward(weights, inputs)), labels[:, None], 1).mean()

    def update(weights, state, gradient, rate, step):
        if optimizer == "sgd":
            return [w - rate * g for w, g in zip(weights, gradient, strict=True)], state
        if optimizer == "momentum":
            velocity = [0.9 * m - rate * g for m, g in zip(state[0], gradient, strict=True)]
            return [w + v for w, v in zip(weights, velocity, strict=True)], (velocity, state[1])
        first = [0.9 * m + 0.1 * g for m, g in zip(state[0], gradient, strict=True)]
        second = [0.999 * s + 0.001 * g * g for s, g in zip(state[1], gradient, strict=True)]
        size = rate * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        return [
            w - size * m / (jnp.sqrt(s) + 1e-7) for w, m, s in zip(weights, first, second, strict=True)
        ], (first, second)

    def epoch(carry, key):
        weights, state, rate, step = carry
        batches = jax.random.permutation(key, len(x))[: steps * BATCH].reshape(steps, BATCH)

        def one(carry, batch):
            weights, state, total, step = carry
            inputs, labels = jnp.asarray(x)[batch], jnp.asarray(y)[batch]
            loss, gradient = jax.value_and_grad(loss_of)(weights, inputs, labels)
            weights, state = update(weights, state, gradient, rate, step + 1)
            return (weights, state, [t + w for t, w in zip(total, weights, strict=True)], step + 1), loss

        zeros = [jnp.zeros_like(w) for w in weights]
        (weights, state, total, step), losses = jax.lax.scan(one, (weights, state, zeros, step), batches)
        accuracy = jnp.mean(jnp.argmax(forward(weights, jnp.asarray(x_val)), -1) == jnp.asarray(y_val))
        means = [t / steps for t in total]
        return (weights, state, rate, step), (means, losses.mean(), accuracy)

    @jax.jit
    def run(weights, rate, seed):
        zeros = [jnp.zeros_like(w) for w in weights]
        keys = jax.random.split(jax.random.key(seed), EPOCHS)
        before = loss_of(weights, jnp.asarray(x), jnp.asarray(y))
        return before, jax.lax.scan(epoch, (weights, (zeros, zeros), rate, 0.0), keys)[1]

    return run


def judge(model, means, accuracies):
    """Figures of the path at the time of judgement, and where the rule would have stopped."""
    layout = kk.observables.TrainableWeights().named(model)
    place = {id(v): i for i, v in enumerate(model.trainable_variables)}

    def values(arrays):
        return {
            group: {name: arrays[place[id(v)]] for name, v in members.items()}
            for group, members in layout.items()
        }

    trajectory = kk.Trajectory(window=9)
    trajectory.set_origin(values([v.value for v in model.trainable_variables]))
    judged, stopped = None, (0, "", float("nan"))
    for t in range(EPOCHS):
        row = [np.asarray(mean[t]) for mean in means]
        if not all(np.isfinite(part).all() for part in row):
            break
        trajectory.append(values(row), t + 1.0)
        if t + 1 < 9:
            continue
        path = measure_path(trajectory)
        judged = path if t + 1 == JUDGED else judged
        reason = stopping_rule(path.rho, path.speed)
        if reason and not stopped[0]:
            stopped = (t + 1, reason.name, float(accuracies[t]))
        if stopped[0] and t + 1 >= JUDGED:
            break
    if judged is None:
        return *(None,) * 4, *stopped
    return judged.rho, judged.speed, judged.least_layer_rho, judged.displacement, *stopped


def main():
    table = Table("calibration", KEYS, FIGURES)
    for network, (_, optimizer) in NETWORKS.items():
        run = None
        for start, rate, seed in itertools.product(STARTS, RATES[optimizer], SEEDS):
            if not table.lacks(network, optimizer, start, rate, seed):
                continue
            model = build(network, start, seed)
            run = run or trainer(model, optimizer)
            before, (means, losses, accuracies) = run(
                [v.value for v in model.trainable_variables], rate, seed
            )
            losses, accuracies = np.asarray(losses, float), np.asarray(accuracies, float)
            finite = losses[np.isfinite(losses)]
            table.append(
                *(network, optimizer, start, rate, seed),
                *(float(before), *losses[[0, 1, JUDGED - 1, -1]], float(finite.max(initial=0.0))),
                *(accuracies[-1], accuracies.max()),
                *judge(model, means, accuracies),
            )
            print(network, start, rate, seed, f"{losses[JUDGED - 1]:.3g} {losses[-1]:.3g}", flush=True)


if __name__ == "__main__":
    if "--summarise" in sys.argv:
        from _thresholds import summarise

        summarise(Table("calibration", KEYS, FIGURES).rows())
    else:
        main()
