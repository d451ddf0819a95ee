"""New masks from scores: the choice that a pruning step makes, as functions of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from . import shares
from .selection import highest, keys
from .targets import Target

Scores = list[list[Any]]  # for each target, of each of its scored tensors


def choose(
    targets: list[Target], share: str, scores: Scores, ranked: Scores, masks: list[Any], sparsity: Any
) -> tuple[list[Any], Any, Any]:
    """Masks in which `sparsity` of the groups are gone, those of the lowest scores; what is gone stays gone.

    If a score is not finite the masks stay as they are.

    Args:
        targets: what is pruned.
        share: `"global"`, `"uniform"` or `"erk"`.
        scores: that rank within a target.
        ranked: that divide the sparsity over the targets, if share is `"global"`.
        masks: as they are.
        sparsity: share of groups to be gone, a tensor.

    Returns:
        The masks; `(L,)` int32, 1 where a floor held a target up; `(L,)` int32, 1 where scores are not
        finite.
    """
    sizes: NDArray[np.int64] = np.array([target.size for target in targets], np.int64)
    alive = [target.alive(mask) for target, mask in zip(targets, masks, strict=True)]
    finite = ops.stack([_finite([*a, *b]) for a, b in zip(scores, ranked, strict=True)])
    fine = ops.all(finite)
    by_score, by_rank = (
        [keys(t.grouped(s), a) for t, s, a in zip(targets, part, alive, strict=True)]
        for part in (scores, ranked)
    )
    floor = shares.FLOOR if all(target.floored for target in targets) else 0.0
    counts, floored = shares.counts(share, sparsity, by_rank, sizes, [t.shape for t in targets], floor)
    new = []
    for number, (target, key, mask) in enumerate(zip(targets, by_score, masks, strict=True)):
        kept = ops.logical_and(highest(key, counts[number]), alive[number])
        new.append(ops.where(fine, target.mask(kept, scores[number], mask), mask))
    held = ops.cast(ops.logical_and(floored, fine), "int32")
    return new, held, ops.cast(ops.logical_not(finite), "int32")


def _finite(tensors: list[Any]) -> Any:
    return ops.all(ops.stack([ops.all(ops.isfinite(tensor)) for tensor in tensors]))


def zeroed(mask: Any, tensor: Any) -> Any:
    """A tensor with exact zeros where the mask is False."""
    return ops.where(mask, tensor, ops.zeros((), tensor.dtype))
