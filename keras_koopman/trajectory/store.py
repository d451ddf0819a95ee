"""The store: snapshots on disk, each there for good before the next step, in a zarr folder.

    attributes             format, version, unit of time, layout of a snapshot
    origin    (n,)         the weights before the first step
    snapshots (count, n)   a chunk, with its checksum, for each snapshot
    times     (count,)     written last: a snapshot with a time is a finished one
    logs.jsonl             a line for each snapshot: its time, its epoch and what `fit` logged

zarr puts each file in place whole, so a process killed at any moment leaves at most one unfinished snapshot,
which has no time. Nothing in a store is ever run or unpickled.

Where several processes hold the weights between them (version 2), `origin/0`, `snapshots/0` and so on hold
what each of them writes, the attribute `writers` says which pieces that are, and the first process writes all
else, once all have written theirs.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backend import agreed, process, shared, together
from .description import (
    FORMAT,
    VERSION,
    VERSION_OF_SEVERAL,
    describe_store,
    layout_from_plain,
    zarr_module,
)
from .layout import Layout
from .pieces import Column, columns_of, divided, from_plain, joined


class Record(NamedTuple):
    """What stands beside a stored snapshot."""

    time: float
    epoch: int | None
    logs: dict[str, float]


class TrajectoryStore:
    """A store opened to read, to append to, or to take back its last snapshots.

    Made by `create` or `open`. What changes it is called by all the processes that share the values.
    """

    def __init__(
        self, path: Path, group: Any, layout: Layout, unit: str, columns: list[Column], several: bool
    ) -> None:
        self.path = path
        self.layout = layout
        self.unit = unit
        self._group, self._columns = group, columns
        self._first = not several or process() == 0
        self._mine = [c for c in columns if not several or c.process == process()]
        self._together = functools.partial(together, several=several)
        self._times = group["times"]
        # Only as many as there are files for: a declared shape takes no memory.
        count = _whole_numbers(path / "times" / "c")
        times = np.asarray(self._times[:count], np.float64)
        if not np.all(np.isfinite(times)):
            raise ValueError("a time is not finite")
        self._finished: list[float] = times.tolist()

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], layout: Layout, unit: str, origin: Any, time: float
    ) -> TrajectoryStore:
        """Make an empty store.

        Args:
            path: folder to make.
            layout: of the snapshots to come.
            unit: unit of their times, `"epoch"`, `"batch"` or `"snapshot"`.
            origin: values before the first step.
            time: when those were taken.

        Raises:
            ImportError: If zarr is not installed.
            FileExistsError: If `path` exists.
            OSError: If the disk refuses; then nothing is left of it.
        """
        zarr = zarr_module()
        path, tensors = Path(path), layout.tensors(origin)
        several = shared(tensors)
        columns = columns_of(divided(tensors) if several else None, layout)
        all_do = functools.partial(together, several=several)
        first = not several or process() == 0

        def refuse_another() -> None:
            if path.exists():
                raise FileExistsError(f"path={str(path)!r} exists already. Remove it or give another name.")

        all_do(refuse_another)
        # Made beside its place: a process killed meanwhile leaves no half of a store there.
        mark = uuid.uuid4().int % 2**52
        draft = path.with_name(f"{path.name}.{int(agreed(mark, several=several)):x}.partial")

        def describe() -> None:
            if first:
                describe_store(zarr, draft, layout, unit, columns, time)

        def fill() -> None:
            for column in columns:
                if not several or column.process == process():
                    array = zarr.open_array(draft / column.within("origin"), mode="r+")
                    array[:] = column.take(tensors, layout.dtype)

        def put_in_place() -> None:
            if first:
                draft.rename(path)

        try:
            for step in (describe, fill, put_in_place):
                all_do(step)
        except BaseException:
            if first:
                shutil.rmtree(draft, ignore_errors=True)
            raise
        return cls.open(path, read_only=False, several=several)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], read_only: bool = True, several: bool = False
    ) -> TrajectoryStore:
        """Open a store.

        Args:
            path: folder of the store.
            read_only: whether it will not be changed. Defaults to True.
            several: whether several processes, that all call this, will change it. Defaults to False.

        Raises:
            ImportError: If zarr is not installed.
            FileNotFoundError: If there is none.
            ValueError: If it is no trajectory, of a newer format, or damaged.
            OSError: If another process cannot open it.
        """
        return together(lambda: cls._open(Path(path), read_only, several), several=several)

    @classmethod
    def _open(cls, path: Path, read_only: bool, several: bool) -> TrajectoryStore:
        zarr = zarr_module()
        if not path.exists():
            raise FileNotFoundError(f"path={str(path)!r}: there is no such store. Record one with store=.")
        try:
            group = zarr.open_group(path, mode="r" if read_only else "r+")
            attributes = dict(group.attrs)
        except Exception as error:  # zarr raises many kinds for a broken folder
            raise _damaged(path, "it is no zarr group", error) from error
        if attributes.get("format") != FORMAT:
            raise ValueError(
                f"path={str(path)!r} is no trajectory of keras_koopman. Give a folder that save or a "
                "recorder made."
            )
        version = attributes.get("version")
        if version not in (VERSION, VERSION_OF_SEVERAL):
            raise ValueError(
                f"path={str(path)!r} has format version {version}; this keras_koopman "
                f"reads versions {VERSION} and {VERSION_OF_SEVERAL}. Update keras_koopman to read it."
            )
        try:
            layout = layout_from_plain(attributes["layout"])
            writers = from_plain(attributes["writers"], layout) if version == VERSION_OF_SEVERAL else None
            columns = columns_of(writers, layout)
            store = cls(path, group, layout, str(attributes["unit"]), columns, several)
            for column in columns:
                for name in ("snapshots", "origin"):
                    found = store._array(name, column).shape[-1]
                    if found != column.size:
                        raise ValueError(f"{name} has {found} numbers, the layout {column.size}")
        except Exception as error:
            raise _damaged(path, "its description cannot be read", error) from error
        return store

    @property
    def times(self) -> NDArray[np.float64]:
        """`(count,)` times of the finished snapshots."""
        return np.array(self._finished, np.float64)

    def origin(self) -> tuple[Any, float]:
        """Values before the first step, and when they were taken.

        Raises:
            ValueError: If they are damaged.
        """
        try:
            time = float(self._group["origin"].attrs["time"])
            return self._values("origin", "c/0", slice(None)), time
        except Exception as error:
            raise _damaged(self.path, "origin is broken", error) from error

    def read(self, index: int) -> Any:
        """Values of finished snapshot `index`.

        Raises:
            ValueError: If it is damaged.
        """
        try:
            return self._values("snapshots", f"c/{index}/0", index)
        except Exception as error:
            after = len(self._finished) - index - 1
            mend = f"; Trajectory.load(path, window={after}) reads those after it" if after > 1 else ""
            raise _damaged(self.path, f"snapshot {index} is broken{mend}", error) from error

    def append(
        self, values: Any, time: float, epoch: int | None = None, logs: dict[str, float] | None = None
    ) -> None:
        """Write a snapshot; it is finished when this returns.

        Raises:
            OSError: If the disk refuses.
        """
        count, tensors = len(self._finished), self.layout.tensors(values)

        def write() -> None:
            for column in self._mine:
                snapshots = self._array("snapshots", column)
                snapshots.resize((count + 1, column.size))
                snapshots[count] = column.take(tensors, self.layout.dtype)

        def finish() -> None:
            if self._first:
                self._write_line({"time": time, "epoch": epoch, "logs": _finite(logs or {})})
                self._times.resize((count + 1,))
                self._times[count] = time

        self._together(write)
        self._together(finish)
        self._finished.append(time)

    def mark_epoch(self, epoch: int, step: int) -> None:
        """Note that `epoch` ended when `step` batches had been seen."""

        def note() -> None:
            if self._first:
                self._write_line({"epoch_end": epoch, "step": step})

        self._together(note)

    def take_back(self, count: int) -> None:
        """Keep the first `count` snapshots alone: the run has gone back to where it stood then."""

        def forget() -> None:
            # One after another from the end: killed meanwhile, no hole is left.
            for left in range(len(self._finished) - 1, count - 1, -1):
                if self._first:
                    self._times.resize((left,))
                self._finished.pop()

        def drop() -> None:
            for column in self._mine:
                self._array("snapshots", column).resize((len(self._finished), column.size))

        self._together(forget)
        self._together(drop)

    def check_writers(self, values: Any) -> None:
        """Refuse values of which these processes cannot write the pieces.

        Raises:
            ValueError: If other processes, or other shards, wrote the store.
        """
        tensors = self.layout.tensors(values)
        if not shared(tensors) or columns_of(divided(tensors), self.layout) == self._columns:
            return
        raise ValueError(
            f"path={str(self.path)!r} was written by other processes, or with weights sharded in another "
            "way: this run cannot append to it. Trajectory.load reads it; give another store."
        )

    def records(self) -> list[Record]:
        """Time, epoch and logs of each finished snapshot."""
        # A snapshot that was taken back and taken again has two lines: the later one counts.
        lines = {line["time"]: line for line in self._lines() if isinstance(line.get("time"), float | int)}
        found = [lines.get(time, {}) for time in self._finished]
        return [
            Record(time, line.get("epoch"), dict(line.get("logs", {})))
            for time, line in zip(self._finished, found, strict=True)
        ]

    def steps_at(self, epoch: int) -> int | None:
        """Batches seen when `epoch` ended; None if that was not noted."""
        steps = [line["step"] for line in self._lines() if line.get("epoch_end") == epoch and "step" in line]
        return int(steps[-1]) if steps else None

    def _write_line(self, line: dict[str, Any]) -> None:
        with (self.path / "logs.jsonl").open("a", encoding="utf-8") as file:
            # A line that was cut off must not swallow this one.
            file.write("\n" + json.dumps(line, allow_nan=False) + "\n")

    def _lines(self) -> Iterator[dict[str, Any]]:
        path = self.path / "logs.jsonl"
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:  # blank, or cut off when the process was killed
                    continue
                if isinstance(line, dict):
                    yield line

    def _array(self, name: str, column: Column) -> Any:
        """Array of what one process writes."""
        return self._group[column.within(name)]

    def _values(self, name: str, chunk: str, index: Any) -> Any:
        """A snapshot of arrays."""
        for column in self._columns:  # before memory is taken for them
            self._whole_file(column.within(name), chunk, column.size)
        return joined(
            self.layout, ((c.pieces, np.asarray(self._array(name, c)[index])) for c in self._columns)
        )

    def _whole_file(self, array: str, chunk: str, size: int) -> None:
        """Refuse a chunk that is missing or short."""
        path = self.path / array / chunk
        least = size * np.dtype(self.layout.dtype).itemsize
        if not path.is_file() or path.stat().st_size < least:
            raise ValueError(f"{array}/{chunk} is missing or cut off")


def _damaged(path: Path, what: str, error: Exception) -> ValueError:
    return ValueError(
        f"path={str(path)!r} is damaged: {what} ({type(error).__name__}: {str(error).rstrip('.')}). "
        "Restore it from a copy, or record anew."
    )


def _whole_numbers(folder: Path) -> int:
    """How many files `0`, `1`, ... a folder holds.

    Raises:
        ValueError: If one is missing.
    """
    found = {int(f.name) for f in folder.iterdir() if f.name.isdigit()} if folder.exists() else set()
    for number in range(len(found)):
        if number not in found:
            raise ValueError(f"times/c/{number} is missing")
    return len(found)


def _finite(logs: dict[str, Any]) -> dict[str, float]:
    """The numbers among the logs that JSON can hold."""
    found = {}
    for name, value in logs.items():
        with contextlib.suppress(TypeError, ValueError):  # not a number
            if np.ndim(value) == 0 and math.isfinite(float(value)):
                found[str(name)] = float(value)
    return found
