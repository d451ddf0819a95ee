"""What touches the long side of a matrix of snapshots: blocks of rows, in float64, on the matrix's device."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..backend import compiled, float64_allowed, is_tensor, to_host

# A block of rows in float64 takes 8 MB.
BLOCK_NUMBERS = 2**20


def _blocks(matrix: Any, least: int = 1) -> Iterator[Any]:
    """Blocks of rows of an array or a tensor, in float64."""
    n, columns = matrix.shape
    rows = max(BLOCK_NUMBERS // columns, least, 1)
    for start in range(0, n, rows):
        block = matrix[start : start + rows]
        yield ops.cast(block, "float64") if is_tensor(block) else block.astype(np.float64, copy=False)


@compiled(xla=False)
def _block_gram(block: Any) -> Any:
    # Not ops.matmul, which takes float64 for float32 on torch.
    return ops.transpose(block) @ block


def _less_first(block: Any) -> Any:
    """Every column less the first one, and that one behind them."""
    parts = [block - block[:, :1], block[:, :1]]
    return ops.concatenate(parts, axis=1) if is_tensor(block) else np.concatenate(parts, axis=1)


def tall_gram(matrix: Any, less_first: bool = False) -> NDArray[np.float64]:
    """Inner products of the columns of an `(n, m)` array or tensor.

    Args:
        matrix: the columns.
        less_first: take the first column off each, which keeps the digits of small differences, and put it
            behind them: `(m + 1, m + 1)`.
    """
    with float64_allowed(), np.errstate(over="ignore", invalid="ignore"):
        total = 0.0
        for block in _blocks(matrix):
            block = _less_first(block) if less_first else block
            total = total + (_block_gram(block) if is_tensor(block) else block.T @ block)
        return to_host(total)


def tall_qr(matrix: Any, less_first: bool = False) -> NDArray[np.float64]:
    """Triangular factor of an `(n, m)` array or tensor, by a QR decomposition of one block after another.

    Args:
        matrix: the columns.
        less_first: as in `tall_gram`.
    """
    with float64_allowed(), np.errstate(over="ignore", invalid="ignore"):
        triangle: Any = None
        for block in _blocks(matrix, least=4 * matrix.shape[1]):
            block = _less_first(block) if less_first else block
            if is_tensor(block):
                stacked = block if triangle is None else ops.concatenate([triangle, block])
                triangle = ops.qr(stacked, mode="reduced")[1]
            else:
                stacked = block if triangle is None else np.concatenate([triangle, block])
                triangle = np.linalg.qr(stacked, mode="r")
        return to_host(triangle)


def combine_columns(matrix: Any, coefficients: NDArray[np.float64]) -> Any:
    """`matrix @ coefficients` of an `(n, m)` array or tensor, summed in float64."""
    with float64_allowed():
        if is_tensor(matrix):
            weights = ops.convert_to_tensor(coefficients, "float64")
            return ops.concatenate([(block @ weights[:, None])[:, 0] for block in _blocks(matrix)])
        return np.concatenate([block @ coefficients for block in _blocks(matrix)])
