"""`SobolevNorm`: Keras's root mean squared error, weighted by scale."""

import json

import keras
import numpy as np
import pytest

from keras_koopman.losses import Sobolev
from keras_koopman.metrics import SobolevNorm

pytestmark = pytest.mark.contract

Y = np.random.default_rng(0).normal(size=(2, 10, 12, 3)).astype("float32")


def result(metric, *batches):
    for batch in batches:
        metric.update_state(*batch)
    return float(metric.result())


def test_order_0_is_the_root_mean_squared_error_over_batches():
    batches = [(Y[0, :7], Y[1, :7]), (Y[0, 7:], Y[1, 7:])]
    wanted = result(keras.metrics.RootMeanSquaredError(), *batches)
    assert result(SobolevNorm(0.0), *batches) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"order": -2.0, "knee": 3.0}, {"boundary": "mirror", "spacing": 0.1}]
)
def test_its_square_is_the_loss(options):
    loss = Sobolev(**{"order": -1.0, **options})
    assert result(SobolevNorm(**options), tuple(Y)) ** 2 == pytest.approx(float(loss(*Y)), rel=1e-5)
    weights = np.arange(10.0)
    weighted = Sobolev(**{"order": -1.0, "reduction": "mean_with_sample_weight", **options})(*Y, weights)
    assert result(SobolevNorm(**options), (*Y, weights)) ** 2 == pytest.approx(float(weighted), rel=1e-5)


def test_complex_values():
    z = Y[0] + 1j * Y[1]
    assert result(SobolevNorm(0.0), (z, 0 * z)) == pytest.approx(np.sqrt(np.mean(abs(z) ** 2)), rel=1e-6)


def test_in_fit_and_evaluate(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12, 3)), keras.layers.Dense(3)])
    model.compile("sgd", "mse", metrics=[SobolevNorm()])
    model.fit(*Y, batch_size=4, epochs=1, verbose=0, validation_data=tuple(Y))
    found = model.evaluate(*Y, batch_size=4, verbose=0)[1]
    assert found == pytest.approx(result(SobolevNorm(), (Y[1], model.predict(Y[0], verbose=0))), rel=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(*Y, batch_size=4, verbose=0)[1] == pytest.approx(found, rel=1e-5)


def test_reset_and_round_trip():
    metric = SobolevNorm(-2.0, knee=2.0, axes=(1,), boundary="mirror", spacing=(0.5,))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(metric)))
    again = keras.saving.deserialize_keras_object(config)
    first = result(metric, tuple(Y))
    assert result(again, tuple(Y)) == first
    metric.reset_state()
    assert result(metric, tuple(Y)) == first


def test_refuses():
    with pytest.raises(ValueError, match="same shape"):
        SobolevNorm().update_state(Y[0], Y[1][..., :2])
    with pytest.raises(ValueError, match="y_true must be finite"):
        SobolevNorm().update_state(np.full((1, 4), np.nan), np.zeros((1, 4)))
    with pytest.raises(TypeError, match="order must be a real number"):
        SobolevNorm("h1")
