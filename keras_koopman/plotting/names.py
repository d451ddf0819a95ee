"""Names from stores and paths, fit to be shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def run_names(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """A short name for each store, with as many folders before it as tell them apart."""
    parts = [tuple(p.removesuffix(".zarr") for p in Path(path).absolute().parts) for path in paths]
    depth = 1
    while depth < max(map(len, parts)) and len({p[-depth:] for p in parts}) < len(set(parts)):
        depth += 1
    names = [clean("/".join(p[-depth:])) for p in parts]
    return [
        f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name
        for i, name in enumerate(names)
    ]


def clean(text: str) -> str:
    """Text from a store without the characters that neither XML nor a terminal should get."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shorten(text: str, most: int) -> str:
    """`text`, its middle left out if it is too long for a chart."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[-tail:]}"
