"""`kk.prune`: the optimizer of a compiled model is wrapped, and nothing else changes."""

import keras
import numpy as np
import pytest

import keras_koopman as kk
from tests.optimizers.tiny import (
    L,
    Look,
    X,
    Y,
    compiled,
    exact,
    fit,
    host,
    kernels,
    network,
    pruner,
    ramp,
    weights,
    zeros,
)

pytestmark = pytest.mark.usefixtures("no_own_compile")


def adam():
    # On JAX Keras gives one buffer away twice at the second fit with averages.
    return keras.optimizers.Adam(0.02, use_ema=keras.backend.backend() != "jax")


@pytest.mark.contract
def test_training_goes_on_with_all_that_the_optimizer_knew():
    plain = compiled(adam())
    model = compiled(adam())
    fit(plain)
    fit(model)
    inner = model.optimizer
    inner.learning_rate = plain.optimizer.learning_rate = 0.005
    known = [host(v.value) for v in inner.variables]
    assert kk.prune(model, ramp(0.5, 8, 9), update_freq=1) is model
    assert model.optimizer.inner_optimizer is inner
    for now, then in zip(inner.variables, known, strict=True):
        np.testing.assert_array_equal(host(now.value), then)
    assert int(host(model.optimizer.iterations)) == 10
    assert int(host(model.optimizer._iterations)) == 0  # the schedule counts from here
    # Until the first weights go, as if nothing had been done.
    at = slice(0, 20)
    fit(plain, x=X[at], y=Y[at])
    fit(model, x=X[at], y=Y[at])
    for new, old in zip(weights(model), weights(plain), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)
    look = Look()
    fit(model, look)
    assert look.faults == []
    assert [share > 0 for share in look.zeros] == [False, False, False, True] + [True] * 6
    assert zeros(model) == 0.5


def test_arguments_of_compile_are_kept():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, [L.Dense(4, name="a")(inputs), L.Dense(4, name="b")(inputs)])
    metric = keras.metrics.MeanAbsoluteError(name="mae")
    model.compile(
        "rmsprop", ["mse", keras.losses.Huber(0.5)], loss_weights=[1.0, 0.25], metrics=[[metric], []],
        weighted_metrics=[[], ["mse"]], steps_per_execution=2, jit_compile=False, run_eagerly=False,
        auto_scale_loss=False,
    )  # fmt: skip
    before = {k: v for k, v in model._compile_config.config.items() if k != "optimizer"}
    wanted = model.evaluate(X, [Y, Y], verbose=0, return_dict=True)
    kk.prune(model, ramp())
    after = {k: v for k, v in model._compile_config.config.items() if k != "optimizer"}
    assert after == before
    assert (model.steps_per_execution, model.jit_compile, model.run_eagerly) == (2, False, False)
    found = model.evaluate(X, [Y, Y], verbose=0, return_dict=True)
    assert found == pytest.approx(wanted)
    assert "a_mae" in found


def test_loss_scale_and_its_state_are_kept():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled(keras.optimizers.SGD(0.05))
    finally:
        keras.config.set_dtype_policy("float32")
    x = X.copy()
    x[8] = np.inf
    fit(model, x=x)  # halves the scale
    scaling = model.optimizer
    assert type(scaling).__name__ == "LossScaleOptimizer"
    scale, steps = float(host(scaling.dynamic_scale)), int(host(scaling.step_counter))
    assert (scale, steps) == (2.0**14, 7)
    kk.prune(model, ramp(0.5, 1, 4))
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    assert model.optimizer.inner_optimizer.inner_optimizer is scaling.inner_optimizer
    assert (float(host(model.optimizer.dynamic_scale)), int(host(model.optimizer.step_counter))) == (
        scale,
        steps,
    )
    assert model.optimizer.initial_scale == scaling.initial_scale
    look = Look()
    fit(model, look)
    assert look.faults == []
    assert zeros(model) == 0.5
    assert int(host(model.optimizer.step_counter)) == 17
    assert int(host(pruner(model.optimizer)._iterations)) == 10


class OwnCompile(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(4)

    def compile(self, weight, **options):
        super().compile(**options)
        self.weight = weight

    def call(self, x):
        return self.dense(x) * self.weight


def test_models_with_a_compile_of_their_own_and_not_built_yet():
    model = OwnCompile()
    model.compile(weight=2.0, optimizer="sgd", loss="mse")
    kk.prune(model, ramp())
    assert model.weight == 2.0
    fit(model)
    assert exact(model.optimizer)
    assert zeros(model) == 0.5


def test_units_without_fit():
    """The model is known from `prune` on, so a loop of one's own may prune its units."""
    model = kk.prune(compiled("sgd"), ramp(0.5, 1, 2), structure="unit", update_freq=1)
    variables = model.trainable_variables
    for _ in range(2):
        model.optimizer.apply([keras.ops.ones(v.shape) for v in variables], variables)
    hidden, out = kernels(model)
    assert np.sum(np.all(hidden == 0, axis=0)) == 4
    assert np.all(out != 0)


def test_arguments_reach_the_optimizer():
    model = kk.prune(compiled("sgd"), ramp(), "movement", "erk", "*kernel", "out*", (2, 2), update_freq=3)
    config = model.optimizer.get_config()
    assert config["criterion"]["class_name"] == "Movement"
    assert {k: config[k] for k in ("share", "include", "exclude", "structure", "update_freq")} == {
        "share": "erk", "include": ("*kernel",), "exclude": ("out*",), "structure": (2, 2), "update_freq": 3,
    }  # fmt: skip


def test_what_cannot_be_pruned():
    with pytest.raises(TypeError, match=r"model must be a keras.Model, got 'model' of type str"):
        kk.prune("model", ramp())
    with pytest.raises(
        ValueError, match=r"is not compiled: there is no optimizer to wrap. Call model.compile"
    ):
        kk.prune(network(), ramp())
    model = kk.prune(compiled("sgd"), ramp())
    with pytest.raises(
        ValueError, match=r"pruned already.*new PruningOptimizer around model.optimizer.inner"
    ):
        kk.prune(model, ramp())
    model = compiled("sgd")
    inner = model.optimizer
    with pytest.raises(ValueError, match="leaves no weight to prune"):
        kk.prune(model, ramp(), include="nothing*")
    assert model.optimizer is inner  # as it was


def test_pruned_again_as_the_error_says():
    model = kk.prune(compiled("sgd"), ramp(0.5, 1, 4))
    fit(model)
    again = kk.optimizers.PruningOptimizer(model.optimizer.inner_optimizer, ramp(0.75, 1, 4), update_freq=1)
    compiled(again, model)
    before = [kernel == 0 for kernel in kernels(model)]
    look = Look()
    fit(model, look)
    assert zeros(model) == 0.75
    assert all(np.all(now[then] == 0) for now, then in zip(kernels(model), before, strict=True))
