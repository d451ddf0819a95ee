"""Models of every shape, small enough for a test, each with a sample."""

import keras
import numpy as np

L = keras.layers
generator = np.random.default_rng(0)
X = generator.normal(size=(6, 4)).astype("float32")
IDS = generator.integers(0, 7, (6, 3)).astype("int32")


def pruned(zero_rows=3):
    """35 weights in two kernels, of which `5 * zero_rows` are zero, and 8 biases."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(5, "relu", name="a"), L.Dense(3, name="b")], name="pruned"
    )
    kernel, bias = model.layers[0].get_weights()
    kernel[:zero_rows] = 0
    model.layers[0].set_weights([kernel, bias + 0.1])
    return model


def two_inputs(kind):
    first, second = keras.Input((4,), name="zeta"), keras.Input((3,), dtype="int32", name="alpha")
    joined = L.Concatenate()([L.Dense(2)(first), L.Flatten()(L.Embedding(7, 2)(second))])
    large, small = L.Dense(5)(joined), L.Dense(2)(joined)
    if kind == "list":
        return keras.Model([first, second], [large, small])
    return keras.Model({"zeta": first, "alpha": second}, {"y": large, "b": small})


class OnDict(keras.Model):
    def __init__(self):
        super().__init__(name="on_dict")
        self.dense, self.embed = L.Dense(2), L.Embedding(7, 2)

    def call(self, inputs):
        return {"y": self.dense(inputs["x"]), "b": self.embed(inputs["ids"])}


class OnIds(keras.Model):
    def __init__(self):
        super().__init__(name="on_ids")
        self.embed, self.dense = L.Embedding(7, 4), L.Dense(2)

    def call(self, inputs):
        return self.dense(self.embed(inputs))


def called(model, sample):
    model(keras.tree.map_structure(keras.ops.convert_to_tensor, sample))
    return model


def many_outputs():
    """Twelve outputs: by the alphabet output_10 comes before output_2."""
    inputs = keras.Input((4,), name="In Put.1")
    hidden = L.Dense(2)(inputs)
    return keras.Model(inputs, [hidden + i for i in range(12)])


def convolution():
    layers = [keras.Input((6, 6, 1)), L.Conv2D(3, 3), L.BatchNormalization(), L.GlobalAveragePooling2D()]
    return keras.Sequential(layers)


def recurrent(unroll=False):
    return keras.Sequential(
        [keras.Input((4,)), L.Reshape((4, 1)), L.LSTM(3, unroll=unroll), L.Dropout(0.5), L.Dense(2)]
    )


def half(policy):
    return keras.Sequential([keras.Input((4,)), L.Dense(3, "relu", dtype=policy), L.Dense(2, dtype=policy)])


MODELS = {
    "sequential": (pruned, X),
    "list": (lambda: two_inputs("list"), [X, IDS]),
    "dict": (lambda: two_inputs("dict"), {"zeta": X, "alpha": IDS}),
    "subclass on dict": (lambda: called(OnDict(), {"x": X, "ids": IDS}), {"x": X, "ids": IDS}),
    "subclass on ids": (lambda: called(OnIds(), IDS), IDS),
    "many outputs": (many_outputs, X),
    "convolution": (convolution, generator.normal(size=(5, 6, 6, 1))),
    "recurrent": (recurrent, X),
    "unrolled": (lambda: recurrent(unroll=True), X),
    "float16": (lambda: half("mixed_float16"), X),
    "bfloat16": (lambda: half("mixed_bfloat16"), X),
}
