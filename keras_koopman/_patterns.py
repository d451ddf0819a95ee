"""Choice of weights by patterns of their paths, as a shell matches file names."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence


def names(argument: str, value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """One name or several as a tuple.

    Raises:
        TypeError: If it is neither, or empty.
    """
    if value is None:
        return None
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if not found or not all(isinstance(name, str) for name in found):
        raise TypeError(f"{argument} must be a name or several, got {value!r}.")
    return found


def fits(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path fits one of the patterns, like `"*kernel"` or `"encoder/*"`."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
