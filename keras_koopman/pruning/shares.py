"""Shares: how the sparsity is divided over the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..backend import float64_allowed, greater_of
from .selection import MOST, shared_out

NAMES = ("global", "uniform", "erk")

# A layer keeps at least this share of what an equal sparsity everywhere would leave it.
FLOOR = 0.2


def floors(sparsity: Any, sizes: NDArray[np.int64], floor: float = FLOOR) -> Any:
    """`(L,)` int32, the fewest groups each layer keeps: `floor` times the uniform share, one at least."""
    if not floor:
        return ops.zeros(sizes.shape, "int32")
    kept = (1.0 - sparsity) * ops.convert_to_tensor(sizes.astype("float32"))
    return ops.cast(greater_of(ops.ceil(floor * kept), 1.0), "int32")


def uniform(sparsity: Any, sizes: NDArray[np.int64]) -> Any:
    """`(L,)` int32, how many each keeps if all have the same sparsity."""
    size = ops.convert_to_tensor(sizes.astype("float32"))
    return ops.convert_to_tensor(sizes.astype("int32")) - ops.cast(ops.round(sparsity * size), "int32")


def erk(sparsity: Any, sizes: NDArray[np.int64], shapes: list[tuple[int, ...]]) -> Any:
    """`(L,)` int32, how many each keeps if densities are as the sum of the dimensions to their product.

    A layer that would keep more than it has keeps all, and the others share what is left.

    Reference:
        Evci, Gale, Menick, Castro and Elsen, 2020, Rigging the lottery: making all tickets winners.
    """
    raw = np.array([sum(shape) / np.prod(shape, dtype=float) for shape in shapes])
    order = np.argsort(-raw, kind="stable")
    size, weight = sizes[order].astype(float), (raw * sizes)[order]
    # With the first j layers dense, the scale of the others; the first j at which none overflows is right.
    full = np.concatenate([[0.0], np.cumsum(size)[:-1]])
    rest = np.cumsum(weight[::-1])[::-1]
    total = (1.0 - sparsity) * float(size.sum())
    scales = (total - ops.convert_to_tensor(full.astype("float32"))) / ops.convert_to_tensor(
        rest.astype("float32")
    )
    limits = np.append(np.ones(len(raw) - 1), np.inf)  # the last fits, whatever is lost to rounding
    fits = ops.cast(
        scales * ops.convert_to_tensor(raw[order].astype("float32"))
        <= ops.convert_to_tensor(limits.astype("float32")),
        "int32",
    )
    scale = ops.take(scales, ops.argmax(fits))
    density = ops.clip(scale * ops.convert_to_tensor(raw.astype("float32")), 0.0, 1.0)
    return ops.cast(ops.round(density * ops.convert_to_tensor(sizes.astype("float32"))), "int32")


def counts(
    share: str,
    sparsity: Any,
    keys: list[Any],
    sizes: NDArray[np.int64],
    shapes: list[tuple[int, ...]],
    floor: float = FLOOR,
) -> tuple[Any, Any]:
    """How many groups each layer keeps, and where a floor holds it up.

    Args:
        share: `"global"` (what the keys say), `"uniform"` or `"erk"`.
        sparsity: share of groups to prune, a tensor.
        keys: of each layer, as `selection.keys` makes them; for `"global"` alone.
        sizes: `(L,)` number of groups of each.
        shapes: of the weights of each.
        floor: what a layer keeps at least, as a share of the uniform part; 0: nothing.

    Returns:
        `(L,)` int32 and `(L,)` bool.
    """
    least = floors(sparsity, sizes, floor)
    if share == "global":
        every = int(sizes.sum())
        if every <= MOST:
            return _shared_out(sparsity, every, keys, least, "int32")
        with float64_allowed():  # and int64
            return _shared_out(sparsity, every, keys, least, "int64")
    wanted = uniform(sparsity, sizes) if share == "uniform" else erk(sparsity, sizes, shapes)
    return greater_of(wanted, least), wanted < least


def _shared_out(sparsity: Any, every: int, keys: list[Any], least: Any, dtype: str) -> tuple[Any, Any]:
    """The counts of the highest keys of all, in whole numbers that can count every one of them."""
    total = every - ops.cast(ops.round(sparsity * float(every)), dtype)
    lowest = ops.sum(ops.cast(least, dtype))
    found, held = shared_out(keys, greater_of(total, lowest), least)
    # If the floors alone keep more than is asked for, they hold even where each layer has so much of that.
    missed = ops.logical_and(lowest > total, ops.logical_not(ops.any(held)))
    return found, ops.logical_or(held, missed)
