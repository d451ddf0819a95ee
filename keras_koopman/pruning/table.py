"""A pruning report as a table and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._table import text_table

if TYPE_CHECKING:
    from .report import PruningReport

HEADINGS = ("weight", "shape", "asked", "zeros", "bytes", "zipped", "note")


def pruning_table(report: PruningReport) -> str:
    """A row a weight, the total, and a sentence."""
    rows = [
        (
            row.path,
            "x".join(map(str, row.shape)) or "-",
            "-" if row.asked is None else f"{row.asked:.1%}",
            f"{row.reached:.1%}",
            f"{row.bytes:,}",
            f"{row.compressed:,}",
            row.reason,
        )
        for row in report.rows
    ]
    lines = text_table(HEADINGS, rows, left=("weight", "note"))
    share = report.compressed / report.bytes if report.bytes else 1.0
    if report.asked is None:
        lines.append(
            f"No PruningOptimizer, or none that is built yet; {report.reached:.1%} of all weights are zero."
        )
    else:
        lines.append(
            f"{report.reached:.1%} of the pruned weights are zero; the schedule asks for {report.asked:.1%} "
            f"of the {report.unit}."
        )
    lines.append(
        f"Zipped, the weights take {share:.0%} of their {report.bytes:,} bytes. Zeros alone make nothing "
        "faster: kk.pruning.shrink does, where whole units are gone."
    )
    return "\n".join(lines)
