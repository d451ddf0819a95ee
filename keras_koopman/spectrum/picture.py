"""The spectrum as a picture; Matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .decomposition import KoopmanDecomposition


def draw_spectrum(decomposition: KoopmanDecomposition, ax: Axes | None = None) -> Axes:
    """Eigenvalues in the complex plane with the unit circle; colour is the residual, size the importance.

    Args:
        decomposition: what to draw.
        ax: Matplotlib axes to draw on. Defaults to new ones.

    Raises:
        ImportError: If Matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib.colors import LogNorm
        from matplotlib.patches import Circle
    except ImportError as error:
        raise ImportError(
            "Pictures need Matplotlib, which is not installed: pip install 'keras-koopman[plot]'."
        ) from error
    if ax is None:
        ax = plt.subplots(figsize=(5.6, 4.6), layout="constrained")[1]
    values, importance = decomposition.eigenvalues, decomposition.importance
    share = importance / max(float(importance.max()), np.finfo(float).tiny)
    ax.add_patch(Circle((0, 0), 1, fill=False, color="0.6", linewidth=1))
    ax.axhline(0, color="0.88", linewidth=0.8, zorder=0)
    ax.axvline(0, color="0.88", linewidth=0.8, zorder=0)
    points = ax.scatter(
        values.real,
        values.imag,
        # Area by decades of importance: the least still shows beside one a million times greater.
        s=25 + 40 * np.clip(np.log10(np.maximum(share, 1e-6)) + 6, 0, 6),
        c=np.clip(decomposition.residuals, 1e-4, 1),
        norm=LogNorm(1e-4, 1),
        cmap="viridis",
        alpha=0.85,
        edgecolors="white",
        linewidths=0.8,
        zorder=3,
    )
    ax.figure.colorbar(points, ax=ax, label="residual (small: trust it)")
    reach = max(1.15, float(np.abs(values).max()) * 1.1)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set(xlabel="real part", ylabel="imaginary part", title="Koopman eigenvalues (size: importance)")
    return ax
