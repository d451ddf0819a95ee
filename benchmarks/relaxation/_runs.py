"""Keras models trained in one compiled loop on JAX: epoch means of the weights, many epochs a second."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

CHUNK = 50  # epochs in a call
CLASSES = {"cancer": load_breast_cancer, "wine": load_wine}


class Recipe(NamedTuple):
    """A training.

    Attributes:
        data: `"digits"`, `"digits600"` (the first 600), `"diabetes"`, `"cancer"` or `"wine"`.
        hidden: units of a tanh layer; 0 for none.
        optimizer: `"sgd"` or `"adam"`.
        rate: learning rate.
        momentum: of SGD.
        decay: gradient `decay * w` of the kernels, as their regulariser.
        batch: examples in a batch; 0 for all.
        epochs: budget.
    """

    data: str
    hidden: int
    optimizer: str
    rate: float
    momentum: float
    decay: float
    batch: int
    epochs: int


@functools.cache
def data_of(name):
    if name == "diabetes":
        x, y = load_diabetes(return_X_y=True)
        return (x / x.std(0)).astype("float32"), ((y - y.mean()) / y.std()).astype("float32")[:, None]
    if name in CLASSES:
        x, y = CLASSES[name](return_X_y=True)
        return ((x - x.mean(0)) / x.std(0)).astype("float32"), np.eye(y.max() + 1, dtype="float32")[y]
    x, y = load_digits(return_X_y=True)
    count = 600 if name == "digits600" else len(x)
    return (x[:count] / 16).astype("float32"), np.eye(10, dtype="float32")[y[:count]]


class Training:
    """Trains by a recipe, compiled once for all seeds.

    Args:
        recipe: of the training.
    """

    def __init__(self, recipe):
        self.x, self.y = map(jnp.asarray, data_of(recipe.data))
        self.batch = recipe.batch or len(self.x)
        self.steps = len(self.x) // self.batch
        self.shuffled = bool(recipe.batch)

        def dense(units, activation=None):
            return layers.Dense(units, activation, kernel_regularizer=keras.regularizers.L2(recipe.decay / 2))

        hidden = [dense(recipe.hidden, "tanh")] if recipe.hidden else []
        self.model = model = keras.Sequential(
            [keras.Input(self.x.shape[1:]), *hidden, dense(self.y.shape[1])]
        )
        self.optimizer = (
            keras.optimizers.SGD(recipe.rate, momentum=recipe.momentum)
            if recipe.optimizer == "sgd"
            else keras.optimizers.Adam(recipe.rate)
        )
        self.optimizer.build(self.model.trainable_variables)
        classes = recipe.data != "diabetes"

        def loss_of(weights, fixed, x, y):
            out, _, losses = model.stateless_call(weights, fixed, x, return_losses=True)
            miss = (
                -jnp.mean(jnp.sum(y * jax.nn.log_softmax(out), axis=1))
                if classes
                else jnp.mean(jnp.square(out - y))
            )
            return miss + sum(losses)

        gradient = jax.value_and_grad(loss_of)
        fixed = [v.value for v in self.model.non_trainable_variables]

        def step(state, rows):
            weights, optimizer = state
            loss, grads = gradient(weights, fixed, self.x[rows], self.y[rows])
            weights, optimizer = self.optimizer.stateless_apply(optimizer, grads, weights)
            return (weights, optimizer), (jnp.concatenate([w.ravel() for w in weights]), loss)

        def epoch(carry, _):
            state, key = carry
            key, own = jax.random.split(key)
            rows = jax.random.permutation(own, len(self.x)) if self.shuffled else jnp.arange(len(self.x))
            rows = rows[: self.steps * self.batch].reshape(self.steps, self.batch)
            state, (weights, losses) = jax.lax.scan(step, state, rows)
            return (state, key), (weights.mean(axis=0), losses.mean())

        self._epochs = jax.jit(lambda carry: jax.lax.scan(epoch, carry, None, length=CHUNK))

    def path(self, seed, shuffle, epochs):
        """Train from new weights: these, `(epochs, n)` mean weights of the epochs, and `(epochs,)` losses."""
        rng = np.random.default_rng(seed)
        weights = []
        for variable in self.model.trainable_variables:  # Glorot's, as Keras begins
            bound = np.sqrt(6 / sum(variable.shape)) if len(variable.shape) == 2 else 0.0
            weights.append(jnp.asarray(rng.uniform(-bound, bound, variable.shape), "float32"))
        start = np.concatenate([np.ravel(w) for w in weights])
        carry = ((weights, [v.value for v in self.optimizer.variables]), jax.random.PRNGKey(shuffle))
        parts = []
        for _ in range(-(-epochs // CHUNK)):
            carry, part = self._epochs(carry)
            parts.append([np.asarray(p) for p in part])
        means, losses = (np.concatenate(p)[:epochs] for p in zip(*parts, strict=True))
        return start, means, losses
