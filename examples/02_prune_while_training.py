"""How small can my network be, trained as I train it now?

    python examples/02_prune_while_training.py [--epochs 20] [--sparsities 0 .5 .8 .9 .95] [--export pruned]

The optimizer is wrapped and nothing else changes: the sparsity rises along a cubic ramp inside `fit`. For
each sparsity asked, the accuracy on held-out digits and the size of the weights; then the last model is
exported, loaded again and compared.
"""

import argparse

import keras
from sklearn.datasets import load_digits

import keras_koopman as kk

parser = argparse.ArgumentParser(description="Prune a network on scikit-learn's digits.")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--sparsities", type=float, nargs="+", default=[0.0, 0.5, 0.8, 0.9, 0.95])
parser.add_argument("--export", metavar="FOLDER", help="where a SavedModel of the last one goes")
arguments = parser.parse_args()

x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
steps = arguments.epochs * -(-1400 // 32)

for sparsity in arguments.sparsities:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(300, "relu"),
            keras.layers.Dense(100, "relu"),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    if sparsity:
        ramp = kk.schedules.PolynomialSparsity(0.0, sparsity, begin_step=steps // 5, end_step=steps * 7 // 10)
        kk.prune(model, ramp)
    model.fit(x[:1400], y[:1400], epochs=arguments.epochs, verbose=0)
    accuracy = model.evaluate(x[1400:], y[1400:], verbose=0)[1]
    report = kk.pruning.report(model)
    print(f"sparsity {sparsity:.2f}: accuracy {accuracy:.3f}, {report.compressed / 1024:.0f} KiB")

print(report)
if arguments.export:
    print(kk.export.export_pruned(model, arguments.export, sample=x[:100]))
