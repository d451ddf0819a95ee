"""Artefacts are written beside their places and moved there when all of them are good."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def drafts(places: dict[str, Path]) -> Iterator[dict[str, Path]]:
    """Places for drafts, next to those given. At the end, what is listed and still lies there is removed."""
    mark = uuid.uuid4().hex[:8]
    # The suffix stays last: exporters look at it.
    made = {
        key: place.with_name(f"{place.stem}.{mark}.partial{place.suffix}") for key, place in places.items()
    }
    try:
        yield made
    finally:
        for draft in made.values():
            remove(draft)


def move(draft: Path, place: Path) -> None:
    """Put a draft in its place. If that fails, what stood there stands there still."""
    if not draft.is_dir() or not place.exists():
        draft.replace(place)
        return
    # A folder cannot be replaced in one go.
    aside = draft.with_name(f"{draft.name}.old")
    place.rename(aside)
    try:
        draft.rename(place)
    except BaseException:
        aside.rename(place)
        raise
    remove(aside)


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
