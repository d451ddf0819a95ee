"""Checks of arguments: an error names the argument, the value, what was expected and the mend."""

import math
import numbers
from typing import Any


def whole_number(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
    return int(value)


def real_number(name: str, value: Any, low: float, high: float, closed: bool = False) -> float:
    """`value` as a float in the open interval from `low` to `high`, or with `closed` in `[low, high)`.

    Raises:
        TypeError: If it is no real number.
        ValueError: If it lies outside.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {value!r} of type {type(value).__name__}.")
    number = float(value)
    inside = (low <= number if closed else low < number) and number < high and math.isfinite(number)
    if not inside:
        bound = f"at least {low}" if closed else f"above {low}"
        limit = f" and below {high}" if math.isfinite(high) else " and finite"
        raise ValueError(f"{name} must be {bound}{limit}, got {value}.")
    return number


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """`value` if it is one of `choices`.

    Raises:
        ValueError: If it is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
    return str(value)


def rank_choice(rank: Any, available: int) -> int | str | None:
    """A rank as `decompose` takes it: a number from 1 to `available`, `"svht"` or None.

    Raises:
        TypeError: If it is neither a whole number, a string nor None.
        ValueError: If it is another string, below 1, or above what the data can give.
    """
    if rank is None:
        return None
    if isinstance(rank, str):
        return one_of("rank", rank, ("svht",))
    rank = whole_number("rank", rank, least=1)
    if rank > available:
        raise ValueError(
            f"rank={rank} is more than the snapshots can give: at most {available}. "
            "Lower it, pass rank=None, or record more snapshots."
        )
    return int(rank)
