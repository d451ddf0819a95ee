"""A spectrum as a table and in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._table import text_table

if TYPE_CHECKING:
    from .decomposition import KoopmanDecomposition

HEADINGS = ("mode", "|λ|", "eigenvalue", "half-life", "period", "residual", "importance")


def eigenvalue_text(value: complex) -> str:
    """`0.9300` or `0.9300 + 0.1100i`, short enough for a table."""
    return f"{value.real:.4f}" + (
        f" {'+' if value.imag > 0 else '-'} {abs(value.imag):.4f}i" if value.imag else ""
    )


def spectrum_rows(decomposition: KoopmanDecomposition, modes: Iterable[int]) -> list[tuple[str, ...]]:
    """A row of text for each of some modes, under `HEADINGS`."""
    d = decomposition
    rows: list[tuple[str, ...]] = []
    for i in modes:
        life, frequency = d.half_lives[i], abs(d.frequencies[i])
        rows.append(
            (
                str(i),
                f"{abs(d.eigenvalues[i]):.4f}",
                eigenvalue_text(complex(d.eigenvalues[i])),
                f"{life:.3g}" if np.isfinite(life) else "-",
                f"{1 / frequency:.3g}" if frequency > 0 else "-",
                f"{d.residuals[i]:.1e}",
                f"{d.importance[i]:.3g}",
            )
        )
    return rows


def spectrum_table(decomposition: KoopmanDecomposition, order: NDArray[np.intp], limit: int) -> str:
    """The table of `KoopmanDecomposition.summary`: the first `limit` modes in an order."""
    d = decomposition
    lines = text_table(HEADINGS, spectrum_rows(d, order[:limit]))
    if d.rank > limit:
        lines.append(f"... and {d.rank - limit} more")
    return "\n".join([f"Koopman spectrum, rank {d.rank} from {d._count} snapshots, dt = {d.dt:g}", *lines])
