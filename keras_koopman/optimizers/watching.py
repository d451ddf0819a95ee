"""What a pruning optimizer does on the host: checks before a step, scores after a record, warnings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from .._recorder import watched_model
from ..backend import concrete_number, engine
from ..pruning.criteria import TrajectoryCriterion
from .running import Running, running

if TYPE_CHECKING:
    from .pruning import PruningOptimizer


LOST = " On JAX a fit whose first step fails takes the weights along: build or load the model again."


class Watch:
    """Looks at the training from outside the compiled step.

    Args:
        optimizer: whose training it is.
    """

    def __init__(self, optimizer: PruningOptimizer) -> None:
        self._optimizer = optimizer
        self._warned: set[str] = set()
        self._done = 0  # steps, when that was last known
        self._before = 0  # steps, when it was known the time before: at the start of this fit
        self._looked = False

    @property
    def _followers(self) -> list[Any]:
        """What needs the trajectory: criteria and schedules with a recorder."""
        parts = (self._optimizer.criterion, self._optimizer.share, self._optimizer.schedule)
        return [part for part in parts if hasattr(part, "recorder")]

    def before_step(self, scored: list[keras.Variable]) -> None:
        """Before a step is traced: is the recorder there, and is there time for the schedule?

        Args:
            scored: tensors that the criteria score.

        Raises:
            ValueError: If a recorder is needed and missing.
        """
        if self._looked and engine() == "torch":
            return  # nothing is traced there: every step comes by
        schedule = self._optimizer.schedule
        done = concrete_number(self._optimizer._iterations)
        done = self._done if done is None else done  # JAX has taken the values into its step
        if done >= max(schedule.end_step, 1):
            return
        caller = running(self._optimizer)
        if caller.steps is not None and done + caller.steps < schedule.end_step:
            reached = math.floor(1000 * float(schedule(done + caller.steps))) / 1000
            self._warn(
                f"end_step={schedule.end_step} of the schedule lies past the {done + caller.steps} steps "
                f"that this fit reaches: it ends at a sparsity of {reached:g}, not {schedule.target:g}. "
                "Lower end_step or train longer; a later fit goes on from there."
            )
        try:
            self._ask_for_recorders(caller, scored)
        except ValueError:
            if caller.model is not None:
                caller.model.train_function = None  # TensorFlow cannot trace one again that has failed
            raise
        self._looked = True

    def _ask_for_recorders(self, caller: Running, scored: list[keras.Variable]) -> None:
        """Find, and subscribe to, the recorder of whatever needs the trajectory.

        Raises:
            ValueError: If one is missing, or watches something else.
        """
        for follower in self._followers:
            owner, recorder = type(follower).__name__, follower.recorder
            model = watched_model(owner, recorder)
            if caller.in_fit and (caller.model is not model or not recorder.in_fit):
                raise ValueError(
                    f"{owner} follows a recorder that is not among the callbacks of this fit. Pass "
                    f"callbacks=[recorder].{LOST if engine() == 'jax' else ''}"
                )
            if isinstance(follower, TrajectoryCriterion):
                follower.places(model, scored)
            recorder.subscribe(self.after_record)

    def after_record(self, recorder: Any) -> None:
        """Write what the trajectory tells into variables, which are all that a step reads."""
        optimizer, state = self._optimizer, self._optimizer._state
        if state is None:
            return
        for criterion, slots in optimizer._criteria():
            if isinstance(criterion, TrajectoryCriterion) and criterion.recorder is recorder:
                scores = criterion.measure(recorder.model, optimizer._scored_variables())
                if scores is not None:
                    for kept, score in zip(slots, scores, strict=True):
                        kept["score"].assign(score)
                    state.ready.assign(1)
        schedule: Any = optimizer.schedule
        if hasattr(schedule, "observe") and schedule.recorder is recorder:
            for name, value in schedule.observe(recorder.trajectory).items():
                state.figures[name].assign(value)

    def note_steps(self) -> bool:
        """Note how many steps are done; False if that cannot be known now."""
        done = concrete_number(self._optimizer._iterations)
        self._before, self._done = self._done, self._done if done is None else done
        return done is not None

    def after_fit(self) -> None:
        """Warn of what the compiled steps counted, and of a recorder that has been left out."""
        looked, self._looked = self._looked, False
        # A step that was traced in an earlier fit has asked for no recorder in this one.
        if not looked and self._before < self._optimizer.schedule.end_step:
            for follower in self._followers:
                if follower.recorder is None or not follower.recorder.in_fit:
                    self._warn(
                        f"{type(follower).__name__} follows a recorder that was not among the callbacks of "
                        "this fit: what it told last was used. Pass callbacks=[recorder]."
                    )
        for message in self._counted():
            self._warn(message)

    def after_load(self) -> None:
        """Take what was counted before saving as told already."""
        self.note_steps()
        self._warned |= set(self._counted())

    def _counted(self) -> Iterator[str]:
        """What the compiled steps counted, in words."""
        state = self._optimizer._state
        if state is None:
            return
        floored, failed = (np.asarray(ops.convert_to_numpy(c)) for c in (state.floored, state.failed))
        early, owed = (int(ops.convert_to_numpy(c)) for c in (state.early, state.owed))
        for target, held, bad in zip(state.targets, floored, failed, strict=True):
            if held:
                yield (
                    f"{target.name!r} would have lost nearly all its {target.unit}; it was held at a fifth "
                    'of the uniform share. Exclude it, or take share="erk" or "uniform".'
                )
            if bad:
                yield (
                    f"scores of {target.name!r} were not finite at {bad} updates, at which no mask changed. "
                    "Look at the loss, and at the criterion."
                )
        if owed:
            every = self._optimizer.update_freq
            yield (
                "the latest update of the masks was skipped, since scores were not finite: the sparsity "
                f"asked for is not reached. Train on: it is tried again once in {every} steps."
            )
        if early:
            names = " and ".join(type(f).__name__ for f in self._followers if hasattr(f, "measure"))
            yield (
                f"{names} had too few records at {early} updates of the masks: |w| stood in. Record more "
                "often (record_freq), or begin to prune later."
            )

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(f"{type(self._optimizer).__name__}: {message}", stacklevel=4)
