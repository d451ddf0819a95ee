"""The spectrum as a picture; Matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .decomposition import KoopmanDecomposition

# Below a hundredth there is no doubt left to show.
RESIDUALS = (1e-2, 1.0)


def draw_spectrum(decomposition: KoopmanDecomposition, ax: Axes | None = None) -> Axes:
    """Eigenvalues in the complex plane with the unit circle; colour is the residual, size the importance.

    Args:
        decomposition: what to draw.
        ax: Matplotlib axes to draw on. Defaults to new ones.

    Raises:
        ImportError: If Matplotlib is not installed.
    """
    try:
        from matplotlib.colors import LogNorm
        from matplotlib.patches import Circle
    except ImportError as error:
        raise ImportError(
            "Pictures need Matplotlib, which is not installed: pip install 'keras-koopman[plot]'."
        ) from error
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(5.6, 4.6), layout="constrained")[1]
    values, importance = decomposition.eigenvalues, decomposition.importance
    share = importance / max(float(importance.max()), np.finfo(float).tiny)
    ax.add_patch(Circle((0, 0), 1, fill=False, color="0.6", linewidth=1))
    ax.axhline(0, color="0.88", linewidth=0.8, zorder=0)
    ax.axvline(0, color="0.88", linewidth=0.8, zorder=0)
    points = ax.scatter(
        values.real,
        values.imag,
        # Area by decades of importance: the least still shows beside one ten thousand times greater.
        s=24 + 34 * np.clip(np.log10(np.maximum(share, 1e-4)) + 4, 0, 4),
        c=np.clip(decomposition.residuals, *RESIDUALS),
        norm=LogNorm(*RESIDUALS),
        cmap="viridis",
        edgecolors="0.3",  # the pale ones must show on white
        linewidths=0.6,
        zorder=3,
    )
    bar = ax.figure.colorbar(points, ax=ax, shrink=0.85, extend="min", format="%g")
    bar.set_label("residual (small: a true mode; near |λ|: noise)")
    reach = max(1.15, float(np.abs(values).max()) * 1.1)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set(xlabel="real part", ylabel="imaginary part", title="Koopman eigenvalues (size: importance)")
    return ax
