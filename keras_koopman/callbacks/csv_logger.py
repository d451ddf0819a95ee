"""`KoopmanCSVLogger`: a CSV file that has room for figures that come later."""

from __future__ import annotations

from typing import Any

import keras

FIGURES = ("rho", "speed", "leading", "near_one", "residual", "half_life", "time_left")


class KoopmanCSVLogger(keras.callbacks.CSVLogger):
    """`keras.callbacks.CSVLogger` with columns for the figures of `KoopmanMonitor` from the first row on.

    Keras's own logger fixes its columns at the first epoch, in which the figures cannot be computed yet, and
    drops them for good. Here a figure that is absent is written as `NA`. Takes the arguments of Keras's.

    Example:
    >>> import pathlib, tempfile
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.csv"
    >>> calls = [kk.callbacks.KoopmanMonitor(), kk.callbacks.KoopmanCSVLogger(str(path))]
    >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=2, verbose=0, callbacks=calls)
    >>> path.read_text().splitlines()[1].split(",")[3:5]  # koopman_rho and koopman_speed
    ['NA', 'NA']
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a row."""
        if self.keys is None:  # type: ignore[has-type]
            named = {name for name in logs or {} if not name.startswith("koopman_")}
            validated = any(name.startswith("val_") for name in named)
            # As Keras does: room for a validation that comes later.
            named |= set() if validated else {f"val_{name}" for name in named}
            self.keys = [*sorted(named), *(f"koopman_{name}" for name in FIGURES)]
        super().on_epoch_end(epoch, logs)
