import keras
import pytest
from keras import layers

from keras_koopman.pruning.graph import unit_groups

contract = pytest.mark.contract


def sequential(*parts, shape=(4,)):
    return keras.Sequential([keras.Input(shape, name="x"), *parts], name="m")


def functional(build, shape=(4,)):
    """A model whose output is a dense layer on what `build` makes of the input."""
    x = keras.Input(shape, name="x")
    return keras.Model(x, layers.Dense(2, name="out")(build(x)), name="m")


def table(model):
    return {group.name: (group.count, group.reason) for group in unit_groups(model)}


def names(variables):
    return [
        variable.path.rpartition("/")[0].rpartition("/")[2] + "/" + variable.name for variable in variables
    ]


def dense(n, name, **settings):
    return layers.Dense(n, name=name, **settings)


@contract
def test_chain():
    first, second = unit_groups(sequential(dense(3, "a", activation="relu"), dense(2, "b")))
    assert (first.name, first.count, first.reason, first.trainable) == ("a", 3, None, True)
    assert [(v.shape, axis) for v, axis in first.kernels] == [((4, 3), 1)]
    assert names(first.vectors) == ["a/bias"]
    assert [(reader.layer.name, reader.repeats) for reader in first.readers] == [("b", 1)]
    assert (second.name, second.reason) == ("b", "'b' is an output of the model")


@contract
def test_convolution_with_what_follows():
    group = unit_groups(
        sequential(
            layers.Conv2D(3, 2, name="c", use_bias=False),
            layers.BatchNormalization(name="n"),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.ZeroPadding2D(1),
            layers.SpatialDropout2D(0.1),
            layers.Flatten(),
            dense(2, "out"),
            shape=(7, 5, 1),
        )
    )[0]
    assert group.reason is None
    assert names(group.vectors) == ["n/gamma", "n/beta"]
    assert names(group.states) == ["n/moving_mean", "n/moving_variance"]
    assert [(v.shape, axis) for v, axis in group.kernels] == [((2, 2, 1, 3), 3)]
    assert [reader.repeats for reader in group.readers] == [(3 + 2) * (2 + 2)]


@pytest.mark.parametrize("merge", [layers.Add, layers.Average, layers.Maximum, layers.Multiply])
def test_merges_tie(merge):
    def build(x):
        a = dense(3, "a")(x)
        b = dense(3, "b", activation="tanh")(a)
        c = dense(3, "c")(b)
        return merge()([a, merge()([c, b])])

    group, out = unit_groups(functional(build))
    assert (group.name, group.count, group.reason) == ("a + b + c", 3, None)
    assert len(group.kernels) == len(group.vectors) == 3
    assert sorted(reader.layer.name for reader in group.readers) == ["b", "c", "out"]
    assert out.name == "out"


class Own(layers.Dense):
    def call(self, inputs):
        return keras.ops.flip(super().call(inputs), -1)


UNLIKE = "'add' merges tensors of unlike shapes"


def shared(x):
    layer = dense(4, "a")
    return layer(layer(x))


def nested(x):
    inner = keras.Sequential([keras.Input((3,)), dense(5, "b")], name="inner")
    return inner(dense(3, "a")(x))


REFUSED = {
    "softmax": (
        lambda x: dense(3, "a", activation="softmax")(x),
        "the activation of 'a' is not known to act on each unit alone",
    ),
    "softmax apart": (
        lambda x: layers.Activation("log_softmax", name="s")(dense(3, "a")(x)),
        "the activation of 's' is not known to act on each unit alone",
    ),
    "own activation": (
        lambda x: dense(3, "a", activation=lambda y: y)(x),
        "the activation of 'a' is not known to act on each unit alone",
    ),
    "shared": (shared, "'a' is used more than once"),
    "concatenate": (
        lambda x: layers.Concatenate(name="j")([dense(3, "a")(x), x]),
        "'j', a Concatenate, is not known to keep units apart",
    ),
    "normalization": (
        lambda x: layers.LayerNormalization(name="l")(dense(3, "a")(x)),
        "'l', a LayerNormalization, is not known to keep units apart",
    ),
    "operation": (
        lambda x: keras.ops.multiply(dense(3, "a")(x), 2.0),
        "a Multiply, is not known to keep units apart",
    ),
    "subclass": (
        lambda x: Own(3, name="o")(dense(3, "a")(x)),
        "'o', a Own, is not known to keep units apart",
    ),
    "nested": (nested, "'inner', a Sequential, is not known to keep units apart"),
    "with the input": (lambda x: layers.Add()([dense(4, "a")(x), x]), "'x' is an input of the model"),
    "broadcast": (lambda x: layers.Add(name="add")([dense(3, "a")(x), dense(1, "b")(x)]), UNLIKE),
    "drops always": (
        lambda x: layers.Dropout(0.5, name="d")(dense(3, "a")(x), training=True),
        "'d' is called with arguments of its own or with a mask",
    ),
    "regularizes": (
        lambda x: layers.ReLU(name="r", activity_regularizer="l2")(dense(3, "a")(x)),
        "'r' has an activity regularizer",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case):
    build, reason = REFUSED[case]
    found = table(functional(build))["a"][1]
    assert found is not None
    assert found.endswith(reason)


IMAGES = {
    "channels first": (
        [layers.Conv2D(3, 2, name="a"), layers.MaxPooling2D(2, data_format="channels_first", name="p")],
        "'p' has data_format='channels_first'",
    ),
    "grouped": (
        [layers.Conv2D(4, 2, name="a"), layers.Conv2D(4, 2, groups=2, name="g")],
        "'g' has groups=2",
    ),
    "other axis": (
        [layers.Conv2D(3, 2, name="a"), layers.BatchNormalization(axis=1, name="n")],
        "'n' has axis=1",
    ),
    "behind flatten": (
        [layers.Conv2D(3, 2, name="a"), layers.Flatten(), layers.BatchNormalization(name="n")],
        "'n' stands behind a Flatten",
    ),
    "depthwise": (
        [layers.Conv2D(3, 2, name="a"), layers.DepthwiseConv2D(2, name="d")],
        "'d', a DepthwiseConv2D, is not known to keep units apart",
    ),
    "upsampling": (
        [layers.Conv2D(3, 2, name="a"), layers.UpSampling2D(2, interpolation="bicubic", name="u")],
        "'u' has interpolation='bicubic'",
    ),
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_refused_by_name(case):
    parts, reason = IMAGES[case]
    assert table(sequential(*parts, layers.Flatten(), dense(2, "out"), shape=(6, 6, 1)))["a"][1] == reason


def test_convolution_with_channels_first_is_refused_itself():
    # TensorFlow on a CPU cannot run it, so it is only looked at.
    layer = layers.Conv2D(3, 2, name="a")
    model = sequential(layer, layers.Flatten(), dense(2, "out"), shape=(6, 6, 1))
    layer.data_format = "channels_first"
    assert table(model)["a"] == (3, "'a' has data_format='channels_first'")


def test_several_outputs():
    x = keras.Input((4,))
    a = dense(3, "a")(x)
    model = keras.Model(x, [a, dense(2, "b")(a)])
    assert table(model) == {
        "a": (3, "'a' is an output of the model"),
        "b": (2, "'b' is an output of the model"),
    }


def test_output_behind_a_passing_layer():
    assert table(sequential(dense(3, "a"), layers.ReLU(name="r")))["a"][1] == "'r' is an output of the model"


class Mirror(layers.Layer):
    """Multiplies by the transposed kernel of another layer."""

    def __init__(self, source):
        super().__init__(name="mirror")
        self.kernel = source.kernel

    def call(self, x):
        return x @ keras.ops.transpose(self.kernel)


@contract
def test_tied_variables():
    source = dense(3, "a")

    def build(x):
        h = source(x)
        return dense(3, "b")(Mirror(source)(h))

    found = table(functional(build))
    assert found["a"] == (3, "'a' shares a variable with 'mirror'")
    assert found["b"] == (3, None)


@contract
def test_lora():
    model = sequential(dense(3, "a"), dense(3, "b"), dense(2, "out"))
    model.get_layer("b").enable_lora(1)
    groups = unit_groups(model)
    assert [group.reason for group in groups[:2]] == ["'b' is quantized or has LoRA"] * 2
    assert groups[1].kernels == ()


@contract
def test_quantized():
    model = sequential(dense(3, "a"), dense(3, "b"), dense(2, "out"))
    model.get_layer("b").quantize("int8")
    assert [group.reason for group in unit_groups(model)[:2]] == ["'b' is quantized or has LoRA"] * 2


def test_masks():
    x = keras.Input((5,), dtype="int32")
    h = layers.Embedding(7, 4, mask_zero=True)(x)
    h = layers.Maximum(name="max")([dense(3, "a")(h), dense(3, "b")(h)])
    h = layers.GlobalAveragePooling1D(name="mean")(dense(3, "c")(h))
    found = table(keras.Model(x, dense(2, "out")(h)))
    assert found["a"][1] == found["b"][1] == "'max' gets a mask"
    assert found["c"][1] == "'mean' is called with arguments of its own or with a mask"


def test_frozen_layer_can_be_cut_but_is_not_trained():
    model = sequential(dense(3, "a"), dense(3, "b"), dense(2, "out"))
    model.get_layer("a").trainable = False
    assert [(g.reason, g.trainable) for g in unit_groups(model)[:2]] == [(None, False), (None, True)]


def test_flatten_of_unknown_size():
    x = keras.Input((None, 4))
    pooled = layers.GlobalMaxPooling1D()(dense(3, "b")(x))
    flat = layers.Flatten(name="f")(dense(3, "a")(x))
    found = table(keras.Model(x, [layers.ReLU(name="r")(flat), dense(2, "out")(pooled)]))
    assert found["a"][1] == "'f' flattens an unknown number of positions"
    assert found["b"][1] is None


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.layer = layers.Dense(2)

    def call(self, x):
        return self.layer(x)


class OwnCall(keras.Model):
    def call(self, x, training=False):
        return 2 * super().call(x, training=training)


@contract
def test_subclassed_models_are_refused():
    with pytest.raises(ValueError, match=r"'mine'.*Write it as a functional or Sequential model"):
        unit_groups(Subclassed())
    x = keras.Input((4,))
    with pytest.raises(ValueError, match=r"'own'.*OwnCall.*Write it"):
        unit_groups(OwnCall(x, layers.Dense(2)(x), name="own"))


def test_unbuilt_model_is_refused():
    with pytest.raises(ValueError, match="'late' is not built"):
        unit_groups(keras.Sequential([layers.Dense(2)], name="late"))
