"""`Expansion`: fields as sums over Koopman eigenfunctionals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ... import _checks
from . import cosines
from .fields import as_times, in_precision_of

if TYPE_CHECKING:
    from .equation import Equation

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Expansion:
    """Koopman expansion of fields. Made by `expand` of an equation.

    Attributes:
        eigenvalues: `(modes + 1,)` rates of the eigenfunctionals.
        values: `(batch, modes + 1)` eigenfunctionals of the fields, at time 0.
        level: `(batch, 1)` what the eigenfunctionals leave open: the phase to which a field of
            `PhaseDiffusion` goes, in the frame that turns with its frequency. None elsewhere.
        nodes: of the grid.
        equation: whose eigenfunctionals they are.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x = np.linspace(0, 1, 33)
    >>> heat = kk.relaxation.pde.Diffusion(0.1, 1.0)
    >>> found = heat.expand(1 + np.cos(np.pi * x)[None], modes=2)
    >>> np.asarray(found.values)[0].round(6) + 0.0
    array([1. , 0.5, 0. ])
    >>> round(float(found.at(1.0)[0, 0]), 6)  # 1 + exp(-0.1 pi^2)
    1.372708
    """

    eigenvalues: Array
    values: Any
    level: Any
    nodes: int
    equation: Equation

    def at(self, times: Any, products: int | None = None) -> Any:
        """The fields at some times.

        Args:
            times: A number, or a sequence of them, since the fields that were expanded.
            products: Keep products of at most so many eigenfunctionals, which are eigenfunctionals too. They
                form a geometric or logarithmic series, which converges once the field is near its rest.
                Defaults to None: the whole sum, in closed form.

        Returns:
            `(batch, times, nodes)`; of a single number `(batch, nodes)`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a time is negative, `products` is below 1, or the closed form has lost its digits:
                after the change of variable the field spans more than its precision carries, as with a large
                field and a small viscosity soon after the start, or with too few modes. While a step is
                traced (`tf.function`, `jax.jit`) nothing can be raised: such fields are NaN as a whole,
                beside good ones, and no gradient flows through them.
        """
        moments = as_times(times)
        if products is not None:
            products = _checks.whole_number("products", products, least=1)
        with in_precision_of(self.values):
            at = moments.reshape(-1)
            growth = cosines.constant(np.exp(np.outer(at, self.eigenvalues)), self.values)
            clock = cosines.constant(at[:, None], self.values)
            values = self.values[:, None, :] * growth
            fields = self.equation._rebuild(values, self.level, clock, self.nodes, products)
            return fields if moments.ndim else fields[:, 0]

    def __repr__(self) -> str:
        return f"<Expansion in {len(self.eigenvalues) - 1} eigenfunctionals on {self.nodes} nodes>"
