"""Kernels from coresets, the best of several, and rows of the report."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from .choice import Coreset
from .patches import from_matrices
from .report import NeuronReport
from .sample import Sample
from .target import Target

Real = NDArray[np.float64]


def matrices(targets: list[Target], coresets: Sequence[Coreset]) -> list[list[Real]]:
    """The matrices of each target with nothing but the coresets in them."""
    found = [[np.zeros(matrix.shape) for matrix in target.kernels] for target in targets]
    for coreset in coresets:
        half = coreset.half
        own = found[half.target][half.group][:, half.unit]
        weights = targets[half.target].kernels[half.group][:, half.unit]
        own[half.entries] = weights[half.entries] * coreset.factors
        idle = half.idle[: coreset.extra]
        own[idle] = weights[idle]
    return found


def values(targets: list[Target], found: list[list[Real]]) -> dict[int, Real]:
    """Id of each kernel -> its new value."""
    return {
        id(target.layer.kernel): from_matrices(parts, tuple(target.layer.kernel.shape))
        for target, parts in zip(targets, found, strict=True)
    }


def best_of(
    drawn: list[list[Coreset]], model: keras.Model, rows: Sample, targets: list[Target]
) -> list[Coreset]:
    """Of several coresets of each neuron, the one with the least error on a sample."""
    if len(drawn) == 1:
        return drawn[0]
    errors = [rows.errors(model, targets, matrices(targets, coresets)) for coresets in drawn]
    best = []
    for number, coreset in enumerate(drawn[0]):
        half = coreset.half
        own = [error[half.target][half.group][half.unit] for error in errors]
        best.append(drawn[int(np.argmin(own))][number])
    return best


def neurons(
    targets: list[Target],
    found: list[list[Real]],
    coresets: Sequence[Coreset],
    bounds: list[list[Real]] | None,
    errors: list[list[Real]],
) -> list[NeuronReport]:
    """Rows of the report.

    Args:
        targets: the layers.
        found: the matrices that stand for theirs.
        coresets: from which they were made, if they were.
        bounds: of each neuron, if no sensitivities were worked out; None: those of the coresets.
        errors: of each neuron.
    """
    parts: dict[tuple[int, int, int], list[Coreset]] = {}
    for coreset in coresets:
        parts.setdefault((coreset.half.target, coreset.half.group, coreset.half.unit), []).append(coreset)
    rows = []
    for number, target in enumerate(targets):
        for group, (kernel, matrix) in enumerate(zip(target.kernels, found[number], strict=True)):
            units = kernel.shape[1]
            sums = target.sensitivities[group].sum(axis=0)
            kept, entries = (np.count_nonzero(part, axis=0) for part in (matrix, kernel))
            for unit in range(units):
                own = parts.get((number, group, unit), [])
                bound = max((part.bound for part in own), default=0.0)
                rows.append(
                    NeuronReport(
                        layer=target.layer.name,
                        unit=group * units + unit,
                        sensitivity_sum=float(sums[unit]) if bounds is None else None,
                        draws=sum(part.draws for part in own),
                        kept=int(kept[unit]),
                        entries=int(entries[unit]),
                        bound=bound if bounds is None else float(bounds[number][group][unit]),
                        error=float(errors[number][group][unit]),
                    )
                )
    return rows
