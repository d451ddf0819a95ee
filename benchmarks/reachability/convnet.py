"""Is the probability of a class decided where four features of an image may change?

A convnet trained on 20,000 images of Fashion-MNIST; on test images that it gets right, four features of eight
pixels each (four rows of two, where the image's own gradient is greatest) are free. Once each feature has one
brightness, anything from black to white: four numbers. Once each of the 32 pixels may move on its own, by up
to 0.02, 0.05 and 0.1. The question is the range of the probability of the image's class, to within .05.

    python benchmarks/reachability/convnet.py [--images 5] [--limit 120]
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(Path(__file__).parents[1]))

import keras
import numpy as np
from _fashion_mnist import load
from _table import write
from keras import layers

import keras_koopman as kk

TOL = 0.05
SHAPE = (4, 2)
PIXELS = (0.02, 0.05, 0.1)


def convnet(x, y):
    """Trained for three epochs; it gives probabilities."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3, batch_size=64, verbose=0)
    return model


def features(image):
    """Four masks of eight pixels that do not meet, where the image changes most from row to row."""
    rows, columns = SHAPE
    change = np.zeros((28, 28))
    change[1:] = np.abs(np.diff(image, axis=0))
    windows = np.lib.stride_tricks.sliding_window_view(change, SHAPE).sum(axis=(2, 3))
    masks, taken = [], np.zeros((28, 28), bool)
    for at in np.argsort(-windows, axis=None):
        i, j = np.unravel_index(at, windows.shape)
        mask = np.zeros((28, 28), bool)
        mask[i : i + rows, j : j + columns] = True
        if not np.any(mask & taken):
            masks.append(mask)
            taken |= mask
        if len(masks) == 4:
            return masks
    raise ValueError("no room for four features")


def painted(model, image, masks):
    """The model as a function of the brightness of each feature."""
    kernel = np.stack([mask.astype("float32").ravel() for mask in masks])
    rest = np.where(np.any(masks, axis=0), 0, image).astype("float32").ravel()
    paint = layers.Dense(784)
    head = keras.Sequential([keras.Input((4,)), paint, layers.Reshape((28, 28, 1))])
    paint.set_weights([kernel, rest])
    return keras.Model(head.inputs, model(head.outputs[0]))


def asked(model, region, label, limit):
    """The range, and the seconds that it took once compiled."""
    kk.reachability.output_range(model, region, int(label), tol=1.0, time_limit=limit)
    begin = time.perf_counter()
    found = kk.reachability.output_range(model, region, int(label), tol=TOL, time_limit=limit)
    return {
        "lower": found.lower,
        "upper": found.upper,
        "gap": found.gap,
        "decided": found.finished,
        "boxes": found.evaluations,
        "seconds": time.perf_counter() - begin,
    }


def main():
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for each search")
    settings = parser.parse_args()
    (x, y), (test, labels) = load()
    shape = (-1, 28, 28, 1)
    model = convnet(x[:20_000].reshape(shape), y[:20_000])
    accuracy = model.evaluate(test.reshape(shape), labels, verbose=0)[1]
    right = np.flatnonzero(model.predict(test.reshape(shape), verbose=0).argmax(1) == labels)
    rows = []
    for number in right[: settings.images]:
        image, label = test[number].reshape(28, 28).astype("float64"), labels[number]
        masks = features(image)
        searches = {
            "4 numbers, black to white": (painted(model, image, masks), kk.reachability.Box([0] * 4, [1] * 4))
        }
        for radius in PIXELS:
            base, free = image[..., None], np.any(masks, axis=0)[..., None]
            low, high = np.clip(base - radius, 0, 1), np.clip(base + radius, 0, 1)
            region = kk.reachability.Box(low[free], high[free], free=free, base=base)
            searches[f"32 pixels, {radius}"] = (model, region)
        for kind, (network, region) in searches.items():
            found = asked(network, region, label, settings.limit)
            rows.append({"image": int(number), "free": kind, **found})
            print(rows[-1], flush=True)
            write("convnet", rows, f"test accuracy {accuracy:.4f}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
