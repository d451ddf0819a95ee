"""What the output of a model shall satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from .program import Real
from .region import Box, numbers

__all__ = ["Classifies", "Inequalities", "inequalities_of"]


class Inequalities:
    """`matrix @ output <= upper`, row by row, with the output flat.

    Args:
        matrix: `(rows, outputs)`.
        upper: `(rows,)`, or one number for all. Defaults to 0.

    Raises:
        TypeError: If they are not numeric.
        ValueError: If the shapes do not fit, or a number is not finite.

    Example:
    >>> import keras_koopman as kk
    >>> kk.reachability.Inequalities([[1, -1]], 0)  # the first output is at most the second
    Inequalities(1 row, 2 outputs)
    """

    def __init__(self, matrix: Any, upper: Any = 0.0) -> None:
        self.matrix = numbers("matrix", matrix)
        if self.matrix.ndim != 2 or not self.matrix.size:
            raise ValueError(f"matrix must have the shape (rows, outputs), got {self.matrix.shape}.")
        given = numbers("upper", upper)
        if given.shape not in ((), (len(self.matrix),)):
            raise ValueError(f"upper must be a number or have {len(self.matrix)} entries, got {given.shape}.")
        self.upper: Real = np.broadcast_to(given, (len(self.matrix),))

    def __repr__(self) -> str:
        rows, outputs = self.matrix.shape
        return f"Inequalities({rows} row{'s' * (rows != 1)}, {outputs} outputs)"

    def excess(self, outputs: Real) -> Real:
        """Greatest `matrix @ output - upper` of each output `(batch, ...)`: above 0 where it is violated."""
        flat = outputs.reshape(len(outputs), -1)
        return np.asarray((flat @ self.matrix.T - self.upper).max(axis=1))


class Classifies:
    """The output numbered `label` is the greatest.

    Args:
        label: index of the class.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is negative.

    Example:
    >>> import keras_koopman as kk
    >>> kk.reachability.Classifies(7)
    Classifies(7)
    """

    def __init__(self, label: int) -> None:
        self.label = _checks.whole_number("label", label, 0)

    def __repr__(self) -> str:
        return f"Classifies({self.label})"

    def rows(self, outputs: int) -> Inequalities:
        """As inequalities, for that many outputs."""
        if outputs < 2 or self.label >= outputs:
            raise ValueError(f"label={self.label} is no class of a model with {outputs} outputs.")
        matrix = np.eye(outputs)
        matrix[:, self.label] -= 1.0
        return Inequalities(np.delete(matrix, self.label, axis=0))


def inequalities_of(specification: Any, outputs: int) -> Inequalities:
    """A specification as inequalities on that many outputs.

    Raises:
        TypeError: If it is none.
        ValueError: If it is for another number of outputs.
    """
    if isinstance(specification, Classifies):
        return specification.rows(outputs)
    if isinstance(specification, Box):
        low, high = (np.broadcast_to(v.ravel(), (outputs,)) for v in (specification.low, specification.high))
        eye = np.eye(outputs)
        return Inequalities(np.concatenate([eye, -eye]), np.concatenate([high, -low]))
    if not isinstance(specification, Inequalities):
        raise TypeError(
            "specification must be Classifies, Inequalities, or a Box of allowed outputs, got "
            f"{specification!r} of type {type(specification).__name__}."
        )
    if specification.matrix.shape[1] != outputs:
        raise ValueError(
            f"the specification is for {specification.matrix.shape[1]} outputs, but the model has {outputs}."
        )
    return specification
