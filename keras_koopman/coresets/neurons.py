"""`prune_neurons`: removes whole neurons and filters on which little hangs in the layers behind."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from .. import _checks
from ..pruning.graph import UnitGroup, unit_groups
from ..pruning.rebuild import Cut, rebuild
from ..pruning.shrink import shrink
from . import capture, fitted
from .assemble import values
from .inputs import checked_keep, checked_sample
from .target import Target
from .units import NeuronPruning, UnitsReport

Real = NDArray[np.float64]
Mask = NDArray[np.bool_]


def prune_neurons(
    model: keras.Model,
    sample: Any,
    *,
    keep: float,
    allocate: str = "uniform",
    refit: bool = True,
    batch_size: int = 256,
    max_rows: int = 4096,
    seed: int = 0,
) -> NeuronPruning:
    """A smaller model without the neurons and filters on which little hangs in the layers that read them.

    A unit's score is its sensitivity downstream: the greatest share that it has, on the sample, in what a
    neuron behind it adds up, on average over those neurons. The lowest go, and `kk.pruning.shrink` takes them
    out for good. Of what a neuron behind adds up with weights of one sign, no row of the sample loses more
    than the sum of the shares that went.

    Args:
        model: A built Sequential or functional model. It is not changed.
        sample: Rows of inputs as the model takes them, a few hundred or thousand of the training set: an
            array, or a list or dict of arrays.
        keep: Share of the units to keep, above 0, of all layers whose units can be followed; at least one of
            each layer stays.
        allocate: `"uniform"`: the same share of each layer; `"optimal"`: the lowest scores wherever they are,
            which makes the sum of the bounds least. Defaults to `"uniform"`.
        refit: Whether the layers behind are fitted, by least squares on four fifths of the sample, to what
            they added up before. Defaults to True.
        batch_size: Rows of the sample at a time. Defaults to 256.
        max_rows: Rows, patches and positions at most that each layer is looked at with. Defaults to 4096.
        seed: That chooses those. Defaults to 0.

    Returns:
        A `NeuronPruning` with the smaller model, compiled as `model` is, and a row for each group of units.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, the sample does not fit or is not finite, or no unit of
            the model can be removed.

    Reference:
        Baykal, Liebenwein, Gilitschenski, Feldman and Rus, 2019, Data-dependent coresets for compressing
        neural networks; Liebenwein, Baykal, Lang, Feldman and Rus, 2020, Provable filter pruning for
        efficient neural networks.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)])
    >>> found = kk.coresets.prune_neurons(model, np.eye(4), keep=0.5)
    >>> found.model.layers[0].units, found.rows[0].after
    (4, 4)
    """
    keep = checked_keep(keep)
    _checks.one_of("allocate", allocate, ("uniform", "optimal"))
    if not isinstance(refit, bool):
        raise TypeError(f"refit must be True or False, got {refit!r} of type {type(refit).__name__}.")
    rows = checked_sample(model, sample, batch_size, max_rows, seed)
    every = unit_groups(model)
    groups = [group for group in every if group.reason is None]
    if not groups:
        reasons = "; ".join(f"{group.name}: {group.reason}" for group in every) or "it has no such layers"
        raise ValueError(f"no unit of model {model.name!r} can be removed: {reasons}.")
    targets = [Target.of(layer) for layer in capture.targets(model)[0]]
    by_kernel = {id(target.layer.kernel): number for number, target in enumerate(targets)}
    readers = [[by_kernel[id(reader.layer.kernel)] for reader in group.readers] for group in groups]
    behind = [targets[number] for number in sorted({number for own in readers for number in own})]
    rows.learn(model, behind)
    if all(target.silent for target in behind):
        warnings.warn(
            "sample: every activation is zero on it, so all units score the same. Give other rows.",
            stacklevel=2,
        )
    scores = [_scores(group, [targets[n] for n in own]) for group, own in zip(groups, readers, strict=True)]
    removed = _lowest(scores, keep, allocate)
    masks = [np.ones(target.kernels[0].shape, bool) for target in targets]
    for group, gone, own in zip(groups, removed, readers, strict=True):
        for number in own:
            masks[number] &= ~np.tile(gone, len(masks[number]) // group.count)[:, None]
    fit, held = rows.divided()
    if refit:
        copy = fitted.fit(
            model, fit, targets, [[mask] * len(t.kernels) for t, mask in zip(targets, masks, strict=True)]
        )
    else:
        cut = [
            [kernel * mask for kernel in target.kernels] for target, mask in zip(targets, masks, strict=True)
        ]
        copy = rebuild(model, Cut(values=values(targets, cut)))
    errors = fitted.errors(model, copy, held, targets)
    found = [
        _row(group, gone, [targets[n] for n in own], [errors[n][0] for n in own])
        for group, gone, own in zip(groups, removed, readers, strict=True)
    ]
    skipped = {group.name: group.reason for group in every if group.reason is not None}
    return NeuronPruning(shrink(copy), tuple(found), skipped, model)


def _scores(group: UnitGroup, readers: list[Target]) -> Real:
    """Of each unit, the greatest share in what a neuron behind it adds up, mean over all of those."""
    shares = [
        reader.sensitivities[0].reshape(-1, group.count, reader.kernels[0].shape[1]).sum(axis=0)
        for reader in readers
    ]
    return np.asarray(np.concatenate(shares, axis=1).mean(axis=1))


def _lowest(scores: list[Real], keep: float, allocate: str) -> list[Mask]:
    """Which units go: the lowest scores, but never all of a group."""
    if allocate == "uniform":
        counts = [len(score) - max(1, round(keep * len(score))) for score in scores]
        return [np.argsort(np.argsort(s, kind="stable")) < n for s, n in zip(scores, counts, strict=True)]
    # The best of each group is beyond all others.
    flat = np.concatenate([np.where(np.arange(len(s)) == np.argmax(s), np.inf, s) for s in scores])
    count = len(flat) - max(len(scores), round(keep * len(flat)))
    lowest = np.argsort(np.argsort(flat, kind="stable")) < count
    return np.split(lowest, np.cumsum([len(score) for score in scores])[:-1])


def _row(group: UnitGroup, gone: Mask, readers: list[Target], errors: list[Real]) -> UnitsReport:
    lost = np.concatenate([_lost(group, gone, reader) for reader in readers])
    error = np.concatenate(errors)
    figures = (float(lost.mean()), float(lost.max()), float(error.mean()), float(error.max()))
    return UnitsReport(group.name, group.count, int((~gone).sum()), *figures)


def _lost(group: UnitGroup, gone: Mask, reader: Target) -> Real:
    """What one half of each neuron behind loses at most, of itself."""
    kernel = reader.kernels[0]
    shares = reader.sensitivities[0] * np.tile(gone, len(kernel) // group.count)[:, None]
    halves = [(shares * (sign * kernel > 0)).sum(axis=0) for sign in (1, -1)]
    return np.asarray(np.minimum(np.maximum(*halves), 1.0))
