"""`dmd_operator`: the spectrum of snapshots as a compiled function of tensors."""

import functools
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from keras import ops

from .. import _checks
from ..backend import (
    compiled,
    complex_like,
    engine,
    exact_float32,
    float64_allowed,
    greater_of,
    precision,
    to_host,
)
from ..linalg import factor_gram, gram_floor, hard_threshold
from .decompose import as_matrix, check_gram, check_motion, check_options
from .jacobi import jacobi_eigh
from .tall import BLOCK_NUMBERS


class DMDOperator(NamedTuple):
    """What `dmd_operator` returns: tensors, sorted by falling `|lambda|`.

    Attributes:
        eigenvalues: `(r,)` complex128, the Ritz values, one factor of growth per snapshot.
        residuals: `(r,)` float64, `|A z - lambda z|` for the unit mode z.
        modes: `(n, r)` complex128, unit Koopman modes as columns.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> found = kk.dmd_operator(np.array([0.5 ** np.arange(4)]))
    >>> [tuple(part.shape) for part in found]
    [(1,), (1,), (1, 1)]
    """

    eigenvalues: Any
    residuals: Any
    modes: Any


@overload
def dmd_operator(
    snapshots: Any,
    *,
    rank: int | Literal["svht"] | None = None,
    tol: float | None = None,
    center: bool = False,
    eigenvalues: Literal[True] = True,
) -> DMDOperator: ...


@overload
def dmd_operator(
    snapshots: Any,
    *,
    rank: int | Literal["svht"] | None = None,
    tol: float | None = None,
    center: bool = False,
    eigenvalues: Literal[False],
) -> Any: ...


def dmd_operator(
    snapshots: Any,
    *,
    rank: int | Literal["svht"] | None = None,
    tol: float | None = None,
    center: bool = False,
    eigenvalues: bool = True,
) -> DMDOperator | Any:
    """Dynamic mode decomposition as a compiled function of tensors.

    What `kk.decompose(snapshots, method="gram")` finds, without leaving the device: for use within a
    `tf.function`, a `jax.jit` or a training step. It computes in float64.

    The nonsymmetric `eig` has no XLA kernel on TensorFlow. So within a function of your own:

    - `tf.function` without `jit_compile`: call it as it is;
    - `tf.function(jit_compile=True)`: pass `eigenvalues=False`, return the projected operator, and take
      `np.linalg.eigvals` of it outside;
    - `jax.jit`: `eig` runs on the CPU only; on other devices pass `eigenvalues=False`. Without
      `jax_enable_x64` everything inside is float32: `tol` then cannot be below `sqrt(m * 1.2e-7)`.
      Called outside `jax.jit` it is float64 in any case.

    Args:
        snapshots: `(n, m + 1)` array or tensor, one snapshot a column, at equal times; m must be static.
        rank: Most eigenvalues to keep, or `"svht"`, as in `kk.decompose`. Defaults to None: `tol` alone
            decides.
        tol: Singular values up to `tol` times the largest are dropped, after column scaling, but never less
            than the Gram matrix can tell from rounding, `sqrt((m + 1) * 2.2e-16)`. Defaults to 1e-6 for
            float32 and 1e-10 for float64.
        center: Fit `y = A x + b`: the fixed point leaves the spectrum. Defaults to False.
        eigenvalues: Defaults to True. With False only the projected operator is computed, which compiles
            under XLA.

    Returns:
        A `DMDOperator` of tensors. Within `jax.jit` shapes are static: there are always `rank` eigenvalues
        (without a rank, `min(n, m)`), and those that `tol` drops are 0 with an infinite residual.

        With `eigenvalues=False` the projected operator, a `(rank, rank)` float64 tensor (without a rank,
        `min(n, m)` each way) whose eigenvalues are the DMD eigenvalues. Directions that `tol` drops are zero
        rows and columns at its end; each adds an eigenvalue 0.

    Raises:
        TypeError: If an argument has the wrong type, or the snapshots are complex.
        ValueError: If the snapshots are not a matrix with two columns at least, if the rank is above the
            data, or another argument is out of range. Outside of compiled functions also if they are not
            finite or do not move; within one, all results are then NaN or zero.

    Reference:
        Drmač, Mezić and Mohr, 2018, Data driven modal decompositions: analysis and enhancements.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> t = np.arange(6)
    >>> path = np.array([0.9**t, 0.5**t, 0.9**t - 0.5**t])
    >>> found = kk.dmd_operator(path, rank=2)
    >>> np.array(found.eigenvalues).real.round(6)
    array([0.9, 0.5])
    >>> projected = kk.dmd_operator(path, rank=2, eigenvalues=False)  # compiles under XLA too
    >>> np.sort(np.linalg.eigvals(np.array(projected))).round(6)
    array([0.5, 0.9])
    """
    matrix, dtype = as_matrix(snapshots)
    n, count = matrix.shape
    if count is None:
        raise ValueError(
            f"snapshots must have a static number of columns, got shape {tuple(matrix.shape)}. "
            "Give it in the input_signature, or call set_shape first."
        )
    _, tol, _ = check_options(count, 1, tol, dtype, 1.0)
    available = count - 1 if n is None else min(int(n), count - 1)
    plan = _Plan(_checks.rank_choice(rank, available), available, tol, bool(center), bool(eigenvalues))
    if n is None and rank == "svht":
        raise ValueError(
            f'rank="svht" needs a static number of rows, got shape {tuple(matrix.shape)}. '
            "Give it in the input_signature, or pass a number as rank."
        )
    if _is_symbolic(matrix):
        with exact_float32():
            return plan(ops.convert_to_tensor(matrix), symbolic=True)
    with float64_allowed():
        results = _compiled(plan, count)(ops.convert_to_tensor(matrix))
        gram = to_host(results[-1])
        check_gram(gram, "snapshots")
        # Only what has moved from the first snapshot is known when centred.
        reference = np.full(1, np.finfo(np.float64).tiny) if plan.center else None
        check_motion(factor_gram(gram), plan.center, "snapshots", reference)
        if not eigenvalues:
            return results[0]
        return _trimmed(DMDOperator(*results[:3]))


class _Plan(NamedTuple):
    """The arguments, checked: what a compiled function is made for."""

    rank: int | str | None
    available: int
    tol: float
    center: bool
    eigenvalues: bool

    def __call__(self, snapshots: Any, symbolic: bool = False) -> Any:
        """What `dmd_operator` returns; if not symbolic, untrimmed and with the Gram matrix last."""
        wide = engine() != "jax" or not symbolic or _jax_is_wide()
        dtype = "float64" if wide else "float32"
        gram = _gram(snapshots, dtype, less_first=self.center)
        finite = ops.all(ops.isfinite(gram))
        # An eigensolver may hang or raise on NaN.
        usable = ops.where(finite, gram, ops.eye(gram.shape[0], dtype=dtype))
        trust = ops.where(finite, ops.ones((), dtype), ops.full((), np.nan, dtype))
        # TensorFlow alone may be compiling with XLA, whose eigh is too coarse.
        xla = symbolic and engine() == "tensorflow" and not self.eigenvalues
        projected, image_square, weights, kept = self._project(
            usable, jacobi_eigh if xla else ops.eigh, snapshots.shape[0]
        )
        if not self.eigenvalues:
            projected = projected * trust
            return projected if symbolic else (projected, gram)
        values, residuals, vectors = _ritz(projected, image_square, kept)
        coefficients = _real_times(weights, vectors)
        columns = ops.cast(snapshots[:, :-1], dtype)
        modes = _real_times(columns, coefficients)
        blank = complex_like(trust, ops.zeros((), dtype))
        found = DMDOperator(values * blank, residuals * trust, modes * blank)
        if symbolic:
            return found if engine() == "jax" else _trimmed(found)
        return (*found, gram)

    def _project(self, gram: Any, eigh: Any, n: int | None) -> tuple[Any, Any, Any, Any]:
        """The operator and the square of its image in the truncated basis, its weights, and what is kept."""
        dtype, count = precision(gram), int(gram.shape[0])
        m = count - 1
        within, across, after = gram[:m, :m], gram[:m, 1:], gram[1:, 1:]
        eps = float(np.finfo(dtype).eps)
        tol = max(self.tol, gram_floor(count, eps))
        middle = ops.eye(m, dtype=dtype) - (1.0 / m if self.center else 0.0)
        least: Any = 0.0
        if self.center:  # as in decompose_factor: rounding is not stretched above tol
            least = ops.sqrt(ops.max(ops.diagonal(within)) * (m * eps)) / tol
            within, across, after = (_sandwich(middle, part) for part in (within, across, after))
        norms = greater_of(ops.sqrt(greater_of(ops.diagonal(within), 0.0)), least)
        scale = 1 / ops.where(norms > 0, norms, ops.ones_like(norms))
        squares, vectors = eigh(within * scale * scale[:, None])
        singular_values = ops.sqrt(greater_of(ops.flip(squares), 0.0))[: self.available]
        vectors = ops.flip(vectors, axis=1)[:, : self.available]
        kept = singular_values > tol * singular_values[0]
        if self.rank == "svht":
            middle_two = singular_values[(self.available - 1) // 2], singular_values[self.available // 2]
            threshold = hard_threshold((int(n or 0), m)) * (middle_two[0] + middle_two[1]) / 2
            # As in decompose, one direction stays in any case.
            first = ops.arange(self.available) < 1
            kept = ops.logical_and(kept, ops.logical_or(singular_values > threshold, first))
        size = self.rank if isinstance(self.rank, int) else self.available
        kept, singular_values, vectors = kept[:size], singular_values[:size], vectors[:, :size]
        weights = vectors * scale[:, None] / ops.where(kept, singular_values, ops.ones_like(singular_values))
        weights = weights * ops.cast(kept, dtype)
        projected, image_square = _sandwich(weights, across), _sandwich(weights, after)
        return projected, image_square, middle @ weights if self.center else weights, kept


@functools.lru_cache(maxsize=64)
def _compiled(plan: _Plan, columns: int) -> Any:
    # One for each number of columns: TensorFlow would make them one program, to which that is unknown.
    return compiled(plan.__call__, xla=False)


def _gram(matrix: Any, dtype: str, less_first: bool) -> Any:
    """Inner products of the columns, in blocks of rows so that no float64 copy of the whole is made.

    Args:
        matrix: `(n, m)`.
        dtype: in which to multiply and add up.
        less_first: take the first column off each, which keeps the digits of small differences.
    """

    def square(block: Any) -> Any:
        block = ops.cast(block, dtype)
        block = block - block[:, :1] if less_first else block
        return ops.transpose(block) @ block

    n, columns = matrix.shape
    rows = max(BLOCK_NUMBERS // columns, 1)
    if n is None or n <= rows:
        return square(matrix)
    whole = n // rows

    def add(index: Any, total: Any) -> Any:
        return total + square(ops.slice(matrix, (index * rows, 0), (rows, columns)))

    total = ops.fori_loop(0, whole, add, ops.zeros((columns, columns), dtype))
    return total + square(matrix[whole * rows :]) if n % rows else total


def _sandwich(sides: Any, middle: Any) -> Any:
    return ops.transpose(sides) @ middle @ sides


def _real_times(real: Any, complex_matrix: Any) -> Any:
    """Product of a real and a complex matrix, in real arithmetic."""
    return complex_like(real @ ops.real(complex_matrix), real @ ops.imag(complex_matrix))


def _ritz(projected: Any, image_square: Any, kept: Any) -> tuple[Any, Any, Any]:
    """Ritz values, residuals and unit vectors, by falling modulus; dropped directions are 0, inf, 0."""
    dtype = precision(projected)
    values, vectors = ops.eig(projected)
    order = ops.argsort(-ops.abs(values))
    values, vectors = ops.take(values, order), ops.take(vectors, order, axis=1)
    mask = ops.cast(kept, dtype)[:, None]
    re, im = ops.real(vectors) * mask, ops.imag(vectors) * mask
    norms = ops.sqrt(ops.sum(ops.square(re) + ops.square(im), axis=0))
    real_pair = norms > 0.5
    norms = ops.where(real_pair, norms, ops.ones_like(norms))
    re, im = re / norms, im / norms

    def form(matrix: Any) -> tuple[Any, Any]:
        """Real and imaginary part of `u' M u`, column by column."""
        on_re, on_im = matrix @ re, matrix @ im
        return ops.sum(re * on_re + im * on_im, axis=0), ops.sum(re * on_im - im * on_re, axis=0)

    rayleigh_re, rayleigh_im = form(projected)
    squares = (
        ops.square(ops.abs(values))
        - 2 * (ops.real(values) * rayleigh_re + ops.imag(values) * rayleigh_im)
        + form(image_square)[0]
    )
    residuals = ops.where(real_pair, ops.sqrt(greater_of(squares, 0.0)), ops.full_like(squares, np.inf))
    return values, residuals, complex_like(re, im)


def _trimmed(found: DMDOperator) -> DMDOperator:
    """Without the directions that were dropped."""
    index = ops.nonzero(ops.logical_not(ops.isinf(found.residuals)))[0]
    return DMDOperator(
        ops.take(found.eigenvalues, index),
        ops.take(found.residuals, index),
        ops.take(found.modes, index, axis=1),
    )


def _is_symbolic(tensor: Any) -> bool:
    """Whether the tensor has no value yet, being part of a function that is compiled."""
    if engine() == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    if engine() == "jax":
        import jax

        return isinstance(tensor, jax.core.Tracer)
    return False


def _jax_is_wide() -> bool:
    import jax

    return bool(jax.config.jax_enable_x64)
