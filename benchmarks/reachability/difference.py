"""How much tighter is the certificate of a pruned network than the difference of two ranges?

LeNet-300-100 on Fashion-MNIST, pruned by magnitude, on l-infinity balls of 2/255 about test images.
"""

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np
from _table import write
from keras import layers

import keras_koopman as kk

sys.path.append(str(Path(__file__).parents[1]))

from _fashion_mnist import load


def trained(x, y, epochs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((784,)), layers.Dense(300, "relu"), layers.Dense(100, "relu"), layers.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
    return model


def pruned(model, sparsity):
    """By magnitude over all kernels together, without training on."""
    twin = keras.models.clone_model(model)
    sizes = np.concatenate([np.abs(w).ravel() for w in model.get_weights() if w.ndim > 1])
    least = np.quantile(sizes, sparsity)
    weights = [np.where(np.abs(w) < least, 0, w) if w.ndim > 1 else w for w in model.get_weights()]
    twin.set_weights(weights)
    return twin


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=5)
    settings = parser.parse_args()
    (x, y), (x_test, y_test) = load()
    model = trained(x[:20000], y[:20000], settings.epochs)
    rows = []
    for sparsity in (0.05, 0.1, 0.2, 0.3, 0.5, 0.9):
        twin = pruned(model, sparsity)
        accuracy = float((np.argmax(twin.predict(x_test, verbose=0), 1) == y_test).mean())
        for image in range(settings.images):
            ball = kk.reachability.Ball(x_test[image], 2 / 255)
            began = time.perf_counter()
            found = kk.reachability.certify_difference(model, twin, ball)
            seconds = time.perf_counter() - began
            ranges = [kk.reachability.bounds(m, ball) for m in (model, twin)]
            (low_a, high_a), (low_b, high_b) = ranges
            apart = float(np.maximum(high_b - low_a, high_a - low_b).max())
            points = x_test[image] + np.random.default_rng(0).choice([-1, 1], (500, 784)) * 2 / 255
            gap = twin.predict(points, verbose=0) - model.predict(points, verbose=0)
            rows.append(
                {
                    "sparsity": sparsity,
                    "accuracy_pruned": accuracy,
                    "image": image,
                    "bound": found.bound,
                    "two_ranges": apart,
                    "ratio": apart / found.bound,
                    "sampled": float(np.abs(gap).max()),
                    "seconds": seconds,
                }
            )
            print(rows[-1], flush=True)
            write("difference", rows)


if __name__ == "__main__":
    main()
