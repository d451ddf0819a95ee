"""What else a user may ask of an optimizer while it prunes, each with what usually goes wrong."""

import functools

import keras
import numpy as np
import pytest

import keras_koopman as kk
from tests.optimizers.tiny import (
    L,
    Look,
    Steps,
    X,
    Y,
    compiled,
    exact,
    fit,
    host,
    kernels,
    masks,
    network,
    pruner,
    pruning,
    ramp,
    weights,
    zeros,
)

contract = pytest.mark.contract
pytestmark = [pytest.mark.uncounted, pytest.mark.usefixtures("no_own_compile")]


def gradients(model, seed):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=v.shape).astype("float32") for v in model.trainable_variables]


def one_kernel(optimizer):
    """A model of one kernel of 8 weights."""
    keras.utils.set_random_seed(1)
    return compiled(optimizer, keras.Sequential([keras.Input((4,)), L.Dense(2, use_bias=False)]))


# --- the inner optimizer keeps its ways ---

INNER = {
    "sgd": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.9), momentum=0.9, clipnorm=1.0,
        weight_decay=0.1, use_ema=True, ema_momentum=0.5,
    ),
    "accumulation": lambda: keras.optimizers.Adam(
        0.01, weight_decay=0.1, global_clipnorm=0.5, gradient_accumulation_steps=3, use_ema=True,
        ema_overwrite_frequency=2,
    ),
    "lion": lambda: keras.optimizers.Lion(0.01, clipvalue=0.3),
}  # fmt: skip


@pytest.mark.parametrize("inner", [pytest.param(k, marks=[contract] * (k != "lion")) for k in INNER])
def test_trains_as_the_bare_optimizer_until_weights_go_then_keeps_exact_zeros(inner):
    bare, model = compiled(INNER[inner]()), compiled(pruning(INNER[inner](), ramp(0.5, 6, 10)))
    bare.optimizer.build(bare.trainable_variables)
    alone = functools.partial(Steps.__call__, Steps(bare))
    step = Steps(model)
    for done in range(1, 13):
        grads = gradients(model, done)
        step(grads)
        if done < 6:
            alone(grads)
            for ours, theirs in zip(weights(model), weights(bare), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
        assert exact(model.optimizer)
        if model.optimizer.inner_optimizer.use_ema:
            for index, mask in model.optimizer.pruned.masked():
                average = host(model.optimizer.inner_optimizer._model_variables_moving_average[index].value)
                assert np.all(average[~host(mask)] == 0)
                assert np.any(average != 0)
    assert zeros(model) == 0.5
    accumulated = 3 if inner == "accumulation" else 1
    assert int(host(model.optimizer.iterations)) == 12 // accumulated
    assert int(host(model.optimizer._iterations)) == 12  # a step is one call of apply


@pytest.mark.parametrize("clip", ["clipnorm", pytest.param("global_clipnorm", marks=contract)])
def test_clipping_sees_the_gradients_that_are_left(clip):
    model = one_kernel(pruning(keras.optimizers.SGD(1.0, **{clip: 1.0}), kk.schedules.OneShot(0.5, 1)))
    step = Steps(model)
    step([np.zeros((4, 2))])
    (before,) = kernels(model)
    assert zeros(model) == 0.5
    gradient = np.where(before == 0, 100.0, 2.0)
    step([gradient])
    (after,) = kernels(model)
    np.testing.assert_allclose((before - after)[before != 0], 2.0 / np.sqrt(4 * 2.0**2), rtol=1e-6)


def test_learning_rate_is_that_of_the_inner_optimizer_for_callbacks_too():
    model = compiled(pruning(keras.optimizers.SGD(0.5), ramp(0.5, 1, 4)))
    seen = []
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: seen.append(rate) or rate / 4)
    fit(model, scheduler, epochs=2)
    np.testing.assert_allclose(seen, [0.5, 0.125])
    assert float(host(model.optimizer.inner_optimizer.learning_rate)) == pytest.approx(0.03125)
    before = weights(model)
    model.optimizer.learning_rate = 0.0
    fit(model)
    for new, old in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(new, old)


def test_excluded_from_weight_decay():
    inner = keras.optimizers.SGD(0.1, weight_decay=0.5)
    model = network()
    optimizer = pruning(inner, ramp(0.5, 100, 200))
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build_for(model)
    before = weights(model)
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables])
    for new, old in zip(weights(model), before, strict=True):
        np.testing.assert_allclose(new, old * (0.95 if old.ndim == 2 else 1.0), rtol=1e-6)


# --- averages of the weights ---


class Ends(Look):
    """Looks where averages are swapped in and out, too."""

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_batch_end(f"end of epoch {epoch}")

    on_test_begin = on_test_end = lambda self, logs=None: self.on_train_batch_end("test")


@pytest.mark.parametrize(
    "swap", [None, pytest.param({}, marks=contract), pytest.param({"swap_on_epoch": True}, marks=contract)]
)
def test_averages_keep_zeros_through_fit(swap):
    inner = keras.optimizers.SGD(0.2, use_ema=True, ema_momentum=0.8)
    model, look = compiled(pruning(inner, ramp(0.5, 1, 15))), Ends()
    callbacks = [look] if swap is None else [keras.callbacks.SwapEMAWeights(**swap), look]
    fit(model, *callbacks, epochs=2, validation_data=(X, Y) if swap == {} else None)
    assert look.faults == []
    assert exact(model.optimizer)
    assert zeros(model) == 0.5
    averages = [host(v.value) for v in inner._model_variables_moving_average]
    for weight, average in zip(weights(model), averages, strict=True):
        np.testing.assert_array_equal(weight, average)


def test_swap_without_averages_is_refused_as_on_the_bare_optimizer():
    model = compiled(pruning("sgd"))
    with pytest.raises(ValueError, match="use_ema"):
        fit(model, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))


# --- roads: all of them lead to the same masks ---


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        inner = network()
        _, self.hidden, self.out = inner.layers

    def call(self, x):
        return self.out(self.hidden(x))


class OwnStep(Subclassed):
    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        found = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(found, self.trainable_variables, strict=True))
        return {"loss": loss}


def by_fit(make=network, **options):
    model, look = compiled(adam(), make(), **options), Look()
    fit(model, look)
    assert look.faults == []
    return model


def by_tape():
    import tensorflow as tf

    model, optimizer = network(), adam()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    for at in range(0, 40, 4):
        step(X[at : at + 4], Y[at : at + 4])
    model.compile(optimizer)
    return model


def by_batches():
    model = compiled(adam())
    for at in range(0, 40, 4):
        model.train_on_batch(X[at : at + 4], Y[at : at + 4])
    return model


def adam():
    return pruning(keras.optimizers.Adam(0.01), ramp(0.6, 2, 9), "movement", update_freq=3)


ROADS = {
    "jit": functools.partial(by_fit, jit_compile=True),
    "no-jit": functools.partial(by_fit, jit_compile=False),
    "eager": functools.partial(by_fit, run_eagerly=True),
    "steps-per-execution": functools.partial(by_fit, steps_per_execution=5),
    "subclassed": functools.partial(by_fit, Subclassed),
    "own-train-step": functools.partial(by_fit, OwnStep),
    "tape": by_tape,
    "batches": by_batches,
}


@functools.cache
def by_the_plain_road():
    model = by_fit()
    assert zeros(model) == pytest.approx(0.6, abs=0.01)
    return masks(model.optimizer), weights(model)


@pytest.mark.parametrize("road", ROADS)
def test_all_roads_lead_to_the_same_masks(road, request):
    wanted, values = by_the_plain_road()
    model = ROADS[road]()
    for found, mask in zip(masks(model.optimizer), wanted, strict=True):
        np.testing.assert_array_equal(found, mask)
    for found, weight in zip(weights(model), values, strict=True):
        np.testing.assert_allclose(found, weight, rtol=1e-4, atol=1e-6)


# --- mixed precision ---


@contract
def test_loss_scale_goes_around_the_pruning():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model, look = compiled(pruning(keras.optimizers.SGD(0.05), ramp(0.5, 1, 8))), Look()
    finally:
        keras.config.set_dtype_policy("float32")
    kinds = [type(o).__name__ for o in (model.optimizer, pruner(model.optimizer))]
    assert kinds == ["LossScaleOptimizer", "PruningOptimizer"]
    x = X.copy()
    x[4:8] = np.inf  # the second batch: its gradients are not finite, and it is no step
    fit(model, look, x=x)
    assert look.faults == []
    assert zeros(model) == 0.5
    assert int(host(pruner(model.optimizer)._iterations)) == 9
    assert float(host(model.optimizer.dynamic_scale)) == 2.0**14
    assert all(np.all(np.isfinite(w)) for w in weights(model))
    assert all(str(v.dtype) == "float32" for v in model.trainable_variables)


def test_loss_scale_within_is_refused_with_the_mend():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    with pytest.raises(ValueError, match=r"Turn the order round: LossScaleOptimizer\(PruningOptimizer"):
        pruning(scaled)
