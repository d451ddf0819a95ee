import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from keras_koopman.pruning.shrink import plan, shrink

contract = pytest.mark.contract


def sequential(*parts, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *parts], name="m")


def dense(n, name, activation="relu", **settings):
    return layers.Dense(n, activation=activation, name=name, **settings)


def randomize(model, seed=0):
    """Random values in all weights, biases and moving statistics; variances are positive."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.standard_normal(variable.shape)
        variable.assign(np.abs(value) + 0.5 if "variance" in variable.path else value)
    return model


def kill(model, name, units, bias=None):
    """Zero the kernels of units of a layer."""
    layer = model.get_layer(name)
    kernel = keras.ops.convert_to_numpy(layer.kernel).copy()
    kernel[..., units] = 0
    layer.kernel.assign(kernel)
    if bias is not None:
        value = keras.ops.convert_to_numpy(layer.bias).copy()
        value[units] = bias
        layer.bias.assign(value)


def ignore(model, name, rows):
    """Zero what a layer reads of units."""
    layer = model.get_layer(name)
    kernel = keras.ops.convert_to_numpy(layer.kernel).copy()
    kernel[..., rows, :] = 0
    layer.kernel.assign(kernel)


def widths(model):
    return {group.name: group.after for group in plan(model)}


def same_outputs(model, small, seed=0, tolerance=1e-5):
    rng = np.random.default_rng(seed)
    shapes = [(3, *(n or 6 for n in tensor.shape[1:])) for tensor in model.inputs]
    x = [rng.standard_normal(shape).astype("float32") for shape in shapes]
    x = x if len(x) > 1 else x[0]
    for one, other in zip(*(keras.tree.flatten(m(x, training=False)) for m in (model, small)), strict=True):
        one, other = keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        scale = max(1.0, float(np.abs(one).max()))
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance * scale)


def checked(model):
    """`shrink`, with what it must always do."""
    before, config = [np.array(v) for v in model.get_weights()], model.get_config()
    expected = plan(model)
    small = shrink(model)
    assert type(small) is type(model)
    assert small.name == model.name
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    assert small.count_params() <= model.count_params()
    assert [(row.name, row.before) for row in plan(small)] == [(row.name, row.after) for row in expected]
    assert model.get_config() == config
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    same_outputs(model, small)
    return small


# One rule each.


@contract
def test_dense_chain_by_hand():
    model = sequential(dense(3, "a"), dense(2, "b", None), shape=(2,))
    model.set_weights(
        [
            np.array([[1.0, 0.0, 2.0], [3.0, 0.0, 4.0]]),
            np.array([5.0, 7.0, 6.0]),
            np.array([[1.0, 2.0], [10.0, 20.0], [3.0, 4.0]]),
            np.array([0.5, 0.25]),
        ]
    )
    kernel, bias, reading, moved = checked(model).get_weights()
    np.testing.assert_array_equal(kernel, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(bias, [5, 6])
    np.testing.assert_array_equal(reading, [[1, 2], [3, 4]])
    np.testing.assert_allclose(moved, [0.5 + 70, 0.25 + 140])


@contract
def test_constant_of_an_activation_is_moved():
    model = randomize(sequential(dense(4, "a", "sigmoid"), dense(2, "b", None)))
    kill(model, "a", [1, 3], bias=0.0)
    small = checked(model)
    rows = keras.ops.convert_to_numpy(model.layers[1].kernel)[[1, 3]]
    bias = keras.ops.convert_to_numpy(model.layers[1].bias)
    np.testing.assert_allclose(small.layers[1].bias, bias + 0.5 * rows.sum(axis=0), rtol=1e-6)


@contract
def test_units_that_nobody_reads_go_without_a_trace():
    model = randomize(sequential(dense(4, "a"), dense(3, "b"), dense(2, "c", None)))
    ignore(model, "b", [0, 2])
    small = checked(model)
    assert widths(model) == {"a": 2, "b": 3, "c": 2}
    np.testing.assert_array_equal(small.get_layer("b").bias, model.get_layer("b").bias)


def test_what_goes_may_leave_more_that_is_dead():
    model = randomize(sequential(dense(3, "a"), dense(3, "b"), dense(3, "c"), dense(2, "d", None)))
    # Forwards: b reads only the unit 0 of a, so all of it is constant.
    kill(model, "a", [0])
    ignore(model, "b", [1, 2])
    assert widths(model) == {"a": 1, "b": 1, "c": 3, "d": 2}
    checked(model)
    # Backwards: the unit 2 of b is read only by the unit 1 of c, which d does not read.
    model = randomize(sequential(dense(3, "a"), dense(3, "b"), dense(3, "c"), dense(2, "d", None)))
    ignore(model, "d", [1])
    kernel = keras.ops.convert_to_numpy(model.get_layer("c").kernel).copy()
    kernel[2, [0, 2]] = 0
    model.get_layer("c").kernel.assign(kernel)
    assert widths(model) == {"a": 3, "b": 2, "c": 2, "d": 2}
    checked(model)


def image(*between, padding="valid", bias=True):
    return randomize(
        sequential(
            layers.Conv2D(4, 3, padding=padding, name="a"),
            *between,
            layers.Conv2D(3, 2, padding=padding, use_bias=bias, name="b"),
            layers.BatchNormalization(name="n"),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            dense(2, "c", None),
            shape=(8, 9, 2),
        )
    )


@contract
def test_convolutions_to_a_dense_layer():
    model = image(layers.BatchNormalization(), layers.ReLU(), layers.AveragePooling2D(2, 1, "same"))
    kill(model, "a", [1])
    kill(model, "b", [0, 2])
    small = checked(model)
    assert widths(model) == {"a": 3, "b": 1, "c": 2}
    assert [variable.shape for variable in small.get_layer("n").weights] == [(1,)] * 4
    assert small.get_layer("c").kernel.shape[0] * 3 == model.get_layer("c").kernel.shape[0]


@pytest.mark.parametrize("kept", ["padding", "layer", "bias"])
def test_a_constant_that_cannot_be_moved_stays(kept):
    model = {
        "padding": lambda: image(padding="same"),
        "layer": lambda: image(layers.ZeroPadding2D(1)),
        "bias": lambda: image(bias=False),
    }[kept]()
    kill(model, "a", [1], bias=0.7)
    assert widths(model)["a"] == 4
    checked(model)
    kill(model, "a", [1], bias=0.0)
    assert widths(model)["a"] == 3
    checked(model)


def test_a_kernel_of_one_pixel_meets_no_padding():
    model = randomize(
        sequential(
            layers.Conv1D(3, 3, padding="same", name="a"),
            layers.Conv1D(2, 1, padding="same", name="b"),
            shape=(6, 2),
        )
    )
    kill(model, "a", [1], bias=0.7)
    checked(model)
    assert widths(model) == {"a": 2, "b": 2}


def test_flattened_twice():
    parts = [layers.Conv1D(3, 2, name="a"), layers.Flatten(), layers.Flatten(), dense(2, "b", None)]
    model = randomize(sequential(*parts, shape=(5, 2)))
    kill(model, "a", [1])
    assert widths(model) == {"a": 2, "b": 2}
    checked(model)


def test_a_constant_that_is_not_finite_stays():
    model = randomize(sequential(dense(3, "a", "exponential"), dense(2, "b", None)))
    kill(model, "a", [1], bias=200.0)
    assert widths(model)["a"] == 3


def residual():
    x = keras.Input((4,))
    a = dense(5, "a")(x)
    b = dense(5, "b")(dense(3, "h")(a))
    return randomize(keras.Model(x, dense(2, "c", None)(layers.Add()([a, b])), name="m"))


def test_an_addition_ties_its_terms():
    model = residual()
    kill(model, "a", [0, 1])
    assert widths(model) == {"a + b": 5, "h": 3, "c": 2}
    checked(model)
    kill(model, "b", [1, 2])
    assert widths(model) == {"a + b": 4, "h": 3, "c": 2}
    checked(model)


def test_an_addition_of_units_that_nobody_reads():
    model = residual()
    ignore(model, "c", [0, 1])
    assert widths(model)["a + b"] == 5, "h still reads them"
    ignore(model, "h", [1, 2])
    assert widths(model)["a + b"] == 4
    checked(model)


def test_everything_dead_leaves_one_unit_each():
    model = randomize(sequential(dense(3, "a", "tanh"), dense(4, "b", "sigmoid"), dense(2, "c", None)))
    kill(model, "a", slice(None))
    kill(model, "b", slice(None))
    assert widths(model) == {"a": 1, "b": 1, "c": 2}
    checked(model)


def test_the_output_is_never_cut():
    model = randomize(sequential(dense(3, "a"), dense(4, "b")))
    kill(model, "b", [0, 1], bias=0.0)
    assert widths(model) == {"a": 3, "b": 4}
    checked(model)


def test_size_of_images_unknown():
    x = keras.Input((None, None, 2))
    h = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="softplus", name="a")(x))
    model = randomize(keras.Model(x, dense(2, "b", None)(h)))
    kill(model, "a", [2])
    assert widths(model) == {"a": 3, "b": 2}
    checked(model)


# What is left alone.


def lonely(x):
    return dense(4, "a", "softmax")(x)


def twice(x):
    layer = dense(4, "a")
    return layer(layer(x))


def joined(x):
    return layers.Concatenate()([dense(3, "a")(x), dense(2, "b")(x)])


def inside(x):
    inner = keras.Sequential([keras.Input((3,)), layers.Dropout(0.5), dense(5, "b")], name="inner")
    return inner(dense(3, "a")(x))


def function(x):
    power = 3.0
    return layers.Lambda(lambda y: y * power + keras.ops.sum(y, -1, keepdims=True))(dense(3, "a")(x))


def operation(x):
    return keras.ops.relu(dense(3, "a")(x) * 2.0 - x[:, :3])


def low_rank(x):
    layer = dense(3, "a")
    made = layer(x)
    layer.enable_lora(2)
    return made


@pytest.mark.parametrize("build", [lonely, twice, joined, inside, function, operation, low_rank])
def test_refused_and_copied(build):
    x = keras.Input((4,))
    model = keras.Model(x, dense(2, "c", None)(build(x)), name="m")
    for seed, layer in enumerate(model.layers):
        randomize(layer, seed)
    if build is not low_rank:
        kill(model, "a", [0, 1], bias=0.0)
    with pytest.warns(UserWarning, match=r"no unit of model 'm' can be removed\. a: '?"):
        small = checked(model)
    assert small is not model
    assert {id(v) for v in small.variables}.isdisjoint(id(v) for v in model.variables)


def test_layers_apart_from_a_refused_one_are_cut():
    x = keras.Input((4,))
    model = randomize(keras.Model(x, dense(2, "d", None)(dense(3, "c")(joined(x)))))
    kill(model, "a", [0], bias=0.0)
    kill(model, "c", [1])
    assert widths(model) == {"a": 3, "b": 2, "c": 2, "d": 2}
    checked(model)


class Subclassed(keras.Model):
    def call(self, x):
        return x


class Stubborn(layers.Layer):
    def __init__(self, factor):
        super().__init__(name="stubborn")
        self.factor = factor

    def call(self, x):
        return self.factor * x


@pytest.mark.parametrize("value", [None, "model.keras", layers.Dense(2)])
def test_what_is_no_model(value):
    for call in (shrink, plan):
        with pytest.raises(TypeError, match=r"model must be a keras\.Model, got .* of type"):
            call(value)


def test_what_cannot_be_copied_is_refused():
    with pytest.raises(ValueError, match="'mine' is a subclassed model"):
        shrink(Subclassed(name="mine"))
    with pytest.raises(ValueError, match="layer 'stubborn' cannot be built from its config"):
        shrink(sequential(dense(3, "a"), dense(3, "b"), Stubborn(2.0)))


def test_plan():
    model = randomize(sequential(dense(3, "a"), dense(4, "b", None)))
    kill(model, "a", [1])
    first, second = plan(model)
    assert (first.name, first.before, first.after, first.reason) == ("a", 3, 2, None)
    assert (second.before, second.after, second.reason) == (4, 4, "'b' is an output of the model")


# Any model.


ACTIVATIONS = ["linear", "relu", "sigmoid", "tanh", "softplus", "elu"]


def passage(draw, h, image):
    """A random layer that passes units on."""
    kinds = ["norm", "activation", "leaky", "dropout"]
    if image and min(h.shape[1:3]) >= 3:
        kinds += ["max", "average", "zero", "crop", "up"]
    match draw(st.sampled_from(kinds)):
        case "norm":
            return layers.BatchNormalization()(h)
        case "activation":
            return layers.Activation(draw(st.sampled_from(ACTIVATIONS)))(h)
        case "leaky":
            return layers.LeakyReLU(0.1)(h)
        case "dropout":
            return layers.Dropout(0.3)(h)
        case "max":
            return layers.MaxPooling2D(2, 1, draw(st.sampled_from(["same", "valid"])))(h)
        case "average":
            return layers.AveragePooling2D(2, 1, draw(st.sampled_from(["same", "valid"])))(h)
        case "zero":
            return layers.ZeroPadding2D(1)(h)
        case "crop":
            return layers.Cropping2D(1)(h)
        case _:
            return layers.UpSampling2D(2)(h)


def maker(draw, h, image, count=None, padding=None):
    count = count or draw(st.integers(1, 4))
    settings = {
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "use_bias": draw(st.sampled_from([True, True, False])),
    }
    if not image:
        return layers.Dense(count, **settings)(h)
    padding = padding or draw(st.sampled_from(["same", "valid"]))
    return layers.Conv2D(count, draw(st.integers(1, 2)), padding=padding, **settings)(h)


def random_model(draw):
    """A random model with random dead units."""
    image = draw(st.booleans())
    x = h = keras.Input((6, 5, 2) if image else (3,))
    for _ in range(draw(st.integers(1, 3))):
        h = maker(draw, h, image)
        for _ in range(draw(st.integers(0, 2))):
            h = passage(draw, h, image)
        if draw(st.booleans()):
            side = maker(draw, h, image, count=h.shape[-1], padding="same")
            merge = draw(st.sampled_from([layers.Add, layers.Maximum, layers.Multiply, layers.Subtract]))
            h = merge()([h, side])
    if image:
        h = draw(
            st.sampled_from([layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])
        )()(h)
        h = layers.Dense(3, activation="tanh")(h)
    model = keras.Model(x, layers.Dense(2)(h), name="m")
    if not any(
        isinstance(layer, (layers.Add, layers.Maximum, layers.Multiply, layers.Subtract))
        for layer in model.layers
    ):
        model = keras.Sequential(model.layers, name="m")
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    randomize(model, int(rng.integers(1000)))
    for layer in model.layers[:-1]:
        if hasattr(layer, "kernel"):
            kernel = keras.ops.convert_to_numpy(layer.kernel) / 2
            kernel = (
                kernel * (rng.random(kernel.shape[-1]) < 0.6) * (rng.random(kernel.shape[-2]) < 0.8)[:, None]
            )
            layer.kernel.assign(kernel)
            if layer.bias is not None:
                layer.bias.assign(layer.bias * (rng.random(layer.bias.shape) < 0.5))
    return model


@pytest.mark.uncounted
@settings(max_examples=10 if keras.backend.backend() == "tensorflow" else 6, deadline=None, derandomize=True)
@given(st.data())
def test_any_model(data):
    model = random_model(data.draw)
    small = checked(model)
    again = plan(small)
    assert [row.before for row in again] == [row.after for row in again], "more could have gone"


def provably_dead(layer, reader):
    """Units of a dense layer that a plain reading of the rule finds, read by one dense layer."""
    made, read = (keras.ops.convert_to_numpy(part.kernel) for part in (layer, reader))
    return int((~made.any(axis=0) | ~read.any(axis=1)).sum())


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.lists(st.integers(0, 3), min_size=6, max_size=6), st.sampled_from(ACTIVATIONS))
def test_all_dead_units_of_a_dense_layer_go(count, kinds, activation):
    model = randomize(sequential(dense(count, "a", activation), dense(3, "b", None)))
    kill(model, "a", [i for i in range(count) if kinds[i] == 0])
    ignore(model, "b", [i for i in range(count) if kinds[i] == 1])
    dead = provably_dead(*model.layers)
    assert widths(model)["a"] == max(1, count - dead)
    checked(model)


@contract
def test_a_shrunk_model_can_be_saved(tmp_path):
    model = image(layers.BatchNormalization(), layers.ReLU())
    kill(model, "a", [1])
    small = checked(model)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert loaded.count_params() == small.count_params() < model.count_params()
    same_outputs(small, loaded)


def test_state_that_is_no_weight_is_kept():
    model = sequential(dense(4, "a"), layers.Dropout(0.5, seed=3), dense(2, "b", None))
    model(np.ones((2, 4), "f"), training=True)
    small = checked(model)
    for one, other in zip(model.variables, small.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other))


def test_policies_and_trainable_flags_are_kept():
    model = sequential(
        dense(4, "a", dtype="mixed_bfloat16"), dense(3, "b"), dense(2, "c", None, dtype="float32")
    )
    randomize(model)
    model.get_layer("b").trainable = False
    model.get_layer("c").bias.trainable = False
    kill(model, "b", [1])
    small = checked(model)
    assert [layer.dtype_policy.name for layer in small.layers] == ["mixed_bfloat16", "float32", "float32"]
    assert [v.path for v in small.trainable_variables] == [v.path for v in model.trainable_variables]


# Training goes on.

# Quicker for four steps on TensorFlow, slower on JAX.
EAGERLY = keras.backend.backend() == "tensorflow"

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.05),
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True),
    "nadam": lambda: keras.optimizers.Nadam(0.05, gradient_accumulation_steps=2),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.05, centered=True),
    "decayed": lambda: keras.optimizers.AdamW(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)),
}


def trained(optimizer, steps=3):
    """A small model after a few steps through which the units 0 and 2 of a layer were held at zero."""
    keras.utils.set_random_seed(1)
    model = sequential(
        dense(5, "a"), layers.BatchNormalization(center=False, name="n"), dense(4, "b"), dense(1, "c", None)
    )
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=EAGERLY)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 4)).astype("f"), rng.standard_normal((16, 1)).astype("f")
    for _ in range(steps):
        kill(model, "b", [0, 2], bias=0.0)
        model.train_on_batch(x, y)
    kill(model, "b", [0, 2], bias=0.0)
    return model, x, y


# On every engine one with two slots a weight, and one whose averages are more of them.
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[contract] * (n in ("adam", "momentum"))) for n in OPTIMIZERS]
)
def test_training_goes_on_where_it_stood(name):
    model, x, y = trained(OPTIMIZERS[name]())
    small = shrink(model)
    assert type(small.optimizer) is type(model.optimizer)
    assert int(small.optimizer.iterations) == int(model.optimizer.iterations)
    losses = [m.train_on_batch(x, y, return_dict=True) for m in (model, small)]
    assert losses[1]["loss"] == pytest.approx(losses[0]["loss"], rel=1e-5)
    left = [1, 3]
    kept = {"b": (lambda k: k[:, left], lambda b: b[left]), "c": (lambda k: k[left], lambda b: b)}
    for layer in model.layers:
        slices = kept.get(layer.name, [lambda v: v] * 4)
        for part, one, other in zip(slices, layer.weights, small.get_layer(layer.name).weights, strict=False):
            value = part(keras.ops.convert_to_numpy(one))
            np.testing.assert_allclose(keras.ops.convert_to_numpy(other), value, rtol=1e-4, atol=1e-6)


def test_without_the_momenta_training_would_go_elsewhere():
    """The test above would see it if the slots were lost."""
    model, x, y = trained(keras.optimizers.Adam(0.05))
    small = shrink(model)
    small.compile(keras.optimizers.Adam(0.05), "mse")
    for one in (model, small):
        one.train_on_batch(x, y)
    assert np.abs(np.subtract(model.get_weights()[0], small.get_weights()[0])).max() > 1e-3


def test_slots_of_another_shape_begin_anew():
    model, x, y = trained(keras.optimizers.Adafactor(0.01))
    small = shrink(model)
    assert int(small.optimizer.iterations) == 0
    small.train_on_batch(x, y)


class Wrapper(keras.optimizers.Optimizer):
    def __init__(self, inner):
        super().__init__(0.0)
        self.inner_optimizer = inner

    def build(self, variables):
        self.inner_optimizer.build(variables)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        self.inner_optimizer.apply(grads, trainable_variables)


def test_the_innermost_optimizer_is_taken():
    model, *_ = trained(keras.optimizers.Adam(0.05), steps=1)
    model.compile(Wrapper(Wrapper(keras.optimizers.SGD(0.25))), "mse")
    small = shrink(model)
    assert isinstance(small.optimizer, keras.optimizers.SGD)
    assert float(small.optimizer.learning_rate) == 0.25


def own_loss(y, z):
    return keras.ops.mean((y - z) ** 4)


@contract
def test_training_the_copy_leaves_the_model_usable():
    model, x, y = trained(keras.optimizers.Adam(0.05))
    small = shrink(model)
    before = model.evaluate(x, y, verbose=0)
    small.fit(x, y, epochs=2, verbose=0)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(before)
    model.train_on_batch(x, y)


def test_loss_and_metrics_are_taken_over():
    model, x, y = trained(keras.optimizers.SGD(0.05), steps=1)
    metric = keras.metrics.MeanSquaredError(name="error")
    model.compile("sgd", own_loss, metrics=[metric, "mae"])
    model.evaluate(x, y, verbose=0)
    held = float(metric.result())
    small = shrink(model)
    found = small.evaluate(x, y, verbose=0, return_dict=True)
    assert found == pytest.approx(model.evaluate(x, y, verbose=0, return_dict=True), rel=1e-5)
    assert float(metric.result()) == held


def test_not_compiled():
    assert not shrink(randomize(sequential(dense(3, "a"), dense(2, "b")))).compiled
