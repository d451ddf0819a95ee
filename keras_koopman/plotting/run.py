"""A recorded run as the report tells it: read from a store, with what cannot be said and why."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..spectrum.decomposition import KoopmanDecomposition
from ..spectrum.figures import TRUST, leading_mode
from ..trajectory import Trajectory, TrajectoryView
from ..trajectory.store import TrajectoryStore
from .names import clean, run_names

Real = NDArray[np.float64]

PREFIX = "koopman_"
RECORDS_FOR_SPECTRUM = 4
RECORDS_FOR_DRIFT = 9


class Trust(Enum):
    """How far a mode can be believed, from its residual as a share of `|lambda|`.

    The leading mode of a pure random walk (means over intervals, 10 to 63 increments) has a residual of 0.22
    to 0.5 of its `|lambda|`, so only what lies below is more than noise can do.
    """

    CLEAR = "clear"
    DOUBTFUL = "doubtful"
    NOISE = "noise"

    @classmethod
    def of(cls, eigenvalue: complex, residual: float) -> Trust:
        """Trust in one mode."""
        share = residual / abs(eigenvalue) if eigenvalue else np.inf
        return cls.CLEAR if share <= TRUST else cls.DOUBTFUL if share <= 0.5 else cls.NOISE


@dataclass(frozen=True)
class Figures:
    """The figures of a run after its last record; None where one cannot be told.

    Attributes:
        records: how many there are.
        unit: of time, `"epoch"`, `"batch"` or `"snapshot"`.
        rho: best scalar propagator of the increments.
        speed: over the last records, as a share of the mean speed.
        leading: `|lambda|` of the leading mode.
        residual: of the leading mode.
        half_life: of the leading mode, in units of time; None also if it does not fall.
        near_one: eigenvalues within 0.1 of 1.
        near_one_clear: those among them with `Trust.CLEAR`.
        monitored: whether any `koopman_` figure was logged.
        no_spectrum: why there is none; None if there is one.
        span: time that the spectrum looks at.
    """

    records: int
    unit: str
    rho: float | None = None
    speed: float | None = None
    leading: float | None = None
    residual: float | None = None
    half_life: float | None = None
    near_one: int | None = None
    near_one_clear: int | None = None
    monitored: bool = True
    no_spectrum: str | None = None
    span: float = 0.0


class Leading(NamedTuple):
    """The leading mode of a layer."""

    modulus: float
    half_life: float
    residual: float
    trust: Trust


@dataclass(frozen=True)
class Layer:
    """One group of the weights.

    Attributes:
        name: of the group.
        size: how many numbers it holds.
        share: its part in the squared length of all increments.
        spectrum: of its increments; None if there is none.
    """

    name: str
    size: int
    share: float
    spectrum: KoopmanDecomposition | None

    @property
    def leading(self) -> Leading | None:
        """Its leading mode; None if none stands out from the noise."""
        d = self.spectrum
        i = leading_mode(d) if d is not None else None
        if d is None or i is None:
            return None
        value, residual = complex(d.eigenvalues[i]), float(d.residuals[i])
        return Leading(abs(value), float(d.half_lives[i]), residual, Trust.of(value, residual))

    @property
    def clear_half_life(self) -> float | None:
        """Half-life of the leading mode if that falls and can be trusted."""
        found = self.leading
        clear = found is not None and found.trust is Trust.CLEAR and np.isfinite(found.half_life)
        return found.half_life if found is not None and clear else None


@dataclass(frozen=True)
class Run:
    """What a store holds.

    Attributes:
        name: short, and different for each run on a page.
        path: of the store.
        times: `(count,)` of all records.
        logs: `(count,)` values by name, NaN where one was not logged.
        used: how many of the last records the spectrum looks at.
        size: how many weights were recorded.
        spectrum: of the increments; None if there is none.
        layers: a spectrum for each group of weights.
        figures: after the last record.
        notes: what the reader should know about the data.
    """

    name: str
    path: str
    times: Real
    logs: dict[str, Real]
    used: int
    size: int
    spectrum: KoopmanDecomposition | None
    layers: tuple[Layer, ...]
    figures: Figures
    notes: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Unit of the times."""
        return self.figures.unit

    @property
    def metrics(self) -> list[str]:
        """Names of what `fit` logged, less the figures of the monitor."""
        return [name for name in self.logs if not name.startswith(PREFIX)]


def read_run(path: str | os.PathLike[str], name: str | None = None, window: int = 64) -> Run:
    """Read a store and take its spectrum.

    Args:
        path: folder of the store.
        name: of the run. Defaults to None: that of the folder.
        window: The spectrum looks at the last so many records.

    Raises:
        ImportError: If zarr is not installed.
        FileNotFoundError: If there is no store.
        ValueError: If it is damaged, empty, or of a newer format.
    """
    trajectory = Trajectory.load(path, window=window)
    store = TrajectoryStore.open(path)
    records = store.records()
    times = np.array([record.time for record in records], np.float64)
    names = dict.fromkeys(key for record in records for key in record.logs)
    logs = {
        clean(key): np.array([record.logs.get(key, np.nan) for record in records], np.float64)
        for key in names
    }
    increments = trajectory.increments()
    spectrum, reason = _spectrum(increments, len(trajectory))
    layers = _layers(increments, store, len(trajectory))
    monitored = any(key.startswith(PREFIX) for key in names)
    last = records[-1].logs
    figures = Figures(
        records=len(records),
        unit=store.unit,
        rho=last.get(f"{PREFIX}rho"),
        speed=last.get(f"{PREFIX}speed"),
        monitored=monitored,
        no_spectrum=reason,
        span=float(trajectory.times[-1] - trajectory.times[0]),
    )
    return Run(
        name=name or run_names([path])[0],
        path=clean(os.fspath(path)),
        times=times,
        logs=logs,
        used=len(trajectory),
        size=trajectory.size,
        spectrum=spectrum,
        layers=layers,
        figures=figures if spectrum is None else _with_spectrum(figures, spectrum),
        notes=_notes(trajectory.times),
    )


def _spectrum(
    increments: TrajectoryView, records: int, group: str | None = None
) -> tuple[KoopmanDecomposition | None, str | None]:
    """The spectrum, or why there is none."""
    if records < RECORDS_FOR_SPECTRUM:
        return None, f"it needs {RECORDS_FOR_SPECTRUM} records and there {_are(records)} so far"
    try:
        spacing = float(np.mean(np.diff(increments.times)))  # `_notes` tells of times that are uneven
        return increments.decompose(group, rank="svht", dt=spacing), None
    except ValueError:
        return None, "the weights stand still"


def _notes(times: Real) -> tuple[str, ...]:
    """What is odd about the data."""
    spacing = np.diff(times)
    if len(spacing) and np.max(np.abs(spacing - spacing.mean())) > 0.01 * spacing.mean():
        return (
            f"The records are not evenly spaced in time (from {spacing.min():g} to {spacing.max():g}): "
            "eigenvalues are growth per record, half-lives use the mean.",
        )
    return ()


def _layers(increments: TrajectoryView, store: TrajectoryStore, records: int) -> tuple[Layer, ...]:
    motion = {name: float(np.trace(increments.gram_of(name))) for name in increments.groups}
    total = sum(motion.values())
    return tuple(
        Layer(
            clean(group.name),
            group.size,
            motion[group.name] / total if total > 0 else 0.0,
            _spectrum(increments, records, group.name)[0],
        )
        for group in store.layout.groups
    )


def _with_spectrum(figures: Figures, spectrum: KoopmanDecomposition) -> Figures:
    """The figures with those that are read off the spectrum."""
    near = spectrum.near_one(0.1)
    clear = sum(Trust.of(spectrum.eigenvalues[i], spectrum.residuals[i]) is Trust.CLEAR for i in near)
    leading = leading_mode(spectrum)
    figures = replace(figures, near_one=len(near), near_one_clear=clear)
    if leading is None:
        return figures
    life = float(spectrum.half_lives[leading])
    return replace(
        figures,
        leading=float(abs(spectrum.eigenvalues[leading])),
        residual=float(spectrum.residuals[leading]),
        half_life=life if np.isfinite(life) else None,
    )


def _are(count: int) -> str:
    return f"is {count}" if count == 1 else f"are {count}"
