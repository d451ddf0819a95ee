"""Zeros alone give no speed. How do I get a network that is really faster?

    python examples/03_shrink_for_speed.py [--epochs 20]

Whole units are pruned while the network trains, then `shrink` removes them: the layers become narrower and
compute the same. The control is a network that had those widths from the start: if it is as good, train that.
"""

import argparse
import time

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_koopman as kk

parser = argparse.ArgumentParser(description="Prune units of a network on scikit-learn's digits.")
parser.add_argument("--epochs", type=int, default=20)
arguments = parser.parse_args()

x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")


def network(*widths):
    """A dense network that is to be trained with Adam."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(width, "relu") for width in widths]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def show(name, model):
    """Print accuracy, size and the time of a batch."""
    accuracy = model.evaluate(x[1400:], y[1400:], verbose=0)[1]
    batch = np.tile(x, (4, 1))
    model.predict(batch, batch_size=2048, verbose=0)
    begin = time.perf_counter()
    for _ in range(5):
        model.predict(batch, batch_size=2048, verbose=0)
    milliseconds = (time.perf_counter() - begin) / 5 * 1e3
    print(f"{name:14} {model.count_params():>9,} weights  accuracy {accuracy:.3f}  {milliseconds:6.1f} ms")


dense = network(1200, 600)
dense.fit(x[:1400], y[:1400], epochs=arguments.epochs, verbose=0)
show("dense", dense)

steps = arguments.epochs * -(-1400 // 32)
pruned = network(1200, 600)
ramp = kk.schedules.PolynomialSparsity(0.0, 0.9, begin_step=steps // 4, end_step=steps * 3 // 4)
kk.prune(pruned, ramp, structure="unit")
pruned.fit(x[:1400], y[:1400], epochs=arguments.epochs, verbose=0)
show("pruned", pruned)

small = kk.pruning.shrink(pruned)
show("shrunk", small)
print("largest difference:", np.abs(small.predict(x, verbose=0) - pruned.predict(x, verbose=0)).max())

scratch = network(*(layer.units for layer in small.layers[:-1]))
scratch.fit(x[:1400], y[:1400], epochs=arguments.epochs, verbose=0)
show("from scratch", scratch)
