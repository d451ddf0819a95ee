"""Networks, data and loops small enough for a test."""

import keras
import numpy as np

import keras_koopman as kk
from tests.callbacks.tiny import in_batches

L = keras.layers
X = np.random.default_rng(0).normal(size=(40, 8)).astype("float32")
Y = np.tanh(X @ np.random.default_rng(1).normal(size=(8, 4))).astype("float32")
BATCHES = 10  # of four


def network(seed=1):
    """Two kernels of 64 and 32 weights, two biases of 8 and 4, none of them zero."""
    keras.utils.set_random_seed(seed)
    bias = keras.initializers.RandomUniform(0.1, 0.2, seed=3)
    inputs = keras.Input((8,))
    hidden = L.Dense(8, "relu", bias_initializer=bias, name="hidden")(inputs)
    return keras.Model(inputs, L.Dense(4, bias_initializer=bias, name="out")(hidden))


def ramp(goal=0.5, begin=1, end=4, power=3):
    return kk.schedules.PolynomialSparsity(0.0, goal, begin, end, power)


def pruning(inner="sgd", schedule=None, *arguments, update_freq=1, **options):
    return kk.optimizers.PruningOptimizer(
        inner, schedule or ramp(), *arguments, update_freq=update_freq, **options
    )


def compiled(optimizer, model=None, loss="mse", **options):
    model = network() if model is None else model
    if keras.backend.backend() == "tensorflow":
        options.setdefault("jit_compile", False)  # XLA takes seconds for each model
    model.compile(optimizer, loss, **options)
    return model


def fit(model, *callbacks, **options):
    """`fit` on ten batches."""
    options = {"x": X, "y": Y, "batch_size": 4, "verbose": 0, "shuffle": False, **options}
    return model.fit(callbacks=list(callbacks), **in_batches(options))


def host(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def weights(model):
    return [host(v.value) for v in model.trainable_variables]


def kernels(model):
    return [host(v.value) for v in model.trainable_variables if v.path.endswith("kernel")]


def zeros(model):
    """Share of zeros in the kernels."""
    return np.mean(np.concatenate([kernel.ravel() == 0 for kernel in kernels(model)]))


def pruner(optimizer):
    """The pruning optimizer in one that may be wrapped."""
    while not hasattr(optimizer, "pruned"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def masks(optimizer):
    return [host(mask) for mask in pruner(optimizer).pruned.masks]


def exact(optimizer):
    """Whether all that is masked is zero, and nothing else in the tensors that are pruned."""
    optimizer = pruner(optimizer)
    variables = optimizer._trainable_variables
    return all(
        np.array_equal(host(variables[index].value) != 0, np.broadcast_to(host(mask), variables[index].shape))
        for index, mask in optimizer.pruned.masked()
    )


class Steps:
    """Steps of an optimizer on gradients that are given, compiled: a `fit` without a model's share of it."""

    def __init__(self, model, compiled=True):
        self.model, self.optimizer = model, model.optimizer
        if not self.optimizer.built:
            pruner(self.optimizer).build_for(model)
        self.engine = keras.backend.backend()
        if self.engine == "tensorflow" and compiled:
            import tensorflow as tf

            self._step = tf.function(lambda *grads: self.optimizer.apply(list(grads)), autograph=False)
        elif self.engine == "jax":
            import jax

            self._step = jax.jit(self.optimizer.stateless_apply)
        else:
            self._step = lambda *grads: self.optimizer.apply(list(grads))

    def __call__(self, grads):
        grads = [keras.ops.convert_to_tensor(grad, "float32") for grad in grads]
        if self.engine != "jax":
            self._step(*grads)
            return
        variables = self.optimizer._trainable_variables
        found = self._step([v.value for v in self.optimizer.variables], grads, [v.value for v in variables])
        for known, values in zip((variables, self.optimizer.variables), found, strict=True):
            for variable, value in zip(known, values, strict=True):
                variable.assign(value)


class Look(keras.callbacks.Callback):
    """After each batch: are masked weights exact zeros, are they still gone, and how many are there."""

    def __init__(self):
        super().__init__()
        self.zeros, self.faults, self._gone = [], [], None

    def on_train_batch_end(self, batch, logs=None):
        model = self.model
        if not exact(model.optimizer):
            self.faults.append(f"batch {batch}: zeros are not those of the masks")
        gone = [~mask for mask in masks(model.optimizer)]
        if self._gone is not None and any(np.any(a & ~b) for a, b in zip(self._gone, gone, strict=True)):
            self.faults.append(f"batch {batch}: a weight came back")
        self._gone = gone
        self.zeros.append(zeros(model))
