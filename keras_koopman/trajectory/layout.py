"""How a snapshot made of many tensors lies in one block of numbers."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from ..backend import is_tensor, precision

SINGLE = "values"
_NUMBER = re.compile(r"_\d+(?=/|$)")


@dataclass(frozen=True)
class Part:
    """One tensor of a snapshot."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Group:
    """Tensors that have a Gram matrix of their own, a layer's for instance."""

    name: str
    parts: tuple[Part, ...]

    @property
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
            ValueError: If it holds no number.
        """
        named, kind = _named(values)
        groups = tuple(
            Group(name, tuple(_part(part, tensor) for part, tensor in tensors)) for name, tensors in named
        )
        if sum(group.size for group in groups) == 0:
            raise ValueError(
                "values hold no number: a snapshot needs at least one. Pass a tensor that has some."
            )
        return cls(tuple(group for group in groups if group.size), kind)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups."""
        return tuple(group.name for group in self.groups)

    @property
    def size(self) -> int:
        """How many numbers a snapshot holds."""
        return sum(group.size for group in self.groups)

    @property
    def dtype(self) -> str:
        """Precision in which snapshots are kept: float64 if any of it is, else float32."""
        wide = any(part.dtype == "float64" for group in self.groups for part in group.parts)
        return "float64" if wide else "float32"

    @property
    def block(self) -> int:
        """How many numbers stand in a block: in more blocks the rounding within them averages out better."""
        return 512 if self.size >= 2**18 else 256

    @property
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
            ValueError: If `values` do not have this layout.
        """
        if self.kind == "array" and not isinstance(values, Mapping | list | tuple):
            named: list[tuple[str, list[tuple[str, Any]]]] = [(SINGLE, [("", values)])]
        else:
            named = _named(values)[0]
        found = [tensor for _, group in named for _, tensor in group if math.prod(tensor_shape(tensor))]
        parts = [part for group in self.groups for part in group.parts]
        if len(found) != len(parts) or any(
            tensor_shape(t) != part.shape for t, part in zip(found, parts, strict=True)
        ):
            difference = self.difference(Layout.of(values)) or "the order of the tensors"
            raise ValueError(
                f"values differ from the snapshots before: {difference}. Record them in a new Trajectory."
            )
        return [t.value if hasattr(t, "value") and not callable(t.value) else t for t in found]

    def pack(self, tensors: list[Any]) -> Any:
        """`(blocks, block)` tensor of all the numbers, each group padded with zeros to whole blocks."""
        rows, at = [], 0
        for group, blocks in zip(self.groups, self.blocks, strict=True):
            count = len(group.parts)
            flat = [ops.reshape(ops.cast(t, self.dtype), (-1,)) for t in tensors[at : at + count]]
            at += count
            missing = blocks * self.block - group.size
            if missing:
                flat.append(ops.zeros((missing,), self.dtype))
            rows += flat
        return ops.reshape(ops.concatenate(rows) if len(rows) > 1 else rows[0], (-1, self.block))

    def unpack(self, packed: Any) -> Any:
        """A snapshot in the form in which it was handed in; the reverse of `pack`."""
        flat = ops.reshape(packed, (-1,))
        groups, start = [], 0
        for group, blocks in zip(self.groups, self.blocks, strict=True):
            at, tensors = start, []
            for part in group.parts:
                tensors.append(ops.reshape(flat[at : at + part.size], part.shape))
                at += part.size
            groups.append(tensors)
            start += blocks * self.block
        return self.rebuild(groups)

    def rebuild(self, groups: list[list[Any]]) -> Any:
        """A snapshot in the form in which it was handed in, from the tensors of each group."""
        named: dict[str, Any] = {}
        for group, tensors in zip(self.groups, groups, strict=True):
            bare = len(group.parts) == 1 and not group.parts[0].name
            named[group.name] = tensors[0] if bare else dict(
                zip((part.name for part in group.parts), tensors, strict=True)
            )  # fmt: skip
        if self.kind == "array":
            return named[SINGLE]
        return list(named.values()) if self.kind == "list" else named


def tensor_shape(tensor: Any) -> tuple[int, ...]:
    """Shape of an array or a tensor."""
    return tuple(int(side) for side in tensor.shape)


def _named(values: Any) -> tuple[list[tuple[str, list[tuple[str, Any]]]], str]:
    """Groups by name, each with its tensors by name, and the kind of `values`."""
    if isinstance(values, Mapping):
        return [(str(name), _members(value)) for name, value in values.items()], "dict"
    if isinstance(values, list | tuple) and values and all(hasattr(v, "shape") for v in values):
        return [(str(i), [("", v)]) for i, v in enumerate(values)], "list"
    return [(SINGLE, [("", _array(values))])], "array"


def _members(value: Any) -> list[tuple[str, Any]]:
    """Tensors of one group by name."""
    if isinstance(value, Mapping):
        return [(str(name), _array(v)) for name, v in value.items()]
    if isinstance(value, Sequence) and value and all(hasattr(v, "shape") for v in value):
        return [(_variable_name(v) or str(i), v) for i, v in enumerate(value)]
    return [("", _array(value))]


def _variable_name(value: Any) -> str | None:
    """Name of a Keras variable, None for other tensors."""
    return str(value.name) if hasattr(value, "path") else None


def _array(value: Any) -> Any:
    return value if hasattr(value, "shape") else np.asarray(value)


def _part(name: str, tensor: Any) -> Part:
    dtype = precision(tensor) if is_tensor(tensor) or hasattr(tensor, "dtype") else ""
    if not (dtype.startswith(("float", "bfloat", "int", "uint"))):
        raise TypeError(
            f"values must be real numbers, got {dtype or type(tensor).__name__} in {name or 'them'!r}."
        )
    return Part(name, tensor_shape(tensor), dtype)
