"""Which process writes what of a snapshot that several processes hold between them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..backend import shared
from .layout import Layout

Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Piece:
    """A box cut out of one tensor.

    Attributes:
        part: number of the tensor in its snapshot.
        box: where it starts and stops along each dimension.
    """

    part: int
    box: Box

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(stop - start for start, stop in self.box)

    @property
    def index(self) -> tuple[slice, ...]:
        """By which it is cut out of its tensor."""
        return tuple(slice(start, stop) for start, stop in self.box)


Pieces = tuple[Piece, ...]


def whole(layout: Layout) -> Pieces:
    """All tensors, each in one piece."""
    return tuple(
        Piece(number, tuple((0, side) for side in part.shape)) for number, part in enumerate(_parts(layout))
    )


def divided(tensors: list[Any]) -> tuple[Pieces, ...]:
    """For each process, the pieces that it writes: all that it holds, and its share of what several hold."""
    import jax

    count = jax.process_count()
    found: list[list[Piece]] = [[] for _ in range(count)]
    load = [0] * count
    for number, tensor in enumerate(tensors):
        for box, holders in sorted(_holders(tensor, count).items()):
            piece = Piece(number, box)
            if not piece.size:
                continue
            writer = min(holders, key=lambda process: (load[process], process))
            load[writer] += piece.size
            found[writer].append(piece)
    return tuple(tuple(pieces) for pieces in found)


def _holders(tensor: Any, count: int) -> dict[Box, set[int]]:
    """Processes that hold each piece of a tensor."""
    shape = tuple(int(side) for side in tensor.shape)
    if not shared([tensor]):
        return {tuple((0, side) for side in shape): set(range(count))}
    holders: dict[Box, set[int]] = {}
    for device, index in tensor.sharding.devices_indices_map(shape).items():
        holders.setdefault(_box(index, shape), set()).add(device.process_index)
    return holders


def _box(index: Iterable[slice], shape: tuple[int, ...]) -> Box:
    return tuple(part.indices(side)[:2] for part, side in zip(index, shape, strict=True))


def take(tensor: Any, piece: Piece) -> NDArray[Any]:
    """The numbers of a piece, from what this process holds of its tensor.

    Raises:
        ValueError: If it does not hold them.
    """
    if not shared([tensor]):
        return np.asarray(ops.convert_to_numpy(tensor))[piece.index]
    for shard in tensor.addressable_shards:
        held = _box(shard.index, tensor.shape)
        if all(a <= start and stop <= b for (start, stop), (a, b) in zip(piece.box, held, strict=True)):
            index = tuple(slice(i - a, j - a) for (i, j), (a, _) in zip(piece.box, held, strict=True))
            return np.asarray(shard.data)[index]
    raise ValueError(f"this process does not hold {piece.box} of tensor {piece.part}")


def equal(tensor: Any, array: NDArray[Any]) -> bool:
    """Whether what this process holds of a tensor is that part of an array."""
    if not shared([tensor]):
        return np.array_equal(ops.convert_to_numpy(tensor), array)
    return all(np.array_equal(shard.data, array[shard.index]) for shard in tensor.addressable_shards)


def joined(layout: Layout, columns: Iterable[tuple[Pieces, NDArray[Any]]]) -> Any:
    """A snapshot of arrays from the pieces of all writers, each writer's in one vector.

    Raises:
        ValueError: If they do not make up a whole snapshot.
    """
    parts = _parts(layout)
    tensors = {n: np.empty(part.shape, layout.dtype) for n, part in enumerate(parts) if not part.size}
    of_pieces: set[int] = set()
    for pieces, flat in columns:
        start = 0
        for piece in pieces:
            values, start = flat[start : start + piece.size], start + piece.size
            part, shape = piece.part, tuple(stop - begin for begin, stop in piece.box)
            if shape == parts[part].shape:
                tensors[part] = values.reshape(shape)
                continue
            if part not in of_pieces:  # what no piece covers stays NaN, which a snapshot never holds
                of_pieces.add(part)
                tensors[part] = np.full(parts[part].shape, np.nan, layout.dtype)
            tensors[part][piece.index] = values.reshape(shape)
    if any(np.isnan(tensors[part]).any() for part in of_pieces) or len(tensors) < len(parts):
        raise ValueError("its pieces do not cover it")
    return layout.regroup(tensors[part] for part in range(len(parts)))


def plain(pieces: Pieces) -> list[list[Any]]:
    """As JSON holds them: `[part, [start, stop], ...]`."""
    return [[piece.part, *map(list, piece.box)] for piece in pieces]


def from_plain(writers: Any, layout: Layout) -> tuple[Pieces, ...]:
    """The reverse of `plain`, for each process.

    Raises:
        ValueError: If they cannot make up a snapshot of this layout.
    """
    found = tuple(
        tuple(Piece(int(part), tuple((int(i), int(j)) for i, j in box)) for part, *box in pieces)
        for pieces in writers
    )
    shapes = [part.shape for part in _parts(layout)]
    for piece in (piece for pieces in found for piece in pieces):
        sides = shapes[piece.part] if 0 <= piece.part < len(shapes) else ()
        inside = len(sides) == len(piece.box) and 0 <= piece.part < len(shapes)
        if not inside or any(
            not 0 <= start <= stop <= side for (start, stop), side in zip(piece.box, sides, strict=True)
        ):
            raise ValueError(f"piece {plain((piece,))[0]} lies outside of its tensor")
    if sum(piece.size for pieces in found for piece in pieces) != layout.size:
        raise ValueError("its pieces do not make up a snapshot")
    return found


class Column(NamedTuple):
    """What one process writes."""

    process: int
    pieces: Pieces
    numbered: bool  # whether others write too

    def within(self, name: str) -> str:
        """Path of its array `name`."""
        return f"{name}/{self.process}" if self.numbered else name

    @property
    def size(self) -> int:
        """How many numbers it writes of a snapshot."""
        return sum(piece.size for piece in self.pieces)

    def take(self, tensors: list[Any], dtype: str) -> NDArray[Any]:
        """They, in one vector on the host."""
        return np.concatenate([np.asarray(take(tensors[p.part], p), dtype).reshape(-1) for p in self.pieces])


def columns_of(writers: tuple[Pieces, ...] | None, layout: Layout) -> list[Column]:
    """What each process writes; None: one writes all."""
    if writers is None:
        return [Column(0, whole(layout), False)]
    found = [Column(number, pieces, True) for number, pieces in enumerate(writers)]
    return [column for column in found if column.size]


def _parts(layout: Layout) -> list[Any]:
    return [part for group in layout.groups for part in group.parts]
