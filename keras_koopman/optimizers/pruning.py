"""`PruningOptimizer`: prunes a model while another optimizer trains it."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from .. import _checks, _patterns
from ..backend import compiled_within, precision, read, run_as_one
from ..pruning import criteria, shares
from ..pruning.criteria import Criterion, TrajectoryCriterion
from ..pruning.criteria.criterion import checked_scores
from ..pruning.criteria.function import FunctionCriterion
from ..pruning.criteria.random import Random
from ..pruning.masks import Scores, choose, zeroed
from ..pruning.plan import Plan, Structure, checked_structure, group_sparsity, plan
from ..schedules import Schedule
from .running import innermost, running
from .state import PruningState, Slots, make_state
from .watching import Watch


@keras.saving.register_keras_serializable("keras_koopman")
class PruningOptimizer(keras.optimizers.Optimizer):
    """Trains with another optimizer and prunes on the way: pass it to `compile` in its place.

    Masks are variables of this optimizer: no layer is wrapped, no callback is needed, they are saved and
    loaded with the model, and what is exported knows nothing of them. After every step the pruned weights
    are exact zeros; once gone, they stay gone. A step is one call of `apply`; schedule and criterion run
    inside the compiled step.

    Under mixed precision the order is `LossScaleOptimizer(PruningOptimizer(inner))`, which `compile` makes
    by itself. `use_ema`, clipping, weight decay and gradient accumulation are set on the inner optimizer.

    Args:
        inner: Optimizer that trains, or its name.
        schedule: Sparsity for each step, of `kk.schedules`.
        criterion: Which weights go first: `"magnitude"`, `"magnitude_displacement"`, `"movement"`,
            `"random"`, an object of `kk.pruning`, or a function `(weights, state) -> scores` of one
            tensor, the lowest first. Defaults to `"magnitude"`.
        share: How the sparsity is divided over the layers: `"global"`, the lowest scores wherever they are;
            `"uniform"`, the same sparsity everywhere; `"erk"`, small layers keep more (densities as the
            sum of the dimensions to their product); or a criterion, whose global ranking decides. No layer
            falls below a fifth of what `"uniform"` would leave it; a warning names one that would have.
            Defaults to `"global"`.
        include: Patterns, as in a shell, of the paths of weights to prune, like `"*kernel"` or
            `"encoder/*"`. Defaults to None: all kernels; biases, normalisation and embeddings are left
            alone.
        exclude: Patterns of paths to leave alone.
        structure: None for single weights; `"n:m"` keeps n of m weights in a row along the inputs;
            `(rows, columns)` prunes blocks; `"unit"` prunes whole neurons and filters with their bias,
            scale and offset, unless these are excluded by name, leaves the outputs alone, and sparsity is
            the share of units. Defaults to None.
        update_freq: Steps between updates of the masks on the ramp; the last step of the ramp always
            updates them. Defaults to None: a twentieth of the ramp.
        name: Of the optimizer. Defaults to `"pruning"`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; when it is built, if nothing can be pruned; before the
            first step, if a criterion or a schedule needs a recorder and there is none.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> schedule = kk.schedules.PolynomialSparsity(0.0, 0.75, begin_step=2, end_step=8)
    >>> model.compile(kk.optimizers.PruningOptimizer("adam", schedule), "mse")
    >>> history = model.fit(np.ones((80, 8)), np.ones((80, 4)), batch_size=8, verbose=0)
    >>> int((keras.ops.convert_to_numpy(model.layers[0].kernel) == 0).sum())  # of 32
    24
    """

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str,
        schedule: Schedule,
        criterion: str | Criterion | Any = "magnitude",
        share: str | Criterion = "global",
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        structure: Structure = None,
        update_freq: int | None = None,
        name: str = "pruning",
    ) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = _checked_inner(inner)
        if not isinstance(schedule, Schedule):
            raise TypeError(
                f"schedule must be one of kk.schedules, got {schedule!r} of type {type(schedule).__name__}. "
                "Take PolynomialSparsity(0.0, 0.9, begin_step, end_step), or make a subclass of Schedule."
            )
        self.schedule = schedule
        self.criterion = criteria.get("criterion", criterion)
        if isinstance(share, str) and share not in (*shares.NAMES, *criteria.BY_NAME):
            raise ValueError(
                f"share must be one of {', '.join(map(repr, shares.NAMES))} or a criterion, got {share!r}."
            )
        self.share = share if share in shares.NAMES else criteria.get("share", share)
        self.include = _patterns.names("include", include)
        self.exclude = _patterns.names("exclude", exclude) or ()
        self.structure = checked_structure(structure)
        most = group_sparsity(self.structure)
        if most < 1.0 and abs(schedule.target - most) > 1e-6:
            raise ValueError(
                f"structure={structure!r} ends at a sparsity of {most:g}, the schedule at "
                f"{schedule.target:g}. Give the schedule {most:g}, or another structure."
            )
        if update_freq is not None:
            update_freq = _checks.whole_number("update_freq", update_freq, least=1)
        self.update_freq = update_freq or schedule.default_update_freq()
        self._model: weakref.ref[keras.Model] | None = None
        self._state: PruningState | None = None
        self._watch = Watch(self)
        self._choose = compiled_within(self._new_masks)

    # --- what an optimizer is asked for, and the inner one knows ---

    @property
    def variables(self) -> list[keras.Variable]:
        """Its own variables, then those of the inner optimizer."""
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def iterations(self) -> Any:
        """Updates that the inner optimizer has made."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """That of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def _model_variables_moving_average(self) -> Any:
        # Where keras.callbacks.SwapEMAWeights looks; missing without use_ema, as on any optimizer.
        return self.inner_optimizer._model_variables_moving_average

    def scale_loss(self, loss: Any) -> Any:
        """As the inner optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    def exclude_from_weight_decay(self, *args: Any, **kwargs: Any) -> None:
        """Passed on to the inner optimizer."""
        self.inner_optimizer.exclude_from_weight_decay(*args, **kwargs)

    # --- building ---

    def build_for(self, model: keras.Model) -> None:
        """Build for the trainable weights of a model; in a loop of your own, for `structure="unit"`.

        Raises:
            ValueError: If nothing can be pruned.
        """
        self._model = weakref.ref(model)
        self.build(model.trainable_variables)

    def build(self, variables: Iterable[keras.Variable]) -> None:
        """Make the variables.

        Raises:
            ValueError: If nothing can be pruned.
        """
        if self.built:
            return
        variables = list(variables)
        found = self._planned(variables)
        schedule: Any = self.schedule
        figures = schedule.initial_figures() if hasattr(schedule, "initial_figures") else {}
        self._state = make_state(
            found, variables, self.criterion, self.share, figures, add_variable=self.add_variable
        )
        self.inner_optimizer.build(variables)
        super().build(variables)

    def _planned(self, variables: list[keras.Variable]) -> Plan:
        model = self._model() if self._model is not None else running(self).model
        return plan(variables, self.structure, self.include, self.exclude, model)

    # --- a step ---

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """One step: the inner optimizer's on what is left, then the masks.

        Args:
            grads: gradients, one for each variable.
            trainable_variables: Defaults to those for which the optimizer was built.

        Raises:
            ValueError: If they do not fit, or a recorder is needed and missing.
        """
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "the optimizer is not built: it does not know to which variables the gradients belong. "
                    "Call optimizer.build(model.trainable_variables) first."
                )
            variables = self._trainable_variables
        else:
            variables = list(trainable_variables)
            if not self.built:
                # Errors come before variables: TensorFlow never initialises those of a step that has failed.
                targets = self._planned(variables).targets
                self._watch.before_step([variables[index] for t in targets for index in t.scored])
                self.build(variables)
            self._check_variables_are_known(variables)
        if len(grads) != len(variables):
            raise ValueError(f"grads must be one for each of {len(variables)} variables, got {len(grads)}.")
        self._watch.before_step(self._scored_variables())
        order = [self._get_variable_index(v) for v in variables]
        gradients: dict[int, Any] = {i: g for i, g in zip(order, grads, strict=True) if g is not None}
        known = self._inner_is_known(variables)
        whole = known and self._ranking_is_known()

        def step(*tensors: Any) -> None:
            given = dict(zip(gradients, tensors, strict=True))
            self._step(order, given, compile_training=known and not whole)

        run_as_one(step, [*gradients.values()], only_if=whole)
        if self._has_average():
            self._zero_out_averages()

    def _step(self, order: list[int], gradients: dict[int, Any], *, compile_training: bool) -> None:
        """A step on the variables with these numbers, given the gradients of some of them."""
        state = self._state
        assert state is not None
        for index, mask in state.masked():
            if index in gradients:
                gradients[index] = zeroed(mask, read(gradients[index]))
        step = read(self._iterations) + 0  # torch would count on in place
        slots = [
            (kept, self._updated(criterion, kept, index, gradients, step))
            for criterion, all_kept in self._criteria()
            for kept, index in zip(all_kept, state.scored, strict=True)
        ]

        def train(*tensors: Any) -> None:
            given = dict(zip(gradients, tensors, strict=True))
            variables = [self._trainable_variables[index] for index in order]
            self.inner_optimizer.apply([given.get(index) for index in order], trainable_variables=variables)
            self._zero_out(state)

        run_as_one(train, [*gradients.values()], only_if=compile_training)
        for kept, new in slots:
            for name, value in new.items():
                kept[name].assign(value)
        self._iterations.assign_add(1)
        self._update_masks(state, step + 1, set(range(len(self._trainable_variables))) - set(order))

    def _inner_is_known(self, variables: list[Any]) -> bool:
        """Whether all that trains is Keras's own, which XLA can compile: no user's rate or constraint."""
        parts = [self.inner_optimizer, getattr(self.inner_optimizer, "_learning_rate", None)]
        parts += [getattr(variable, "constraint", None) for variable in variables]
        return all(
            type(part).__module__.startswith(("keras.src.", "tensorflow."))
            for part in parts
            if part is not None
        )

    def _ranking_is_known(self) -> bool:
        """Whether all that prunes is ours and gives the same compiled by XLA; random numbers do not."""
        return all(
            type(part).__module__.startswith("keras_koopman.")
            and not isinstance(part, FunctionCriterion | Random)
            for part in (self.schedule, self.criterion, self.share)
            if not isinstance(part, str)
        )

    def _criteria(self) -> list[tuple[Criterion, Slots]]:
        """Each criterion with what is kept for it."""
        assert self._state is not None
        found = [(self.criterion, self._state.slots)]
        if isinstance(self.share, Criterion):
            found.append((self.share, self._state.share_slots))
        return found

    def _scored_variables(self) -> list[keras.Variable]:
        return [self._trainable_variables[index] for index in self._state.scored] if self._state else []

    def _updated(
        self, criterion: Criterion, kept: dict[str, Any], index: int, gradients: dict[int, Any], step: Any
    ) -> dict[str, Any]:
        """New values of what a criterion keeps for one tensor; only of what it changes."""
        gradient = gradients.get(index)
        if not kept or gradient is None or type(criterion).update is Criterion.update:
            return {}
        # A copy: torch trains in place, and a criterion may keep what it was given.
        weight = ops.copy(ops.cast(self._trainable_variables[index], "float32"))
        before = {name: read(variable) for name, variable in kept.items()}
        found = criterion.update(before, weight, ops.cast(gradient, "float32"), step)
        if not set(found) <= set(kept):
            raise ValueError(
                f"criterion {criterion!r} updates slots {sorted(set(found) - set(kept))}, of which its "
                f"slots={tuple(kept)!r} know nothing. Name them there."
            )
        return found

    def _update_masks(self, state: PruningState, step: Any, frozen: set[int]) -> None:
        """New masks, if they are due after step number `step`; those of frozen weights stay as they are."""
        schedule = self.schedule
        figures = {name: read(variable) for name, variable in state.figures.items()}
        progress = schedule.progress(step)
        if figures:
            figures = schedule.advance(figures, step)  # type: ignore[attr-defined]
            progress = figures["progress"]
            for name, value in figures.items():
                state.figures[name].assign(value)
        begin, end = max(schedule.begin_step, 1), max(schedule.end_step, 1)  # no mask before the first step
        # Beyond the ramp only to make up for an update that could not be.
        wanted = ops.logical_and(step >= begin, ops.logical_or(step <= end, read(state.owed) > 0))
        regular = (step - begin) % self.update_freq == 0
        due = ops.logical_and(wanted, ops.logical_or(regular, step == end))
        sparsity = schedule.at(step, progress) / group_sparsity(self.structure)
        members = [self._trainable_variables[index] for index in state.members]
        variables = [*state.masks, *members, state.floored, state.failed, state.early, state.owed]

        def update(waiting: Any, *values: Any) -> Any:
            masks, weights, (floored, failed, early, _) = _split(values, len(state.masks), len(members))
            own = dict(zip(state.members, weights, strict=True))
            scores, missed = self._scores(state, self.criterion, state.slots, masks, own)
            ranked = scores
            if isinstance(self.share, Criterion):
                ranked, also = self._scores(state, self.share, state.share_slots, masks, own)
                missed = missed + also
            chosen, held, unfit = self._choose(scores, ranked, masks, sparsity)
            new = [
                mask if frozen.intersection(target.members) else found
                for target, mask, found in zip(state.targets, masks, chosen, strict=True)
            ]
            kept = [zeroed(m, w) for m, w in zip(state.on_members(new), weights, strict=True)]
            held, unfit, missed = (ops.cast(counter, precision(floored)) for counter in (held, unfit, missed))
            counters = floored + held, failed + unfit, early + missed, ops.max(unfit)
            return ops.logical_not(waiting), *new, *kept, *counters

        # A loop that runs once or not at all. Compiled, it works in place, where both branches of `ops.cond`
        # would copy all that passes through them, and that at each step.
        _, *found = ops.while_loop(
            lambda waiting, *_: waiting, update, (due, *(read(variable) for variable in variables))
        )
        for variable, value in zip(variables, found, strict=True):
            variable.assign(value)

    def _scores(
        self,
        state: PruningState,
        criterion: Criterion,
        slots: Slots,
        masks: list[Any],
        weights: dict[int, Any],
    ) -> tuple[Scores, Any]:
        """Scores of each scored tensor of each target; and 1 if |w| had to stand in for them, else 0."""
        follows = isinstance(criterion, TrajectoryCriterion)
        ready = read(state.ready) > 0
        found: Scores = []
        number = 0
        for target, mask in zip(state.targets, masks, strict=True):
            own = []
            on_members = target.on_members(mask)
            for index in target.scored:
                weight = ops.cast(weights[index], "float32")
                kept = {name: read(v) for name, v in slots[number].items()}
                alive = ops.broadcast_to(on_members[target.members.index(index)], weight.shape)
                scores = criterion.scores(weight, {**kept, "mask": alive, "number": number})
                # What is gone needs no score: log |w|, say, has none there.
                scores = ops.where(alive, checked_scores(criterion, scores, weight), 0.0)
                own.append(ops.where(ready, scores, ops.abs(weight)) if follows else scores)
                number += 1
            found.append(own)
        return found, ops.cast(ops.logical_not(ready), "int32") if follows else ops.zeros((), "int32")

    def _new_masks(self, scores: Scores, ranked: Scores, masks: list[Any], sparsity: Any) -> Any:
        assert self._state is not None
        share = self.share if isinstance(self.share, str) else "global"
        return choose(self._state.targets, share, scores, ranked, masks, sparsity)

    def _zero_out(self, state: PruningState) -> None:
        """Zeros where the masks are."""
        for index, mask in state.masked():
            variable = self._trainable_variables[index]
            variable.assign(zeroed(mask, read(variable)))

    def _zero_out_averages(self) -> None:
        """The same in the moving averages, which may be written back."""
        assert self._state is not None
        averages = self.inner_optimizer._model_variables_moving_average
        for index, mask in self._state.masked():
            # By its own number there: the inner optimizer may be older, from before some were frozen.
            average = averages[self.inner_optimizer._get_variable_index(self._trainable_variables[index])]
            average.assign(zeroed(mask, read(average)))

    def _has_average(self) -> bool:
        return bool(getattr(self.inner_optimizer, "use_ema", False))

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """End of a fit: averages, if the inner optimizer keeps them, with exact zeros; and warnings."""
        if not self._watch.note_steps():
            return  # on JAX, where a step that failed has taken the values along: its error is on the way
        self.inner_optimizer.finalize_variable_values(var_list)
        if self._state is not None and self._has_average():
            self._zero_out(self._state)
            self._zero_out_averages()
        self._watch.after_fit()

    def load_own_variables(self, store: Any) -> None:
        """Take up the state that was saved."""
        super().load_own_variables(store)
        self._watch.after_load()

    @property
    def pruned(self) -> PruningState | None:
        """Targets, masks and reasons, for the report; None before it is built."""
        return self._state

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal optimizer; recorders are asked for anew."""
        serialize = keras.saving.serialize_keras_object
        return {
            "inner": serialize(self.inner_optimizer),
            "schedule": serialize(self.schedule),
            "criterion": serialize(self.criterion),
            "share": self.share if isinstance(self.share, str) else serialize(self.share),
            "include": self.include,
            "exclude": self.exclude or None,
            "structure": self.structure,
            "update_freq": self.update_freq,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> PruningOptimizer:
        """The optimizer that `get_config` described."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("inner", "schedule", "criterion", "share")
            if isinstance(config[name], dict)
        }
        return cls(**{**config, **parts})


def _split(values: Sequence[Any], *counts: int) -> list[list[Any]]:
    """Lists of so many values each, and one of the rest."""
    ends = [0, *itertools.accumulate(counts), len(values)]
    return [list(values[begin:end]) for begin, end in itertools.pairwise(ends)]


def _checked_inner(inner: Any) -> keras.optimizers.Optimizer:
    found = keras.optimizers.get(inner)
    if found is None:
        raise TypeError('inner must be an optimizer or its name, got None. Take "adam".')
    wrapped = innermost(found)
    if any(isinstance(optimizer, PruningOptimizer) for optimizer in wrapped):
        raise ValueError(
            "inner is pruned already: one PruningOptimizer is enough. Pass it the bare optimizer."
        )
    if len(wrapped) > 1 or isinstance(found, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            f"inner must be the bare optimizer, got {type(found).__name__}. Turn the order round: "
            f"{type(found).__name__}(PruningOptimizer(inner, ...))."
        )
    return found
