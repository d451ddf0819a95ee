"""Linear functionals of a field."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ... import _checks
from ..pde import cosines
from ..pde.fields import as_fields, as_real, in_own_precision


class LinearFunctionals:
    """Weighted sums of a field's values.

    Args:
        weights: `(features, nodes)` finite numbers.

    Raises:
        TypeError: If the weights are no real numbers.
        ValueError: If they have another shape, or are not finite.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> ends = kk.relaxation.dictionaries.LinearFunctionals([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
    >>> np.asarray(ends(np.array([[3.0, 1.0, 0.0, 0.0, 5.0]])))
    array([[3., 5.]])
    """

    def __init__(self, weights: Any) -> None:
        found = as_real(weights)
        if found is None:
            raise TypeError(f"weights must be real numbers, got {weights!r}.")
        self.weights = found
        if self.weights.ndim != 2 or 0 in self.weights.shape or not np.all(np.isfinite(self.weights)):
            raise ValueError(
                f"weights must be a finite (features, nodes) matrix, got shape {self.weights.shape}."
            )

    @in_own_precision
    def __call__(self, fields: Any) -> Any:
        """`(batch, features)` of fields `(batch, nodes)`.

        Raises:
            ValueError: If the fields have another number of nodes.
        """
        fields = as_fields("fields", fields)
        if fields.shape[1] != self.weights.shape[1]:
            raise ValueError(
                f"fields have {fields.shape[1]} nodes, but the weights are for {self.weights.shape[1]}."
            )
        return fields @ cosines.constant(self.weights.T, fields)


class FourierMoments:
    """The first half-wave moments of a field: its averages times `cos(n pi x / L)` or `sin(n pi x / L)`.

    Args:
        count: How many, from n = 1 on; below the number of nodes.
        wave: `"cosine"` for fields whose slope is zero at the ends, `"sine"` for those whose value is.
            Defaults to `"cosine"`.

    Raises:
        TypeError: If `count` is no whole number.
        ValueError: If it is below 1, or there is no such wave.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x = np.linspace(0, 1, 9)
    >>> moments = kk.relaxation.dictionaries.FourierMoments(3)
    >>> np.asarray(moments(np.cos(2 * np.pi * x)[None])).round(6) + 0.0
    array([[0. , 0.5, 0. ]])
    """

    def __init__(self, count: int, wave: Literal["cosine", "sine"] = "cosine") -> None:
        self.count = _checks.whole_number("count", count, least=1)
        self.wave = _checks.one_of("wave", wave, ("cosine", "sine"))

    @in_own_precision
    def __call__(self, fields: Any) -> Any:
        """`(batch, count)` of fields `(batch, nodes)`.

        Raises:
            ValueError: If the grid is too coarse for so many.
        """
        fields = as_fields("fields", fields)
        nodes = int(fields.shape[1])
        check_count(self.count, nodes)
        waves = cosines.waves(nodes, self.count)[0 if self.wave == "cosine" else 1][1:]
        return fields @ cosines.constant(waves.T * cosines.trapezoid(nodes)[:, None], fields)


def check_count(count: int, nodes: int) -> None:
    """Refuse more half waves than a grid can tell apart.

    Raises:
        ValueError: If there are too many.
    """
    if count > nodes - 2:
        raise ValueError(
            f"count={count} half waves cannot be told apart on {nodes} nodes: at most {nodes - 2}. "
            "Take a finer grid or lower count."
        )
