"""The store: snapshots on disk, each there for good before the next step, in a zarr folder.

    attributes             format, version, unit of time, layout of a snapshot
    origin    (n,)         the weights before the first step
    snapshots (count, n)   a chunk, with its checksum, for each snapshot
    times     (count,)     written last: a snapshot with a time is a finished one
    logs.jsonl             a line for each snapshot: its time, its epoch and what `fit` logged

zarr puts each file in place whole, so a process killed at any moment leaves at most one unfinished snapshot,
which has no time. Nothing in a store is ever run or unpickled.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import shutil
import types
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from .layout import Group, Layout, Part

if TYPE_CHECKING:
    from .trajectory import Trajectory

FORMAT = "keras_koopman.trajectory"
VERSION = 1


class Record(NamedTuple):
    """What stands beside a stored snapshot."""

    time: float
    epoch: int | None
    logs: dict[str, float]


class TrajectoryStore:
    """A store opened to read, to append to, or to take back its last snapshots.

    Made by `create` or `open`.
    """

    def __init__(self, path: Path, group: Any, layout: Layout, unit: str) -> None:
        self.path = path
        self.layout = layout
        self.unit = unit
        self._origin, self._snapshots, self._times = (group[n] for n in ("origin", "snapshots", "times"))
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
        zarr = _zarr()
        path = Path(path)
        if path.exists():
            raise FileExistsError(f"path={str(path)!r} exists already. Remove it or give another name.")
        checked = {"compressors": [zarr.codecs.Crc32cCodec()], "fill_value": float("nan")}
        size = layout.size
        # Made beside its place: a process killed meanwhile leaves no half of a store there.
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
        try:
            group = zarr.create_group(draft)
            vector = group.create_array(
                "origin", shape=(size,), chunks=(size,), dtype=layout.dtype, **checked
            )
            vector[:] = _flat(layout, origin)
            vector.attrs["time"] = time
            group.create_array("snapshots", shape=(0, size), chunks=(1, size), dtype=layout.dtype, **checked)
            group.create_array("times", shape=(0,), chunks=(1,), dtype="float64", **checked)
            group.attrs.put({"format": FORMAT, "version": VERSION, "unit": unit, "layout": _plain(layout)})
            draft.rename(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return cls.open(path, read_only=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str], read_only: bool = True) -> TrajectoryStore:
        """Open a store.

        Raises:
            ImportError: If zarr is not installed.
            FileNotFoundError: If there is none.
            ValueError: If it is no trajectory, of a newer format, or damaged.
        """
        zarr = _zarr()
        path = Path(path)
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
        if attributes.get("version") != VERSION:
            raise ValueError(
                f"path={str(path)!r} has format version {attributes.get('version')}; this keras_koopman "
                f"reads version {VERSION}. Update keras_koopman to read it."
            )
        try:
            layout = _layout(attributes["layout"])
            store = cls(path, group, layout, str(attributes["unit"]))
            for name, want in (("snapshots", layout.size), ("origin", layout.size)):
                if group[name].shape[-1] != want:
                    raise ValueError(f"{name} has {group[name].shape[-1]} numbers, the layout {want}")
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
            self._whole_file("origin", "c/0")
            return _values(self.layout, np.asarray(self._origin[:])), float(self._origin.attrs["time"])
        except Exception as error:
            raise _damaged(self.path, "origin is broken", error) from error

    def read(self, index: int) -> Any:
        """Values of finished snapshot `index`.

        Raises:
            ValueError: If it is damaged.
        """
        try:
            self._whole_file("snapshots", f"c/{index}/0")
            row = np.asarray(self._snapshots[index])
        except Exception as error:
            after = len(self._finished) - index - 1
            mend = f"; Trajectory.load(path, window={after}) reads those after it" if after > 1 else ""
            raise _damaged(self.path, f"snapshot {index} is broken{mend}", error) from error
        return _values(self.layout, row)

    def append(
        self, values: Any, time: float, epoch: int | None = None, logs: dict[str, float] | None = None
    ) -> None:
        """Write a snapshot; it is finished when this returns.

        Raises:
            OSError: If the disk refuses.
        """
        count = len(self._finished)
        self._snapshots.resize((count + 1, self.layout.size))
        self._snapshots[count] = _flat(self.layout, values)
        self._write_line({"time": time, "epoch": epoch, "logs": _finite(logs or {})})
        self._times.resize((count + 1,))
        self._times[count] = time
        self._finished.append(time)

    def mark_epoch(self, epoch: int, step: int) -> None:
        """Note that `epoch` ended when `step` batches had been seen."""
        self._write_line({"epoch_end": epoch, "step": step})

    def take_back(self, count: int) -> None:
        """Keep the first `count` snapshots alone: the run has gone back to where it stood then."""
        # One after another from the end: killed meanwhile, no hole is left.
        while len(self._finished) > count:
            self._times.resize((len(self._finished) - 1,))
            self._finished.pop()
        self._snapshots.resize((len(self._finished), self.layout.size))

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

    def _whole_file(self, array: str, chunk: str) -> None:
        """Refuse a chunk that is missing or short before memory is taken for it."""
        path = self.path / array / chunk
        least = self.layout.size * np.dtype(self.layout.dtype).itemsize
        if not path.is_file() or path.stat().st_size < least:
            raise ValueError(f"{array}/{chunk} is missing or cut off")


def save_trajectory(trajectory: Trajectory, path: str | os.PathLike[str]) -> None:
    """Write the snapshots of a trajectory to a new store; see `Trajectory.save`."""
    layout, origin = trajectory._layout, trajectory._origin_values()
    if layout is None or not len(trajectory):
        raise ValueError("there is no snapshot to save. Append some first.")
    time = trajectory.origin_time
    store = TrajectoryStore.create(path, layout, "snapshot", origin, 0.0 if time is None else time)
    for i, when in enumerate(trajectory.times):
        store.append(trajectory.combine(np.eye(len(trajectory))[i]), float(when))


def load_trajectory(path: str | os.PathLike[str], window: int | None) -> Trajectory:
    """Read a store; see `Trajectory.load`."""
    from .trajectory import Trajectory

    store = TrajectoryStore.open(path)
    count = len(store.times)
    if count == 0:
        raise ValueError(f"path={str(path)!r} holds no finished snapshot yet. Record at least one.")
    trajectory = Trajectory(max(count, 2) if window is None else window)
    fill_from(trajectory, store)
    return trajectory


def fill_from(trajectory: Trajectory, store: TrajectoryStore) -> None:
    """Append the last stored snapshots to an empty trajectory, as many as its window holds."""
    values, time = store.origin()
    trajectory.set_origin(values, time)
    count = len(store.times)
    for i in range(max(0, count - trajectory.window), count):
        trajectory.append(store.read(i), float(store.times[i]))


def _zarr() -> types.ModuleType:
    try:
        import zarr
        import zarr.codecs
    except ImportError as error:
        raise ImportError(
            "A store needs zarr, which is not installed: pip install 'keras-koopman[store]'."
        ) from error
    return zarr


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


def _flat(layout: Layout, values: Any) -> NDArray[Any]:
    """All numbers of a snapshot in one vector on the host."""
    tensors = layout.tensors(values)
    return np.concatenate([np.asarray(ops.convert_to_numpy(t), layout.dtype).reshape(-1) for t in tensors])


def _values(layout: Layout, flat: NDArray[Any]) -> Any:
    """A snapshot of arrays from one vector; the reverse of `_flat`."""
    parts = itertools.accumulate((part.size for group in layout.groups for part in group.parts), initial=0)
    starts = iter(list(parts)[:-1])
    return layout.rebuild(
        [
            [
                flat[s : s + part.size].reshape(part.shape)
                for part, s in zip(group.parts, starts, strict=False)
            ]
            for group in layout.groups
        ]
    )


def _plain(layout: Layout) -> dict[str, Any]:
    return {
        "kind": layout.kind,
        "groups": [
            {
                "name": g.name,
                "kind": g.kind,
                "parts": [{"name": p.name, "shape": list(p.shape), "dtype": p.dtype} for p in g.parts],
            }
            for g in layout.groups
        ],
    }


def _layout(plain: dict[str, Any]) -> Layout:
    groups = tuple(
        Group(
            str(g["name"]),
            tuple(
                Part(str(p["name"]), tuple(int(s) for s in p["shape"]), str(p["dtype"])) for p in g["parts"]
            ),
            str(g["kind"]),
        )
        for g in plain["groups"]
    )
    return Layout(groups, str(plain["kind"]))
