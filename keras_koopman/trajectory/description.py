"""What a store says of itself: its format, the layout of a snapshot, and who writes which pieces of it."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

from .layout import Group, Layout, Part
from .pieces import Column, plain

FORMAT = "keras_koopman.trajectory"
VERSION = 1
VERSION_OF_SEVERAL = 2  # with `writers`


def zarr_module() -> types.ModuleType:
    """zarr, if it is installed.

    Raises:
        ImportError: If it is not.
    """
    try:
        import zarr
        import zarr.codecs
    except ImportError as error:
        raise ImportError(
            "A store needs zarr, which is not installed: pip install 'keras-koopman[store]'."
        ) from error
    return zarr


def describe_store(
    zarr: Any, path: Path, layout: Layout, unit: str, columns: list[Column], time: float
) -> None:
    """Make a store with an origin that is still to be filled in."""
    checked = {"compressors": [zarr.codecs.Crc32cCodec()], "fill_value": float("nan")}
    group = zarr.create_group(path)
    for column in columns:
        size, options = column.size, {"dtype": layout.dtype, **checked}
        group.create_array(column.within("origin"), shape=(size,), chunks=(size,), **options)
        group.create_array(column.within("snapshots"), shape=(0, size), chunks=(1, size), **options)
    group["origin"].attrs["time"] = time
    group.create_array("times", shape=(0,), chunks=(1,), dtype="float64", **checked)
    attributes: dict[str, Any] = {"format": FORMAT, "unit": unit, "layout": layout_to_plain(layout)}
    if columns[0].numbered:
        writers: list[Any] = [[] for _ in range(1 + max(column.process for column in columns))]
        for column in columns:
            writers[column.process] = plain(column.pieces)
        attributes |= {"version": VERSION_OF_SEVERAL, "writers": writers}
    else:
        attributes["version"] = VERSION
    group.attrs.put(attributes)


def layout_to_plain(layout: Layout) -> dict[str, Any]:
    """A layout as JSON holds it."""
    return {
        "kind": layout.kind,
        "groups": [
            {
                "name": g.name,
                "kind": g.kind,
                "parts": [{"name": p.name, "shape": list(p.shape), "dtype": p.dtype} for p in g.parts],
            }
            for g in layout.groups
        ],
    }


def layout_from_plain(plain: dict[str, Any]) -> Layout:
    """The reverse of `layout_to_plain`."""
    groups = tuple(
        Group(
            str(g["name"]),
            tuple(
                Part(str(p["name"]), tuple(int(s) for s in p["shape"]), str(p["dtype"])) for p in g["parts"]
            ),
            str(g["kind"]),
        )
        for g in plain["groups"]
    )
    return Layout(groups, str(plain["kind"]))
