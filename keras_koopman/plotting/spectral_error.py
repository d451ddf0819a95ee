"""`plot_spectral_error`: which scales are learned, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..metrics import SpectralError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Distinct for colour-blind readers too, in this order.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
SIGNAL = "#767676"
# What lies further below the largest is rounding.
DECADES = 12


def plot_spectral_error(errors: SpectralError | Mapping[str, SpectralError], ax: Axes | None = None) -> Axes:
    """Draw errors by octave of wavenumber, with the signal behind them.

    Where a line runs well below the signal, that scale is learned; where it meets it, it is not; where it
    runs above, the model has learned noise.

    Args:
        errors: What `kk.metrics.spectral_error` gives; or several of the same targets, by name.
        ax: Matplotlib axes to draw on. Defaults to None: a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: If Matplotlib is not installed.
        TypeError: If `errors` is something else.
        ValueError: If there is none, or they do not have the same octaves.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x = np.arange(32) / 32
    >>> target = np.cos(2 * np.pi * x) + np.cos(2 * np.pi * 5 * x)
    >>> learned = kk.metrics.spectral_error(target[None], np.cos(2 * np.pi * x)[None])
    >>> kk.plotting.plot_spectral_error(learned).get_xlabel()
    'wavenumber, cycles per domain or unit of length'
    """
    named = {"error": errors} if isinstance(errors, SpectralError) else dict(errors)
    _check(named)
    if ax is None:
        ax = _new_axes()
    first = next(iter(named.values()))
    floor = max(max(e.errors.max(), e.signal.max()) for e in named.values()) / 10**DECADES
    places = np.arange(len(first.wavenumbers))
    signal = np.where(first.signal > floor, first.signal, np.nan)
    ax.bar(places, signal, width=0.9, color=SIGNAL, alpha=0.3, label="signal")
    for i, (name, error) in enumerate(named.items()):
        values = np.where(error.errors > floor, error.errors, np.nan)
        ax.plot(places, values, "o-", color=COLOURS[i % len(COLOURS)], markersize=4, label=name)
    ax.set_yscale("log")
    turned = len(places) > 6
    ax.set_xticks(places, first.labels, rotation=35 if turned else 0, ha="right" if turned else "center")
    ax.set_xlabel("wavenumber, cycles per domain or unit of length")
    ax.set_ylabel("mean square")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return ax


def _new_axes() -> Axes:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "A plot needs Matplotlib, which is not installed: pip install 'keras-koopman[plot]'."
        ) from error
    # Through pyplot, so that plt.show() shows it.
    return plt.subplots(figsize=(6, 3.6), layout="constrained")[1]


def _check(named: Mapping[str, SpectralError]) -> None:
    if not named:
        raise ValueError("errors is empty: pass one SpectralError at least.")
    for value in named.values():
        if not isinstance(value, SpectralError):
            raise TypeError(
                f"errors must be a SpectralError, or several by name, got {type(value).__name__}. "
                "kk.metrics.spectral_error makes one."
            )
    several = [value.wavenumbers for value in named.values()]
    if not all(np.array_equal(several[0], other) for other in several):
        raise ValueError("errors must have the same octaves: compare them on one grid, with one spacing.")
