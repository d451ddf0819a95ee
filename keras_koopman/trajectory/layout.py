"""How a snapshot made of many tensors lies in one block of numbers."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from keras import ops

from ..backend import flattened, precision

SINGLE = "values"
_NUMBER = re.compile(r"_\d+(?=/|$)")


@dataclass(frozen=True)
class Part:
    """One tensor of a snapshot."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @cached_property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Group:
    """Tensors that have a Gram matrix of their own, a layer's for instance.

    Attributes:
        name: by which it is asked for.
        parts: its tensors.
        kind: how they are handed in and given back: `"array"` for a single one, `"dict"` or `"list"`.
    """

    name: str
    parts: tuple[Part, ...]
    kind: str = "array"

    @cached_property
    def size(self) -> int:
        """How many numbers it holds."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True)
class Layout:
    """Groups and shapes of a snapshot.

    Attributes:
        groups: in the order in which they stand.
        kind: how a snapshot is handed in and given back: `"array"`, `"dict"` or `"list"`.
    """

    groups: tuple[Group, ...]
    kind: str

    @classmethod
    def of(cls, values: Any) -> Layout:
        """Layout of an array or tensor, of a list of them, or of a dict of both.

        Raises:
            TypeError: If it holds anything else, or numbers that are not real.
            ValueError: If it holds no number, or a name twice.
        """
        named, kind = _named(values)
        groups = tuple(
            Group(name, tuple(_part(f"{name}/{part}", part, t) for part, t in tensors), of)
            for name, of, tensors in named
        )
        if sum(group.size for group in groups) == 0:
            raise ValueError(
                "values hold no number: a snapshot needs at least one. Pass a tensor that has some."
            )
        return cls(groups, kind)

    def anonymous(self) -> Layout:
        """The same shapes without names: what a compiled function depends on."""
        groups = (tuple(Part("", part.shape, part.dtype) for part in group.parts) for group in self.groups)
        return Layout(tuple(Group("", parts) for parts in groups), "")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the groups."""
        return tuple(group.name for group in self.groups)

    @cached_property
    def size(self) -> int:
        """How many numbers a snapshot holds."""
        return sum(group.size for group in self.groups)

    @cached_property
    def dtype(self) -> str:
        """Precision in which snapshots are kept: float64 if any of it is, else float32."""
        parts = (part for group in self.groups for part in group.parts)
        wide = any(part.dtype == "float64" and part.size for part in parts)
        return "float64" if wide else "float32"

    @cached_property
    def block(self) -> int:
        """How many numbers stand in a block: in more blocks the rounding within them averages out better."""
        return 768 if self.size >= 900_000 else 384 if self.size >= 2**18 else 192

    @cached_property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of each group, the last one padded with zeros."""
        return tuple(-(-group.size // self.block) for group in self.groups)

    def difference(self, other: Layout) -> str | None:
        """The first thing in which another layout differs, in words; None if they are the same.

        The numbers that Keras appends to names of layers, `dense_1`, do not count: they depend on what else
        was built before.
        """
        for ours, theirs in itertools.zip_longest(self._shapes(), other._shapes()):
            if ours is None:
                return f"{theirs[0]} {theirs[1]} is new"
            if theirs is None:
                return f"{ours[0]} {ours[1]} is missing"
            if _NUMBER.sub("", ours[0]) != _NUMBER.sub("", theirs[0]):
                return f"{theirs[0]} {theirs[1]} stands in place of {ours[0]} {ours[1]}"
            if ours[1] != theirs[1]:
                return f"{ours[0]} has shape {theirs[1]}, not {ours[1]}"
        return None

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for group in self.groups:
            for part in group.parts:
                yield f"{group.name}/{part.name}" if part.name else group.name, part.shape

    def tensors(self, values: Any) -> list[Any]:
        """Tensors of `values`, in order.

        Raises:
            TypeError: If they are not real numbers.
            ValueError: If `values` do not have this layout.
        """
        found = {(group, part): t for group, _, tensors in _named(values)[0] for part, t in tensors}
        wanted = {(group.name, part.name): part.shape for group in self.groups for part in group.parts}
        if found.keys() == wanted.keys():  # in whatever order
            found = {key: found[key] for key in wanted}
        shapes = [_part(f"{group}/{part}", part, t).shape for (group, part), t in found.items()]
        if shapes != list(wanted.values()) or found.keys() != wanted.keys():
            difference = self.difference(Layout.of(values))
            if difference is not None:
                raise ValueError(
                    f"values differ from the snapshots before: {difference}. Record them in a new Trajectory."
                )
        return [t.value if hasattr(t, "value") and not callable(t.value) else t for t in found.values()]

    def pack(self, tensors: list[Any]) -> Any:
        """`(blocks, block)` tensor of all the numbers, each group padded with zeros to whole blocks."""
        rows, at = [], 0
        for group, blocks in zip(self.groups, self.blocks, strict=True):
            count = len(group.parts)
            flat = [flattened(tensor, self.dtype) for tensor in tensors[at : at + count]]
            at += count
            missing = blocks * self.block - group.size
            if missing:
                flat.append(ops.zeros((missing,), self.dtype))
            rows += flat
        return ops.reshape(ops.concatenate(rows) if len(rows) > 1 else rows[0], (-1, self.block))

    def unpack(self, packed: Any) -> Any:
        """A snapshot in the form in which it was handed in; the reverse of `pack`."""
        return self.rebuild(self.split(packed))

    def split(self, packed: Any) -> list[list[Any]]:
        """The tensors of each group."""
        flat = ops.reshape(packed, (-1,))
        groups, start = [], 0
        for group, blocks in zip(self.groups, self.blocks, strict=True):
            at, tensors = start, []
            for part in group.parts:
                tensors.append(ops.reshape(flat[at : at + part.size], part.shape))
                at += part.size
            groups.append(tensors)
            start += blocks * self.block
        return groups

    def regroup(self, tensors: Iterable[Any]) -> Any:
        """A snapshot in the form in which it was handed in; the reverse of `tensors`."""
        rest = iter(tensors)
        return self.rebuild([list(itertools.islice(rest, len(group.parts))) for group in self.groups])

    def rebuild(self, groups: list[list[Any]]) -> Any:
        """A snapshot in the form in which it was handed in, from the tensors of each group."""
        named: dict[str, Any] = {}
        for group, tensors in zip(self.groups, groups, strict=True):
            if group.kind == "dict":
                names = (part.name for part in group.parts)
                named[group.name] = dict(zip(names, tensors, strict=True))
            else:
                named[group.name] = tensors if group.kind == "list" else tensors[0]
        if self.kind == "array":
            return named[SINGLE]
        return list(named.values()) if self.kind == "list" else named


def tensor_shape(tensor: Any) -> tuple[int, ...]:
    """Shape of an array or a tensor."""
    return tuple(int(side) for side in tensor.shape)


_Members = list[tuple[str, Any]]


def _named(values: Any) -> tuple[list[tuple[str, str, _Members]], str]:
    """Name, kind and named tensors of each group, and the kind of `values`."""
    if isinstance(values, Mapping):
        names = _once(str(name) for name in values)
        return [(name, *_members(v)) for name, v in zip(names, values.values(), strict=True)], "dict"
    if _is_list(values):
        return [(str(i), "array", [("", v)]) for i, v in enumerate(values)], "list"
    return [(SINGLE, "array", [("", _array(values))])], "array"


def _members(value: Any) -> tuple[str, _Members]:
    """Kind of one group, and its tensors by name."""
    if isinstance(value, Mapping):
        names = _once(str(name) for name in value)
        return "dict", [(name, _array(v)) for name, v in zip(names, value.values(), strict=True)]
    if _is_list(value):
        # Variables bear their names: "dense/kernel".
        names = [str(v.path) if hasattr(v, "path") else str(i) for i, v in enumerate(value)]
        if len(set(names)) < len(names):
            names = [str(i) for i in range(len(value))]
        return "list", list(zip(names, value, strict=True))
    return "array", [("", _array(value))]


def _is_list(value: Any) -> bool:
    """Whether it is a list of tensors; a list of plain numbers counts as an array."""
    return isinstance(value, list | tuple) and len(value) > 0 and all(hasattr(v, "shape") for v in value)


def _once(names: Iterable[str]) -> list[str]:
    """The names, no two of them equal."""
    found = list(names)
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise ValueError(f"values hold two tensors or groups named {twice!r}. Give each its own name.")
    return found


def _array(value: Any) -> Any:
    if hasattr(value, "shape"):
        return value
    try:
        return np.asarray(value)
    except ValueError:  # ragged
        return np.asarray(value, object)


def _part(place: str, name: str, tensor: Any) -> Part:
    return Part(name, tensor_shape(tensor), _real(place, tensor))


def _real(place: str, tensor: Any) -> str:
    """Name of the dtype of real numbers."""
    try:
        dtype = precision(tensor)
    except (AttributeError, TypeError, ValueError):  # what Keras has no name for
        dtype = ""
    if not dtype.startswith(("float", "bfloat", "int", "uint")):
        of = f"dtype {getattr(tensor, 'dtype', None)}" if hasattr(tensor, "dtype") else type(tensor).__name__
        raise TypeError(
            f"values must be real numbers, got {of} in {place.strip('/')!r}. Pass arrays or tensors of them, "
            "or a dict or list of such."
        )
    return dtype
