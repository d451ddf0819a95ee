"""What every callback that records must keep, on every engine. A new one is a line in CALLBACKS."""

import functools
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


@pytest.fixture(params=CALLBACKS)
def make(request):
    return CALLBACKS[request.param]


@pytest.fixture(autouse=True)
def own_names():
    keras.backend.clear_session()  # so that `dense` is not `dense_7`


def due(callback, batches, start=0):
    """Times of the records from `start` to so many batches, six an epoch."""
    step, unit = (6, 1) if callback.unit == "epoch" else (STEP, STEP)
    return [unit * i for i in range(start // step + 1, (start + batches) // step + 1)]


def told(caught, callback):
    """What the callback warned of, and whatever of its figures cannot be evenly spaced."""
    texts = [str(w.message) for w in caught]
    return [t for t in texts if t.startswith(f"{type(callback).__name__}: ") or "evenly" in t]


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
    "plain": plain,
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


@pytest.mark.parametrize("training", TRAININGS)
def test_training_is_not_changed_and_is_recorded(training):
    model, options = TRAININGS[training]()
    fit(model, **options)
    expected = weights(model)
    keras.backend.clear_session()
    model, options = TRAININGS[training]()
    callbacks = [make() for make in CALLBACKS.values()]  # each in a training of its own would take minutes
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, *callbacks, **options)
    assert not told(caught, callbacks[0]) + told(caught, callbacks[-1])
    for got, want in zip(weights(model), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    for callback in callbacks:
        assert callback.trajectory.times.tolist() == due(callback, 12)
        assert callback.trajectory.size == trainable(model).size
        if not callback.average:
            np.testing.assert_allclose(
                snapshots(callback.trajectory)[-1], trainable(model), rtol=1e-6, atol=1e-6
            )


def test_goes_on_over_two_fits(make):
    model, callback = model_of(), make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, callback)
        fit(model, callback)
    assert callback.trajectory.times.tolist() == due(callback, 24)
    once = make()
    model = model_of()
    fit(model, once)
    fit(model, once, initial_epoch=2, epochs=4)
    np.testing.assert_array_equal(once.trajectory.times, callback.trajectory.times)
    np.testing.assert_array_equal(snapshots(once.trajectory), snapshots(callback.trajectory))


def test_starts_anew_with_another_model(make):
    callback = make()
    fit(model_of(), callback)
    with pytest.warns(UserWarning, match="starts anew: it is another model"):
        fit(model_of(), callback, epochs=1)
    assert callback.trajectory.times.tolist() == due(callback, 6)


def test_starts_anew_when_a_layer_was_frozen(make):
    model, callback = model_of(), make()
    fit(model, callback)
    model.get_layer("hidden").trainable = False
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"starts anew: its weights have changed: .*hidden"):
        fit(model, callback, epochs=1)
    assert callback.trajectory.times.tolist() == due(callback, 6)


def test_starts_anew_when_another_layer_of_the_same_shape_is_trained(make):
    layers = [functools.partial(keras.layers.Dense, 3) for _ in range(3)]
    model, callback = model_of(lambda: keras.Input((3,)), *layers), make()
    model.layers[1].trainable = False
    model.compile("sgd", "mse")
    fit(model, callback)
    model.layers[1].trainable, model.layers[2].trainable = True, False
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"starts anew: its weights have changed: .*dense_[12]"):
        fit(model, callback, epochs=1)
    assert callback.trajectory.times.tolist() == due(callback, 6)


def test_saves_and_resumes(make, tmp_path):
    whole, parts = make(), make(store=tmp_path / "run.zarr")
    model = model_of()
    fit(model, whole, epochs=4, shuffle=False)
    model = model_of()
    fit(model, parts, shuffle=False)
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    resumed = make(store=tmp_path / "run.zarr")
    fit(model, resumed, initial_epoch=2, epochs=4, shuffle=False)
    assert resumed.trajectory.times.tolist() == due(resumed, 24)
    stored = kk.Trajectory.load(tmp_path / "run.zarr")
    assert stored.times.tolist() == due(resumed, 24)
    np.testing.assert_allclose(snapshots(stored), snapshots(whole.trajectory), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stored.gram, whole.trajectory.gram, rtol=1e-4, atol=1e-7)


def test_counts_from_the_epoch_it_is_told(make):
    model, callback = model_of(), make()
    fit(model, callback, initial_epoch=5, epochs=7)
    first = 5 if callback.unit == "epoch" else 0
    assert callback.trajectory.times.tolist() == [first + t for t in due(callback, 12)]
    assert callback.trajectory.origin_time == first


def test_execution_that_is_short_of_batches(make):
    # Of six batches an execution does four, then two: Keras calls with 3 and 7.
    model, callback = model_of(steps_per_execution=4), make()
    hooks = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, callback, Hook(on_train_batch_end=lambda _, i, __: hooks.append(i)), epochs=3)
    assert hooks == [3, 7] * 3
    assert not told(caught, callback)
    batches = callback.unit == "batch"
    assert callback.trajectory.times.tolist() == ([4, 6, 10, 12, 16, 18] if batches else [1, 2, 3])


def test_steps_per_execution_that_does_not_divide(make):
    model, callback = model_of(steps_per_execution=3), make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, callback)
    late = told(caught, callback)
    if callback.unit == "epoch":
        assert not late
        return
    assert len(late) == 1
    assert "due at batch 2 was taken at batch 3" in late[0]
    assert callback.trajectory.times.tolist() == [3, 6, 9, 12]


def test_model_without_trainable_weights(make):
    model = model_of()
    model.trainable = False
    model.compile("sgd", "mse")
    callback = make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(model, callback)
    (text,) = told(caught, callback)
    assert "no trainable weights. Set trainable=True" in text
    assert len(history.epoch) == 2
    assert len(callback.trajectory) == 0


def test_weights_that_are_not_finite(make):
    def spoil(hook, epoch, _):
        if epoch == 1:
            layer = hook.model.get_layer("out")
            layer.bias.assign([np.nan])

    model, callback = model_of(), make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(model, callback, Hook(on_epoch_begin=spoil), epochs=4)
    (text,) = told(caught, callback)
    assert "finite" in text
    assert len(history.epoch) == 4
    assert callback.trajectory.times.tolist() == due(callback, 6)
    assert np.all(np.isfinite(callback.trajectory.gram))


def test_is_told_once_in_each_fit(make):
    model, callback = model_of(), make()
    model.get_layer("out").bias.assign([np.nan])
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(model, callback)
        assert len(told(caught, callback)) == 1
    model.set_weights([np.ones_like(w) for w in weights(model)])
    fit(model, callback, epochs=1)
    assert len(callback.trajectory) == len(due(callback, 6))


def test_loop_of_train_on_batch(make):
    model, callback = model_of(), make()
    hooks = keras.callbacks.CallbackList([callback], model=model)
    hooks.on_train_begin()
    for epoch in range(2):
        hooks.on_epoch_begin(epoch)
        for batch in range(6):
            at = slice(BATCH * batch, BATCH * (batch + 1))
            loss = model.train_on_batch(X[at], Y[at])
            hooks.on_train_batch_end(batch, {"loss": loss})
        hooks.on_epoch_end(epoch, {"loss": loss})
    hooks.on_train_end()
    assert callback.trajectory.times.tolist() == due(callback, 12)
    twin, reference = make(), model_of()
    fit(reference, twin, shuffle=False)
    np.testing.assert_allclose(trainable(model), trainable(reference), rtol=1e-5)
    np.testing.assert_allclose(
        snapshots(callback.trajectory), snapshots(twin.trajectory), rtol=1e-4, atol=1e-6
    )


def test_loop_that_calls_only_the_batch_hook(make):
    callback = make()
    callback.set_model(model_of())
    for batch in [*range(12), *range(6)]:  # counted on, then from the start
        callback.on_train_batch_end(batch)
    assert callback.trajectory.times.tolist() == (due(callback, 18) if callback.unit == "batch" else [])


def test_loop_that_counts_on_over_epochs(make):
    model, callback = model_of(), make()
    callback.set_model(model)
    callback.on_train_begin()
    for batch in range(12):
        if batch % 6 == 0:
            callback.on_epoch_begin(batch // 6)
        callback.on_train_batch_end(batch)
        if batch % 6 == 5:
            callback.on_epoch_end(batch // 6)
    assert callback.trajectory.times.tolist() == due(callback, 12)


def test_record_by_hand(make):
    model, callback = model_of(), make()
    callback.set_model(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            assert callback.record()
            model.train_on_batch(X, Y)
    assert len(callback.trajectory) == 4
    assert np.diff(callback.trajectory.times).tolist() == [1, 1, 1]
    assert np.linalg.norm(snapshots(callback.trajectory)[-1] - trainable(model)) > 0


def test_record_without_a_model(make):
    with pytest.raises(RuntimeError, match="has no model"):
        make().record()


def test_unbuilt_model_in_a_loop_of_ones_own(make):
    model, callback = Subclassed(), make()
    model.compile("sgd", "mse")
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for batch in range(6):
            model.train_on_batch(X[:BATCH], Y[:BATCH])
            callback.on_train_batch_end(batch)
        callback.on_epoch_end(epoch)
    assert callback.trajectory.times.tolist() == due(callback, 12)


def test_fit_that_broke_off_leaves_nothing_in_the_next_mean(make):
    def stop(_, batch, __):
        if batch == 3:
            raise Broken

    model, callback = model_of(optimizer=keras.optimizers.SGD(0.0)), make()
    with pytest.raises(Broken):
        fit(model, callback, Hook(on_train_batch_end=stop))
    model.get_layer("hidden").kernel.assign_add(np.ones((3, 2)))
    fit(model, callback, epochs=1)
    if not callback.average or callback.unit == "epoch":
        np.testing.assert_allclose(snapshots(callback.trajectory)[-1], trainable(model), rtol=1e-6, atol=1e-6)
