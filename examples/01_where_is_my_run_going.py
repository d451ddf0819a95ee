"""Where is my run going, and how much of the way is left?

    python examples/01_where_is_my_run_going.py [--epochs 30]

One callback records the weights at each epoch. The table at the end is the Koopman spectrum of their path:
the mode at 1 is where the weights are going, those below 1 are the parts of the way that die out, with their
half-lives in epochs. Read a mode only if its residual is below a fifth of its size.
"""

import argparse

import keras
from sklearn.datasets import load_digits

import keras_koopman as kk

parser = argparse.ArgumentParser(description="Spectrum of a training on scikit-learn's digits.")
parser.add_argument("--epochs", type=int, default=30)
arguments = parser.parse_args()

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
model = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10, "softmax")]
)
model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")

monitor = kk.callbacks.KoopmanMonitor()
history = model.fit(x / 16, y, epochs=arguments.epochs, verbose=0, callbacks=[monitor])

print(monitor.trajectory.decompose(rank="svht").summary(sort="residual"))
print(f"\nloss {history.history['loss'][0]:.3f} -> {history.history['loss'][-1]:.3f}")
if "koopman_rho" in history.history:
    rho = history.history["koopman_rho"][-1]
    print(f"koopman_rho {rho:.2f}: {'still drifting' if rho > 1 / 3 else 'drift drowned in noise'}.")
