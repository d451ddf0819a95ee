"""Gram matrices and factors: all that Koopman analysis needs of the snapshots are their inner products.

A *factor* is a matrix `F` with `F' F` equal to the Gram matrix: one column a snapshot, in coordinates of some
orthonormal basis. A Gram matrix gives one, and so does a QR decomposition, with twice the digits. Whatever
is linear in the snapshots can be done to the columns of the factor.
"""

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Array = NDArray[np.float64]


def raw_gram(gram: Array, cross: Array, reference_square: float) -> Array:
    """Gram matrix of `w_i = u_i + w_ref` from that of `u_i`.

    Args:
        gram: `(m, m)`, the inner products `<u_i, u_j>`.
        cross: `(m,)`, the inner products `<w_ref, u_i>`.
        reference_square: `|w_ref|^2`.

    Returns:
        `(m, m)`, the inner products `<w_i, w_j>`.
    """
    raw: Array = gram + cross[:, None] + cross[None, :] + reference_square
    return raw


def factor_gram(gram: Array) -> Array:
    """A square factor of a Gram matrix.

    It is taken of the matrix scaled to a unit diagonal, so that small snapshots keep their digits beside
    large ones. Directions that rounding has made negative become zero.

    Args:
        gram: `(m, m)`, symmetric and, up to rounding, positive semidefinite.

    Returns:
        `(m, m)`, one column for each snapshot.
    """
    norms = np.sqrt(np.maximum(np.diag(gram), 0.0))
    scale = np.where(norms > 0, norms, 1.0)
    squares, vectors = scipy.linalg.eigh(gram / scale / scale[:, None])
    factor: Array = (np.sqrt(np.maximum(squares, 0.0))[:, None] * vectors.T) * norms
    return factor


def gram_floor(count: int, error: float = float(np.finfo(np.float64).eps)) -> float:
    """Least relative singular value that a Gram matrix can tell from rounding.

    A relative error `e` of the entries moves the squared singular values by up to `count * e` times the
    largest, so singular values below `sqrt(count * e)` are made of rounding alone.

    Args:
        count: number of snapshots.
        error: relative error of one entry of the Gram matrix with unit diagonal.
    """
    return float(np.sqrt(count * error))


def scaled_floor(norms: Array, error: float, most: float = 0.03) -> float:
    """`gram_floor` once the columns are scaled to unit length, and their rounding with them.

    Args:
        norms: `(m,)` lengths of the columns, not all zero.
        error: error of one entry of the Gram matrix as a share of the largest.
        most: columns so short that scaling would bring their rounding above this do not count: they are to
            be scaled less.
    """
    floor = gram_floor(len(norms), error)
    shortest = float(np.min(norms) / np.max(norms))
    return floor / max(shortest, floor / most, floor)


def difference_matrix(count: int) -> Array:
    """`(count, count - 1)` matrix that takes snapshots to their increments `w_{i+1} - w_i`."""
    matrix: Array = np.eye(count, count - 1, k=-1) - np.eye(count, count - 1)
    return matrix


def delay_embedding(factor: Array, delays: int) -> Array:
    """Columns `[w_i; w_{i+1}; ...; w_{i+delays-1}]` of a factor with the columns `w_i`.

    Args:
        factor: `(k, m)`.
        delays: how many successive snapshots stand in one column.

    Returns:
        `(delays * k, m - delays + 1)`.
    """
    columns = factor.shape[1] - delays + 1
    return np.vstack([factor[:, d : d + columns] for d in range(delays)])
