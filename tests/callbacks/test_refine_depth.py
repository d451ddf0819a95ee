"""`RefineDepth`: a model that grows deeper within one fit."""

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import RefineDepth
from tests.layers.models import X, Y, array, model_of

pytestmark = pytest.mark.filterwarnings("ignore:.*they get no gradient")


@pytest.mark.contract
def test_refines_within_fit():
    model, block = model_of(compiled="adam", mode="graph", steps=1)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            (block.nodes, block.steps, int(model.optimizer.iterations))
        )
    )
    refine = RefineDepth({1: 2, 3: 2})
    history = model.fit(
        X,
        Y,
        epochs=4,
        batch_size=8,
        verbose=0,
        callbacks=[refine, watch],
        validation_data=(X, Y),
        shuffle=False,
    )
    assert seen == [(1, 1, 2), (2, 2, 4), (2, 2, 6), (4, 4, 8)]
    assert refine.refined == [1, 3]
    assert np.all(np.isfinite(history.history["loss"]))
    # Validation in fit sees the model as it is.
    expected = np.mean((array(model(X)) - Y) ** 2)
    assert history.history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)
    assert model.predict(X, verbose=0) == pytest.approx(array(model(X)), abs=1e-5)


def test_with_schedule_and_recorder():
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    model, _ = model_of(compiled=keras.optimizers.SGD(rate), steps=1)
    recorder = kk.callbacks.TrajectoryRecorder()
    with pytest.warns(UserWarning, match="no snapshot at epoch 3: values differ"):
        model.fit(X, Y, epochs=4, batch_size=16, verbose=0, callbacks=[RefineDepth({2: 2}), recorder])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1 * 0.5**2)
    assert len(recorder.trajectory) == 2


def test_warns_of_epochs_that_never_come():
    model, block = model_of(steps=1)
    with pytest.warns(UserWarning, match="never comes to epoch 5"):
        model.fit(X, Y, epochs=1, verbose=0, callbacks=[RefineDepth({5: 2})])
    assert block.nodes == 1


def test_model_without_blocks():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="has no ContinuousBlock"):
        model.fit(X, Y, verbose=0, callbacks=[RefineDepth({0: 2})])


def test_verbose(capsys):
    model, _ = model_of(steps=1)
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[RefineDepth({0: 2}, verbose=1)])
    assert "RefineDepth: epoch 1, block: 2 nodes, 2 steps." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        (([3],), TypeError, "must be a dict"),
        (({},), ValueError, "is empty"),
        (({-1: 2},), ValueError, "epoch must be at least 0"),
        (({1: 1},), ValueError, "factor must be at least 2"),
        (({1: 2}, "double"), ValueError, "steps must be one of"),
        (({1: 2}, "keep", "drop"), ValueError, "slots must be one of"),
    ],
)
def test_bad_arguments(arguments, error, part):
    with pytest.raises(error, match=part):
        RefineDepth(*arguments)
