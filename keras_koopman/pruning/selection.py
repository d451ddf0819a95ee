"""The highest scores of long tensors: counts by bisection, so that nothing is sorted, copied or gathered.

A score is looked at as a 32-bit whole number in the same order (`backend.ordered_bits`). The largest
threshold that leaves at least k scores above it is then found bit by bit: 32 counts, each one pass. On
weights that are sharded over devices a count is a sum, which the engine reduces by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from ..backend import greater_of, ordered_bits, precision

LOWEST = -(2**31)
MOST = 2**31 - 1  # keys in a tensor


def keys(scores: Any, alive: Any) -> Any:
    """Scores as int32 in the same order, those that are not alive below all others."""
    scores = ops.cast(scores, "float32")
    bits = ordered_bits(scores)
    bits = ops.where(scores == 0, ops.zeros_like(bits), bits)  # both zeros; XLA takes x + 0 for x
    return ops.where(alive, bits, ops.full_like(bits, LOWEST))


def count_from(key: Any, threshold: Any) -> Any:
    """How many keys are at or above a threshold, int32."""
    return ops.sum(ops.cast(key >= threshold, "int32"))


def count_above(key: Any, threshold: Any) -> Any:
    """How many keys are above a threshold, int32."""
    return ops.sum(ops.cast(key > threshold, "int32"))


def largest_threshold(enough: Callable[[Any], Any]) -> Any:
    """The largest int32 `t` with `enough(t)`, which holds for the lowest and turns false once, as t rises."""

    def narrow(index: Any, found: Any) -> Any:
        bit = ops.take(ops.convert_to_tensor(2 ** np.arange(31, dtype="int32")), 30 - index)
        tried = found + bit
        return ops.where(enough(tried), tried, found)

    zero = ops.zeros((), "int32")
    lowest = ops.full((), LOWEST, "int32")
    return ops.fori_loop(0, 31, narrow, ops.where(enough(zero), zero, lowest))


def shared_out(tensors: list[Any], total: Any, floors: Any) -> tuple[Any, Any]:
    """How many of the `total` highest keys lie in each tensor, but at least `floors` in each.

    Args:
        tensors: keys, of any shapes.
        total: how many to keep in all, not below the sum of the floors; int32, or int64 if all the keys
            together are more than that can count.
        floors: `(L,)` int32.

    Returns:
        `(L,)` int32 counts that add up to `total`, and `(L,)` bool: where the floor holds keys that would
        have gone if there were no floors.
    """
    dtype = precision(total)
    floors = ops.cast(floors, dtype)

    def from_threshold(threshold: Any) -> Any:
        return ops.cast(ops.stack([count_from(key, threshold) for key in tensors]), dtype)

    threshold = largest_threshold(lambda t: ops.sum(greater_of(from_threshold(t), floors)) >= total)
    wanted = from_threshold(threshold)
    # Keys equal to the threshold: as many as there is room for, those of the first tensors first.
    above = ops.cast(ops.stack([count_above(key, threshold) for key in tensors]), dtype)
    above = greater_of(above, floors)
    equal = greater_of(wanted, floors) - above
    before = ops.cumsum(equal) - equal
    room = greater_of(total - ops.sum(above), 0)
    extra = ops.clip(room - before, 0, equal)
    below = wanted < floors
    # The floors of others raise the threshold: only without any is it known what a layer would have kept.
    held = ops.cond(
        ops.any(below),
        lambda: from_threshold(largest_threshold(lambda t: ops.sum(from_threshold(t)) >= total)) < floors,
        lambda: below,
    )
    return ops.cast(above + extra, "int32"), held


def highest(key: Any, count: Any) -> Any:
    """Where the `count` highest keys stand, bool; of equal ones the first."""
    threshold = largest_threshold(lambda t: count_from(key, t) >= count)
    above = key > threshold
    equal = key == threshold
    missing = count - count_above(key, threshold)
    found = ops.sum(ops.cast(equal, "int32"))

    def first_of_equal() -> Any:
        place = ops.reshape(ops.arange(int(np.prod(key.shape)), dtype="int32"), key.shape)
        # Places from the end, so that "the largest threshold" takes the first.
        late = int(np.prod(key.shape)) - place
        late = ops.where(equal, late, ops.zeros_like(late))
        last = largest_threshold(lambda t: count_from(late, t) >= missing)
        return ops.logical_or(above, ops.logical_and(late >= last, late > 0))

    return ops.cond(found > missing, first_of_equal, lambda: ops.logical_or(above, equal))
