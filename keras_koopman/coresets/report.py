"""What was kept of a model, neuron by neuron, and what is promised for it."""

from __future__ import annotations

import dataclasses
from typing import Any

from .._table import text_table


@dataclasses.dataclass(frozen=True)
class NeuronReport:
    """A neuron, or a filter, in a `CoresetReport`.

    Args:
        layer: Name of its layer.
        unit: Its number there.
        sensitivity_sum: Sum of the sensitivities of its weights, of both signs: about how many of them the
            neuron hangs on. None with `"fitted"`, which needs none.
        draws: How many draws were made for it; 0 if nothing was left to chance.
        kept: How many of its weights are not zero.
        entries: How many were not before.
        bound: Of the relative error of what it adds up, `|change| / sum_j |w_j a_j|`; by a theorem, for its
            positive and its negative weights apart too. `guarantee` says in what sense it holds.
        error: The greatest such error on the sample: given its inputs in the original model, or with
            `"fitted"` in the compressed model as it runs.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.set_weights([np.array([[3.0], [1.0]])])
    >>> found = kk.coresets.compress(model, np.ones((1, 2)), keep=0.5, method="deterministic")
    >>> row = found.report.rows[0]
    >>> row.kept, row.sensitivity_sum, row.bound, row.error
    (1, 1.0, 0.25, 0.25)
    """

    layer: str
    unit: int
    sensitivity_sum: float | None
    draws: int
    kept: int
    entries: int
    bound: float
    error: float


@dataclasses.dataclass(frozen=True)
class CoresetReport:
    """What was kept of a model: a row a neuron.

    `print` it for a table with a row a layer; `table(layer)` has a row a neuron.

    Args:
        rows: one for each neuron and filter of the layers that were compressed.
        method: by which.
        asked: Share of weights that was to be kept; None if an error was given.
        kept: Share of the entries of the compressed kernels that are not zero.
        guarantee: In words, what holds, for which inputs and with what chance.
        dense: Names of the neurons that were left as they were, as `layer[unit]`, because the theorem asks
            for as many draws as they have weights. Empty with `keep`.
        skipped: Path of each kernel that was left alone -> the reason.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> report = kk.coresets.compress(model, np.ones((3, 8)), keep=0.25).report
    >>> len(report.rows), report.kept
    (4, 0.25)
    """

    rows: tuple[NeuronReport, ...]
    method: str
    asked: float | None
    kept: float
    guarantee: str
    dense: tuple[str, ...]
    skipped: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """All figures as numbers, strings and lists, for JSON."""
        return {
            "method": self.method,
            "asked": self.asked,
            "kept": self.kept,
            "guarantee": self.guarantee,
            "dense": list(self.dense),
            "skipped": dict(self.skipped),
            "neurons": [dataclasses.asdict(row) for row in self.rows],
        }

    def table(self, layer: str) -> str:
        """The neurons of a layer as a table.

        Raises:
            ValueError: If no such layer was compressed.
        """
        rows = [row for row in self.rows if row.layer == layer]
        if not rows:
            names = ", ".join(repr(name) for name in dict.fromkeys(row.layer for row in self.rows))
            raise ValueError(f"layer must be one of those compressed, {names}, got {layer!r}.")
        headings = ("unit", "sensitivities", "draws", "kept", "of", "bound", "error")
        cells = [
            (str(r.unit), _shown(r.sensitivity_sum), f"{r.draws:,}", f"{r.kept:,}", f"{r.entries:,}",
             f"{r.bound:.3g}", f"{r.error:.3g}")
            for r in rows
        ]  # fmt: skip
        return "\n".join(text_table(headings, cells))

    def __str__(self) -> str:
        headings = ("layer", "neurons", "sensitivities", "draws", "kept", "of", "share", "bound", "error")
        names = dict.fromkeys(row.layer for row in self.rows)
        cells = [_layer_row(name, [row for row in self.rows if row.layer == name]) for name in names]
        lines = text_table(headings, cells, left=("layer",))
        lines.append("Sensitivities, bound and error are means over neurons; bound and error are relative.")
        lines.append(f"{self.kept:.2%} of the weights are kept. {self.guarantee}")
        if self.dense:
            lines.append(
                f"{len(self.dense)} of {len(self.rows)} neurons are left dense: the theorem asks for no "
                "fewer weights than they have."
            )
        lines += [f"Left alone: {path}: {reason}." for path, reason in self.skipped.items()]
        return "\n".join(lines)


def _layer_row(name: str, rows: list[NeuronReport]) -> tuple[str, ...]:
    kept, entries = sum(row.kept for row in rows), sum(row.entries for row in rows)

    def mean(field: str) -> str:
        values = [getattr(row, field) for row in rows]
        return _shown(None if None in values else sum(values) / len(values))

    return (
        name,
        f"{len(rows):,}",
        mean("sensitivity_sum"),
        f"{sum(row.draws for row in rows):,}",
        f"{kept:,}",
        f"{entries:,}",
        f"{kept / entries if entries else 0:.1%}",
        mean("bound"),
        mean("error"),
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
