"""Removal of dead units for good, where that is provable."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from .graph import PADDINGS, STILL, Reader, Step, UnitGroup, unit_groups
from .rebuild import Cut, rebuild

__all__ = ["PlannedGroup", "plan", "shrink"]


@dataclasses.dataclass(frozen=True)
class PlannedGroup:
    """What `shrink` does to a group of units.

    Args:
        name: Of the layer that makes the units, or of several, joined by " + ", if an addition ties them.
        before: Number of units.
        after: Number of units that stay.
        reason: Why the group is left alone; None if it is not.
    """

    name: str
    before: int
    after: int
    reason: str | None


def shrink(model: keras.Model) -> keras.Model:
    """A copy of `model` without its dead units: its outputs are the same, its layers are narrower.

    Two kinds of units go, neurons of dense layers as well as filters of convolutions: those that are constant
    whatever the input, because their weights are all zero (the constant moves into the biases of the layers
    that read it), and those that no layer reads. A unit whose constant cannot be moved, since it would meet a
    zero padding or a layer without a bias, stays, and so does one unit of each layer at least.

    A model that is compiled gives a copy that is compiled, with the momenta of the optimizer and its step
    count, but without wrappers around the optimizer. Only if its class has a `compile` of its own the copy is
    not compiled.

    Args:
        model: A built Sequential or functional model. It is not changed.

    Returns:
        The smaller model, of the same class and with the same names.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model is neither Sequential nor functional, is not built, or cannot be rebuilt from
            the configs of its layers.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> from keras_koopman.pruning.shrink import shrink
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)]
    ... )
    >>> _ = model.layers[0].kernel.assign(np.ones((4, 3)) * [0, 1, 1])
    >>> shrink(model).count_params(), model.count_params()
    (16, 23)
    """
    search = _Search(unit_groups(model))
    search.run()
    if search.groups and all(group.reason for group in search.groups):
        reasons = "; ".join(f"{group.name}: {group.reason}" for group in search.groups)
        warnings.warn(f"no unit of model {model.name!r} can be removed. {reasons}.", stacklevel=2)
    return rebuild(model, search.cut())


def plan(model: keras.Model) -> list[PlannedGroup]:
    """What `shrink` would do, a row for each group of units.

    Args:
        model: A built Sequential or functional model.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model is neither Sequential nor functional, or is not built.
    """
    search = _Search(unit_groups(model))
    search.run()
    return [
        PlannedGroup(group.name, group.count, int(alive.sum()), group.reason)
        for group, alive in zip(search.groups, search.alive, strict=True)
    ]


class _Search:
    """Finds the units that can go. Arrays keep their full size; `alive` says which units count."""

    def __init__(self, groups: list[UnitGroup]) -> None:
        self.groups = groups
        self.alive = [np.ones(group.count, bool) for group in groups]
        self.moved: dict[int, np.ndarray] = {}
        self._host: dict[int, np.ndarray] = {}
        self._makes = {id(layer): i for i, group in enumerate(groups) for layer, _ in group.makers}
        self._reads = {id(reader.layer): (i, reader) for i, g in enumerate(groups) for reader in g.readers}

    def run(self) -> None:
        """Search until nothing more is found: what goes may leave more that is dead."""
        while any([self._prune(i) for i, group in enumerate(self.groups) if group.reason is None]):
            pass

    def cut(self) -> Cut:
        """What was found, by layer and variable."""
        cut = Cut(values=dict(self.moved))
        for group, alive in zip(self.groups, self.alive, strict=True):
            if alive.all():
                continue
            kept = np.flatnonzero(alive)
            for layer, _ in group.makers:
                cut.units[id(layer)] = len(kept)
            for kernel, axis in group.kernels:
                cut.kept.setdefault(id(kernel), {})[axis] = kept
            for vector in (*group.vectors, *group.states):
                cut.kept.setdefault(id(vector), {})[0] = kept
            for reader in group.readers:
                kernel = reader.layer.kernel
                rows = np.flatnonzero(np.tile(alive, reader.repeats))
                cut.kept.setdefault(id(kernel), {})[len(kernel.shape) - 2] = rows
        return cut

    def _prune(self, number: int) -> bool:
        """Drop the dead units of a group. Returns whether there were any."""
        group, alive = self.groups[number], self.alive[number]
        if alive.sum() == 1:
            return False
        unread = [self._unread(reader, group.count) for reader in group.readers]
        unused = alive & np.logical_and.reduce(unread)
        dead = unused.copy()
        fixed = alive & ~unused & self._constant(group)
        constants = self._constants(group) if fixed.any() else {}
        if fixed.any():
            movable = fixed.copy()
            for reader, nobody in zip(group.readers, unread, strict=True):
                value = constants[reader.tensor].reshape(reader.repeats, group.count)
                good = np.isfinite(value) if _takes_constants(reader.layer) else value == 0
                movable &= nobody | good.all(axis=0)
            dead |= movable
        if dead.sum() == alive.sum():
            # A layer cannot be empty. One that nobody reads leaves the layers behind as they are without it.
            dead[np.flatnonzero(unused if unused.any() else dead)[0]] = False
        for reader in group.readers if (dead & fixed).any() else ():
            self._move(reader, np.where(np.tile(dead & fixed, reader.repeats), constants[reader.tensor], 0))
        self.alive[number] = alive & ~dead
        return bool(dead.any())

    def _constant(self, group: UnitGroup) -> np.ndarray:
        """Units that all their layers make without looking at what comes in."""
        still = np.ones(group.count, bool)
        for layer, _ in group.makers:
            kernel = self._kernel(layer)
            if id(layer) in self._reads:
                source, reader = self._reads[id(layer)]
                kernel = kernel[..., np.tile(self.alive[source], reader.repeats), :]
            still &= ~kernel.any(axis=tuple(range(kernel.ndim - 1)))
        return still

    def _unread(self, reader: Reader, count: int) -> np.ndarray:
        """Units that this layer multiplies by zero."""
        kernel = self._kernel(reader.layer)[..., self.alive[self._makes[id(reader.layer)]]]
        rows = np.moveaxis(kernel, -2, 0).reshape(reader.repeats, count, -1)
        return np.asarray(~rows.any(axis=(0, 2)))

    def _constants(self, group: UnitGroup) -> dict[int, np.ndarray]:
        """Tensor -> what its units are if their kernels are zero; NaN where that is no constant."""
        values = {}
        for layer, tensor in group.makers:
            bias = np.zeros(group.count) if layer.bias is None else self._bias(layer)
            value = ops.cast(bias, layer.compute_dtype)
            values[tensor] = _host(value if layer.activation is None else layer.activation(value))
        for step in group.steps:
            values[step.output] = _constant_after(step, [values[t] for t in step.inputs], group.count)
        return values

    def _move(self, reader: Reader, constants: np.ndarray) -> None:
        """Add what these constants give to the bias of the layer that reads them."""
        rows = np.flatnonzero(constants)
        if len(rows):
            read = self._kernel(reader.layer)[..., rows, :].astype(np.float64)
            read = read.sum(axis=tuple(range(read.ndim - 2)))
            # What is not finite can only stand where the layer multiplies by zero.
            finite = np.nan_to_num(constants[rows], posinf=0, neginf=0)
            self.moved[id(reader.layer.bias)] = self._bias(reader.layer) + finite @ read

    def _kernel(self, layer: Any) -> np.ndarray:
        return self._array(layer.kernel)

    def _bias(self, layer: Any) -> np.ndarray:
        moved = self.moved.get(id(layer.bias))
        return _host(layer.bias) if moved is None else moved

    def _array(self, variable: Any) -> np.ndarray:
        if id(variable) not in self._host:
            self._host[id(variable)] = ops.convert_to_numpy(variable)
        return self._host[id(variable)]


def _constant_after(step: Step, values: list[np.ndarray], count: int) -> np.ndarray:
    """What a layer makes of so many units that are constant, outside training."""
    kind, value = type(step.layer), values[0]
    if kind in STILL:
        return value
    if kind in PADDINGS:
        return np.where(value == 0, value, np.nan)
    if kind is layers.Flatten:
        return np.tile(value, step.repeats * count // len(value))
    shape = (1,) * (step.rank - 1) + (-1,)
    tensors = [ops.convert_to_tensor(v.reshape(shape), step.layer.compute_dtype) for v in values]
    made = step.layer(tensors if len(tensors) > 1 else tensors[0], training=False)
    return _host(made).reshape(-1)


def _takes_constants(layer: Any) -> bool:
    """Whether a constant that the layer reads can be moved into its bias."""
    if layer.bias is None:
        return False
    # A padding would put zeros where the constant is not.
    return type(layer) is layers.Dense or layer.padding == "valid" or set(layer.kernel_size) == {1}


def _host(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value)).astype(np.float64)
