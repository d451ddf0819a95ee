"""LAPACK's own DMD, `dgedmd`, as an oracle: SciPy's Linux wheels carry it inside their OpenBLAS."""

import ctypes
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import scipy
from scipy.optimize import linear_sum_assignment


class Oracle(NamedTuple):
    """What LAPACK finds: Ritz values and the residuals of the unit Ritz vectors."""

    eigenvalues: np.ndarray
    residuals: np.ndarray


@functools.cache
def _dgedmd_symbol():
    """The Fortran routine, or None where this SciPy does not carry it."""
    wheel = Path(scipy.__file__).parents[1] / "scipy.libs"
    for library in sorted(wheel.glob("libscipy_openblas-*.so")):
        routine = getattr(ctypes.CDLL(str(library)), "scipy_dgedmd_", None)
        if routine is not None:
            routine.restype = None
            return routine
    return None


needs_dgedmd = pytest.mark.skipif(_dgedmd_symbol() is None, reason="this SciPy carries no dgedmd")


def dgedmd(x, y, tol):
    """DMD of the pairs `y_i = A x_i`, columns scaled to unit length, truncated at `tol`.

    Args:
        x: `(n, m)` with `n >= m`.
        y: `(n, m)`, the successors.
        tol: singular values up to `tol` times the largest are dropped.
    """
    n, m = x.shape
    assert n >= m, "dgedmd wants tall data"
    keep = []  # what Fortran is pointed at must outlive the call

    def array(*shape, dtype=np.float64):
        keep.append(np.zeros(shape, dtype, order="F"))
        return keep[-1]

    def pointer(value):
        if isinstance(value, bytes):
            return ctypes.c_char_p(value)
        if isinstance(value, np.ndarray):
            return value.ctypes.data_as(ctypes.c_void_p)
        keep.append(ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int(value))
        return ctypes.byref(keep[-1])

    x_copy, y_copy = array(n, m), array(n, m)
    x_copy[:], y_copy[:] = x, y
    real, imaginary, residuals = array(m), array(m), array(m)
    modes, images, eigenvectors, projected = array(n, m), array(n, m), array(m, m), array(m, m)
    work, whole = array(50 * (n + m * m) + 10_000), array(50 * m + 1000, dtype=np.int32)
    rank, info = ctypes.c_int(), ctypes.c_int()
    by_tolerance, gesvd = -1, 1
    arguments = [
        # JOBS, JOBZ, JOBR, JOBF
        b"S", b"V", b"R", b"R", gesvd, n, m, x_copy, n, y_copy, n, by_tolerance, float(tol),
        rank, real, imaginary, modes, n, residuals, images, n, eigenvectors, m, projected, m,
        work, len(work), whole, len(whole), info,
    ]  # fmt: skip
    pointers = [ctypes.byref(a) if isinstance(a, ctypes.c_int) else pointer(a) for a in arguments]
    lengths = [ctypes.c_size_t(1)] * 4
    _dgedmd_symbol()(*pointers, *lengths)
    assert info.value >= 0, f"dgedmd refused argument {-info.value}"
    k = rank.value
    return Oracle(real[:k] + 1j * imaginary[:k], residuals[:k].copy())


def matched(found, wanted):
    """Indices that put `found` in the order of `wanted`; both must have equal length."""
    assert len(found) == len(wanted), f"{len(found)} eigenvalues, wanted {len(wanted)}"
    return linear_sum_assignment(np.abs(np.asarray(wanted)[:, None] - np.asarray(found)[None, :]))[1]


def gap(found, wanted):
    """Largest distance between two spectra of equal length, matched at best."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    return float(np.max(np.abs(found[matched(found, wanted)] - wanted), initial=0.0))


def path_of(operator, start, steps):
    """`(n, steps + 1)` snapshots of `x -> operator x`."""
    columns = [np.asarray(start, np.float64)]
    for _ in range(steps):
        columns.append(operator @ columns[-1])
    return np.stack(columns, axis=1)


def random_system(seed, kind="noisy"):
    """A random path in float64 that is not too far from normal.

    Args:
        seed: of the generator.
        kind: `"noisy"`: a few modes of a linear map and white noise; `"decay"`: slow decay to a fixed point
            like a training; `"walk"`: a random walk; `"steep"`: growth or decay by many decades; `"deep"`:
            many decays, so that singular values fall by up to 13 decades.
    """
    rng = np.random.default_rng([seed, *kind.encode()])
    n, m, k = int(rng.integers(40, 200)), int(rng.integers(8, 24)), int(rng.integers(3, 8))
    t = np.arange(m + 1)
    frame = rng.standard_normal((n, k)) / np.sqrt(n)
    if kind == "decay":
        rates = np.append(rng.uniform(0.5, 0.98, k - 1), 1.0)
        path = frame @ rates[:, None] ** t + 1e-3 * rng.standard_normal((n, m + 1)) / np.sqrt(n)
    elif kind == "deep":
        frame = np.linalg.qr(rng.standard_normal((n, m + 2)))[0]
        path = frame @ path_of(np.diag(rng.uniform(0.1, 1.0, m + 2)), rng.standard_normal(m + 2), m)
        path += 10 ** rng.uniform(-13, -5) * rng.standard_normal(path.shape)
    elif kind == "walk":
        path = np.cumsum(rng.standard_normal((n, m + 1)), axis=1)
    else:
        operator = np.linalg.qr(rng.standard_normal((k, k)))[0] * rng.uniform(0.6, 1.05, k)
        path = frame @ path_of(operator, rng.standard_normal(k), m)
        path += 10 ** rng.uniform(-6, -1) * rng.standard_normal((n, m + 1)) / np.sqrt(n)
    return path * rng.choice([0.4, 2.5]) ** t if kind == "steep" else path
