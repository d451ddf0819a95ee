"""The last snapshots, on the device, with the Gram matrix of each group.

A snapshot is kept as `u = w - w_ref`, a `(blocks, numbers)` tensor. Eight of them at a time are stacked into
a chunk, and short chunks into a long one, which never changes again: so nothing is written in place (but on
torch with a GPU the next chunk is filled row by row), and memory grows with what is recorded. Products are
computed when they are asked for, and those of snapshots that have left the window never.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..backend import (
    add_weighed,
    compiled,
    engine,
    float64_allowed,
    has_own_memory,
    segment_summer,
    to_host,
)

if TYPE_CHECKING:
    from .shards import Shards

Real = NDArray[np.float64]

SHORT_CHUNK = 8
# Longer chunks make products faster, and keep more rows that have left the window.
LONG_CHUNK = 32
# Below so many numbers products are taken in float64: blocks are too few for their rounding to average out.
SMALL = 2**16
# Products of float32 numbers, summed within a block, miss by less than this share of |u||v|.
# Not so where all blocks round alike, as with weights that are all 0 or +-c: 1e-6 was seen.
ERROR = {"float32": 1e-8, "float64": 1e-15}
# A group's sum is taken in up to so many parts: on a GPU thousands of threads would wait for one number.
LANES = 256
# In a group of fewer blocks than this, rounding averages out less.
MANY_BLOCKS = 300
ROUNDING = 6e-8
# A step this small beside the way from the reference drowns in that error.
REBASE = 1e-6


class Kernels(NamedTuple):
    """Compiled products; each returns one sum a group, in float64."""

    chunk_row: Callable[..., Any]
    rows: Callable[..., Any]
    exact: Callable[..., Any]


@functools.lru_cache(maxsize=64)
def kernels(blocks: tuple[int, ...], dtype: str, shards: Shards | None = None) -> Kernels:
    """Products for groups of so many blocks (on each device), rounded to `dtype` within a block."""
    group_of_block = np.repeat(np.arange(len(blocks)), blocks)
    lanes = int(np.clip(len(group_of_block) // (16 * len(blocks)), 1, LANES))
    part = (group_of_block * lanes + np.arange(len(group_of_block)) % lanes).astype(np.int32)

    in_parts = segment_summer(part, len(blocks) * lanes)
    stops = np.cumsum(blocks)
    scatter_is_slow = engine() == "jax" and has_own_memory()

    def by_group(sums: Any) -> Any:
        if scatter_is_slow:
            begins = (0, *stops[:-1])
            slices = (ops.cast(sums[a:b], "float64") for a, b in zip(begins, stops, strict=True))
            return ops.stack([ops.sum(one, axis=0) for one in slices])
        parts = in_parts(ops.cast(sums, "float64"))
        rest = [-1] * (len(sums.shape) - 1)  # TensorFlow may not know the size
        return ops.sum(ops.reshape(parts, (len(blocks), lanes, *rest)), axis=1)

    def chunk_row(chunk: Any, row: Any) -> Any:
        column = ops.cast(row, dtype)[:, :, None]
        return by_group(ops.squeeze(ops.cast(chunk, dtype) @ column, -1))

    def rows(a: Any, b: Any) -> Any:
        return by_group(ops.sum(ops.cast(a, dtype) * ops.cast(b, dtype), axis=1))

    def exact(a: Any, b: Any) -> Any:
        return by_group(ops.sum(ops.cast(a, "float64") * ops.cast(b, "float64"), axis=1))

    found = (chunk_row, rows, exact)
    return Kernels(*(compiled(f if shards is None else shards.summed(f), xla=False) for f in found))


@compiled(xla=False)
def _stack(rows: list[Any]) -> Any:
    return ops.stack(rows, axis=1)


@compiled(xla=False)
def _join(chunks: list[Any]) -> Any:
    return ops.concatenate(chunks, axis=1)


@compiled(xla=False)
def _shift(chunk: Any, row: Any) -> Any:
    return chunk - row[:, None, :]


@compiled(xla=False)
def _weigh(total: Any, chunk: Any, weights: Any) -> Any:
    return add_weighed(total, weights, chunk)


def _length(chunk: Any) -> int:
    """How many rows a chunk holds."""
    return int(chunk.shape[1])


class SnapshotWindow:
    """The last `length` rows with their inner products.

    Args:
        length: how many rows to keep, at least 2.
        blocks: blocks of each group (on each device), as `Layout.blocks`.
        reference: `(blocks, numbers)` tensor that has been taken off each row.
        dtype: precision of the rows, `"float32"` or `"float64"`.
        shards: over which devices the blocks are divided. Defaults to None: all lie on one.
    """

    def __init__(
        self,
        length: int,
        blocks: tuple[int, ...],
        reference: Any,
        dtype: str,
        shards: Shards | None = None,
    ) -> None:
        self.length = length
        self.reference = reference
        self.origin: Any = None  # origin - reference, once they differ
        self._long = min(LONG_CHUNK, 2 ** int(np.log2(max(length // 3, 1))))
        self._short = min(SHORT_CHUNK, self._long)
        self._products_in = "float64" if math.prod(reference.shape) <= SMALL else dtype
        self._kernels = kernels(blocks, self._products_in, shards)
        self._chunks: deque[Any] = deque()
        self._loose: list[Any] = []
        # torch on a GPU can write in place: then the next chunk, of which the loose rows are views.
        self._open: Any = None
        self._in_place = engine() == "torch" and has_own_memory()
        self._oldest = 0  # number of the oldest row still held
        self._count = 0  # rows seen
        self._done = 0  # rows whose products are known
        self._groups = len(blocks)
        self._blocks = [count * (shards.count if shards else 1) for count in blocks]
        self._dtype = dtype
        self._forget()

    def _forget(self) -> None:
        """No products are known."""
        self._done = self.first
        self._gram = np.zeros((self._groups, 0, 0))
        self._cross = np.zeros((self._groups, 0))
        self._from_origin = np.zeros((self._groups, 0))
        self._reference_square: Real | None = None
        self._origin_square: Real = np.zeros(self._groups)

    @property
    def first(self) -> int:
        """Number of the oldest row in the window."""
        return max(0, self._count - self.length)

    def __len__(self) -> int:
        return self._count - self.first

    def error(self, groups: list[int]) -> float:
        """Error of an inner product within some groups, as a share of `|u||v|`."""
        few = sum(self._blocks[i] for i in groups) < MANY_BLOCKS
        # torch adds up within a block one after another, and misses by 4e-8.
        rough = self._products_in == "float32" and (few or engine() == "torch")
        return ROUNDING if rough else ERROR[self._products_in]

    def append(self, row: Any) -> None:
        """Add `row`, a `(blocks, numbers)` tensor: a snapshot less the reference."""
        self._loose.append(self._placed(row))
        self._count += 1
        if len(self._loose) == self._short:
            self._chunks.append(_stack(self._loose) if self._open is None else self._open)
            self._loose, self._open = [], None
            latest = list(self._chunks)[-(self._long // self._short) :]
            if len(latest) > 1 and sum(_length(chunk) for chunk in latest) == self._long:
                for _ in latest:
                    self._chunks.pop()
                self._chunks.append(_join(latest))
        while self._chunks and self._oldest + _length(self._chunks[0]) <= self.first:
            self._oldest += _length(self._chunks.popleft())

    def _placed(self, row: Any) -> Any:
        """The row where it stays: where that can be, at its place in the next chunk."""
        if not self._in_place:
            return row
        if not self._loose:
            self._open = row.new_empty((len(row), self._short, row.shape[1]))
        self._open[:, len(self._loose)] = row
        return self._open[:, len(self._loose)]

    def products(self) -> Real:
        """`(groups, m, m)` inner products `<u_i, u_j>`."""
        self._complete()
        if len(self) > 1 and self._step_drowns():
            self._rebase()
            self._complete()
        return self._gram

    def reference_products(self) -> tuple[Real, Real]:
        """`(groups, m)` inner products `<w_ref, u_i>`, and `(groups,)` squares `|w_ref|^2`."""
        self.products()
        for number in range(self._cross.shape[1], len(self)):
            cross = self._host(self._kernels.exact(self.reference, self.row(number)))
            self._cross = np.append(self._cross, cross[:, None], axis=1)
        if self._reference_square is None:
            self._reference_square = self._host(self._kernels.exact(self.reference, self.reference))
        return self._cross, self._reference_square

    def displacements(self) -> Real:
        """`(m,)` distance of each row from the origin: the first reference."""
        self.products()
        squares = np.diagonal(self._gram, axis1=1, axis2=2) - 2 * self._from_origin
        total = np.sum(squares + self._origin_square[:, None], axis=0)
        return np.asarray(np.sqrt(np.maximum(total, 0.0)), np.float64)

    def origin_row(self) -> Any:
        """The first reference."""
        return self.reference if self.origin is None else self.reference + self.origin

    def combine(self, coefficients: Real) -> Any:
        """`sum_i c_i u_i + w_ref sum_i c_i`, a `(blocks, numbers)` tensor."""
        weights = np.concatenate([np.zeros(self.first - self._oldest), coefficients])
        begin = 0
        with float64_allowed():
            total = self.reference * ops.cast(float(np.sum(coefficients)), self._dtype)
            for chunk in [*self._chunks, *(row[:, None, :] for row in self._loose)]:
                part = weights[begin : begin + _length(chunk)]
                begin += _length(chunk)
                if np.any(part):
                    total = _weigh(total, chunk, ops.convert_to_tensor(part, self._dtype))
        return total

    def row(self, number: int) -> Any:
        """Row `number` of the window, the oldest being 0, as a `(blocks, numbers)` tensor."""
        number += self.first - self._oldest
        for chunk in self._chunks:
            if number < _length(chunk):
                return chunk[:, number]
            number -= _length(chunk)
        return self._loose[number]

    def _host(self, sums: Any) -> Real:
        with float64_allowed():
            return to_host(sums)

    def _complete(self) -> None:
        """Compute the products that are not known, and let go of those that have left the window."""
        leaving = max(0, self.first - (self._done - self._gram.shape[1]))
        if leaving:
            self._gram = self._gram[:, leaving:, leaving:]
            self._cross = self._cross[:, leaving:]
            self._from_origin = self._from_origin[:, leaving:]
        self._done = max(self._done, self.first)
        for number in range(self._done - self.first, len(self)):
            self._add_row(number)

    def _add_row(self, number: int) -> None:
        """Products of row `number` of the window with all rows up to it."""
        row = self.row(number)
        far = None if self.origin is None else self._kernels.exact(self.origin, row)
        found, begin = [], self._oldest - self.first
        for chunk in self._chunks:
            if begin <= number:
                found.append(self._kernels.chunk_row(chunk, row))
            begin += _length(chunk)
        loose = max(0, number - begin + 1)
        if self._open is None:
            found += [self._kernels.rows(other, row) for other in self._loose[:loose]]
        elif loose:
            found.append(self._kernels.chunk_row(self._open[:, :loose], row))
        # The engine may have worked on all of these at once: so they are fetched afterwards.
        table = np.concatenate([self._host(f).reshape(self._groups, -1) for f in found], axis=1)
        known = self._gram.shape[1]
        skipped = self.first - self._oldest
        table = table[:, skipped : skipped + known + 1]
        grown = np.empty((self._groups, known + 1, known + 1))
        grown[:, :known, :known] = self._gram
        grown[:, known, :] = grown[:, :, known] = table
        self._gram = grown
        far = np.zeros(self._groups) if far is None else self._host(far)
        self._from_origin = np.append(self._from_origin, far[:, None], axis=1)
        self._done += 1

    def _step_drowns(self) -> bool:
        """Whether the last step is lost in the rounding of its products."""
        last = self._gram[:, -2:, -2:].sum(axis=0)
        step = last[0, 0] - 2 * last[0, 1] + last[1, 1]
        return bool(step < REBASE * max(last[0, 0], last[1, 1]))

    def _rebase(self) -> None:
        """Take the newest snapshot for reference: then short steps near it keep their digits."""
        newest = self.row(len(self) - 1)
        self.origin = (0 if self.origin is None else self.origin) - newest
        self.reference = self.reference + newest
        self._chunks = deque(_shift(chunk, newest) for chunk in self._chunks)
        self._loose, rows = [], self._loose
        for row in rows:
            self._loose.append(self._placed(row - newest))
        self._forget()
        self._origin_square = self._host(self._kernels.exact(self.origin, self.origin))
