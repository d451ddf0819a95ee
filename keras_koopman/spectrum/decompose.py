"""`decompose`: the Koopman spectrum of a matrix of snapshots."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from ..backend import complex_like, is_tensor, precision
from ..linalg import factor_gram, gram_floor
from .decomposition import KoopmanDecomposition, decompose_factor
from .tall import combine_columns, tall_gram, tall_qr

DEFAULT_TOL = {"float64": 1e-10, "float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}
EPS = float(np.finfo(np.float64).eps)


def decompose(
    snapshots: Any,
    *,
    rank: int | Literal["svht"] | None = None,
    tol: float | None = None,
    delays: int = 1,
    center: bool = False,
    method: Literal["gram", "qr"] = "gram",
    dt: float = 1.0,
) -> KoopmanDecomposition:
    """Dynamic mode decomposition of successive snapshots.

    Finds the linear map `A` of least squares with `w_{t+1} = A w_t`, restricted to the leading singular
    directions of the snapshots, and its eigenvalues, modes and residuals. Columns are scaled to unit length
    first. Works on NumPy arrays and on tensors, in row blocks, without a copy of the whole.

    `method="gram"` needs the inner products of the snapshots alone: the fastest road, and as accurate as
    float32 data can be. It cannot see singular values below `sqrt(m * 2.2e-16)` of the largest, about 1e-7,
    and raises a smaller `tol` to that; eigenvalues are good to about `2e-16 / tol^2`. For float64 data with
    a wider range take `method="qr"`, about ten times slower.

    Args:
        snapshots: `(n, m + 1)` array or tensor, one snapshot a column, at equal times.
        rank: Most eigenvalues to keep; `"svht"` for the optimal hard threshold under white noise of unknown
            size (Gavish and Donoho, 2014). Defaults to None: `tol` alone decides.
        tol: Singular values up to `tol` times the largest are dropped, after column scaling. Defaults to
            1e-6 for float32 and 1e-10 for float64.
        delays: Stack so many successive snapshots in one column (Hankel DMD): to see more oscillations than
            the snapshots have dimensions. Defaults to 1.
        center: Fit `y = A x + b`: the fixed point leaves the spectrum. Amplitudes and importance still refer
            to the first raw snapshot. Defaults to False.
        method: `"gram"` or `"qr"`.
        dt: Time between snapshots, the unit of half-lives. Defaults to 1.

    Returns:
        A `KoopmanDecomposition`.

    Raises:
        TypeError: If an argument has the wrong type, or the snapshots are complex.
        ValueError: If the snapshots are not a finite `(n, m + 1)` matrix with at least `delays + 1` columns,
            are all zero, or, with `center=True`, all equal; or if another argument is out of range.

    Reference:
        Schmid, 2010, Dynamic mode decomposition of numerical and experimental data; Drmač, Mezić and Mohr,
        2018, Data driven modal decompositions: analysis and enhancements.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> turn = np.array([[0.8, -0.6], [0.6, 0.8]])  # a rotation
    >>> path = np.stack([np.linalg.matrix_power(turn, t) @ [1.0, 0.0] for t in range(5)], axis=1)
    >>> kk.decompose(path).eigenvalues
    array([0.8+0.6j, 0.8-0.6j])
    """
    matrix, dtype = as_matrix(snapshots)
    n, count = matrix.shape
    delays, tol, dt = check_options(count, delays, tol, dtype, dt)
    rank_limit = _checks.rank_choice(rank, min(n * delays, count - delays))
    center = bool(center)
    if _checks.one_of("method", method, ("gram", "qr")) == "gram":
        gram = tall_gram(matrix, less_first=center)
        check_gram(gram[:count, :count], "snapshots")
        factor = factor_gram(gram)
        tol = max(tol, gram_floor(count))
        error = EPS
    else:
        factor = tall_qr(matrix, less_first=center)
        check_gram((factor.T @ factor)[:count, :count], "snapshots")
        error = EPS**2
    # Centred, only differences count; the first snapshot is kept apart for the amplitudes.
    factor, reference = factor[:, :count], factor[:, count] if center else None
    check_motion(factor, center, "snapshots", reference)
    return decompose_factor(
        factor,
        rank=rank_limit,
        tol=tol,
        delays=delays,
        center=center,
        dt=dt,
        dimension=n,
        combine=lambda coefficients: combine_columns(matrix, coefficients),
        make_complex=complex_like,
        reference=reference,
        error=error if center else 0.0,
    )


def as_matrix(snapshots: Any) -> tuple[Any, str]:
    """The snapshots as a real matrix, and the name of their precision.

    Raises:
        TypeError: If they are no real numbers.
        ValueError: If they are no matrix.
    """
    if not is_tensor(snapshots):
        snapshots = np.asarray(snapshots)
        if snapshots.dtype.kind in "iub":
            snapshots = snapshots.astype(np.float64)
    name = getattr(snapshots.dtype, "name", str(snapshots.dtype).removeprefix("torch."))
    if "float" not in name and "int" not in name:
        raise TypeError(
            f"snapshots must be real numbers, got dtype {name}. "
            "Stack real and imaginary parts as rows if they are complex."
        )
    if len(snapshots.shape) != 2 or snapshots.shape[0] == 0:
        raise ValueError(
            "snapshots must be a matrix (n, m + 1), one snapshot a column, "
            f"got shape {tuple(snapshots.shape)}."
        )
    return snapshots, precision(snapshots)


def check_options(
    count: int, delays: Any, tol: float | None, dtype: str, dt: Any
) -> tuple[int, float, float]:
    """`delays`, `tol` and `dt` as `decompose` takes them, for `count` snapshots.

    Raises:
        TypeError: If one has the wrong type.
        ValueError: If one is out of range, or there are too few snapshots.
    """
    delays = _checks.whole_number("delays", delays, least=1)
    if count < delays + 1:
        raise ValueError(
            f"{count} snapshot{'s' * (count != 1)} with delays={delays}: a spectrum needs at least "
            f"{delays + 1}. Record more snapshots{' or lower delays' * (delays > 1)}."
        )
    if tol is None:
        tol = DEFAULT_TOL.get(dtype, 1e-6)
    return (
        delays,
        _checks.real_number("tol", tol, 0, 1, closed=True),
        _checks.real_number("dt", dt, 0, np.inf),
    )


def check_gram(gram: NDArray[np.float64], name: str) -> None:
    """Refuse snapshots that are not finite.

    Raises:
        ValueError: If one has an entry that is NaN or infinite.
    """
    broken = np.flatnonzero(~np.isfinite(np.diag(gram)))
    if len(broken):
        raise ValueError(
            f"{name} must be finite, got NaN, infinity or overflow in snapshot {broken[0]}"
            f"{f' and {len(broken) - 1} more' * (len(broken) > 1)}. Pass those before it alone."
        )


def check_motion(
    factor: NDArray[np.float64], center: bool, name: str, reference: NDArray[np.float64] | None = None
) -> None:
    """Refuse snapshots from which no map can be told.

    Args:
        factor: of the snapshots, or of the snapshots less the reference.
        center: whether only differences count.
        name: of the argument.
        reference: column that was taken off all snapshots; only with `center`.

    Raises:
        ValueError: If all are zero, or with `center` all are equal.
    """
    starts = factor[:, :-1]
    size = max(float(np.max(np.abs(part))) for part in (starts, reference) if part is not None)
    if size == 0:
        raise ValueError(f"{name} are all zero: there is no motion to decompose.")
    spread = float(np.max(np.abs(starts - starts.mean(axis=1, keepdims=True))))
    if center and spread <= 1e-12 * size:
        raise ValueError(
            f"{name} are all equal: with center=True nothing is left to decompose. "
            "Pass center=False, or record snapshots that differ."
        )
