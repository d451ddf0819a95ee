"""Numbers of a report: bytes, zeros, latency, difference of outputs."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .inputs import Array

# Largest difference that rounding explains, relative to the largest output.
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
# Outputs as small as this are all rounding: differences are taken relative to at least it.
SMALLEST = 1e-6

WARM_UP, LEAST_ROUNDS, MOST_ROUNDS = 2, 3, 200
CHUNK = 2**20


def sizes(pieces: Iterable[bytes]) -> tuple[int, int]:
    """Bytes of a file, and bytes after deflate, which is what zip uses."""
    squeeze, plain, zipped = zlib.compressobj(), 0, 0
    for piece in pieces:
        plain += len(piece)
        zipped += len(squeeze.compress(piece))
    return plain, zipped + len(squeeze.flush())


def disk_sizes(path: Path) -> tuple[int, int]:
    """`sizes` of a file, or summed over the files of a folder."""
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    found = [sizes(_pieces(file)) for file in files]
    return sum(plain for plain, _ in found), sum(zipped for _, zipped in found)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def zeros(weights: Iterable[Array]) -> float | None:
    """Share of zeros in the kernels, which are the weights with two axes or more; None if there are none."""
    count = total = 0
    for array in weights:
        # bfloat16 has numpy's kind "V"; whole numbers of other widths are shapes and indices.
        if array.ndim >= 2 and (array.dtype.kind in "fV" or array.dtype == np.int8):
            total += array.size
            count += array.size - int(np.count_nonzero(array))
    return count / total if total else None


def difference(before: Sequence[Array], after: Sequence[Array]) -> tuple[float, float]:
    """Largest difference of two lists of outputs: absolute, and relative to the largest output of each.

    NaN equals NaN, infinity equals infinity of the same sign. Texts differ by 0 or infinity.
    """
    if [a.shape for a in before] != [a.shape for a in after]:
        return math.inf, math.inf
    gaps = [_gap(b, a) for b, a in zip(before, after, strict=True)]
    return max((gap for gap, _ in gaps), default=0.0), max((relative for _, relative in gaps), default=0.0)


def _gap(before: Array, after: Array) -> tuple[float, float]:
    if before.dtype.kind in "OSU":
        gap = 0.0 if np.array_equal(before, after) else math.inf
        return gap, gap
    b, a = (np.asarray(array, np.float64) for array in (before, after))
    with np.errstate(invalid="ignore"):
        gaps = np.where((b == a) | (np.isnan(b) & np.isnan(a)), 0.0, np.abs(b - a))
    gap = float(np.max(np.where(np.isnan(gaps), math.inf, gaps), initial=0.0))
    largest = float(np.max(np.abs(b[np.isfinite(b)]), initial=SMALLEST))
    return gap, gap / largest


def latencies(runs: Sequence[Callable[[], Any]], seconds: float) -> list[float]:
    """Median seconds of a call of each, warmed up and called in turns until the time is over."""
    for run in [*runs] * WARM_UP:
        run()
    times: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + seconds
    for turn in range(MOST_ROUNDS):
        if turn >= LEAST_ROUNDS and time.perf_counter() > end:
            break
        # Each begins some rounds, so none always finds the cache as the same other left it.
        for i in ((turn + k) % len(runs) for k in range(len(runs))):
            begin = time.perf_counter()
            runs[i]()
            times[i].append(time.perf_counter() - begin)
    return [float(np.median(each)) for each in times]
