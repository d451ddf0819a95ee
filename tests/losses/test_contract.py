"""What every Sobolev loss must keep, on every engine. A new one is a line in LOSSES."""

import functools
import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_koopman.losses import MultiscaleSobolev, NegativeSobolev, ScatteredSobolev, Sobolev

host = ops.convert_to_numpy
pytestmark = pytest.mark.contract

POINTS = 12
PLACES = np.sort(np.random.default_rng(5).uniform(size=POINTS))
LOSSES = {
    "negative": NegativeSobolev,
    "zero": functools.partial(Sobolev, 0.0),
    "positive": functools.partial(Sobolev, 0.5, knee=2.0),
    "mirror": functools.partial(Sobolev, -1.5, boundary="mirror"),
    "multiscale": functools.partial(MultiscaleSobolev, [(-1, 1.0, 1.0), (-2, 4.0, 0.5)]),
    "scattered": functools.partial(ScatteredSobolev, PLACES, modes=3),
}
RNG = np.random.default_rng(0)
TRUE, PREDICTED = RNG.normal(size=(2, 6, POINTS)).astype("float32")


# Those that differ in more than the numbers they are given.
ON_JAX = ["positive", "mirror", "multiscale", "scattered"]


@pytest.fixture(params=ON_JAX if keras.backend.backend() == "jax" else LOSSES)
def make(request):
    return LOSSES[request.param]


def values(make, y_true=TRUE, y_pred=PREDICTED, **options):
    return ops.convert_to_numpy(make(reduction="none", **options)(y_true, y_pred))


def model_of(loss, outputs=POINTS, **options):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(outputs)])
    model.compile(keras.optimizers.SGD(0.05), loss, **options)
    return model


def data(count=10):
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, 3)).astype("float32"), rng.normal(size=(count, POINTS)).astype("float32")


def test_one_value_a_sample(make):
    found = values(make)
    assert found.shape == (6,)
    assert found.dtype == np.float32
    assert np.all(found > 0)


def test_no_error_no_loss(make):
    np.testing.assert_array_equal(values(make, y_pred=TRUE), 0.0)


def test_is_a_squared_norm(make):
    """Homogeneous of degree 2, the same both ways, and with the parallelogram identity."""
    a, b = TRUE, PREDICTED

    def squared(error):
        return values(make, np.zeros_like(error), error)

    np.testing.assert_allclose(squared(3 * a), 9 * squared(a), rtol=1e-5)
    np.testing.assert_allclose(values(make, b, a), values(make, a, b), rtol=1e-5)
    np.testing.assert_allclose(squared(a + b) + squared(a - b), 2 * (squared(a) + squared(b)), rtol=1e-5)


def test_samples_do_not_mix(make):
    alone = np.concatenate([values(make, TRUE[i : i + 1], PREDICTED[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(values(make), alone, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"])
def test_reductions(make, reduction):
    each, weight = values(make), np.array([0.0, 1, 2, 3, 4, 5], "float32")
    loss = make(reduction=reduction)
    whole = {"sum": np.sum}.get(reduction, np.mean)
    np.testing.assert_allclose(host(loss(TRUE, PREDICTED)), whole(each), rtol=1e-5)
    weighted = whole(each * weight) / (weight.mean() if reduction == "mean_with_sample_weight" else 1)
    np.testing.assert_allclose(host(loss(TRUE, PREDICTED, sample_weight=weight)), weighted, rtol=1e-5)
    # The same weights, one for each point.
    by_point = np.repeat(weight[:, None], POINTS, axis=1)
    np.testing.assert_allclose(host(loss(TRUE, PREDICTED, sample_weight=by_point)), weighted, rtol=1e-5)
    np.testing.assert_allclose(
        host(loss(TRUE, PREDICTED, sample_weight=weight[:, None])), weighted, rtol=1e-5
    )


def test_points_without_weight_are_not_looked_at(make):
    weight = np.ones_like(TRUE)
    weight[:, 4:7] = 0
    changed = np.where(weight, PREDICTED, 100.0)
    loss = make()
    assert float(loss(TRUE, changed, weight)) == pytest.approx(float(loss(TRUE, PREDICTED, weight)), rel=1e-5)


def test_channels_are_averaged(make):
    both = np.stack([TRUE, -2 * TRUE], -1)
    found = values(make, np.zeros_like(both), both)
    np.testing.assert_allclose(found, 2.5 * values(make, np.zeros_like(TRUE), TRUE), rtol=1e-5)


def test_complex_values(make):
    """Independent of the phase, and the sum over both parts."""
    error = (TRUE + 1j * PREDICTED).astype("complex64")
    zero = np.zeros_like(error)
    parts = values(make, 0 * TRUE, TRUE) + values(make, 0 * TRUE, PREDICTED)
    np.testing.assert_allclose(values(make, zero, error), parts, rtol=1e-5)
    np.testing.assert_allclose(values(make, zero, error * np.exp(0.7j)), parts, rtol=1e-4)
    np.testing.assert_allclose(values(make, error, 0 * TRUE), parts, rtol=1e-5)


def test_half_precision_is_computed_in_single(make):
    half = [y.astype("float16") for y in (TRUE, PREDICTED)]
    single = values(make, *[y.astype("float32") for y in half])
    np.testing.assert_allclose(values(make, *half), single, rtol=1e-6)
    np.testing.assert_allclose(values(make, *half, dtype="float16"), single, rtol=1e-6)


def test_round_trip_through_keras_saving(make):
    loss = make(name="mine", reduction="sum")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert (again.name, again.reduction) == ("mine", "sum")
    assert float(again(TRUE, PREDICTED)) == float(loss(TRUE, PREDICTED))


# Compiled those that differ in more than numbers; not compiled some of all kinds.
@pytest.mark.parametrize(
    ("name", "jit"),
    [*((name, True) for name in ON_JAX), ("zero", False), ("mirror", False), ("scattered", False)],
)
def test_fit_falls_and_agrees_with_the_call(name, jit):
    make = LOSSES[name]
    x, y = data()  # 10 samples: the last batch is smaller
    model, loss = model_of(make(), jit_compile=jit), make()
    before = model.evaluate(x, y, batch_size=4, verbose=0)
    assert before == pytest.approx(float(loss(y, model(x))), rel=1e-4)
    history = model.fit(x, y, batch_size=4, epochs=3, verbose=0).history["loss"]
    assert history[2] < history[0]
    assert model.evaluate(x, y, verbose=0) < before


def test_fit_with_mixed_precision(make):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = model_of(make())
    finally:
        keras.config.set_dtype_policy("float32")
    x, y = data()
    history = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert np.all(np.isfinite(history))
    assert history[2] < history[0]


def test_model_is_saved_and_loaded_with_it(make, tmp_path):
    x, y = data()
    model = model_of(make())
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is type(model.loss)
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)
    loaded.fit(x, y, epochs=1, verbose=0)


def test_shapes_that_differ(make):
    with pytest.raises(ValueError, match=r"same shape, got \(6, 12\) and \(6, 1\).*reshape the targets"):
        make()(TRUE, PREDICTED[:, :1])
    with pytest.raises(ValueError, match=r"same shape, got \(6, 12\) and \(6, 12, 2\)"):
        make()(TRUE, np.zeros((6, POINTS, 2), "float32"))


def test_last_axis_of_size_one_may_be_missing(make):
    found = make()(TRUE, PREDICTED[..., None])
    np.testing.assert_allclose(host(found), host(make()(TRUE, PREDICTED)), rtol=1e-6)


def test_target_that_is_not_finite(make):
    y = TRUE.copy()
    y[2, 5] = np.nan
    with pytest.raises(ValueError, match=r"y_true must be finite, got 1 values .*nan at \(2, 5\)"):
        make()(y, PREDICTED)


def test_weight_that_does_not_fit(make):
    with pytest.raises(ValueError, match=r"shape \(6, 5\) does not fit predictions of shape \(6, 12\)"):
        make()(TRUE, PREDICTED, sample_weight=np.ones((6, 5)))


def test_rank_too_low(make):
    with pytest.raises(ValueError, match=r"\(batch, (points|12)\).*network inputs of shape \(1, "):
        make()(TRUE[0], PREDICTED[0])
