"""What a pruning optimizer keeps: its targets and its variables for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from ..backend import read
from ..pruning.criteria import Criterion
from ..pruning.plan import Plan
from ..pruning.targets import Target

Slots = list[dict[str, Any]]  # for each scored tensor, what a criterion keeps by name


@dataclasses.dataclass(frozen=True)  # Keras wraps tuples, lists and dicts that it is given, but not this
class PruningState:
    """Targets and variables.

    Args:
        targets: what is pruned.
        skipped: path -> reason, of what is not.
        masks: bool, one for each target.
        slots: of the criterion.
        share_slots: of the criterion that divides the sparsity, if there is one.
        figures: of the schedule.
        floored: `(L,)` how often a floor held a target up.
        failed: `(L,)` how often its scores were not finite.
        ready: 1 once a criterion that follows the trajectory has had its first scores.
        early: updates of the masks before that.
        owed: 1 while the latest update has left the masks as they were, since scores were not finite.
    """

    targets: list[Target]
    skipped: dict[str, str]
    masks: list[Any]
    slots: Slots
    share_slots: Slots
    figures: dict[str, Any]
    floored: Any
    failed: Any
    ready: Any
    early: Any
    owed: Any

    @property
    def scored(self) -> list[int]:
        """Indices of the tensors that are scored, in the order of the slots."""
        return [index for target in self.targets for index in target.scored]

    @property
    def members(self) -> list[int]:
        """Indices of the tensors that have masks."""
        return [index for target in self.targets for index in target.members]

    def on_members(self, masks: list[Any]) -> list[Any]:
        """Masks of the targets as each of the members takes them."""
        pairs = zip(self.targets, masks, strict=True)
        return [on_member for target, mask in pairs for on_member in target.on_members(mask)]

    def masked(self) -> list[tuple[int, Any]]:
        """Index of each masked variable, and its mask as it is now."""
        return [*zip(self.members, self.on_members([read(mask) for mask in self.masks]), strict=True)]


def make_state(
    plan: Plan,
    variables: list[keras.Variable],
    criterion: Criterion,
    share: str | Criterion,
    figures: dict[str, float],
    add_variable: Callable[..., keras.Variable],
) -> PruningState:
    """Make the variables.

    Args:
        plan: what is pruned.
        variables: that are trained.
        criterion: that ranks.
        share: that divides.
        figures: of the schedule, with their first values.
        add_variable: of the optimizer.
    """

    def own(
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        like: keras.Variable | None = None,
        initializer: Any = "zeros",
    ) -> keras.Variable:
        same = like is not None and tuple(like.shape) == tuple(shape)
        return add_variable(
            shape=shape,
            initializer=initializer,
            dtype=dtype,
            # The same on each replica, but for sums of the gradients of each one's own data.
            aggregation="mean" if dtype == "float32" and shape else "only_first_replica",
            layout=getattr(like, "_layout", None) if same else None,  # over the devices as its weight
            name=name.replace("/", "_"),
        )

    targets = plan.targets

    def slots_of(ranking: Criterion, prefix: str) -> Slots:
        found = [variables[index] for target in targets for index in target.scored]
        return [
            {n: own(f"{v.path}_{prefix}{n}", tuple(v.shape), "float32", v) for n in ranking.slots}
            for v in found
        ]

    return PruningState(
        targets=targets,
        skipped=plan.skipped,
        masks=[own(f"{t.name}_mask", t.mask_shape, "bool", variables[t.members[0]], "ones") for t in targets],
        slots=slots_of(criterion, ""),
        share_slots=slots_of(share, "share_") if isinstance(share, Criterion) else [],
        figures={
            name: own(name, (), "float32", initializer=keras.initializers.Constant(value))
            for name, value in figures.items()
        },
        # On a GPU TensorFlow keeps int32 variables with the host, where an XLA program cannot reach them.
        floored=own("floored", (len(targets),), "int"),
        failed=own("failed", (len(targets),), "int"),
        ready=own("ready", (), "int"),
        early=own("early", (), "int"),
        owed=own("owed", (), "int"),
    )
