"""Where a window is kept that shall take no more than so many bytes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Literal

from .window import LONG_CHUNK

UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([KMG]?I?B?)\s*", re.IGNORECASE)
# Snapshots in memory while one is taken: the values packed, the reference, the row, and one on its way.
IN_PASSING = 4
# A projection is no better in more numbers than this, as far as a trainer can see: 2 % for 32 snapshots.
MOST_DIMENSIONS = 2**16
LEAST_DIMENSIONS = 256


def number_of_bytes(name: str, value: Any) -> int:
    """A size in bytes from a number of bytes or text like `"1.5GB"`.

    Raises:
        TypeError: If it is neither.
        ValueError: If it is not positive, or cannot be read.
    """
    mend = "Pass bytes, or text like '500MB' or '1.5GB'."
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(
            f"{name} must be a size in bytes, got {value!r} of type {type(value).__name__}. {mend}"
        )
    if isinstance(value, str):
        found = _SIZE.fullmatch(value)
        if found is None or found[2].upper() not in UNITS:
            raise ValueError(f"{name} must be a size, got {value!r}. {mend}")
        value = float(found[1]) * UNITS[found[2].upper()]
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a positive size, got {value}. {mend}")
    return int(value)


def in_words(count: float) -> str:
    """Bytes as a reader takes them in."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


@dataclass(frozen=True)
class Place:
    """Where a window is kept.

    Attributes:
        where: `"device"`, `"host"`, `"disk"` or `"projection"`.
        reason: a sentence; empty where nothing had to be done.
        dimensions: of the projection, else None.
    """

    where: Literal["device", "host", "disk", "projection"]
    reason: str = ""
    dimensions: int | None = None


def on_device(row: int, window: int) -> int:
    """Bytes that a window of rows of so many bytes takes on the device at its peak."""
    # Long chunks keep rows that have left, and are joined by copying.
    chunk = min(LONG_CHUNK, max(1, window // 3))
    return row * (window + 2 * chunk + IN_PASSING)


def place(
    row: int,
    window: int,
    limit: int,
    *,
    disk: bool,
    host: int | None = None,
    project: bool = True,
    stays: bool = False,
) -> Place:
    """Where to keep a window that shall take at most `limit` bytes on the device.

    Args:
        row: bytes of a snapshot.
        window: number of snapshots.
        limit: bytes allowed.
        disk: whether there is a disk to spill to.
        host: bytes free in a memory of the host that is not the device's own; None if there is none.
        project: whether a random projection of the snapshots is of use.
        stays: whether it cannot leave the device, as where it is divided over several.

    Raises:
        ValueError: If nothing fits.
    """
    whole = on_device(row, window)
    if whole <= limit:
        return Place("device")
    asked = (
        f"a window of {window} snapshots of {in_words(row)} takes up to {in_words(whole)}, "
        f"memory_limit allows {in_words(limit)}"
    )
    passing = IN_PASSING * row
    if passing <= limit and not stays and host is not None and window * row <= host // 2:
        return Place("host", f"{asked}: snapshots are kept in the host's memory.")
    if passing <= limit and not stays and disk:
        return Place("disk", f"{asked}: snapshots are kept in scratch files beside the store.")
    # The projection's own window shall take half, what it is made from passes through in pieces.
    dimensions = limit // (2 * 4 * (on_device(1, window)))
    dimensions = min(MOST_DIMENSIONS, dimensions - dimensions % 4)
    if project and dimensions >= LEAST_DIMENSIONS:
        return Place(
            "projection",
            f"{asked}: a random projection to {dimensions} numbers is recorded. Spectra stay true to about "
            f"{(window / dimensions) ** 0.5:.1%}; modes cannot be brought back to the weights."
            + ("" if stays else " With store= snapshots would be kept whole, on the disk."),
            dimensions,
        )
    raise ValueError(
        f"memory_limit={in_words(limit)} is too little: {asked}"
        f"{'' if project else ', and these observables cannot be projected'}. "
        f"{'Raise it' if stays else f'Raise it to {in_words(passing)} and pass store='}, or lower window."
    )


def free_on_host() -> int:
    """Bytes of the host's memory that are free now."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
