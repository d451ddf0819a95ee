"""Figures and pictures of a spectrum for TensorBoard."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np

from ..spectrum.decomposition import KoopmanDecomposition


class SpectrumWriter:
    """Writes to one TensorBoard folder; TensorFlow does the writing, whatever trains.

    Args:
        log_dir: the folder.

    Raises:
        ImportError: If TensorBoard is not installed.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError(
                f"log_dir={str(log_dir)!r} needs TensorBoard, which is not installed: "
                "pip install tensorboard."
            )
        self._log_dir = str(log_dir)
        self._writer: Any = None
        self._pictures = importlib.util.find_spec("matplotlib") is not None

    def write(self, step: int, figures: dict[str, float], decomposition: KoopmanDecomposition | None) -> None:
        """Write figures and, if there is a spectrum, its picture."""
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self._log_dir)
        with self._writer.as_default(step=step):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
            if decomposition is not None and self._pictures:
                tf.summary.image("koopman_spectrum", _picture(decomposition)[None])

    def flush(self) -> None:
        """Bring what was written to disk."""
        if self._writer is not None:
            self._writer.flush()


def _picture(decomposition: KoopmanDecomposition) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The spectrum as `(height, width, 4)` pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.6), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    decomposition.plot(figure.subplots())
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
