"""`Sobolev` against a full complex FFT in float64, closed forms, and Keras's mean squared error."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_koopman.backend import float64_allowed
from keras_koopman.losses import NegativeSobolev, Sobolev
from tests.losses import oracle

# Keras takes means in float32 on the other engines.
RTOL = 1e-12 if keras.backend.backend() == "tensorflow" else 3e-6
# Odd, even, prime, 1; below and above the length up to which a matrix serves as the transform.
LENGTHS = (1, 2, 3, 4, 7, 16, 31, 64, 65, 97, 128)


def losses_of(error, order, **options):
    """In float64."""
    with float64_allowed():
        loss = Sobolev(order, reduction="none", dtype="float64", **options)
        return ops.convert_to_numpy(loss(np.zeros_like(error), error))


def agrees(error, axes, order, channels="last", spacing=None, **options):
    found = losses_of(error, order, axes=None, channels=channels, spacing=spacing, **options)
    wanted = oracle.loss(error, axes, order=order, spacing=spacing, **options)
    np.testing.assert_allclose(found, wanted, rtol=RTOL)


@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
@pytest.mark.parametrize("order", [-2.0, -0.5, 0.0, 1.0])
@pytest.mark.parametrize("size", LENGTHS)
def test_one_axis_against_the_full_transform(size, order, boundary):
    agrees(np.random.default_rng(size).normal(size=(3, size)), (1,), order, boundary=boundary, knee=1.7)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    channels=st.sampled_from(["last", "first", None]),
    boundary=st.sampled_from(["periodic", "mirror"]),
    order=st.sampled_from([-1.5, -1.0, 0.0, 0.5]),
    stretched=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_grid_against_the_full_transform(sizes, channels, boundary, order, stretched, seed):
    rng = np.random.default_rng(seed)
    spacing = tuple(rng.uniform(0.1, 3, len(sizes))) if stretched else None
    shape = {"last": (2, *sizes, 3), "first": (2, 3, *sizes), None: (2, *sizes)}[channels]
    first = 2 if channels == "first" else 1
    agrees(
        rng.normal(size=shape),
        tuple(range(first, first + len(sizes))),
        order,
        channels=channels,
        spacing=spacing,
        boundary=boundary,
        knee=rng.uniform(0.3, 3),
    )


@pytest.mark.parametrize(
    ("sizes", "boundary"),
    [
        pytest.param((70, 3), "periodic", marks=pytest.mark.contract),
        ((70, 3), "mirror"),
        ((3, 70), "periodic"),
        pytest.param((3, 70), "mirror", marks=pytest.mark.contract),
        ((66, 67), "periodic"),
        ((66, 67), "mirror"),
    ],
)
def test_long_axes_among_short_ones(sizes, boundary):
    agrees(np.random.default_rng(0).normal(size=(2, *sizes, 1)), (1, 2), -1.0, boundary=boundary)


@pytest.mark.parametrize("axes", [1, (2,), (1, 3), (3, 1), (-1, -2), [3, 2, 1]])
def test_axes_by_name(axes):
    error = np.random.default_rng(0).normal(size=(2, 4, 5, 6))
    named = tuple(axis % 4 for axis in np.atleast_1d(axes))
    spacing = tuple(0.3 + np.arange(len(named)))
    found = losses_of(error, -1.0, axes=axes, spacing=spacing)
    np.testing.assert_allclose(found, oracle.loss(error, named, order=-1.0, spacing=spacing), rtol=1e-12)


def test_complex_against_the_full_transform():
    error = np.random.default_rng(0).normal(size=(2, 9, 8, 2)) @ np.array([1, 1j])
    found = losses_of(error, -1.0, channels=None)
    np.testing.assert_allclose(found, oracle.loss(error, (1, 2), order=-1.0), rtol=1e-12)


# --- Parseval and closed forms ---


@pytest.mark.parametrize("size", LENGTHS)
@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
def test_parseval_where_bins_count_once_and_where_they_count_twice(size, boundary):
    """A mean, the finest alternation, one wave in between: order 0 is their mean square."""
    n = np.arange(size)
    waves = [np.ones(size), np.cos(np.pi * n), np.cos(2 * np.pi * (size // 3) * n / size + 0.4)]
    for wave in waves:
        found = losses_of(wave[None], 0.0, boundary=boundary)
        np.testing.assert_allclose(found, np.mean(wave**2), rtol=1e-12)


@pytest.mark.parametrize("size", [8, 9, 96, 97])
@pytest.mark.parametrize(("order", "knee"), [(-1.0, 1.0), (-2.0, 3.0), (0.5, 2.0)])
def test_a_wave_has_the_weight_of_its_wavenumber(size, order, knee):
    for k in range(size // 2 + 1):
        wave = np.cos(2 * np.pi * k * np.arange(size) / size)
        wanted = np.mean(wave**2) * (1 + k**2 / knee**2) ** order
        np.testing.assert_allclose(losses_of(wave[None], order, knee=knee), wanted, rtol=1e-9, atol=1e-25)
    for j in range(size):  # half waves
        wave = np.cos(np.pi * j * (np.arange(size) + 0.5) / size)
        wanted = np.mean(wave**2) * (1 + (j / 2) ** 2 / knee**2) ** order
        found = losses_of(wave[None], order, knee=knee, boundary="mirror")
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-25)


def test_spacing_makes_the_wavenumber_a_physical_frequency():
    """3 cycles on a domain of length 5, whatever the number of points."""
    for size in (30, 80):
        wave = np.cos(2 * np.pi * 3 * np.arange(size) / size)[None]
        found = losses_of(wave, -1.0, knee=0.2, spacing=5 / size)
        np.testing.assert_allclose(found, 0.5 / (1 + (0.6 / 0.2) ** 2), rtol=1e-12)


def test_mirror_does_not_mind_ends_that_do_not_join():
    """A line is smooth if mirrored, and jumps if repeated: the fine scales see it."""
    line = np.linspace(-1, 1, 64)[None]
    fine = [losses_of(line, 4.0, boundary=b, knee=8.0)[0] for b in ("periodic", "mirror")]
    assert fine[0] > 100 * fine[1]


# --- order 0 is Keras's mean squared error ---


def mse_of(reduction="sum_over_batch_size"):
    return keras.losses.MeanSquaredError(reduction=reduction)


@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
@pytest.mark.parametrize(
    "shape",
    [
        (5, 12),
        (5, 12, 3),
        pytest.param((5, 9, 7, 2), marks=pytest.mark.contract),
        (3, 4, 3, 5, 1),
        pytest.param((4, 101), marks=pytest.mark.contract),
    ],
)
def test_order_0_is_the_mean_squared_error(shape, boundary):
    y = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    weights = np.arange(1.0, shape[0] + 1).astype("float32")
    loss = Sobolev(0.0, boundary=boundary)
    assert float(loss(*y)) == pytest.approx(float(mse_of()(*y)), rel=2e-6)
    by_axes = weights.reshape(-1, *[1] * (len(shape) - 2))
    assert float(loss(*y, weights)) == pytest.approx(float(mse_of()(*y, by_axes)), rel=2e-6)


@pytest.mark.contract
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "mean_with_sample_weight"])
def test_order_0_with_weights_and_masks_of_points(reduction):
    rng = np.random.default_rng(0)
    y, predicted = rng.normal(size=(2, 5, 12, 3)).astype("float32")
    weights = rng.uniform(size=(5, 12)).astype("float32")
    mask = rng.uniform(size=(5, 12)) < 0.6
    loss = Sobolev(0.0, reduction=reduction)
    assert float(loss(y, predicted, weights)) == pytest.approx(
        float(mse_of(reduction)(y, predicted, weights)), rel=2e-6
    )
    for given_weights in (None, weights):
        pair = []
        for each in loss, mse_of(reduction):
            tensor = ops.convert_to_tensor(predicted)
            tensor._keras_mask = ops.convert_to_tensor(mask)
            pair.append(float(each(y, tensor, given_weights)))
        assert pair[0] == pytest.approx(pair[1], rel=2e-6)


@pytest.mark.contract
def test_order_0_in_fit_under_a_masking_layer():
    x = np.random.default_rng(0).normal(size=(8, 6, 2)).astype("float32")
    x[:3, 4:] = 0
    histories = []
    for loss in mse_of(), Sobolev(0.0):
        keras.utils.set_random_seed(0)
        layers = keras.layers.Masking(), keras.layers.Dense(2)
        model = keras.Sequential([keras.Input((6, 2)), *layers])
        model.compile(keras.optimizers.SGD(0.1), loss)
        histories.append(model.fit(x, x[..., ::-1] + 1, epochs=4, verbose=0).history["loss"])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-5)


def test_scale_of_the_gradient_is_that_of_the_mean_squared_error():
    """So that a learning rate may be kept: for a mean, of wavenumber 0, they agree whatever the order."""
    y = np.full((4, 16), 0.7, "float32")
    assert float(NegativeSobolev(-2)(0 * y, y)) == pytest.approx(float(mse_of()(0 * y, y)), rel=1e-6)


# --- gradients ---


def gradient(loss, y_true, y_pred):
    import tensorflow as tf

    prediction = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(prediction)
        value = loss(tf.constant(y_true), prediction)
    return tape.gradient(value, prediction).numpy()


@pytest.mark.parametrize("shape", [(2, 6), (2, 71), (2, 72), (2, 5, 4, 1), (1, 66, 3, 1)])
@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
def test_gradient_against_finite_differences(shape, boundary):
    rng = np.random.default_rng(0)
    y_true, y_pred, direction = rng.normal(size=(3, *shape))
    loss = Sobolev(-1.3, boundary=boundary, dtype="float64")
    # A quadratic function: the symmetric difference is exact for any step.
    difference = (float(loss(y_true, y_pred + direction)) - float(loss(y_true, y_pred - direction))) / 2
    assert np.sum(gradient(loss, y_true, y_pred) * direction) == pytest.approx(difference, rel=1e-11)


# --- what order is best: generalised least squares ---

SIZE, MODES = 64, 10


def matrix_of(order):
    """The norm as a quadratic form, read off the loss by polarisation."""

    def squared(errors):
        return losses_of(errors, order)

    unit = np.eye(SIZE)
    pairs = squared((unit[:, None] + unit[None]).reshape(-1, SIZE)).reshape(SIZE, SIZE)
    own = squared(unit)
    return (pairs - own[:, None] - own[None]) / 2


def expected_error(order, slope):
    """Of a least-squares fit of ten waves, under noise of power `(1 + k^2)^(slope / 2)` and mean square 1."""
    rng = np.random.default_rng(7)
    design = np.cos(np.linspace(0, 1, SIZE)[:, None] * rng.uniform(1, 60, MODES) + rng.uniform(0, 6, MODES))
    power = (1 + oracle.wavenumbers_squared((SIZE,))) ** (slope / 2)
    fourier = np.fft.fft(np.eye(SIZE)) / np.sqrt(SIZE)
    covariance = (fourier.conj().T @ (power[:, None] / power.mean() * fourier)).real
    norm = matrix_of(order)
    estimator = design @ np.linalg.solve(design.T @ norm @ design, design.T @ norm)
    return np.trace(estimator @ covariance @ estimator.T) / SIZE


@pytest.mark.parametrize(("slope", "best"), [(0, 0.0), (1, -0.5), (2, -1.0), (-1, 0.5), (-2, 1.0)])
def test_best_order_is_minus_half_the_slope_of_the_noise(slope, best):
    """White, blue, violet, pink, red: there the loss is generalised least squares (Aitken, 1935)."""
    errors = {order: expected_error(order, slope) for order in (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)}
    assert min(errors, key=errors.get) == best


def test_white_noise_in_the_best_fit_has_as_much_error_as_there_are_parameters():
    assert expected_error(0.0, 0.0) == pytest.approx(MODES / SIZE, rel=1e-9)


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"order": "steep"}, TypeError, "order must be a real number, got 'steep'"),
        ({"order": np.nan}, ValueError, "order must be .*finite, got nan"),
        ({"knee": 0}, ValueError, "knee must be above 0"),
        ({"axes": 0}, ValueError, "axes must name different axes, other than 0, .*got 0.*Pass None"),
        ({"axes": (1, 1)}, ValueError, "axes must name different axes"),
        ({"axes": ()}, ValueError, "axes must name different axes"),
        ({"axes": 1.5}, TypeError, "axes must be a whole number"),
        ({"boundary": "zero"}, ValueError, "boundary must be one of 'periodic', 'mirror', got 'zero'"),
        ({"spacing": -1}, ValueError, "spacing must be above 0"),
        ({"spacing": (1.0, 0.0)}, ValueError, "spacing must be above 0"),
        ({"spacing": "wide"}, TypeError, "spacing must be a real number"),
        ({"spacing": (1.0,), "axes": (1, 2)}, ValueError, "spacing must have 2, one for each of axes, got 1"),
        ({"channels": "middle"}, ValueError, "channels must be one of 'last', 'first'"),
        ({"reduction": "median"}, ValueError, "reduction"),
    ],
)
def test_arguments_refused_at_construction(options, kind, words):
    with pytest.raises(kind, match=words):
        Sobolev(**{"order": -1.0, **options})


def test_spacing_for_another_number_of_axes_is_told_in_use():
    y = np.zeros((2, 4, 4, 1))
    with pytest.raises(ValueError, match=r"spacing=\(1.0, 1.0, 2.0\) is for 3 axes, but the grid has 2"):
        Sobolev(-1, spacing=(1, 1, 2))(y, y)


@pytest.mark.parametrize("axes", [3, (1, -1), (1, 2, 3), -3])
def test_axes_that_the_tensor_does_not_have(axes):
    y = np.zeros((2, 4))
    with pytest.raises(ValueError, match=r"axes=.* must be different axes of a tensor of shape \(2, 4\)"):
        Sobolev(-1, axes=axes)(y, y)


def test_size_unknown_along_the_grid():
    signal = keras.KerasTensor((None, None, 1))
    with pytest.raises(ValueError, match=r"sizes along the grid axes \(1,\) must be known.*Give the Input"):
        NegativeSobolev()(signal, signal)


def test_batch_of_unknown_size_and_grid_of_unknown_size():
    import tensorflow as tf

    def traced(*shape):
        function = tf.function(Sobolev(-1.0), input_signature=[tf.TensorSpec(shape)] * 2)
        return function.get_concrete_function()

    y = np.random.default_rng(0).normal(size=(2, 5, 6, 2)).astype("float32")
    for shape in (None, 6, 2), (None, 101, 2), (None, 6, None):
        sizes = [n or m for n, m in zip(shape, (5, 6, 2), strict=True)]
        z = np.resize(y, (2, *sizes))
        tensors = [tf.constant(each) for each in z]
        assert float(traced(*shape)(*tensors)) == pytest.approx(float(Sobolev(-1.0)(*z)), rel=1e-5)
    with pytest.raises(ValueError, match="only the batch may be unknown"):
        traced(None, None, 2)


def test_negative_sobolev_refuses_an_order_that_is_not():
    for order in (0, 0.0, 2):
        with pytest.raises(
            ValueError, match=r"order must be negative, got .*MeanSquaredError.*kk\.losses\.Sobolev"
        ):
            NegativeSobolev(order)
