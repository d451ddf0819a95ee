"""`CoresetResult`: the compressed model, what is known of it, and the ways on from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ..optimizers import PruningOptimizer
from ..pruning import Criterion
from ..reachability import Difference, certify_difference
from ..schedules import Schedule
from .report import CoresetReport


@keras.saving.register_keras_serializable("keras_koopman")
class KeptSparsity(Schedule):
    """The sparsity that a model has already: no step changes a mask.

    Args:
        sparsity: Share of zeros, in [0, 1).
    """

    def __init__(self, sparsity: float) -> None:
        super().__init__(sparsity, 0, 0)
        # A ramp that ends before the first step: masks are never due.
        self.begin_step, self.end_step = 2, 1

    def shape(self, progress: Any) -> Any:
        """The target, wherever."""
        return self.target + 0.0 * progress

    def at(self, step: Any, progress: Any) -> Any:
        """The target, at every step."""
        return self.shape(progress)

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal schedule."""
        return {"sparsity": self.target}


@dataclasses.dataclass(frozen=True, eq=False)
class CoresetResult:
    """What `compress` made.

    Args:
        model: The compressed model: layers and shapes as they were, with exact zeros in its kernels.
        report: What was kept, neuron by neuron, and what is promised. Print it.
        original: The model that was compressed.
        paths: of the kernels that were compressed.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> result = kk.coresets.compress(model, np.ones((3, 8)), keep=0.25)
    >>> result.model.compile(result.optimizer("sgd"), "mse")
    >>> history = result.model.fit(np.ones((8, 8)), np.ones((8, 4)), verbose=0)
    >>> kk.pruning.report(result.model).rows[0].reached
    0.75
    """

    model: keras.Model
    report: CoresetReport
    original: keras.Model
    paths: tuple[str, ...]

    def certify(self, region: Any, *, method: str = "auto") -> Difference:
        """How far the compressed model can be from the original on a region: a proof for all its inputs.

        Args:
            region: A `kk.reachability.Box` or `Ball`, or a dict of them by input name.
            method: As for `kk.reachability.bounds`. Defaults to `"auto"`.

        Returns:
            As `kk.reachability.certify_difference(original, model, region)`.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If a layer is unknown, or the region does not fit.
        """
        return certify_difference(self.original, self.model, region, method=method)

    def optimizer(
        self,
        inner: keras.optimizers.Optimizer | str,
        schedule: Schedule | None = None,
        criterion: str | Criterion | Any = "magnitude",
        share: str | Criterion = "global",
    ) -> PruningOptimizer:
        """An optimizer that trains `model` and holds its zeros: pass it to `model.compile`.

        Args:
            inner: Optimizer that trains, or its name.
            schedule: To prune on: one of `kk.schedules`; what is zero now is part of its sparsity. Defaults
                to None: the zeros stay as they are.
            criterion: As in `kk.optimizers.PruningOptimizer`, to prune on.
            share: As in `kk.optimizers.PruningOptimizer`, to prune on.

        Returns:
            A `PruningOptimizer`, built for `model`, whose masks are the weights that are not zero.

        Raises:
            TypeError: As `PruningOptimizer`.
            ValueError: As `PruningOptimizer`.
        """
        return holding_zeros(self.model, self.paths, inner, schedule, criterion, share)


def holding_zeros(
    model: keras.Model,
    paths: Sequence[str],
    inner: keras.optimizers.Optimizer | str,
    schedule: Schedule | None = None,
    criterion: str | Criterion | Any = "magnitude",
    share: str | Criterion = "global",
) -> PruningOptimizer:
    """An optimizer whose first masks are the weights of a model that are not zero.

    Args:
        model: built.
        paths: of the kernels that are masked.
        inner: As in `PruningOptimizer`.
        schedule: As in `PruningOptimizer`. Defaults to None: the masks stay as they are.
        criterion: As in `PruningOptimizer`.
        share: As in `PruningOptimizer`.

    Raises:
        ValueError: If no kernel is trained.
    """
    masked = [variable for variable in model.trainable_variables if variable.path in paths]
    if not masked:
        raise ValueError(f"none of the kernels {list(paths)} is trained. Set trainable of their layers.")
    there = [np.asarray(ops.convert_to_numpy(variable)) != 0 for variable in masked]
    if schedule is None:
        zeros = 1.0 - sum(int(mask.sum()) for mask in there) / max(1, sum(mask.size for mask in there))
        schedule = KeptSparsity(zeros)
    include = [variable.path for variable in masked]
    optimizer = PruningOptimizer(inner, schedule, criterion, share, include=include)
    optimizer.build_for(model)
    state = optimizer.pruned
    assert state is not None
    masks = {id(variable): mask for variable, mask in zip(masked, there, strict=True)}
    for target, mask in zip(state.targets, state.masks, strict=True):
        mask.assign(masks[id(model.trainable_variables[target.members[0]])])
    return optimizer
