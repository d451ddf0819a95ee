"""Tables as plain text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table


def text_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[str] = (), width: int = 120
) -> list[str]:
    """Lines of a table, columns to the right but for those of the headings in `left`."""
    table = Table(*headings, box=SIMPLE, pad_edge=False)
    for column, heading in zip(table.columns, headings, strict=True):
        column.justify = "left" if heading in left else "right"
        column.no_wrap = heading not in left
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=width, color_system=None, markup=False).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
