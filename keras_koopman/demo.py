"""The main job on a small case: train on scikit-learn's digits and look at the training."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .callbacks import KoopmanMonitor
from .plotting import write_report
from .plotting.run import PREFIX, read_run
from .plotting.words import CAUTION, headline, layer_sentence, number, sentences

TRAINED_ON = 1400
SHOWN = {"loss": "loss", "val_loss": "val_loss", f"{PREFIX}rho": "drift", f"{PREFIX}speed": "speed"}


class _Progress(keras.callbacks.Callback):
    """A line for each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        known = [
            f"{label} {number((logs or {})[name]):<8}"
            for name, label in SHOWN.items()
            if name in (logs or {})
        ]
        print(f"epoch {epoch + 1:>3}/{self.params['epochs']}  {'  '.join(known)}".rstrip(), flush=True)


def run(folder: str | os.PathLike[str] = "demo", epochs: int = 40) -> None:
    """Train a small network with the monitor, print its spectrum, write a picture and a report.

    Args:
        folder: Where `run.zarr`, `spectrum.png` and `report.html` go; those of an earlier demo are replaced.
        epochs: How long to train.

    Raises:
        ImportError: If scikit-learn, Matplotlib or zarr is not installed.
        OSError: If the folder cannot be written to.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "The demo draws with Matplotlib, which is not installed: pip install 'keras-koopman[plot]'."
        ) from error
    digits, labels = _digits()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "run.zarr"
    if store.exists():
        shutil.rmtree(store)

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, "relu", name="hidden_1"),
            keras.layers.Dense(32, "relu", name="hidden_2"),
            keras.layers.Dense(10, "softmax", name="classes"),
        ],
        name="digits",
    )
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    print(
        f"Training {model.count_params():,} weights on {TRAINED_ON} digits for {epochs} epochs.", flush=True
    )
    monitor = KoopmanMonitor(window=max(64, epochs), store=store)
    model.fit(
        digits[:TRAINED_ON],
        labels[:TRAINED_ON],
        batch_size=32,
        epochs=epochs,
        validation_data=(digits[TRAINED_ON:], labels[TRAINED_ON:]),
        verbose=0,
        callbacks=[monitor, _Progress()],
    )

    told = read_run(store, window=monitor.window)
    print(f"\n{headline(told.figures)}\n")
    written = [str(store)]
    if told.spectrum is not None:
        print(f"Increments of the weights. {told.spectrum.summary(sort='residual')}\n")
        figure = Figure(figsize=(6.4, 5.2), layout="constrained")
        told.spectrum.plot(figure.subplots())
        figure.savefig(folder / "spectrum.png", dpi=150)
        written.append(str(folder / "spectrum.png"))
    layers = layer_sentence(told.layers, told.unit)
    for line in [*sentences(told.figures), *([layers] if layers else []), CAUTION]:
        print(f"- {line}")
    written.append(str(write_report(store, folder / "report.html", window=monitor.window)))
    print(f"\nWrote {', '.join(written)}.")


def _digits() -> tuple[Any, Any]:
    """8 x 8 images as `(1797, 64)` in [0, 1] and their labels, shuffled."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The demo needs scikit-learn, which is not installed: pip install scikit-learn."
        ) from error
    digits, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    return (digits[order] / 16).astype("float32"), labels[order]
