"""Eigenvectors of a symmetric matrix where XLA compiles for TensorFlow."""

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..backend import precision

MOST_SWEEPS = 30


def jacobi_eigh(matrix: Any) -> tuple[Any, Any]:
    """Eigenvalues and eigenvectors of a symmetric tensor by Jacobi rotations, to full precision.

    XLA's own `eigh` stops at 1e-6 of the norm, which would hide all singular values of the snapshots below
    1e-3 of the largest. Disjoint pairs of rows are turned at once, as in a round-robin tournament.

    Args:
        matrix: `(m, m)` tensor of static shape.

    Returns:
        `(m,)` eigenvalues, increasing, and `(m, m)` with the eigenvectors as columns.

    Reference:
        Brent and Luk, 1985, The solution of singular-value and symmetric eigenvalue problems on
        multiprocessor arrays.
    """
    m, dtype = int(matrix.shape[0]), precision(matrix)
    eye = ops.eye(m, dtype=dtype)
    if m == 1:
        return ops.reshape(matrix, (1,)), eye
    rounds = ops.convert_to_tensor(_tournament(m), "int32")
    # +1 for the first of a pair, -1 for the second, 0 for who sits out.
    roles = ops.cast(ops.sign(rounds - ops.arange(m, dtype="int32")[None, :]), dtype)
    enough = (float(np.finfo(dtype).eps) * m) ** 2

    def off_diagonal(a: Any) -> Any:
        return ops.sum(ops.square(a * (1 - eye)))

    def turn(index: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
        a, vectors = state
        partner = ops.take(rounds, index, axis=0)
        role = ops.take(roles, index, axis=0)
        own = ops.sum(a * eye, axis=0)
        # Entry (i, partner of i), made symmetric: both of a pair must turn by the same angle to the last bit.
        both = (a + ops.transpose(a)) / 2
        across = ops.sum(both * ops.take(eye, partner, axis=0), axis=1) * ops.abs(role)
        gap = (ops.take(own, partner) - own) * role
        still = ops.equal(across, 0)
        ratio = gap / ops.where(still, ops.ones_like(across), 2 * across)
        steep = ops.abs(ratio) + ops.sqrt(1 + ops.square(ratio))
        tangent = ops.where(still, ops.zeros_like(across), ops.where(ratio < 0, -1 / steep, 1 / steep))
        cosine = 1 / ops.sqrt(1 + ops.square(tangent))
        sine = -role * tangent * cosine
        a = cosine[:, None] * a + sine[:, None] * ops.take(a, partner, axis=0)
        a = a * cosine + ops.take(a, partner, axis=1) * sine
        return a, vectors * cosine + ops.take(vectors, partner, axis=1) * sine

    def sweep(a: Any, vectors: Any, count: Any) -> tuple[Any, Any, Any]:
        a, vectors = ops.fori_loop(0, rounds.shape[0], turn, (a, vectors))
        return a, vectors, count + 1

    def unfinished(a: Any, vectors: Any, count: Any) -> Any:
        wanted = off_diagonal(a) > enough * ops.sum(ops.square(a))
        return ops.logical_and(wanted, count < MOST_SWEEPS)

    start = (matrix, eye, ops.zeros((), "int32"))
    a, vectors, _ = ops.while_loop(unfinished, sweep, start)
    values = ops.sum(a * eye, axis=0)
    order = ops.argsort(values)
    return ops.take(values, order), ops.take(vectors, order, axis=1)


def _tournament(count: int) -> NDArray[np.int32]:
    """`(rounds, count)` partners, so that all meet once; who sits out is their own partner."""
    seats = count + count % 2
    ring = np.arange(seats)
    table = np.empty((seats - 1, seats), np.int32)
    for row in table:
        half = seats // 2
        first, second = ring[:half], ring[half:][::-1]
        row[first], row[second] = second, first
        ring[1:] = np.roll(ring[1:], 1)
    table = table[:, :count]
    return np.where(table == count, np.arange(count, dtype=np.int32), table).astype(np.int32)
