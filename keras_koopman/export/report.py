"""What an export reports, as numbers, as a table and in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from .._table import text_table


@dataclasses.dataclass(frozen=True)
class ExportRow:
    """The model in memory, or one artefact.

    Attributes:
        name: `"model"`, or the format.
        path: Where the artefact lies; None for the model.
        bytes: Of the model's weights, or of the artefact on disk.
        zipped_bytes: The same after deflate, the method of zip.
        zeros: Share of zeros in the kernels, the weights with two axes or more; None if it stores none.
            Formats may store more than the model: ONNX keeps zero biases for an LSTM.
        latency_1: Median seconds of a call on one row; None if nothing could be run.
        latency_n: Median seconds of a call on the whole sample.
        max_difference: Largest difference of an output from the model's; None for the model, or if nothing
            could be run.
        relative_difference: The same, relative to the largest output.

    Example:
    >>> import keras_koopman as kk
    >>> kk.export.ExportRow("model", None, bytes=400, zipped_bytes=90, zeros=0.75).zeros
    0.75
    """

    name: str
    path: str | None
    bytes: int
    zipped_bytes: int
    zeros: float | None
    latency_1: float | None = None
    latency_n: float | None = None
    max_difference: float | None = None
    relative_difference: float | None = None


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """A model before and after an export. Made by `export_pruned`; print it for a table.

    Attributes:
        rows: The model first, then each artefact in the order of `formats`.
        sample_size: Rows of the sample; None if nothing could be run.
        notes: What the numbers mean, in sentences.

    Example:
    >>> import keras_koopman as kk
    >>> row = kk.export.ExportRow("model", None, bytes=400, zipped_bytes=90, zeros=0.75)
    >>> print(kk.export.ExportReport((row,), None, ("Nothing was run.",)))
    Export
     what    bytes   zipped   zeros   1 row   all rows   difference
     ──────────────────────────────────────────────────────────────
     model   400 B     90 B   75.0%       -          -            -
    Nothing was run.
    """

    rows: tuple[ExportRow, ...]
    sample_size: int | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as dicts, lists, strings and numbers, for JSON."""
        found = dataclasses.asdict(self)
        return {**found, "rows": list(found["rows"]), "notes": list(self.notes)}

    def summary(self) -> str:
        """A table with a line for the model and for each artefact, then the notes."""
        every = "all rows" if self.sample_size is None else _count(self.sample_size, "row")
        headings = ["what", "bytes", "zipped", "zeros", "1 row", every, "difference"]
        if self.sample_size == 1:
            headings.remove(every)
        table: list[list[str]] = []
        for row in self.rows:
            cells = [
                row.name,
                _size(row.bytes),
                _size(row.zipped_bytes),
                "-" if row.zeros is None else f"{row.zeros:.1%}",
                _time(row.latency_1),
                *([] if self.sample_size == 1 else [_time(row.latency_n)]),
                "-" if row.max_difference is None else f"{row.max_difference:.1e}",
            ]
            table.append(cells)
        lines = text_table(headings, table, left=("what",))
        return "\n".join(["Export", *lines, *self.notes])

    def __str__(self) -> str:
        return self.summary()


def notes_of(rows: Sequence[ExportRow], sample_size: int | None, made_up: bool) -> tuple[str, ...]:
    """What must be known to read the rows, in sentences."""
    notes = []
    if sample_size is None:
        notes.append(
            "The artefacts were not run: the shapes of the inputs are not all known, or they are texts. "
            "Pass sample= to have outputs compared and calls timed."
        )
    else:
        inputs = "made-up inputs, random floats and zero integers" if made_up else "the sample"
        worst = max(row.relative_difference or 0.0 for row in rows)
        notes.append(
            f"Outputs were compared on {_count(sample_size, 'row')} of {inputs}: they differ by at most "
            f"{worst:.1e} of the largest output."
            + (" Pass sample= to compare on your own." if made_up else "")
        )
        notes.append(
            "Times are medians of calls in turns, each from arrays in memory to arrays in memory; each "
            "runtime chose its number of threads."
        )
    share = rows[0].zeros
    if share:
        notes.append(
            f"{share:.1%} of the kernels' weights are zero. Zeros alone make nothing faster and files no "
            "smaller until they are zipped: use kk.pruning.shrink first to take out whole units."
        )
    return tuple(notes)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1000
    return f"{count:.3g} GB"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
