"""`NeuronPruning`: the smaller model, and what went of each layer."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from .._table import text_table
from ..reachability import Difference, certify_difference


@dataclasses.dataclass(frozen=True)
class UnitsReport:
    """The units of a layer, or of several that share them, in a `NeuronPruning`.

    Bound and error are of what the neurons in the layers behind add up, relative to the sum of its sizes.

    Args:
        name: Of the layer that makes the units, or of several, joined by " + ".
        before: Number of units.
        after: Number of units that stayed.
        mean_bound: What is lost at most on any row of the sample, given the inputs of the layer in the
            original model and without a refit; mean over the neurons behind.
        greatest_bound: The greatest of them.
        mean_error: Greatest error in the smaller model as it runs, on the fifth of the sample that no fit has
            seen; mean over the neurons behind.
        greatest_error: The greatest of them.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> layers = [keras.Input((1,)), keras.layers.Dense(2, "relu"), keras.layers.Dense(1)]
    >>> model = keras.Sequential(layers)
    >>> model.set_weights([np.array([[3.0, 1.0]]), np.zeros(2), np.ones((2, 1)), np.zeros(1)])
    >>> row = kk.coresets.prune_neurons(model, np.ones((1, 1)), keep=0.5, refit=False).rows[0]
    >>> row.after, row.greatest_bound, row.greatest_error
    (1, 0.25, 0.25)
    """

    name: str
    before: int
    after: int
    mean_bound: float
    greatest_bound: float
    mean_error: float
    greatest_error: float


@dataclasses.dataclass(frozen=True, eq=False)
class NeuronPruning:
    """What `prune_neurons` made. Print it for a table.

    Args:
        model: The smaller model.
        rows: one for each group of units that could be removed.
        skipped: Name of each other group -> why it was left alone.
        original: The model that was pruned.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    >>> found = kk.coresets.prune_neurons(keras.Sequential(layers), np.eye(4), keep=0.25)
    >>> found.original.count_params(), found.model.count_params()
    (58, 16)
    """

    model: keras.Model
    rows: tuple[UnitsReport, ...]
    skipped: dict[str, str]
    original: keras.Model

    def certify(self, region: Any, *, method: str = "auto") -> Difference:
        """How far the smaller model can be from the original on a region: a proof for all its inputs.

        Args:
            region: A `kk.reachability.Box` or `Ball`, or a dict of them by input name.
            method: As for `kk.reachability.bounds`. Defaults to `"auto"`.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If a layer is unknown, or the region does not fit.
        """
        return certify_difference(self.original, self.model, region, method=method)

    def to_dict(self) -> dict[str, Any]:
        """All figures as numbers and strings, for JSON."""
        return {"units": [dataclasses.asdict(row) for row in self.rows], "skipped": dict(self.skipped)}

    def __str__(self) -> str:
        headings = ("units of", "before", "after", "bound", "at most", "error", "at most")
        cells = [
            (
                row.name,
                *map(str, (row.before, row.after)),
                *(f"{v:.3g}" for v in dataclasses.astuple(row)[3:]),
            )
            for row in self.rows
        ]
        lines = text_table(headings, cells, left=("units of",))
        before, after = self.original.count_params(), self.model.count_params()
        lines.append(
            f"{after:,} of {before:,} parameters are left. Bound and error are of what the neurons behind "
            "add up, mean and greatest: the bound on the sample without a refit, the error on rows held out."
        )
        lines += [f"Left alone: {name}: {reason}." for name, reason in self.skipped.items()]
        return "\n".join(lines)
