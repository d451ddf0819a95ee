"""Every layer that is known: outputs at points of a ball lie within the bounds."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_koopman.reachability import Ball, Box, bounds, register
from keras_koopman.reachability.activations import CURVES
from tests.reachability.networks import ACTIVATIONS, around, shake

LAYERS = {
    "conv1d": ((7, 2), lambda: layers.Conv1D(3, 3, strides=2, padding="same", activation="relu")),
    "causal": ((7, 2), lambda: layers.Conv1D(3, 2, padding="causal", dilation_rate=2)),
    "conv2d": ((5, 6, 2), lambda: layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same")),
    "groups": ((4, 4, 4), lambda: layers.Conv2D(6, 2, groups=2, dilation_rate=2)),
    "conv3d": ((3, 4, 3, 1), lambda: layers.Conv3D(2, 2, activation="tanh")),
    "depthwise": ((5, 5, 2), lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")),
    "depthwise1d": ((6, 2), lambda: layers.DepthwiseConv1D(3)),
    "separable": ((5, 5, 2), lambda: layers.SeparableConv2D(3, 2, padding="same")),
    "max2d": ((5, 5, 2), lambda: layers.MaxPooling2D(2, padding="same")),
    "max overlapping": ((6, 2), lambda: layers.MaxPooling1D(3, strides=1)),
    "average": ((5, 5, 2), lambda: layers.AveragePooling2D(2, padding="same")),
    "global max": ((4, 4, 2), lambda: layers.GlobalMaxPooling2D(keepdims=True)),
    "global average": ((4, 3, 2), lambda: layers.GlobalAveragePooling2D()),
    "batch norm": ((4, 3), lambda: layers.BatchNormalization()),
    "batch norm, axis 1": ((4, 3), lambda: layers.BatchNormalization(axis=1)),
    "layer norm": ((6,), lambda: layers.LayerNormalization()),
    "layer norm, two axes": ((3, 4), lambda: layers.LayerNormalization(axis=[1, 2])),
    "group norm": ((3, 4), lambda: layers.GroupNormalization(2)),
    "padding": ((3, 3, 1), lambda: layers.ZeroPadding2D(((1, 0), (0, 2)))),
    "cropping": ((4, 5, 1), lambda: layers.Cropping2D(((1, 0), (0, 2)))),
    "upsampling": ((2, 3, 1), lambda: layers.UpSampling2D((2, 3))),
    "permute": ((2, 3, 4), lambda: layers.Permute((3, 1, 2))),
    "reshape": ((2, 6), lambda: layers.Reshape((3, -1))),
    "flatten": ((2, 3), lambda: layers.Flatten()),
    "repeat": ((3,), lambda: layers.RepeatVector(2)),
    "rescaling": ((3,), lambda: layers.Rescaling(0.5, offset=-1.0)),
    "dropout": ((3,), lambda: layers.Dropout(0.5)),
    "softmax": ((4,), lambda: layers.Softmax()),
    "softmax, axis 1": ((3, 4), lambda: layers.Softmax(axis=1)),
    "prelu": ((4,), lambda: layers.PReLU()),
    "relu": ((4,), lambda: layers.ReLU(max_value=0.5, negative_slope=0.1)),
    "leaky": ((4,), lambda: layers.LeakyReLU(0.3)),
    "elu": ((4,), lambda: layers.ELU(0.7)),
    "log softmax": ((4,), lambda: layers.Activation("log_softmax")),
}


def assert_sound(model, radius=0.2, methods=("interval", "crown")):
    ball, outputs = around(model, radius)
    widths = []
    for method in methods:
        low, high = bounds(model, ball, method)
        slack = 2e-6 * (1 + np.abs(outputs).max())  # the model's own float32
        assert low.shape == outputs.shape[1:]
        assert (outputs >= low - slack).all(), method
        assert (outputs <= high + slack).all(), method
        widths.append((high - low).sum())
    return widths


@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_bounded(name):
    shape, make = LAYERS[name]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape), make()])
    assert_sound(shake(model))


@pytest.mark.parametrize("name", ["average", "batch norm", "upsampling", "rescaling", "permute", "dropout"])
def test_bounds_of_one_linear_layer_are_attained(name):
    shape, make = LAYERS[name]
    model = shake(keras.Sequential([keras.Input(shape), make()]))
    center, radius = np.full(shape, 0.3), 0.2
    low, high = bounds(model, Ball(center, radius))
    rng = np.random.default_rng(0)
    corners = center + radius * rng.choice([-1.0, 1.0], (4000, *shape))
    outputs = ops.convert_to_numpy(model(corners.astype("float32"), training=False))
    np.testing.assert_allclose(outputs.min(0), low, atol=1e-5)
    np.testing.assert_allclose(outputs.max(0), high, atol=1e-5)


# The curves that Keras and we call alike: their lines are tested in test_curves. Here it is enough that the
# right one is taken; some of them are seen through all the same.
ALIKE = set(CURVES) - {"relu", "tanh", "gelu", "exponential", "hard_silu"}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_is_bounded_between_dense_layers(activation):
    keras.utils.set_random_seed(1)
    model = shake(keras.Sequential([keras.Input((3,)), layers.Dense(6, activation), layers.Dense(2)]), 1, 1.0)
    if activation in ALIKE:
        assert_sound(model, methods=["interval"])
        return
    interval, crown = assert_sound(model)
    assert crown <= interval * (1 + 1e-9)


def test_merging_layers_and_nested_models():
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, "tanh")], name="inner")
    a, b = inner(x), layers.Dense(4, "relu")(x)
    merged = [layers.Add()([a, b, x]), layers.Subtract()([a, b]), layers.Multiply()([a, b])]
    merged += [layers.Average()([a, x]), layers.Maximum()([a, b]), layers.Minimum()([a, b]), inner(b)]
    assert_sound(shake(keras.Model(x, layers.Concatenate()(merged))))


def test_operations_of_keras_ops():
    x = keras.Input((4,))
    y = ops.sin(x) * 2.0 - ops.cos(x) / 4.0 + ops.square(x) + ops.abs(x)
    z = ops.maximum(y[:, :2], ops.minimum(x[:, 2:], 0.3)) @ np.ones((2, 2), "float32")
    parts = [y, z, ops.mean(y, axis=-1, keepdims=True), ops.exp(-x), 1 / (2 + ops.square(x))]
    parts += [ops.logsumexp(y, axis=-1, keepdims=True), ops.sqrt(3 + x), ops.log(3 + x), ops.max(x, -1, True)]
    assert_sound(keras.Model(x, ops.concatenate(parts, axis=-1)))


class Block(layers.Layer):
    """A layer that nobody registered."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(3, "tanh")

    def call(self, x, training=None):
        return x + 0.5 * self.inner(x)


def test_a_layer_made_of_keras_operations_is_taken_apart():
    block = Block()
    model = keras.Sequential([keras.Input((3,)), block, layers.Dense(2)])
    before = len(block.inner._inbound_nodes)
    assert_sound(shake(model))
    assert len(block.inner._inbound_nodes) == before


def test_a_subclassed_model_is_taken_apart():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(5, "relu"), layers.Dense(2)

        def call(self, x):
            return self.b(self.a(x)) + 1.0

    model = Own()
    model(np.zeros((1, 3), "float32"))
    low, high = bounds(model, Ball([0.1, 0.2, 0.3], 0.0))
    value = keras.ops.convert_to_numpy(model(np.array([[0.1, 0.2, 0.3]], "float32")))[0]
    np.testing.assert_allclose(low, value, atol=1e-6)
    assert (high - low < 1e-12).all()


def test_an_unknown_layer_is_named_and_can_be_registered():
    class Odd(layers.Layer):
        def call(self, x):
            return ops.convert_to_tensor(np.array([[float(abs(v)) for v in row] for row in x]))

    def model_of(layer):
        x = keras.Input((2,))
        layer.compute_output_spec = lambda inputs: keras.KerasTensor(inputs.shape)
        return keras.Model(x, layer(x))

    model = model_of(Odd(name="strange"))
    with pytest.raises(ValueError, match="layer 'strange', a Odd, is unknown"):
        bounds(model, Box(-1, 1))

    register(Odd)(lambda build, layer, x: build.curve(x, "absolute"))
    low, high = bounds(model, Box([-1, 2], [3, 4]))
    np.testing.assert_allclose([low, high], [[0, 2], [3, 4]], atol=1e-12)


def test_register_refuses_what_is_no_layer():
    with pytest.raises(TypeError, match="class of layers"):
        register(3)


def test_a_wrong_registration_is_noticed():
    class Doubled(layers.Layer):
        def call(self, x):
            return 2 * x

    register(Doubled)(lambda build, layer, x: build.scale(x, 3.0))
    with pytest.warns(RuntimeWarning, match="registered"):
        bounds(keras.Sequential([keras.Input((1,)), Doubled()]), Box(0.5, 1))
