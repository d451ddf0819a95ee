"""Empirical sensitivities: the greatest share that a weight has in what its neuron adds up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

# A sum below this is taken for zero: its inverse would overflow.
TINY = 1e-280


def halves(kernel: Real) -> tuple[Real, Real]:
    """The positive weights of a kernel, and the sizes of the negative ones, with zeros for the others."""
    return np.maximum(kernel, 0.0), np.maximum(-kernel, 0.0)


def split_signs(rows: Real) -> Real:
    """Rows of activations as rows that are nowhere negative: `a+` of each and, where there is any, `a-`."""
    below = np.maximum(-rows, 0.0)
    below = below[below.any(axis=1)]
    return np.concatenate([np.maximum(rows, 0.0), below]) if len(below) else rows


def sensitivities(rows: Real, kernel: Real) -> Real:
    """Sensitivity of each weight to a sample: `max_x w_j a_j(x) / sum_k w_k a_k(x)`.

    The sum is over the weights of one neuron that have the sign of `w_j`. That of a weight whose neuron adds
    up to zero on every row is zero. Maxima of the sensitivities to two samples are those to both.

    Args:
        rows: `(n, inputs)` activations, none below zero.
        kernel: `(inputs, units)` weights.

    Returns:
        `(inputs, units)` in [0, 1].

    Reference:
        Baykal, Liebenwein, Gilitschenski, Feldman and Rus, 2019, Data-dependent coresets for compressing
        neural networks with applications to generalization bounds.
    """
    found = np.zeros(kernel.shape)
    product = np.empty(kernel.shape)
    for part in halves(kernel):
        sums = rows @ part
        inverses = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > TINY)
        greatest = np.zeros(kernel.shape)
        for row, inverse in zip(rows, inverses, strict=True):
            np.multiply.outer(row, inverse, out=product)
            np.maximum(greatest, product, out=greatest)
        found += part * greatest
    return np.minimum(found, 1.0)


def relative_errors(
    rows: Real, kernel: Real, other_rows: Real, other: Real, shift: Real | float = 0.0
) -> Real:
    """Greatest error of what each neuron adds up over a sample, relative to the sum of its sizes.

    That is `|sum_j v_j b_j - sum_j w_j a_j| / sum_j |w_j a_j|`, which is no more than the greater of the
    relative errors of what positive and negative terms add up to.

    Args:
        rows: `(n, inputs)` activations a.
        kernel: `(inputs, units)` weights w.
        other_rows: the activations b of another network on the same sample.
        other: its weights v.
        shift: what its biases are ahead, `(units,)`.

    Returns:
        `(units,)`; 0 where a neuron adds up nothing on every row.
    """
    sums = np.abs(rows) @ np.abs(kernel)
    gaps = np.abs(other_rows @ other - rows @ kernel + shift)
    relative = np.divide(gaps, sums, out=np.zeros_like(sums), where=sums > TINY)
    return np.asarray(relative.max(axis=0, initial=0.0))
