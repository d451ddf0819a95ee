"""Explicit Runge-Kutta methods as Butcher tableaux."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from .. import _checks

Tree = tuple["Tree", ...]  # a rooted tree: the trees that hang on its root
Row = tuple[float, ...]

HIGHEST = 5  # order up to which conditions are checked
# Coefficients are given to some digits; the conditions are sums of a few products of them.
ROUNDING = 1e-9


@keras.saving.register_keras_serializable("keras_koopman")
@dataclasses.dataclass(frozen=True)
class Tableau:
    """An explicit Runge-Kutta method: stages `k_i = f(h + dt sum_j a_ij k_j)`, step `h + dt sum_i b_i k_i`.

    With `b_low` it is an embedded pair: the difference of the two results is the error of a step, so the
    step is chosen by tolerances and not by number.

    Args:
        a: Rows of a matrix, of which the part below the diagonal counts; `(s, s)`, or only that part, row
            by row, the first one empty.
        b: Weights of the stages, which add up to 1.
        b_low: Weights of the embedded method of lower order. Defaults to None: there is none.
        name: Defaults to `"tableau"`.

    Attributes:
        c: Times of the stages as shares of the step, the sums of the rows of `a`.
        order: Highest order up to 5 for which all conditions hold.

    Raises:
        TypeError: If the coefficients are no numbers.
        ValueError: If they have the wrong shape, belong to an implicit method or are not consistent.

    Example:
    >>> import keras_koopman as kk
    >>> ralston = kk.layers.Tableau(a=[[], [2 / 3]], b=[1 / 4, 3 / 4])
    >>> ralston.order, ralston.c
    (2, (0.0, 0.6666666666666666))
    """

    a: Sequence[Sequence[float]]
    b: Sequence[float]
    b_low: Sequence[float] | None = None
    name: str = "tableau"

    def __post_init__(self) -> None:
        b = _row("b", self.b)
        for name, value in (("a", _lower(self.a, len(b))), ("b", b), ("b_low", self._checked_low(len(b)))):
            object.__setattr__(self, name, value)
        if abs(sum(b) - 1) > ROUNDING:
            raise ValueError(
                f"b must add up to 1 for the method to be consistent, got {list(b)} with the sum {sum(b):g}."
            )

    def _checked_low(self, stages: int) -> Row | None:
        if self.b_low is None:
            return None
        low = _row("b_low", self.b_low)
        if len(low) != stages or abs(sum(low) - 1) > ROUNDING:
            raise ValueError(f"b_low must be {stages} weights, like b, that add up to 1, got {list(low)}.")
        return low

    @property
    def stages(self) -> int:
        """Evaluations of the right-hand side in a step."""
        return len(self.b)

    @property
    def c(self) -> Row:
        """Times of the stages as shares of the step."""
        return tuple(float(sum(row)) for row in self.a)

    @property
    def adaptive(self) -> bool:
        """Whether tolerances choose the steps."""
        return self.b_low is not None

    @property
    def order(self) -> int:
        """Highest order up to 5 for which all conditions hold."""
        return _order(self.a, self.b)

    @property
    def order_low(self) -> int:
        """Order of the embedded method, 0 if there is none."""
        return 0 if self.b_low is None else _order(self.a, self.b_low)

    def get_config(self) -> dict[str, Any]:
        """Arguments from which an equal tableau can be made."""
        return {
            "a": [list(row) for row in self.a],
            "b": list(self.b),
            "b_low": None if self.b_low is None else list(self.b_low),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Tableau:
        """The tableau that `get_config` described."""
        return cls(**config)


def _row(name: str, values: Any) -> Row:
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a list of numbers, got {values!r}.") from None
    if not found or not np.all(np.isfinite(found)):
        raise ValueError(f"{name} must be a list of one finite number or more, got {list(found)}.")
    return found


def _lower(a: Any, stages: int) -> tuple[Row, ...]:
    """The part of `a` below the diagonal, row by row."""
    try:
        rows = [tuple(float(value) for value in row) for row in a]
    except (TypeError, ValueError):
        raise TypeError(f"a must be rows of numbers, got {a!r}.") from None
    if len(rows) != stages:
        raise ValueError(f"a must have a row for each of the {stages} stages of b, got {len(rows)} rows.")
    for i, row in enumerate(rows):
        if len(row) not in (i, stages):
            raise ValueError(f"row {i} of a must have {i} or {stages} numbers, got {len(row)}.")
        if any(row[i:]):
            raise ValueError(
                f"a must be zero on and above its diagonal, got {list(row)} as row {i}: the method is "
                "implicit, which is not supported."
            )
        if not np.all(np.isfinite(row)):
            raise ValueError(f"a must be finite, got {list(row)} as row {i}.")
    return tuple(row[:i] for i, row in enumerate(rows))


# --- order conditions: for every rooted tree with up to p vertices, b . phi(tree) = 1 / gamma(tree) ---


@functools.cache
def _trees(vertices: int) -> tuple[Tree, ...]:
    """All rooted trees with so many vertices."""
    if vertices == 1:
        return ((),)
    return tuple({tuple(sorted(children)) for children in _forests(vertices - 1, vertices - 1)})


def _forests(vertices: int, largest: int) -> Iterator[tuple[Tree, ...]]:
    """Collections of rooted trees with so many vertices in all, the largest first."""
    if not vertices:
        yield ()
    for size in range(min(vertices, largest), 0, -1):
        for tree in _trees(size):
            for others in _forests(vertices - size, size):
                yield (tree, *others)


def _size(tree: Tree) -> int:
    return 1 + sum(map(_size, tree))


def _density(tree: Tree) -> int:
    """Product of the sizes of all subtrees."""
    return _size(tree) * int(np.prod([_density(child) for child in tree], dtype=int))


def _order(a: Any, b: Any) -> int:
    matrix = np.zeros((len(b), len(b)))
    for i, row in enumerate(a):
        matrix[i, : len(row)] = row

    def phi(tree: Tree) -> Any:
        return np.prod([matrix @ phi(child) for child in tree], axis=0) if tree else np.ones(len(b))

    for order in range(1, HIGHEST + 1):
        for tree in _trees(order):
            if abs(np.dot(b, phi(tree)) - 1 / _density(tree)) > ROUNDING:
                return order - 1
    return HIGHEST


EULER = Tableau([[]], [1], name="euler")
MIDPOINT = Tableau([[], [1 / 2]], [0, 1], name="midpoint")
HEUN = Tableau([[], [1]], [1 / 2, 1 / 2], name="heun")
RK4 = Tableau([[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6], name="rk4")
RK38 = Tableau([[], [1 / 3], [-1 / 3, 1], [1, -1, 1]], [1 / 8, 3 / 8, 3 / 8, 1 / 8], name="rk38")
DOPRI5 = Tableau(
    [
        [],
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    ],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
    [5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40],
    name="dopri5",
)
NAMED = {t.name: t for t in (EULER, MIDPOINT, HEUN, RK4, RK38, DOPRI5)}


def tableau_of(scheme: Any) -> Tableau:
    """A tableau by its name, or as it is.

    Raises:
        TypeError: If it is neither.
        ValueError: If no scheme has that name.
    """
    if isinstance(scheme, Tableau):
        return scheme
    if isinstance(scheme, str):
        return NAMED[_checks.one_of("scheme", scheme, tuple(NAMED))]
    raise TypeError(
        f"scheme must be one of {', '.join(map(repr, NAMED))} or a kk.layers.Tableau, got {scheme!r} of type "
        f"{type(scheme).__name__}."
    )
