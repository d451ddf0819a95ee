"""Trains many arms of one network side by side: same first weights, same steps, other losses and targets.

Their steps are those of Keras with Adam on full batches; `fields.py --verify` compares them. One compiled
program for all arms takes a tenth of the time of as many calls of `fit`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import keras
import numpy as np

import keras_koopman as kk
from keras_koopman.harmonics.transform import frequencies, matrix

RATE, FIRST, SECOND, EPSILON = 3e-3, 0.9, 0.999, 1e-7  # Adam's, as Keras has them
CHECK, CHECKS = 40, 12  # steps between two looks, and how many looks
SMALL = 0.01  # of the last layer's first weights
HIDDEN = 64


@dataclasses.dataclass(frozen=True)
class Arm:
    """One training: a loss, targets, and how the last layer begins."""

    order: float = 0.0
    knee: float = 1.0
    small: bool = True
    annealed: bool = False  # the order goes to 0 in a line
    penalty: float = 0.0  # of the square of the prediction's coefficients, times 1 - weight
    targets: np.ndarray | None = None  # instead of the noisy ones

    def weights(self, size):
        """`(checks, size)`: weight of each coefficient, as the library's loss has it."""
        k_squared = frequencies(size, "periodic") ** 2
        orders = self.order * (1 - np.arange(CHECKS) / (CHECKS - 1) * self.annealed)
        rows = [kk.losses.Sobolev(order, self.knee).weights(k_squared) for order in orders]
        return np.stack([keras.ops.convert_to_numpy(row) for row in rows])


def network(inputs, outputs):
    """A Keras model, its first weights drawn from the global seed."""
    body = [keras.layers.Dense(HIDDEN, "relu") for _ in range(2)]
    return keras.Sequential([keras.Input((inputs,)), *body, keras.layers.Dense(outputs)])


def first_weights(seed, inputs, outputs, small):
    """Of the network, its last layer a hundredth of what Keras draws if `small`."""
    keras.utils.set_random_seed(seed)
    weights = network(inputs, outputs).get_weights()
    weights[-2] = weights[-2] * (SMALL if small else 1)
    return weights


def _predict(weights, x):
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = jax.nn.relu(x @ kernel + bias)
    return x @ weights[-2] + weights[-1]


def _squares(values):
    return jnp.square(values @ matrix(values.shape[-1], "periodic").T.astype("float32"))


def _loss(weights, by_scale, penalty, x, y):
    found = _predict(weights, x)
    shrunk = penalty * (1 - by_scale)
    return jnp.mean(_squares(found - y) @ by_scale) + jnp.mean(_squares(found) @ shrunk)


def _run(weights, by_scale, penalty, y, x, validation, test):
    """Predictions of the test inputs, own loss and mean squared error on the validation, at each look."""

    def step(state, _, at):
        weights, first, second, count = state
        gradients = jax.grad(_loss)(weights, at, penalty, x, y)
        count += 1
        first = [FIRST * m + (1 - FIRST) * g for m, g in zip(first, gradients, strict=True)]
        second = [SECOND * v + (1 - SECOND) * g * g for v, g in zip(second, gradients, strict=True)]
        rate = RATE * jnp.sqrt(1 - SECOND**count) / (1 - FIRST**count)
        weights = [
            w - rate * m / (jnp.sqrt(v) + EPSILON) for w, m, v in zip(weights, first, second, strict=True)
        ]
        return (weights, first, second, count), None

    def look(state, at):
        state, _ = jax.lax.scan(lambda s, i: step(s, i, at), state, None, length=CHECK)
        squares = _squares(_predict(state[0], validation[0]) - validation[1])
        clean = jnp.mean((_predict(state[0], test[0]) - test[1]) ** 2)
        return state, (jnp.mean(squares @ by_scale[-1]), jnp.mean(jnp.sum(squares, -1)), clean)

    zeros = [jnp.zeros_like(w) for w in weights]
    state, looks = jax.lax.scan(look, (weights, zeros, zeros, 0.0), by_scale)
    return state[0], looks


_run_all = jax.jit(jax.vmap(_run, in_axes=(0, 0, 0, 0, None, None, None)))


def train(arms, seed, training, validation, test, looks=CHECKS):
    """All arms.

    Args:
        arms: list of `Arm`.
        seed: of the first weights.
        training, validation: inputs and noisy targets.
        test: inputs and clean targets.
        looks: how many, each after `CHECK` steps.

    Returns:
        Last weights, for each arm; own loss on the validation, mean squared error on it, and mean squared
        error on the clean test, `(arms, looks)` each.
    """
    (x, y), outputs = training, training[1].shape[1]
    by_small = {small: first_weights(seed, x.shape[1], outputs, small) for small in (False, True)}
    weights = [jnp.stack(each) for each in zip(*(by_small[arm.small] for arm in arms), strict=True)]
    by_scale = np.stack([arm.weights(outputs)[:looks] for arm in arms])
    penalties = np.array([arm.penalty for arm in arms], "float32")
    targets = np.stack([y if arm.targets is None else arm.targets for arm in arms]).astype("float32")
    last, figures = _run_all(weights, by_scale, penalties, targets, x, validation, test)
    return [np.asarray(w) for w in last], *(np.asarray(values) for values in figures)
