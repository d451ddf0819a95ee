"""`OrderAnnealing`: the compiled step really sees the order change."""

import keras
import numpy as np
import pytest

from keras_koopman.callbacks import OrderAnnealing
from keras_koopman.losses import MultiscaleSobolev, NegativeSobolev, Sobolev
from tests.callbacks.tiny import in_batches

pytestmark = pytest.mark.contract

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(12, 9)).astype("float32")
EPOCHS = 5
ORDERS = [-2.0, -1.5, -1.0, -0.5, 0.0]


def model_of(loss, **options):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(9)])
    model.compile(keras.optimizers.SGD(0.5), loss, **options)
    return model


def annealing(**options):
    return OrderAnnealing(**{"epochs": 4, "start": -2.0, **options})


def fit(model, *callbacks, epochs=EPOCHS, **options):
    options = {"x": X, "y": Y, "batch_size": 4, "shuffle": False, "verbose": 0, **options}
    return model.fit(epochs=epochs, callbacks=list(callbacks), **in_batches(options)).history


def weights(model):
    return np.concatenate([np.ravel(w) for w in model.get_weights()])


@pytest.fixture(scope="module")
def expected():
    """Losses and weights of a training that is compiled anew with a fixed order for each epoch."""
    model, losses = model_of("mse"), []
    for order in ORDERS:
        model.compile(keras.optimizers.SGD(0.5), Sobolev(order))
        losses += fit(model, epochs=1)["loss"]
    return losses, weights(model)


@pytest.mark.parametrize(
    "options",
    [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}, {"steps_per_execution": 2}],
    ids=["jit", "no-jit", "eager", "steps-per-execution"],
)
def test_the_step_sees_each_order(expected, options):
    if options.get("steps_per_execution") and keras.backend.backend() == "torch":
        pytest.skip("Keras on torch takes one step at a time")
    model = model_of(NegativeSobolev(), **options)
    history = fit(model, annealing())
    assert history["order"] == ORDERS
    np.testing.assert_allclose(weights(model), expected[1], rtol=1e-5, atol=1e-6)
    if "steps_per_execution" not in options:
        np.testing.assert_allclose(history["loss"], expected[0], rtol=1e-5)
    assert model.loss.order == 0.0


def test_a_step_that_was_traced_before_sees_it_too(expected):
    model = model_of(NegativeSobolev(-2.0))
    fit(model, epochs=1)
    model.evaluate(X, Y, verbose=0)
    model.set_weights(model_of("mse").get_weights())
    fit(model, annealing())
    np.testing.assert_allclose(weights(model), expected[1], rtol=1e-5, atol=1e-6)
    mse = float(np.mean((model.predict(X, verbose=0) - Y) ** 2))
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(mse, rel=1e-5)
    # The next fit, without it, stays at the end.
    assert fit(model, epochs=1, batch_size=12)["loss"][0] == pytest.approx(mse, rel=1e-4)


def test_goes_on_where_it_was(expected):
    model = model_of(NegativeSobolev())
    fit(model, annealing(), epochs=3)
    again = fit(model, annealing(), epochs=5, initial_epoch=3)
    assert again["order"] == ORDERS[3:]
    np.testing.assert_allclose(weights(model), expected[1], rtol=1e-5, atol=1e-6)


def test_validation_is_in_the_same_order():
    model = model_of(NegativeSobolev())
    history = fit(model, annealing(), validation_data=(X, Y), epochs=5)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(history["val_loss"][-1], rel=1e-5)
    assert {"loss", "val_loss", "order"} == set(history)


def test_all_losses_of_several_outputs():
    inputs = keras.Input((3,))
    first, second, third = (keras.layers.Dense(9, name=name)(inputs) for name in "abc")
    model = keras.Model(inputs, {"a": first, "b": second, "c": third})
    losses = {"a": Sobolev(-1.0), "b": NegativeSobolev(), "c": "mse"}
    model.compile("sgd", losses)
    model.fit(X, {name: Y for name in "abc"}, epochs=5, verbose=0, callbacks=[annealing(end=-0.25)])
    assert [losses[name].order for name in "ab"] == [-0.25, -0.25]


def test_one_loss_in_two_models():
    loss = NegativeSobolev()
    for _ in range(2):
        model = model_of(loss)
        fit(model, annealing())
        mse = float(np.mean((model.predict(X, verbose=0) - Y) ** 2))
        assert model.evaluate(X, Y, verbose=0) == pytest.approx(mse, rel=1e-5)


def test_saved_at_the_order_where_it_stands(tmp_path):
    for epochs, kind, order in (3, NegativeSobolev, -1.0), (5, Sobolev, 0.0):
        model = model_of(NegativeSobolev())
        fit(model, annealing(), epochs=epochs)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert type(loaded.loss) is kind
        assert loaded.loss.order == order
        assert loaded.evaluate(X, Y, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)
        assert len(loaded.weights) == len(model.weights)
        assert fit(loaded, annealing())["order"] == ORDERS


def test_orders_of_a_delayed_line():
    callback = OrderAnnealing(epochs=2, start=-1.0, end=1.0, delay=3)
    assert [callback.order(epoch) for epoch in range(7)] == [-1, -1, -1, -1, 0, 1, 1]


def test_prints_the_order(capsys):
    model = model_of(NegativeSobolev())
    fit(model, annealing(verbose=1), epochs=2)
    assert capsys.readouterr().out.splitlines() == ["Epoch 1: order -2", "Epoch 2: order -1.5"]


@pytest.mark.parametrize("loss", ["mse", MultiscaleSobolev([(-1, 1, 1)])])
def test_loss_without_an_order(loss):
    with pytest.raises(
        ValueError, match=r"OrderAnnealing changes the order of a Sobolev loss, but .*Compile it"
    ):
        fit(model_of(loss), annealing())


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number"),
        ({"start": None}, TypeError, "start must be a real number"),
        ({"end": np.inf}, ValueError, "end must be"),
        ({"delay": -1}, ValueError, "delay must be at least 0"),
    ],
)
def test_arguments_refused(options, kind, words):
    with pytest.raises(kind, match=words):
        annealing(**options)
