"""Dynamic mode decomposition of small matrices: Ritz pairs of `y = A x` with their residuals."""

from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .rank import choose_rank

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


class RitzPairs(NamedTuple):
    """Ritz pairs of the operator `A = Y X^+`, in the span of the columns of X.

    Attributes:
        eigenvalues: `(r,)` Ritz values.
        residuals: `(r,)` norms `|A z - lambda z|` of the unit Ritz vectors z.
        coefficients: `(m, r)`; the Ritz vectors are `X @ coefficients`.
        vectors: `(r, r)` unit eigenvectors of the projected operator, `z = basis @ vectors`.
        basis: `(k, r)` orthonormal basis of the truncated span of X.
        image: `(k, r)`, `A @ basis`.
        weights: `(m, r)`, `basis = X @ weights`.
        singular_values: `(min(k, m),)` singular values of the scaled X, decreasing.
    """

    eigenvalues: Complex
    residuals: Real
    coefficients: Complex
    vectors: Complex
    basis: Real
    image: Real
    weights: Real
    singular_values: Real

    @property
    def projected(self) -> Real:
        """`(r, r)`: the operator A in the basis."""
        operator: Real = self.basis.T @ self.image
        return operator


def rayleigh_ritz(
    x: Real,
    y: Real,
    rank: int | str | None,
    tol: float,
    shape: tuple[int, int] | None = None,
    least: float = 0.0,
) -> RitzPairs:
    """Ritz pairs of `y_i = A x_i`.

    Columns of X are scaled to unit length and those of Y by the *same* factors, which leaves A as it is and
    makes the truncation indifferent to the size of single snapshots.

    Args:
        x: `(k, m)` snapshots in coordinates of any orthonormal basis, not all zero.
        y: `(k, m)` their successors.
        rank: upper limit of the rank, `"svht"` or None.
        tol: singular values of the scaled X up to `tol` times the largest are dropped.
        shape: true sides of X for `"svht"`. Defaults to `x.shape`.
        least: columns shorter than this are scaled as if they were so long, lest their rounding be
            stretched too. Defaults to 0.

    Reference:
        Drmač, Mezić and Mohr, 2018, Data driven modal decompositions: analysis and enhancements.
    """
    norms = np.maximum(np.linalg.norm(x, axis=0), least)
    norms = np.where(norms > 0, norms, 1.0)
    left, singular_values, right = scipy.linalg.svd(x / norms, full_matrices=False, lapack_driver="gesvd")
    r = choose_rank(singular_values, shape or x.shape, rank, tol)
    basis = left[:, :r]
    weights = right[:r].T / singular_values[:r] / norms[:, None]
    image = y @ weights
    eigenvalues, vectors = np.linalg.eig(basis.T @ image)
    eigenvalues, vectors = eigenvalues.astype(np.complex128), vectors.astype(np.complex128)
    vectors /= np.linalg.norm(vectors, axis=0)
    residuals = np.linalg.norm(image @ vectors - basis @ (vectors * eigenvalues), axis=0)
    return RitzPairs(
        eigenvalues, residuals, weights @ vectors, vectors, basis, image, weights, singular_values
    )


def refine(pairs: RitzPairs) -> tuple[Complex, Real]:
    """Vectors in the span of X that make the residual of each Ritz value least.

    Args:
        pairs: what `rayleigh_ritz` returned.

    Returns:
        The coefficients `(m, r)` of the refined unit vectors, and their residuals `(r,)`, none of them above
        the residual of the Ritz vector.

    Reference:
        Jia, 1997, Refined iterative algorithms based on Arnoldi's process for large unsymmetric
        eigenproblems.
    """
    r = len(pairs.eigenvalues)
    # The same inner products in at most 2r rows.
    both = scipy.linalg.qr(np.hstack([pairs.basis, pairs.image]), mode="r", check_finite=False)[0][: 2 * r]
    basis, image = both[:, :r], both[:, r:]
    vectors, residuals = pairs.vectors.copy(), pairs.residuals.copy()
    for i, value in enumerate(pairs.eigenvalues):
        _, singular_values, right = np.linalg.svd(image - value * basis, full_matrices=False)
        if singular_values[-1] < residuals[i]:
            residuals[i], vectors[:, i] = singular_values[-1], right[-1].conj()
    return pairs.weights @ vectors, residuals
