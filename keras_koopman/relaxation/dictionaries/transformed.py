"""`ColeHopfMoments`: moments of the exponential of a field."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ... import _checks
from ..pde import cosines
from ..pde.equation import normalised
from ..pde.fields import as_fields, in_own_precision
from ..pde.transformed import finite_only
from .linear import check_count


class ColeHopfMoments:
    """Half-wave moments of `v = exp(factor field)`, or of the exponential of its integral, for mass 1.

    `int v cos(n pi x / L) dx / int v dx`. With `factor=b / a` of a phase-diffusion equation, or
    `-1 / (2 viscosity)` and `of="integral"` of Burgers' equation, these are the eigenfunctionals themselves;
    with a factor that is a little off, they are a good dictionary.

    Args:
        count: How many, from n = 1 on; below the number of nodes.
        factor: In the exponent; not 0.
        of: `"field"`, or `"integral"` from the left end, for fields that are zero at both ends. Defaults to
            `"field"`.
        length: Of the domain, for the integral. Defaults to 1.0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If one is out of range.

    Reference:
        Cole, 1951, On a quasi-linear parabolic equation occurring in aerodynamics.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x = np.linspace(0, 1, 33)
    >>> moments = kk.relaxation.dictionaries.ColeHopfMoments(2, factor=1.0)
    >>> np.asarray(moments(np.log(2 + np.cos(np.pi * x))[None])).round(6)  # of 2 + cos(pi x): 1/2 over 2
    array([[0.25, 0.  ]])
    """

    def __init__(
        self, count: int, factor: float, of: Literal["field", "integral"] = "field", length: float = 1.0
    ) -> None:
        self.count = _checks.whole_number("count", count, least=1)
        self.factor = _checks.real_number("factor", factor, -np.inf, np.inf)
        if self.factor == 0:
            raise ValueError("factor must not be 0: the exponential would be 1 everywhere.")
        self.of = _checks.one_of("of", of, ("field", "integral"))
        self.length = _checks.real_number("length", length, 0, np.inf)

    @in_own_precision
    def __call__(self, fields: Any) -> Any:
        """`(batch, count)` of fields `(batch, nodes)`.

        Raises:
            ValueError: If the grid is too coarse for so many, or the exponent overflows; while a step is
                traced such fields become NaN.
        """
        fields = as_fields("fields", fields)
        nodes = int(fields.shape[1])
        check_count(self.count, nodes)
        if self.of == "integral":
            fields = fields @ cosines.constant(self.length * cosines.antiderivative(nodes), fields)
        exponent = finite_only((fields - fields[:, :1]) * self.factor, type(self).__name__)
        return normalised(exponent, self.count)[0][:, 1:]
