"""`Grid`: which axes of a tensor are a grid, what lies beyond its edge, how far apart its points are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from .. import _checks
from . import transform as waves

Axes = int | Sequence[int] | None
Spacing = float | Sequence[float] | None
BOUNDARIES = ("periodic", "mirror")
CHANNELS = ("last", "first")


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the points of `(batch, ...)` lie.

    Args:
        axes: Axes of the grid, not the batch's; None: all but those of batch and channels.
        boundary: `"periodic"`, or `"mirror"` for what does not join up at its ends.
        spacing: Distance of neighbouring points, one for all axes or one for each; None: the domain has
            length 1 along each axis.
        channels: `"last"`, `"first"`, or None for no such axis; `(batch, points)` has none in any case.
    """

    axes: tuple[int, ...] | None = None
    boundary: str = "periodic"
    spacing: tuple[float, ...] | float | None = None
    channels: str | None = "last"

    @classmethod
    def of(cls, axes: Axes, boundary: str, spacing: Spacing, channels: str | None) -> Grid:
        """A grid of checked arguments."""
        if channels is not None:
            _checks.one_of("channels", channels, CHANNELS)
        checked = _checked_axes(axes)
        return cls(
            checked,
            _checks.one_of("boundary", boundary, BOUNDARIES),
            _checked_spacing(spacing, None if checked is None else len(checked)),
            channels,
        )

    def config(self) -> dict[str, Any]:
        """Arguments of a constructor, as plain lists and numbers."""
        spacing = list(self.spacing) if isinstance(self.spacing, tuple) else self.spacing
        axes = None if self.axes is None else list(self.axes)
        return {"axes": axes, "boundary": self.boundary, "spacing": spacing, "channels": self.channels}

    def axes_of(self, shape: Sequence[int | None]) -> tuple[int, ...]:
        """The axes of the grid of a tensor, counted from 0.

        Raises:
            ValueError: If it has too few axes, or the size of one of them is not known.
        """
        rank, shape = len(shape), tuple(shape)
        if rank < 2:
            raise ValueError(
                f"A batch of at least one grid axis is needed, (batch, points), got shape {shape}. "
                "Signals as long as the batch, like the outputs of a coordinate network, need an axis for "
                "the batch: give the network inputs of shape (1, points, coordinates)."
            )
        if self.axes is None:
            first = 2 if self.channels == "first" and rank > 2 else 1
            last = rank - 1 if self.channels == "last" and rank > 2 else rank
            axes = tuple(range(first, last))
        else:
            axes = tuple(axis % rank if -rank <= axis < rank else rank for axis in self.axes)
            if rank in axes or 0 in axes or len(set(axes)) < len(axes):
                raise ValueError(
                    f"axes={self.axes} must be different axes of a tensor of shape {shape}, other than 0, "
                    "which is the batch's."
                )
        if any(shape[axis] is None for axis in axes):
            raise ValueError(
                f"The sizes along the grid axes {axes} must be known when the loss is built, got shape "
                f"{shape}. Give the Input its shape, or end the model with a Reshape; only the batch may "
                "be unknown."
            )
        if any(shape[axis] == 0 for axis in axes):
            raise ValueError(f"The grid axes {axes} must not be empty, got shape {shape}.")
        return axes

    def arrange(self, values: Any, axes: tuple[int, ...]) -> Any:
        """The tensor with the axes of the grid last, in their order."""
        others = [axis for axis in range(len(values.shape)) if axis not in axes]
        order = [*others, *axes]
        return values if order == sorted(order) else ops.transpose(values, order)

    def squared_frequencies(self, sizes: tuple[int, ...]) -> NDArray[np.float64]:
        """`|k|^2` of each coefficient of a grid of these sizes.

        Raises:
            ValueError: If there is a spacing for another number of axes.
        """
        spacing = self.spacing
        if isinstance(spacing, float):
            spacing = (spacing,) * len(sizes)
        if spacing is not None and len(spacing) != len(sizes):
            raise ValueError(
                f"spacing={spacing} is for {len(spacing)} axes, but the grid has {len(sizes)}: pass one "
                "number for all axes, or one for each."
            )
        return waves.squared_frequencies(sizes, self.boundary, spacing)


def mean_squares(values: Any, grid: Grid) -> tuple[Any, NDArray[np.float64]]:
    """Squared coefficients of values, real or complex, and `|k|^2` for each of them.

    Returns:
        A tensor `(batch, ..., *grid)`; its sum over the grid is the mean square of the values. An array
        `(*grid)`.
    """
    axes = grid.axes_of(values.shape)
    k_squared = grid.squared_frequencies(tuple(values.shape[axis] for axis in axes))
    parts = (ops.real(values), ops.imag(values)) if "complex" in str(values.dtype) else (values,)
    squares = [
        ops.square(waves.transform(grid.arrange(part, axes), len(axes), grid.boundary)) for part in parts
    ]
    return sum(squares[1:], squares[0]), k_squared


def _checked_axes(axes: Axes) -> tuple[int, ...] | None:
    if axes is None:
        return None
    several = axes if isinstance(axes, Sequence) and not isinstance(axes, str) else [axes]
    checked = tuple(_checks.whole_number("axes", axis, least=-32) for axis in several)
    if not checked or 0 in checked or len(set(checked)) < len(checked):
        raise ValueError(
            f"axes must name different axes, other than 0, which is the batch's, got {axes!r}. Pass None for "
            "all axes between batch and channels."
        )
    return checked


def _checked_spacing(spacing: Spacing, count: int | None) -> tuple[float, ...] | float | None:
    if spacing is None:
        return None
    if not isinstance(spacing, Sequence | np.ndarray):
        return _checks.real_number("spacing", spacing, 0, np.inf)
    checked = tuple(_checks.real_number("spacing", value, 0, np.inf) for value in spacing)
    if not checked or count not in (None, len(checked)):
        wanted = "at least one" if count is None else f"{count}, one for each of axes"
        raise ValueError(f"spacing must have {wanted}, got {len(checked)} numbers: {spacing!r}.")
    return checked
