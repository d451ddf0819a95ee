"""A model built anew with fewer units, and its optimizer with what it has gathered."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from .graph import graph_of

__all__ = ["Cut", "rebuild"]


@dataclasses.dataclass
class Cut:
    """What becomes of a model; layers and variables are named by their id.

    Args:
        units: Layer -> new number of its units.
        kept: Variable -> axis -> the indices that stay.
        values: Variable -> new value, in its old shape.
    """

    units: dict[int, int] = dataclasses.field(default_factory=dict)
    kept: dict[int, dict[int, np.ndarray]] = dataclasses.field(default_factory=dict)
    values: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)

    def slice(self, value: Any, variable: Any = None) -> np.ndarray:
        """What stays of `value`, which has the shape of `variable`; all of it without one."""
        # Always a copy: JAX deletes the arrays that a training step has used.
        host = np.array(ops.convert_to_numpy(value))
        for axis, indices in self.kept.get(id(variable), {}).items():
            host = np.take(host, indices, axis=axis)
        return host

    def shape(self, variable: Any) -> tuple[int, ...]:
        """Shape of what stays of a variable."""
        kept = self.kept.get(id(variable), {})
        return tuple(len(kept[axis]) if axis in kept else n for axis, n in enumerate(variable.shape))


def rebuild(model: keras.Model, cut: Cut) -> keras.Model:
    """A copy of `model` with `cut` applied, compiled like it.

    Raises:
        ValueError: If a layer cannot be built anew.
    """
    builder = _Builder(cut)
    copy = builder.model(model)
    twins = dict(builder.pairs(model))
    for old, new in twins.values():
        new.trainable = old.trainable
        new.assign(cut.slice(cut.values.get(id(old), old.value), old))
    if model.compiled:
        _compile(model, copy, cut, twins)
    return copy


class _Builder:
    """Copies layers, each of them once."""

    def __init__(self, cut: Cut) -> None:
        self.cut = cut
        self.copies: dict[int, Any] = {}
        self.leaves: list[tuple[Any, Any]] = []

    def copy(self, layer: Any) -> Any:
        """The copy of a layer, a model or an operation."""
        if id(layer) not in self.copies:
            nested = isinstance(layer, keras.Model) and (
                isinstance(layer, keras.Sequential) or hasattr(layer, "_nodes_by_depth")
            )
            self.copies[id(layer)] = copy = self.model(layer) if nested else self._fresh(layer)
            if not nested:
                self.leaves.append((layer, copy))
        return self.copies[id(layer)]

    def model(self, model: Any) -> Any:
        """The copy of a Sequential or functional model."""
        graph = graph_of(model)
        own: dict[str, Any] = {"name": model.name}
        if not model.trainable:
            own["trainable"] = False
        try:
            if isinstance(model, keras.Sequential):
                # The list with the input layer, which `layers` leaves out.
                made = type(model)([self.copy(layer) for layer in model._layers], **own)
            else:
                inputs = keras.tree.map_structure(
                    lambda x: self.copy(x._keras_history.operation).output, graph.input
                )
                made = type(model)(inputs, graph._run_through_graph(inputs, operation_fn=self.copy), **own)
        except TypeError as error:
            raise ValueError(
                f"model {model.name!r} cannot be built anew: {error}. A subclass must take the arguments of "
                "keras.Model, or of keras.Sequential."
            ) from error
        return made

    def pairs(self, model: Any) -> Iterator[tuple[int, tuple[Any, Any]]]:
        """Id of each variable -> the variable and its copy.

        Raises:
            ValueError: If a variable has no copy, or two.
        """
        found: dict[int, tuple[Any, Any]] = {}
        for layer, copy in self.leaves:
            old, new = getattr(layer, "variables", []), getattr(copy, "variables", [])
            if [self.cut.shape(variable) for variable in old] != [tuple(v.shape) for v in new]:
                raise ValueError(
                    f"layer {layer.name!r} has other variables when built from its config. "
                    "Mend its get_config."
                )
            for one, other in zip(old, new, strict=True):
                if found.setdefault(id(one), (one, other))[1] is not other:
                    raise ValueError(
                        f"layer {layer.name!r} shares the variable {one.path!r} with another layer, which "
                        "its config does not tell. Use one layer in both places."
                    )
        lost = [variable.path for variable in model.weights if id(variable) not in found]
        if lost:
            raise ValueError(f"{lost[0]!r} belongs to no layer of model {model.name!r}. Put it into a layer.")
        yield from found.items()

    def _fresh(self, layer: Any) -> Any:
        """A layer built from the config of another, with the new number of units."""
        if type(layer) is layers.Lambda:
            # Its config would lose what the function refers to.
            return layers.Lambda(
                layer.function,
                output_shape=layer._output_shape,
                mask=layer.mask,
                arguments=layer.arguments,
                name=layer.name,
                dtype=layer.dtype_policy,
                trainable=layer.trainable,
            )
        try:
            config = layer.get_config()
            if id(layer) in self.cut.units:
                config["units" if type(layer) is layers.Dense else "filters"] = self.cut.units[id(layer)]
            return type(layer).from_config(config)
        except (TypeError, NotImplementedError) as error:
            raise ValueError(
                f"layer {layer.name!r} cannot be built from its config: {error} Write its get_config."
            ) from error


def _compile(model: Any, copy: Any, cut: Cut, twins: dict[int, tuple[Any, Any]]) -> None:
    """Compile the copy as the model is compiled."""
    known = getattr(model, "_compile_config", None)
    theirs = ("keras.", "torch.")
    own_compile = any(
        "compile" in vars(kind) for kind in type(model).__mro__ if not kind.__module__.startswith(theirs)
    )
    if known is None or own_compile:
        return
    optimizer = model.optimizer
    while getattr(optimizer, "inner_optimizer", None) is not None:
        optimizer = optimizer.inner_optimizer
    fresh = optimizer and type(optimizer).from_config(optimizer.get_config())
    settings = dict(known.config) | {"optimizer": fresh}
    for name in ("metrics", "weighted_metrics"):
        # A metric holds what it has counted: it must not be shared.
        settings[name] = keras.tree.map_structure(_fresh_metric, settings[name])
    copy.compile(**settings)
    if optimizer and optimizer.built:
        _carry(optimizer, fresh, cut, twins)


def _carry(old: Any, new: Any, cut: Cut, twins: dict[int, tuple[Any, Any]]) -> None:
    """Give a fresh optimizer what another has gathered, if all of it can be told apart."""
    trained = list(old._trainable_variables)
    if any(id(variable) not in twins for variable in trained):
        return
    new.build([twins[id(variable)][1] for variable in trained])
    excluded = getattr(old, "_exclude_from_weight_decay", None)
    if excluded:
        new._exclude_from_weight_decay = {id(twins[key][1]) for key in excluded if key in twins}
    # What a slot belongs to is told by its place: such lists run parallel to the trained variables.
    owner: dict[int, Any] = {}
    for value in vars(old).values():
        if isinstance(value, (list, tuple)) and len(value) == len(trained):
            owner |= {id(slot): v for slot, v in zip(value, trained, strict=True) if slot is not None}
    values = []
    for slot, place in zip(old.variables, new.variables, strict=True):
        variable = owner.get(id(slot))
        alike = variable is not None and tuple(slot.shape) == tuple(variable.shape)
        value = cut.slice(slot.value, variable if alike else None)
        if value.shape != tuple(place.shape):
            return
        values.append((place, value))
    scalars = [name for name, value in vars(old).items() if isinstance(value, keras.Variable)]
    values += [(getattr(new, name), cut.slice(getattr(old, name).value)) for name in scalars]
    for place, value in values:
        place.assign(value)


def _fresh_metric(metric: Any) -> Any:
    return type(metric).from_config(metric.get_config()) if isinstance(metric, keras.Metric) else metric
