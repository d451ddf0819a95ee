"""Trainings small enough for a test."""

import keras
import numpy as np
import pytest

BATCH = 4
X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5]], "float32") + 0.1


def model_of(*layers, optimizer=None, loss="mse", seed=1, **compile_options):
    """A compiled Sequential with the layers given, or one small hidden layer."""
    keras.utils.set_random_seed(seed)
    layers = [make() for make in layers] or [
        keras.Input((3,)),
        keras.layers.Dense(2, "tanh", name="hidden"),
        keras.layers.Dense(1, name="out"),
    ]
    model = keras.Sequential(layers)
    model.compile(optimizer or keras.optimizers.SGD(0.05), loss, **compile_options)
    return model


def fit(model, *callbacks, epochs=2, **options):
    """`fit` on six batches an epoch."""
    options = {"x": X, "y": Y, "batch_size": BATCH, "verbose": 0, **options}
    return model.fit(callbacks=list(callbacks), epochs=epochs, **in_batches(options))


# Asked for with these, the arrays are passed as they are.
ON_ARRAYS = {"class_weight", "sample_weight", "validation_split", "steps_per_epoch"}


def in_batches(options):
    """The same with the arrays cut into batches: on TensorFlow an epoch takes half of the time."""
    arrays = [options.get("x"), options.get("y")]
    if (
        keras.backend.backend() != "tensorflow"
        or options.get("shuffle")
        or ON_ARRAYS & options.keys()
        or not all(isinstance(array, np.ndarray) for array in arrays)
    ):
        return options
    import tensorflow as tf

    arrays = tuple(a.astype("float32") if a.dtype.kind == "f" else a for a in arrays)
    data = tf.data.Dataset.from_tensor_slices(arrays).batch(options["batch_size"])
    return {**options, "x": data, "y": None, "batch_size": None, "shuffle": False}


def weights(model):
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.weights]


def flat(values):
    """All numbers of a snapshot, in order."""
    if isinstance(values, dict | list):
        items = values.values() if isinstance(values, dict) else values
        return np.concatenate([flat(value) for value in items])
    return np.asarray(keras.ops.convert_to_numpy(values), np.float64).reshape(-1)


def trainable(model):
    return np.concatenate([flat(v.value) for v in model.trainable_variables])


def snapshots(trajectory):
    """`(m, n)`, oldest first."""
    return np.stack([flat(trajectory.combine(row)) for row in np.eye(len(trajectory))])


def dataset(counted):
    """The batches as a tf.data.Dataset whose size is known, or not."""
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    return data if counted else data.filter(lambda *_: True)


class Hook(keras.callbacks.Callback):
    """Calls functions of (callback, index, logs) at hooks of the names given."""

    def __init__(self, **hooks):
        super().__init__()
        for name, hook in hooks.items():
            setattr(self, name, lambda index=None, logs=None, hook=hook: hook(self, index, logs))
        if "on_train_batch_end" in hooks:
            return
        # As if there were no such hook: Keras need not call it.
        self.on_train_batch_end = keras.callbacks.Callback.on_train_batch_end.__get__(self)


class Broken(Exception):
    """Breaks a fit off."""
