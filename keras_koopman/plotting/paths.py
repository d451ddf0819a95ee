"""`plot_paths`: runs as paths in the same two isostable coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .spectral_error import COLOURS, _new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Real = NDArray[np.float64]
MUTED = "#767676"


def plot_paths(paths: Mapping[str, Any] | Any, ax: Axes | None = None) -> Axes:
    """Draw runs as paths in two coordinates, each from a ring to a dot; a cross marks the origin.

    With the coordinates of `kk.relaxation.InertialManifold.project`, the origin is the end that the run of
    the manifold goes to, and upright lines are isostables: what lies on one of them has equally far to go
    along the slowest direction.

    Args:
        paths: `(m, 2)` coordinates of a run, a row for each snapshot; or several by name. Further columns are
            left out.
        ax: Matplotlib axes to draw on. Defaults to None: a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: If Matplotlib is not installed.
        TypeError: If the coordinates are no real numbers.
        ValueError: If there is no path, or one has fewer than two columns, no row, or values that are not
            finite.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> run = kk.Trajectory()
    >>> for t in range(30):
    ...     run.append(np.array([0.95**t, 0.7**t]))
    >>> slow = kk.relaxation.inertial_manifold(run)
    >>> ax = kk.plotting.plot_paths({"run": slow.project(run, directions=2)})
    >>> ax.get_xlabel(), len(ax.get_lines()[0].get_xdata())
    ('slowest direction', 30)
    """
    named = dict(paths) if isinstance(paths, Mapping) else {"run": paths}
    if not named:
        raise ValueError("paths is empty: pass the coordinates of one run at least.")
    checked = {name: _checked(name, values) for name, values in named.items()}
    if ax is None:
        ax = _new_axes()
    for i, (name, path) in enumerate(checked.items()):
        colour = COLOURS[i % len(COLOURS)]
        ax.plot(path[:, 0], path[:, 1], "-", color=colour, linewidth=1.4, label=name)
        ax.plot(path[0, 0], path[0, 1], "o", color=colour, markerfacecolor="none", markersize=7)
        ax.plot(path[-1, 0], path[-1, 1], "o", color=colour, markersize=5)
    ax.plot(0, 0, "+", color=MUTED, markersize=11, zorder=0)
    ax.set_xlabel("slowest direction")
    ax.set_ylabel("next direction")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return ax


def _checked(name: str, values: Any) -> Real:
    """Two columns of coordinates."""
    try:
        path = np.asarray(values)
    except ValueError:  # rows of unequal length
        path = np.asarray(None)
    if path.dtype.kind not in "biuf":
        raise TypeError(
            f"paths[{name!r}] must be real numbers (m, 2), got {type(values).__name__} of dtype "
            f"{path.dtype}. kk.relaxation.inertial_manifold(run).project(run, directions=2) gives them."
        )
    path = path.astype(np.float64)
    if path.ndim != 2 or path.shape[1] < 2 or len(path) == 0:
        raise ValueError(
            f"paths[{name!r}] must have a row for each snapshot and two columns, got shape {path.shape}. "
            "Project with directions=2."
        )
    if not np.all(np.isfinite(path)):
        raise ValueError(f"paths[{name!r}] must be finite, got NaN or infinity.")
    return path[:, :2]
