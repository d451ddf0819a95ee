"""`spectrum_distance`: how far two spectra lie apart, and whether that is more than noise."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..backend import is_tensor

Complex = NDArray[np.complex128]


class SpectrumDistance(float):
    """A distance between spectra: a plain number that also knows its noise.

    Attributes:
        floor: mean distance between repeated runs of the same thing; None if no run was repeated.
        matched: `(k, 2)` for two single spectra, the indices in `a` and in `b` that were matched; None for
            repeated runs.

    Example:
    >>> import keras_koopman as kk
    >>> distance = kk.spectrum_distance([[0.9], [0.92]], [[0.5], [0.52]])
    >>> print(distance)
    0.4: 20 times the noise floor of 0.02 between repeated runs, so the spectra differ.
    """

    floor: float | None
    matched: NDArray[np.intp] | None

    def __new__(
        cls, value: float, floor: float | None = None, matched: NDArray[np.intp] | None = None
    ) -> SpectrumDistance:
        """A distance with its noise floor and its matching."""
        self = super().__new__(cls, value)
        self.floor, self.matched = floor, matched
        return self

    def __str__(self) -> str:
        number = f"{float(self):.3g}"
        if self.floor is None:
            return f"{number} (noise floor unknown: pass lists of repeated runs)"
        if self <= self.floor:
            return f"{number}: within the noise floor of {self.floor:.3g} between repeated runs."
        times = f"{self / self.floor:.3g} times" if self.floor > 0 else "above"
        return (
            f"{number}: {times} the noise floor of {self.floor:.3g} between repeated runs, "
            "so the spectra differ."
        )


def spectrum_distance(a: Any, b: Any) -> SpectrumDistance:
    """Mean distance of the eigenvalues of two spectra under the best matching.

    To ask whether two trainings move alike: runs whose dynamics are conjugate have equal spectra, whatever
    their architectures. Give lists of repeated runs (other seeds) to see whether the difference is more than
    what chance makes.

    Each eigenvalue of the smaller spectrum is matched with one of the larger. An eigenvalue left over counts
    with its distance to 0, for a mode of eigenvalue 0 is one that is not there. The sum is divided by the
    number of eigenvalues of the larger spectrum.

    Args:
        a: A `KoopmanDecomposition`, an array or tensor of eigenvalues `(r,)`, or a list of those, one for
            each of several repeated runs.
        b: The same for what `a` is compared with.

    Returns:
        A `SpectrumDistance`, a float. For lists: the mean over all pairs of a run of `a` and a run of `b`,
        and as `.floor` the mean over all pairs of two runs of the same list. Symmetric; 0 for equal single
        spectra.

    Raises:
        TypeError: If a spectrum does not consist of numbers.
        ValueError: If a spectrum is empty, not finite or not one-dimensional, or a list has no run.

    Reference:
        Redman, Bello-Rivas, Fonoberova, Mohr, Kevrekidis and Mezić, 2024, Identifying equivalent training
        dynamics.

    Example:
    >>> import keras_koopman as kk
    >>> float(kk.spectrum_distance([1.0, 0.5], [0.6, 1.0]))
    0.05
    >>> kk.spectrum_distance([1.0, 0.5], [1.0]).matched.tolist()  # 0.5 stays alone
    [[0, 0]]
    """
    first, second = _runs("a", a), _runs("b", b)
    pairs = [_match(x, y) for x in first for y in second]
    value = float(np.mean([distance for distance, _ in pairs]))
    repeats = [pair for runs in (first, second) for pair in itertools.combinations(runs, 2)]
    floor = float(np.mean([_match(x, y)[0] for x, y in repeats])) if repeats else None
    single = not (_is_list_of_runs(a) or _is_list_of_runs(b))
    return SpectrumDistance(value, floor, pairs[0][1] if single else None)


def _match(a: Complex, b: Complex) -> tuple[float, NDArray[np.intp]]:
    """Mean distance and the indices that were matched."""
    size = max(len(a), len(b))
    padded = [np.pad(values, (0, size - len(values))) for values in (a, b)]
    cost = np.abs(padded[0][:, None] - padded[1][None, :])
    # Sums in an order that does not depend on which comes first.
    rows, columns = linear_sum_assignment(cost)
    both = (rows < len(a)) & (columns < len(b))
    return float(np.sort(cost[rows, columns]).sum()) / size, np.stack([rows[both], columns[both]], axis=1)


def _is_list_of_runs(spectra: Any) -> bool:
    if not isinstance(spectra, list | tuple) or hasattr(spectra, "eigenvalues"):
        return False
    return not spectra or any(hasattr(s, "eigenvalues") or np.ndim(_on_host(s)) > 0 for s in spectra)


def _runs(name: str, spectra: Any) -> list[Complex]:
    """The eigenvalues of each run, checked."""
    if not _is_list_of_runs(spectra):
        return [_eigenvalues(name, spectra)]
    if not spectra:
        raise ValueError(f"{name} is an empty list: pass one spectrum at least.")
    return [_eigenvalues(f"{name}[{i}]", spectrum) for i, spectrum in enumerate(spectra)]


def _eigenvalues(name: str, spectrum: Any) -> Complex:
    values = _on_host(getattr(spectrum, "eigenvalues", spectrum))
    if values.dtype.kind not in "iufc":
        raise TypeError(
            f"{name} must be a KoopmanDecomposition, an array of eigenvalues or a list of those, "
            f"got {spectrum!r} of type {type(spectrum).__name__}."
        )
    if values.ndim != 1 or not len(values):
        raise ValueError(
            f"{name} must be one spectrum of shape (r,) with r >= 1, got shape {values.shape}. "
            "Pass repeated runs as a list of spectra."
        )
    if not np.all(np.isfinite(values)):
        broken = int(np.sum(~np.isfinite(values)))
        raise ValueError(
            f"{name} must be finite, got {broken} eigenvalue{'s' * (broken > 1)} that are NaN or infinite. "
            "Leave them out."
        )
    return values.astype(np.complex128)


def _on_host(values: Any) -> NDArray[Any]:
    return np.asarray(ops.convert_to_numpy(values) if is_tensor(values) else values)
