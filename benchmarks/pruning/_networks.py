"""Networks and data of the experiments on units."""

import _recipe
import keras

BATCH = 128


def fashion():
    """20,000 training images and the 10,000 of the test set, as `(x, y), (x_test, y_test)`."""
    return _recipe.data(keras.datasets.fashion_mnist.load_data)


def mlp(widths=(1200, 600)):
    """A dense network on 784 pixels."""
    layers = keras.layers
    hidden = [layers.Dense(width, "relu", name=f"hidden_{i}") for i, width in enumerate(widths)]
    return keras.Sequential([keras.Input((784,)), *hidden, layers.Dense(10, name="out")])


def convnet(widths=(32, 64, 128)):
    """Two convolutions with batch normalisation and a dense layer."""
    first, second, dense = widths
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((784,)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(first, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(second, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(dense, "relu"),
            layers.Dense(10, name="out"),
        ]
    )


NETWORKS = {"mlp": mlp, "convnet": convnet}
WIDTHS = {"mlp": (1200, 600), "convnet": (32, 64, 128)}


def compiled(model, optimizer):
    """The model with a loss on logits, and accuracy."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model
