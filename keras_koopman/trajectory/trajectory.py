"""`Trajectory`: the last snapshots of what is observed, with their inner products."""

from __future__ import annotations

import functools
import os
import sys
from collections import deque
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from keras import ops
from numpy.typing import NDArray

from .. import _checks
from ..backend import compiled, float64_allowed, to_host
from ..linalg import difference_matrix
from ..spectrum.decomposition import KoopmanDecomposition
from .layout import Layout
from .offload import FileRows, HostRows, OffloadedWindow
from .shards import Shards
from .view import TrajectoryView
from .window import SnapshotWindow

Real = NDArray[np.float64]


@functools.lru_cache(maxsize=64)
def _packer(layout: Layout, shards: Shards | None) -> Any:
    """Compiled: tensors and a reference to a row less that reference, and its sum."""

    @compiled(xla=False)
    def pack(tensors: list[Any], reference: Any) -> Any:
        row = (layout.pack(tensors) if shards is None else shards.pack(layout, tensors)) - reference
        return row, ops.sum(row)

    return pack


@functools.lru_cache(maxsize=64)
def _unpacker(layout: Layout, shards: Shards) -> Any:
    """Compiled: a row to tensors, each divided over the devices as it was handed in."""

    @compiled(xla=False)
    def unpack(row: Any) -> Any:
        return shards.unpack(layout, row)

    return unpack


class _Mean:
    """A running mean of rows, all relative to one reference."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference
        self.count = 0
        self._sum: Any = 0.0

    def add(self, row: Any) -> None:
        self._sum = self._sum + row
        self.count += 1

    def relative_to(self, reference: Any) -> Any:
        """The mean less another reference."""
        mean = self._sum / self.count
        return mean if reference is self.reference else mean + (self.reference - reference)


class Trajectory:
    """The last snapshots of the weights, or of anything observed, and their Gram matrix.

    Snapshots stay on the device on which they are handed in, unless `keep` says otherwise. Inner products are
    added up in float64, group by group, and are computed when they are asked for. The oldest snapshot leaves
    when the window is full. Memory grows with what is recorded: about one copy of the values for each
    snapshot in the window.

    Args:
        window: How many snapshots to keep, at least 2. Defaults to 64.
        keep: Where to keep them: `"device"`; `"host"`, in the memory of the host; or a folder, in scratch
            files that are removed with the trajectory. In the latter two cases products are taken on the
            host as snapshots arrive, each of which reads the whole window once, and memory holds a few
            snapshots. Defaults to `"device"`.

    Raises:
        ValueError: If `window` is below 2.
        TypeError: If `keep` is something else.
        FileNotFoundError: If `keep` is a folder that does not exist.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> trajectory = kk.Trajectory(window=8)
    >>> for t in range(6):
    ...     trajectory.append({"fast": np.array([0.5**t]), "slow": np.array([3 * 0.9**t])})
    >>> trajectory.gram.shape
    (6, 6)
    >>> trajectory.gram_of("fast")[:2, 0]
    array([1. , 0.5])
    >>> trajectory.decompose("slow").eigenvalues.real
    array([0.9])
    """

    def __init__(self, window: int = 64, keep: str | os.PathLike[str] = "device") -> None:
        window = _checks.whole_number("window", window, least=1)
        if window == 1:
            raise ValueError(
                "window=1 leaves no motion to see: a spectrum needs two snapshots or more. Raise it."
            )
        if not isinstance(keep, str | os.PathLike):
            raise TypeError(f"keep must be 'device', 'host' or a folder, got {keep!r}.")
        if keep not in ("device", "host") and not os.path.isdir(keep):
            raise FileNotFoundError(
                f"keep={str(keep)!r} is no folder. Make it first, or pass 'device' or 'host'."
            )
        self.window, self.keep = window, keep
        self._layout: Layout | None = None
        self._shards: Shards | None = None
        self._rows: SnapshotWindow | OffloadedWindow | None = None
        self._pack: Any = None
        self._times: deque[float] = deque(maxlen=min(window, sys.maxsize))
        self._appended = 0  # those that have left the window too
        self._origin_time: float | None = None
        self._mean: _Mean | None = None

    def set_origin(self, values: Any, time: float = 0.0) -> None:
        """Set the point from which `displacements` are measured: the weights before the first step.

        Without it the first snapshot is the origin.

        Args:
            values: as for `append`.
            time: when they were taken.

        Raises:
            ValueError: If a snapshot has been appended or accumulated already, or the values are not finite.
        """
        if self._times or self._mean is not None:
            raise ValueError("set_origin comes before the first append. Make a new Trajectory.")
        time = _checks.real_number("time", time, -np.inf, np.inf)
        self._begin(values)
        self._origin_time = time

    def append(self, values: Any, time: float | None = None) -> None:
        """Record a snapshot.

        Args:
            values: An array or tensor of any shape; or a dict of them (or of lists of them) by name of
                group; or a list of them, each a group. All snapshots must have the same shapes.
            time: When it was taken; later than the one before. Defaults to one more than that.

        Raises:
            TypeError: If the values are not real numbers.
            ValueError: If they are not finite or differ in shape from those before, or the time is not later.
        """
        time = self._next_time(time)
        if self._layout is None or self._rows is None:
            self._begin(values)
            self._origin_time = time
        assert self._layout is not None and self._rows is not None  # noqa: PT018
        self._add(self._row(values, self._rows.reference), time)

    def accumulate(self, values: Any) -> None:
        """Add `values` to the mean that `append_mean` will record.

        Args:
            values: as for `append`.

        Raises:
            ValueError: If they are not finite, or differ in shape from those before.
        """
        if self._rows is None:
            self._begin(values)
        assert self._rows is not None
        if self._mean is None:
            self._mean = _Mean(self._rows.reference)
        with float64_allowed():
            self._mean.add(self._row(values, self._mean.reference))

    def drop_mean(self) -> None:
        """Forget what was accumulated since the last mean."""
        self._mean = None

    def append_mean(self, time: float | None = None) -> int:
        """Record the mean of what was accumulated since the last one.

        Args:
            time: as for `append`.

        Returns:
            Of how many values it is the mean.

        Raises:
            ValueError: If nothing was accumulated, or the time is not later.
        """
        if self._mean is None or self._rows is None:
            raise ValueError("nothing was accumulated since the last mean. Call accumulate first.")
        time = self._next_time(time)
        mean, self._mean = self._mean, None
        with float64_allowed():
            self._add(mean.relative_to(self._rows.reference), time)
        return mean.count

    def __len__(self) -> int:
        return len(self._times)

    @property
    def times(self) -> Real:
        """`(m,)` time of each snapshot in the window, oldest first."""
        return np.array(self._times, np.float64)

    @property
    def origin_time(self) -> float | None:
        """Time of the origin; None before there is one."""
        return self._origin_time

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, whose Gram matrices add up to `gram`."""
        return self._layout.names if self._layout else ()

    @property
    def size(self) -> int:
        """How many numbers a snapshot holds."""
        return self._layout.size if self._layout else 0

    @property
    def gram(self) -> Real:
        """`(m, m)` inner products of the snapshots, float64, oldest first."""
        return self._snapshots().gram

    def gram_of(self, group: str | Iterable[str]) -> Real:
        """`(m, m)` inner products of the snapshots within a group, or in several together.

        Raises:
            KeyError: If there is no such group.
        """
        return self._snapshots().gram_of(group)

    @property
    def displacements(self) -> Real:
        """`(m,)` distance of each snapshot from the origin."""
        if self._rows is None or not self._times:
            return np.zeros(0)
        with float64_allowed():
            return self._rows.displacements()

    def combine(self, coefficients: Any) -> Any:
        """Sum of the snapshots with these weights, on the device.

        Args:
            coefficients: `(m,)` real numbers, for the oldest snapshot first.

        Returns:
            Values in the form in which they were appended.

        Raises:
            ValueError: If there is not one finite number for each snapshot.
        """
        return self._snapshots().combine(coefficients)

    def latest(self) -> Any:
        """The last snapshot, in the form in which it was appended.

        Raises:
            ValueError: If there is none.
        """
        return self.combine(np.eye(len(self))[-1] if self._times else np.zeros(0))

    def increments(self) -> TrajectoryView:
        """The differences of successive snapshots, as something to decompose: the fixed point is gone.

        Returns:
            A `TrajectoryView` with `gram`, `gram_of`, `times`, `combine` and `decompose`.
        """
        count = len(self)
        matrix = difference_matrix(count) if count else np.zeros((0, 0))
        return TrajectoryView(self, matrix, self.times[1:])

    def decompose(
        self,
        group: str | Iterable[str] | None = None,
        *,
        rank: int | Literal["svht"] | None = None,
        tol: float | None = None,
        delays: int = 1,
        center: bool = False,
        dt: float | None = None,
    ) -> KoopmanDecomposition:
        """Koopman spectrum of the snapshots, from their Gram matrix alone.

        Args:
            group: Take the inner products within this group, or these groups, alone. The modes are still
                those of whole snapshots. Defaults to None: all.
            rank: As in `kk.decompose`.
            tol: As in `kk.decompose`; raised to what the rounding of the inner products allows.
            delays: As in `kk.decompose`.
            center: As in `kk.decompose`.
            dt: Time between snapshots. Defaults to the mean difference of `times`.

        Raises:
            KeyError: If there is no such group.
            ValueError: If there are too few snapshots, they do not move, or an argument is out of range.
        """
        return self._snapshots().decompose(group, rank=rank, tol=tol, delays=delays, center=center, dt=dt)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the snapshots in the window to a new store.

        Args:
            path: folder of the store, by custom `name.zarr`; it must not exist.

        Raises:
            ImportError: If zarr is not installed.
            FileExistsError: If `path` exists.
            ValueError: If there is no snapshot.
        """
        from .saved import save_trajectory

        save_trajectory(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], window: int | None = None) -> Trajectory:
        """Read a store that `save` or a recorder wrote.

        Args:
            path: folder of the store.
            window: Keep the last so many snapshots. Defaults to None: all that are stored.

        Raises:
            ImportError: If zarr is not installed.
            FileNotFoundError: If there is no store.
            ValueError: If it is damaged, empty, or of a newer format.
        """
        from .saved import load_trajectory

        return load_trajectory(path, window)

    def __repr__(self) -> str:
        return f"<Trajectory of {len(self)} snapshots of {self.size} numbers, window={self.window}>"

    def _next_time(self, time: float | None) -> float:
        """The time given, or one more than the last."""
        last = self._times[-1] if self._times else self._origin_time
        if time is None:
            return 0.0 if last is None else last + 1.0
        time = _checks.real_number("time", time, -np.inf, np.inf)
        if self._times and time <= self._times[-1]:
            raise ValueError(
                f"time={time:g} must be later than that of the last snapshot, {self._times[-1]:g}."
            )
        return time

    def _add(self, row: Any, time: float) -> None:
        assert self._rows is not None
        with float64_allowed():
            self._rows.append(row)
            if self._shards is not None and self._shards.several_processes:
                # Now, while all processes are here: one of them may be the only one that asks.
                self._rows.reference_products()
        self._times.append(time)
        self._appended += 1

    def _begin(self, values: Any) -> None:
        """Fix the layout, with `values` as reference and origin."""
        layout = Layout.of(values)
        shards = Shards.of(layout.tensors(values))
        if shards is not None and self.keep != "device":
            raise ValueError(
                f"keep={str(self.keep)!r}: values are divided over several devices, and stay there. "
                "Pass keep='device', and lower window if memory is short."
            )
        self._layout, self._shards, self._pack = layout, shards, _packer(layout.anonymous(), shards)
        try:
            with float64_allowed():
                reference = self._row(values, ops.zeros((1, 1), layout.dtype))
        except ValueError:
            self._layout = None
            raise
        blocks = (layout if shards is None else shards.local(layout)).blocks
        if self.keep == "device":
            self._rows = SnapshotWindow(self.window, blocks, reference, layout.dtype, shards)
        else:
            rows = HostRows() if self.keep == "host" else FileRows(self.keep)
            self._rows = OffloadedWindow(self.window, blocks, reference, layout.dtype, rows)

    def _row(self, values: Any, reference: Any) -> Any:
        """`values` less the reference, packed."""
        assert self._layout is not None
        with float64_allowed():
            tensors = self._layout.tensors(values)
            if self._shards is not None:
                tensors = self._shards.place(tensors)
            tensors = [ops.convert_to_tensor(t) for t in tensors]
            row, total = self._pack(tensors, reference)
            total = to_host(total)
        if not np.isfinite(total):
            raise ValueError(
                "values must be finite, got NaN or infinity. Leave this snapshot out, and look at the loss: "
                "the run has probably diverged."
            )
        return row

    def _origin_values(self) -> Any:
        """The origin in the form in which values are handed in; None before there is one."""
        if self._layout is None or self._rows is None:
            return None
        with float64_allowed():
            return self._unpack(self._rows.origin_row())

    def _snapshots(self) -> TrajectoryView:
        return TrajectoryView(self, np.eye(len(self)), self.times)

    @property
    def _dtype(self) -> str:
        return self._layout.dtype if self._layout else "float32"

    def _indices(self, group: str | Iterable[str]) -> list[int]:
        names = [group] if isinstance(group, str) else list(dict.fromkeys(group))
        unknown = [name for name in names if name not in self.groups]
        if unknown:
            raise KeyError(
                f"no group {unknown[0]!r}; there are {', '.join(map(repr, self.groups)) or 'none'}."
            )
        return [self.groups.index(name) for name in names]

    def _size(self, group: str | Iterable[str]) -> int:
        return sum(self._layout.groups[i].size for i in self._indices(group)) if self._layout else 0

    def _products(self, group: str | Iterable[str]) -> tuple[Real, float]:
        """Inner products `<u_i, u_j>` of some groups, and the relative error of one."""
        chosen = self._indices(group)
        if self._rows is None or not self._times:
            return np.zeros((0, 0)), 0.0
        with float64_allowed():
            return self._rows.products()[chosen].sum(axis=0), self._rows.error(chosen)

    def _reference_products(self, group: str | Iterable[str]) -> tuple[Real, float]:
        """Inner products `<w_ref, u_i>` and `|w_ref|^2` of some groups."""
        chosen = self._indices(group)
        if self._rows is None or not self._times:
            return np.zeros(0), 0.0
        with float64_allowed():
            cross, square = self._rows.reference_products()
        return cross[chosen].sum(axis=0), float(square[chosen].sum())

    def _combine(self, coefficients: Real) -> Any:
        if self._rows is None or self._layout is None or not self._times:
            raise ValueError("there is no snapshot to combine. Append some first.")
        with float64_allowed():
            return self._unpack(self._rows.combine(coefficients))

    def _unpack(self, row: Any) -> Any:
        """A row in the form in which values are handed in."""
        assert self._layout is not None
        if self._shards is None:
            return self._layout.unpack(row)
        return self._layout.regroup(_unpacker(self._layout.anonymous(), self._shards)(row))
