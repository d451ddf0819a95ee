"""Checks of what `compress` and `prune_neurons` are given."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from .. import _checks
from ..export.inputs import checked, signature_of
from ..pruning.graph import graph_of
from .capture import check_finite
from .sample import Sample


def checked_sample(model: Any, sample: Any, batch_size: Any, max_rows: Any, seed: Any) -> Sample:
    """A sample that fits a model.

    Raises:
        TypeError: If the model is no Keras model, or the sample has another structure than its inputs.
        ValueError: If the model is not built or has no graph, or the sample does not fit or is not finite.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {model!r} of type {type(model).__name__}.")
    graph_of(model)
    if sample is None:
        raise TypeError(
            "sample must be rows of inputs as the model takes them, got None. Pass x_train[:500]."
        )
    arrays = checked(signature_of(model), sample)
    for number, array in enumerate(arrays):
        if array.dtype.kind not in "biu":
            check_finite("sample" if len(arrays) == 1 else f"sample {number}", np.asarray(array, np.float64))
    batch_size = _checks.whole_number("batch_size", batch_size, least=1)
    max_rows = _checks.whole_number("max_rows", max_rows, least=1)
    return Sample(arrays, batch_size, max_rows, _checks.whole_number("seed", seed, least=0))


def checked_keep(keep: Any) -> float:
    """A share in (0, 1].

    Raises:
        TypeError: If it is no number.
        ValueError: If it lies outside.
    """
    if not isinstance(keep, bool) and keep == 1:
        return 1.0
    try:
        return _checks.real_number("keep", keep, 0.0, 1.0)
    except ValueError as error:
        raise ValueError(
            f"keep must be a share above 0, and 1 at most, got {keep}. Pass 0.2 to keep a fifth."
        ) from error


def checked_error(error: Any) -> tuple[float, float]:
    """A pair of an error and a chance, both in (0, 1).

    Raises:
        TypeError: If it is no pair of numbers.
        ValueError: If one is out of range.
    """
    if not isinstance(error, list | tuple) or len(error) != 2:
        raise TypeError(
            f"error must be a pair (eps, delta), got {error!r} of type {type(error).__name__}. Pass "
            "error=(0.5, 0.1) for half of each sum, with probability 0.9."
        )
    # From an error of 1 on nothing at all would do.
    epsilon = _checks.real_number("error: eps", error[0], 0.0, 1.0)
    return epsilon, _checks.real_number("error: delta", error[1], 0.0, 1.0)
