"""A window whose rows do not stay on the device: they lie in the host's memory or in files.

Rows come back a slice of some numbers at a time, so that memory does not grow with the window. Products are
taken in float64 on the host when a row arrives, since to read all rows again would cost as much.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections import deque
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..backend import float64_allowed

Real = NDArray[np.float64]
Row = NDArray[Any]

# Numbers of one row that are in memory at a time.
SLICE = 2**21
ERROR = 1e-15


class Rows(Protocol):
    """Where rows of so many numbers are kept."""

    def append(self, row: Row) -> None:
        """Keep a row behind the last."""

    def drop_first(self) -> None:
        """Let the oldest row go."""

    def read(self, index: int, start: int, stop: int) -> Row:
        """Numbers `start` to `stop` of row `index`, the oldest being 0."""


class HostRows:
    """Rows in the memory of the host."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()

    def append(self, row: Row) -> None:
        """Keep a row behind the last."""
        self._rows.append(np.array(row))

    def drop_first(self) -> None:
        """Let the oldest row go."""
        self._rows.popleft()

    def read(self, index: int, start: int, stop: int) -> Row:
        """Numbers `start` to `stop` of row `index`, the oldest being 0."""
        return self._rows[index][start:stop]


class FileRows:
    """Rows in files of a folder that is removed with this object.

    Args:
        beside: a folder on the disk that is to hold them.

    Raises:
        OSError: If the folder cannot be made; later, if the disk is full.
    """

    def __init__(self, beside: str | os.PathLike[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=beside, prefix=".window-")
        self._last = weakref.finalize(self, self._folder.cleanup)
        self._first = self._count = 0
        self._dtype = np.dtype("float32")

    def append(self, row: Row) -> None:
        """Keep a row behind the last."""
        self._dtype = row.dtype
        path = self._path(self._first + self._count)
        try:
            row.tofile(path)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._count += 1

    def drop_first(self) -> None:
        """Let the oldest row go."""
        self._path(self._first).unlink()
        self._first += 1
        self._count -= 1

    def read(self, index: int, start: int, stop: int) -> Row:
        """Numbers `start` to `stop` of row `index`, the oldest being 0."""
        path, size = self._path(self._first + index), self._dtype.itemsize
        return np.fromfile(path, self._dtype, stop - start, offset=start * size)

    def _path(self, number: int) -> Path:
        return Path(self._folder.name) / f"{number}.row"


class OffloadedWindow:
    """The last `length` rows with their inner products, as `SnapshotWindow`, kept elsewhere.

    Args:
        length: how many rows to keep, at least 2.
        blocks: blocks of each group, as `Layout.blocks`.
        reference: `(blocks, numbers)` tensor that has been taken off each row.
        dtype: precision of the rows, `"float32"` or `"float64"`.
        rows: where they are kept.
    """

    def __init__(self, length: int, blocks: tuple[int, ...], reference: Any, dtype: str, rows: Rows) -> None:
        self.length, self.reference = length, reference
        self._rows, self._dtype = rows, dtype
        self._shape = tuple(int(n) for n in reference.shape)
        ends = np.cumsum(blocks) * self._shape[1]
        # Each slice lies within one group.
        self._slices = [
            (group, start, min(start + SLICE, int(end)))
            for group, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
            for start in range(int(begin), int(end), SLICE)
        ]
        groups = len(blocks)
        self._count = 0
        self._gram = np.zeros((groups, 0, 0))
        self._cross = np.zeros((groups, 0))
        self._square: Real | None = None

    def __len__(self) -> int:
        return int(self._gram.shape[1])

    def error(self, groups: list[int]) -> float:
        """Error of an inner product within some groups, as a share of `|u||v|`."""
        return ERROR

    def append(self, row: Any) -> None:
        """Add `row`, a `(blocks, numbers)` tensor: a snapshot less the reference."""
        new = np.asarray(ops.convert_to_numpy(row), self._dtype).reshape(-1)
        leaves = int(len(self) == self.length)
        known = len(self) - leaves
        table = np.zeros((len(self._gram), known + 1))
        cross = np.zeros(len(self._gram))
        reference = self._flat_reference()
        for group, start, stop in self._slices:
            part = new[start:stop].astype(np.float64)
            table[group, known] += part @ part
            cross[group] += part @ reference[start:stop].astype(np.float64)
            for i in range(known):
                table[group, i] += part @ self._rows.read(i + leaves, start, stop).astype(np.float64)
        self._rows.append(new)  # if the disk refuses, nothing has changed
        if leaves:
            self._rows.drop_first()
            self._gram, self._cross = self._gram[:, 1:, 1:], self._cross[:, 1:]
        grown = np.empty((len(self._gram), known + 1, known + 1))
        grown[:, :known, :known] = self._gram
        grown[:, known, :] = grown[:, :, known] = table
        self._gram = grown
        self._cross = np.append(self._cross, cross[:, None], axis=1)

    def products(self) -> Real:
        """`(groups, m, m)` inner products `<u_i, u_j>`."""
        return self._gram

    def reference_products(self) -> tuple[Real, Real]:
        """`(groups, m)` inner products `<w_ref, u_i>`, and `(groups,)` squares `|w_ref|^2`."""
        if self._square is None:
            reference, self._square = self._flat_reference(), np.zeros(len(self._gram))
            for group, start, stop in self._slices:
                part = reference[start:stop].astype(np.float64)
                self._square[group] += part @ part
        return self._cross, self._square

    def displacements(self) -> Real:
        """`(m,)` distance of each row from the reference, which stays the first one."""
        squares = np.diagonal(self._gram, axis1=1, axis2=2).sum(axis=0)
        return np.asarray(np.sqrt(np.maximum(squares, 0.0)), np.float64)

    def origin_row(self) -> Any:
        """The first reference."""
        return self.reference

    def combine(self, coefficients: Real) -> Any:
        """`sum_i c_i u_i + w_ref sum_i c_i`, a `(blocks, numbers)` tensor."""
        total = float(np.sum(coefficients)) * self._flat_reference()
        for _, start, stop in self._slices:
            for i in np.flatnonzero(coefficients):
                part = self._rows.read(int(i), start, stop)
                total[start:stop] += np.asarray(coefficients[i], self._dtype) * part
        with float64_allowed():
            return ops.reshape(ops.convert_to_tensor(total, self._dtype), self._shape)

    def row(self, number: int) -> Any:
        """Row `number` of the window, the oldest being 0, as a `(blocks, numbers)` tensor."""
        whole = self._rows.read(number, 0, self._shape[0] * self._shape[1])
        with float64_allowed():
            return ops.reshape(ops.convert_to_tensor(whole, self._dtype), self._shape)

    def _flat_reference(self) -> Row:
        return np.asarray(ops.convert_to_numpy(self.reference), self._dtype).reshape(-1)
