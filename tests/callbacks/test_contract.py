"""What every callback that records must keep, on every engine. A new one is a line in CALLBACKS.

All of them watch one training together, which takes a fifth of the time of five: a test compares what
each did, by name.
"""

import collections
import functools
import re
import warnings

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import KoopmanMonitor, TrajectoryRecorder
from tests.callbacks.tiny import (
    BATCH,
    Broken,
    Hook,
    X,
    Y,
    dataset,
    fit,
    model_of,
    snapshots,
    trainable,
    weights,
)

pytestmark = [
    pytest.mark.contract,
    pytest.mark.uncounted,
    pytest.mark.filterwarnings("ignore:Your input ran out of data", "ignore:.*Gym|.*distutils"),
]

STEP = 2  # batches between records of those that count batches
CALLBACKS = {
    "recorder": TrajectoryRecorder,
    "recorder-mean": functools.partial(TrajectoryRecorder, average=True),
    "recorder-batches-mean": functools.partial(TrajectoryRecorder, record_freq=STEP, average=True),
    "monitor": KoopmanMonitor,
    "monitor-batches": functools.partial(KoopmanMonitor, record_freq=STEP, average=False),
}


class Every(dict):
    """One callback of each kind, by name."""

    def __init__(self, **options):
        super().__init__({name: make(**options) for name, make in CALLBACKS.items()})

    def times(self):
        return {name: callback.trajectory.times.tolist() for name, callback in self.items()}

    def due(self, batches, epoch=0):
        """Times after so many batches, six an epoch, of a fit whose first epoch is `epoch`."""
        return {
            name: [epoch + t for t in range(1, batches // 6 + 1)] if callback.unit == "epoch"
            else list(range(STEP, batches + 1, STEP))
            for name, callback in self.items()
        }  # fmt: skip

    def fit(self, model, *others, **options):
        """`fit` with all of them, and what they warned of: one text, or none, from each."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            history = fit(model, *others, *self.values(), **options)
        texts = [str(w.message) for w in caught]
        assert not [t for t in texts if "evenly" in t]
        kinds = {type(callback).__name__ for callback in self.values()}
        return history, [t for t in texts if t.split(":")[0] in kinds]

    def told(self, texts, part, only=None):
        """Whether each of them, or those of the unit `only`, said `part` once, and nothing else was said."""
        wanted = [type(c).__name__ for c in self.values() if only in (None, c.unit)]
        said = collections.Counter(t.split(":")[0] for t in texts if re.search(part, t))
        return len(texts) == len(wanted) and said == collections.Counter(wanted)


@pytest.fixture
def every():
    return Every()


@pytest.fixture(autouse=True)
def own_names():
    keras.utils.clear_session(free_memory=False)  # so that `dense` is not `dense_7`


# --- trainings of many kinds: each returns a compiled model and what `fit` is given ---


def plain(**options):
    return model_of(**options), {}


def dropout():
    L = keras.layers
    model = model_of(
        lambda: keras.Input((3,)), lambda: L.Dense(4), lambda: L.Dropout(0.5), lambda: L.Dense(1),
        optimizer="adam",
    )  # fmt: skip
    return model, {"shuffle": True}


def batch_norm():
    L = keras.layers
    return model_of(
        lambda: keras.Input((3,)), L.BatchNormalization, lambda: L.Dense(1), optimizer="rmsprop"
    ), {"validation_split": 0.0}  # fmt: skip


def no_input():
    return model_of(lambda: keras.layers.Dense(2), lambda: keras.layers.Dense(1)), {}


class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.body = keras.layers.Dense(2)
        self.head = keras.layers.Dense(1)

    def call(self, x):
        return self.head(keras.ops.tanh(self.body(x)))


class OwnStep(Subclassed):
    def train_step(self, *args):
        if keras.backend.backend() != "tensorflow":
            return super().train_step(*args)
        import tensorflow as tf

        x, y = args[0]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(self(x, training=True) - y))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


def built_by_fit(kind):
    keras.utils.set_random_seed(1)
    model = kind()
    model.compile("sgd", "mse")
    return model, {}


def tied():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    shared = keras.layers.Dense(3, name="shared")
    model = keras.Model(inputs, keras.layers.Dense(1)(shared(shared(inputs))))
    model.compile("sgd", "mse")
    return model, {}


def frozen():
    model = model_of()
    model.get_layer("hidden").trainable = False
    model.compile("sgd", "mse")
    return model, {}


def mixed():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return model_of(), {}
    finally:
        keras.config.set_dtype_policy("float32")


def classes():
    layers = lambda: keras.Input((3,)), lambda: keras.layers.Dense(1, "sigmoid")
    return model_of(*layers, loss="binary_crossentropy"), {"y": Y > 0, "class_weight": {0: 1.0, 1: 3.0}}


TRAININGS = {
    "dropout-shuffled-adam": dropout,
    "batch-norm": batch_norm,
    "jit": functools.partial(plain, jit_compile=True),
    "no-jit": functools.partial(plain, jit_compile=False),
    "steps-per-execution": functools.partial(plain, steps_per_execution=2),
    "partial-last-batch": lambda: (model_of(), {"x": X[:-3], "y": Y[:-3]}),
    "validation": lambda: (model_of(), {"validation_data": (X, Y)}),
    "dataset": lambda: (model_of(), {"x": dataset(True), "y": None, "batch_size": None}),
    "size-unknown": lambda: (model_of(), {"x": dataset(False), "y": None, "batch_size": None}),
    "class-weight": classes,
    "sequential-without-input": no_input,
    "subclassed": functools.partial(built_by_fit, Subclassed),
    "own-train-step": functools.partial(built_by_fit, OwnStep),
    "tied": tied,
    "frozen": frozen,
    "mixed-precision": mixed,
}


# To JAX these are one of the others: a step is compiled from the same parts.
ONE_ON_JAX = {
    "jit",
    "validation",
    "dataset",
    "class-weight",
    "sequential-without-input",
    "own-train-step",
    "tied",
}
ON_JAX = [name for name in TRAININGS if name not in ONE_ON_JAX]


@pytest.mark.parametrize("training", ON_JAX if keras.backend.backend() == "jax" else TRAININGS)
def test_training_is_not_changed_and_is_recorded(every, training):
    model, options = TRAININGS[training]()
    fit(model, **options)
    expected = weights(model)
    keras.utils.clear_session(free_memory=False)
    model, options = TRAININGS[training]()
    assert every.fit(model, **options)[1] == []
    for got, want in zip(weights(model), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert every.times() == every.due(12)
    for callback in every.values():
        assert callback.trajectory.size == trainable(model).size
        if not callback.average:
            np.testing.assert_allclose(
                snapshots(callback.trajectory)[-1], trainable(model), rtol=1e-6, atol=1e-6
            )


def same(one, other, **tolerance):
    for name in one:
        np.testing.assert_allclose(
            snapshots(one[name].trajectory), snapshots(other[name].trajectory), err_msg=name, **tolerance
        )


def test_goes_on_over_two_fits(every):
    model, other = model_of(), Every()
    assert every.fit(model)[1] + every.fit(model)[1] == []
    assert every.times() == every.due(24)
    model = model_of()
    assert other.fit(model)[1] + other.fit(model, initial_epoch=2, epochs=4)[1] == []
    assert other.times() == every.times()
    same(every, other, rtol=1e-6, atol=1e-7)


def test_starts_anew_with_another_model(every):
    every.fit(model_of())
    texts = every.fit(model_of(), epochs=1)[1]
    assert every.told(texts, "starts anew: it is another model")
    assert every.times() == every.due(6)


def test_starts_anew_when_a_layer_was_frozen(every):
    every.fit(model := model_of())
    model.get_layer("hidden").trainable = False
    model.compile("sgd", "mse")
    texts = every.fit(model, epochs=1)[1]
    assert every.told(texts, "starts anew: its weights have changed: .*hidden")
    assert every.times() == every.due(6)


def test_starts_anew_when_another_layer_of_the_same_shape_is_trained(every):
    layers = [functools.partial(keras.layers.Dense, 3) for _ in range(3)]
    model = model_of(lambda: keras.Input((3,)), *layers)
    model.layers[1].trainable = False
    model.compile("sgd", "mse")
    every.fit(model)
    model.layers[1].trainable, model.layers[2].trainable = True, False
    model.compile("sgd", "mse")
    texts = every.fit(model, epochs=1)[1]
    assert every.told(texts, "starts anew: its weights have changed: .*dense_[12]")
    assert every.times() == every.due(6)


def test_saves_and_resumes(every, tmp_path):
    def stored():
        return {name: make(store=tmp_path / name) for name, make in CALLBACKS.items()}

    every.fit(model_of(), epochs=4, shuffle=False)
    fit(model := model_of(), *stored().values(), shuffle=False)
    model.save(tmp_path / "model.keras")
    resumed = stored()
    model = keras.models.load_model(tmp_path / "model.keras")
    fit(model, *resumed.values(), initial_epoch=2, epochs=4, shuffle=False)
    same(every, resumed, rtol=1e-5, atol=1e-6)
    for name, due in every.due(24).items():
        loaded = kk.Trajectory.load(tmp_path / name)
        assert due == loaded.times.tolist() == resumed[name].trajectory.times.tolist()
        np.testing.assert_allclose(loaded.gram, every[name].trajectory.gram, rtol=1e-4, atol=1e-7)


def test_counts_from_the_epoch_it_is_told(every):
    every.fit(model_of(), initial_epoch=5, epochs=7)
    assert every.times() == every.due(12, epoch=5)
    for callback in every.values():
        assert callback.trajectory.origin_time == (5 if callback.unit == "epoch" else 0)


def of_units(every, epoch, batch):
    return {name: epoch if callback.unit == "epoch" else batch for name, callback in every.items()}


def test_execution_that_is_short_of_batches(every):
    # Of six batches an execution does four, then two: Keras calls with 3 and 7.
    hooks = []
    look = Hook(on_train_batch_end=lambda _, i, __: hooks.append(i))
    assert every.fit(model_of(steps_per_execution=4), look, epochs=3)[1] == []
    assert hooks == [3, 7] * 3
    assert every.times() == of_units(every, [1, 2, 3], [4, 6, 10, 12, 16, 18])


def test_steps_per_execution_that_does_not_divide(every):
    texts = every.fit(model_of(steps_per_execution=3))[1]
    assert every.told(texts, "due at batch 2 was taken at batch 3", only="batch")
    assert every.times() == of_units(every, [1, 2], [3, 6, 9, 12])


def test_model_without_trainable_weights(every):
    model = model_of()
    model.trainable = False
    model.compile("sgd", "mse")
    history, texts = every.fit(model)
    assert every.told(texts, "no trainable weights. Set trainable=True")
    assert len(history.epoch) == 2
    assert every.times() == every.due(0)


def test_weights_that_are_not_finite(every):
    def spoil(hook, epoch, _):
        if epoch == 1:
            hook.model.get_layer("out").bias.assign([np.nan])

    history, texts = every.fit(model_of(), Hook(on_epoch_begin=spoil), epochs=4)
    assert every.told(texts, "finite")
    assert len(history.epoch) == 4
    assert every.times() == every.due(6)
    for callback in every.values():
        assert np.all(np.isfinite(callback.trajectory.gram))


def test_is_told_once_in_each_fit(every):
    model = model_of()
    model.get_layer("out").bias.assign([np.nan])
    for _ in range(2):
        assert every.told(every.fit(model)[1], "finite")
    model.set_weights([np.ones_like(w) for w in weights(model)])
    every.fit(model, epochs=1)
    assert {name: len(times) for name, times in every.times().items()} == of_units(every, 1, 3)


def test_loop_of_train_on_batch(every):
    model, twin = model_of(), Every()
    hooks = keras.callbacks.CallbackList(list(every.values()), model=model)
    hooks.on_train_begin()
    for epoch in range(2):
        hooks.on_epoch_begin(epoch)
        for batch in range(6):
            at = slice(BATCH * batch, BATCH * (batch + 1))
            loss = model.train_on_batch(X[at], Y[at])
            hooks.on_train_batch_end(batch, {"loss": loss})
        hooks.on_epoch_end(epoch, {"loss": loss})
    hooks.on_train_end()
    assert every.times() == every.due(12)
    twin.fit(model_of(), shuffle=False)
    same(every, twin, rtol=1e-4, atol=1e-6)


@pytest.fixture(params=CALLBACKS)
def alone(request):
    """A callback that a loop of the user's own calls."""
    callback = CALLBACKS[request.param]()
    callback.set_model(model_of())
    return callback


def test_loop_that_calls_only_the_batch_hook(alone):
    for batch in [*range(12), *range(6)]:  # counted on, then from the start
        alone.on_train_batch_end(batch)
    batches = alone.unit == "batch"
    assert alone.trajectory.times.tolist() == (list(range(2, 19, 2)) if batches else [])


def test_loop_that_counts_on_over_epochs(alone):
    alone.on_train_begin()
    for batch in range(12):
        if batch % 6 == 0:
            alone.on_epoch_begin(batch // 6)
        alone.on_train_batch_end(batch)
        if batch % 6 == 5:
            alone.on_epoch_end(batch // 6)
    assert alone.trajectory.times.tolist() == ([2, 4, 6, 8, 10, 12] if alone.unit == "batch" else [1, 2])


def test_record_by_hand(alone):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for step in range(4):
            alone.model.get_layer("out").bias.assign([1.0 + step])
            assert alone.record()
    assert np.diff(alone.trajectory.times).tolist() == [1, 1, 1]
    assert snapshots(alone.trajectory)[:, -1].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("make", CALLBACKS.values(), ids=CALLBACKS)
def test_record_without_a_model(make):
    with pytest.raises(RuntimeError, match="has no model"):
        make().record()


def test_unbuilt_model_in_a_loop_of_ones_own(every):
    model = Subclassed()
    model.compile("sgd", "mse")
    hooks = keras.callbacks.CallbackList(list(every.values()), model=model)
    hooks.on_train_begin()
    for epoch in range(2):
        hooks.on_epoch_begin(epoch)
        for batch in range(6):
            model.train_on_batch(X[:BATCH], Y[:BATCH])
            hooks.on_train_batch_end(batch)
        hooks.on_epoch_end(epoch)
    assert every.times() == every.due(12)


def test_fit_that_broke_off_leaves_nothing_in_the_next_mean(every):
    def stop(_, batch, __):
        if batch == 4:
            raise Broken

    model = model_of(optimizer=keras.optimizers.SGD(0.0))
    with pytest.raises(Broken):
        every.fit(model, Hook(on_train_batch_end=stop))
    model.get_layer("hidden").kernel.assign_add(np.ones((3, 2)))
    every.fit(model, epochs=1)
    for name, callback in every.items():
        last = snapshots(callback.trajectory)[-1]
        np.testing.assert_allclose(last, trainable(model), rtol=1e-5, atol=1e-6, err_msg=name)
