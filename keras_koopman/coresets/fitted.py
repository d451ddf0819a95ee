"""Coresets fitted by least squares: the weights that stay, and the biases, make up for those that go."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ..backend import to_host
from ..pruning.rebuild import Cut, rebuild
from .capture import run
from .capture import targets as targets_of
from .patches import from_matrices
from .sample import Sample
from .sensitivity import relative_errors
from .target import Target

Real = NDArray[np.float64]

# Of the mean diagonal of the Gram matrix: how strongly weights are drawn to what they were.
RIDGE = 0.03
# Of the root mean square of a kernel: the disturbance with which its effect on the outputs is measured.
DISTURBANCE = 0.05
# Inputs of a unit up to which a Gram matrix is made, of 0.1 GB; beyond, biases alone are fitted.
MOST = 4096
# Weights of a unit up to which its equations are solved by themselves; beyond, all units' by iteration.
DIRECT = 1024
ITERATIONS = 100


def gains(model: keras.Model, rows: Sample, targets: list[Target], rng: np.random.Generator) -> Real:
    """How far the outputs move if the neurons of each layer err by one: root mean squares, on one batch.

    A layer's kernel is disturbed by noise, whose effect on its neurons is known from what they see.
    """
    copy = rebuild(model, Cut())
    batch = next(rows.batches())
    before = _outputs(copy, batch)
    found = []
    for target, layer in zip(targets, targets_of(copy)[0], strict=True):
        kernel = from_matrices(target.kernels, tuple(layer.kernel.shape))
        size = DISTURBANCE * float(np.sqrt((kernel**2).mean()))
        squares = np.mean([square.sum() for square in target.squares]) / max(target.seen, 1)
        layer.kernel.assign(kernel + size * rng.standard_normal(kernel.shape))
        moved = np.sqrt(((_outputs(copy, batch) - before) ** 2).sum(axis=1).mean())
        layer.kernel.assign(kernel)
        errs = size * np.sqrt(squares * kernel.shape[-1])
        found.append(moved / errs if errs > 0 else 0.0)
    return np.array(found)


def supports(
    targets: list[Target], weights: Real, keep: float, allocate: str
) -> list[list[NDArray[np.bool_]]]:
    """Which weights stay: those whose going would disturb the outputs most.

    Args:
        targets: the layers.
        weights: of each, how far the outputs move if its neurons err by one.
        keep: share of all entries.
        allocate: `"optimal"`: wherever they are; `"uniform"`: the same share of each neuron.
    """
    scores = [
        [gain * np.abs(kernel) * target.spread(group)[:, None] for group, kernel in enumerate(target.kernels)]
        for target, gain in zip(targets, weights, strict=True)
    ]
    flat = np.concatenate([score.ravel() for parts in scores for score in parts])
    sizes = np.concatenate([np.abs(kernel).ravel() for target in targets for kernel in target.kernels])
    budget = min(max(1, round(keep * len(flat))), int(np.count_nonzero(sizes)))
    # The greatest scores, of equal ones the largest weights; zeros last.
    order = np.lexsort((-sizes, -flat, sizes == 0))
    if allocate == "uniform":
        neurons = _neuron_numbers(targets)
        place = np.empty(len(flat), np.int64)
        ranked = order[np.argsort(neurons[order], kind="stable")]
        counts = np.bincount(neurons)
        place[ranked] = np.concatenate([np.arange(count) for count in counts])
        order = np.lexsort((-flat, (place + 0.5) / counts[neurons], sizes == 0))
    kept = np.zeros(len(flat), bool)
    kept[order[:budget]] = True
    pieces = iter(np.split(kept, np.cumsum([score.size for parts in scores for score in parts])[:-1]))
    return [[next(pieces).reshape(score.shape) for score in parts] for parts in scores]


def _neuron_numbers(targets: list[Target]) -> NDArray[np.int64]:
    """Of each entry of all matrices, laid flat, the number of its neuron."""
    found, first = [], 0
    for target in targets:
        for kernel in target.kernels:
            found.append(np.tile(first + np.arange(kernel.shape[1]), len(kernel)))
            first += kernel.shape[1]
    return np.concatenate(found)


def fit(
    model: keras.Model, rows: Sample, targets: list[Target], chosen: list[list[NDArray[np.bool_]]]
) -> keras.Model:
    """A copy of a model with only these weights, fitted to what the neurons of the model add up.

    Each layer is fitted on what it sees in the copy, whose earlier layers are done: so errors do not pile up.

    Args:
        model: the original.
        rows: that it is fitted on.
        targets: all layers that can be compressed, in the order of the graph.
        chosen: of each, which weights stay.
    """
    values = {
        id(target.layer.kernel): from_matrices(
            [kernel * mask for kernel, mask in zip(target.kernels, masks, strict=True)],
            tuple(target.layer.kernel.shape),
        )
        for target, masks in zip(targets, chosen, strict=True)
    }
    copy, changed = rebuild(model, Cut(values=values)), False
    for target, twin, masks in zip(targets, targets_of(copy)[0], chosen, strict=True):
        changed |= not all(mask.all() for mask in masks)
        if changed:
            _fit_layer(model, copy, rows, target, twin, masks)
    return copy


def _fit_layer(
    model: keras.Model, copy: keras.Model, rows: Sample, target: Target, twin: Any, masks: list[Any]
) -> None:
    moments = [_Moments(*kernel.shape) for kernel in target.kernels]
    for (old,), (new,) in zip(rows.seen(model, [target.layer]), rows.seen(copy, [twin]), strict=True):
        for group, moment in enumerate(moments):
            wanted = np.concatenate(old[group]) @ target.kernels[group]
            moment.add(np.concatenate(new[group]), wanted)
    parts = zip(moments, target.kernels, masks, strict=True)
    fits = [moment.solve(kernel, mask, twin.bias is not None) for moment, kernel, mask in parts]
    kernel = from_matrices([matrix for matrix, _ in fits], tuple(twin.kernel.shape))
    if not np.isfinite(kernel).all():
        return
    twin.kernel.assign(kernel)
    if twin.bias is not None:
        shift = np.concatenate([shift for _, shift in fits])
        twin.bias.assign(to_host(target.layer.bias) + shift)


class _Moments:
    """Sums of products of what a layer sees and what its neurons are to add up."""

    def __init__(self, inputs: int, units: int) -> None:
        self.count = 0
        self.all = inputs <= MOST
        side = inputs if self.all else 0
        self.gram, self.cross = np.zeros((side, side)), np.zeros((side, units))
        self.inputs, self.wanted = np.zeros(inputs), np.zeros(units)

    def add(self, seen: Real, wanted: Real) -> None:
        """Take in rows."""
        self.count += len(seen)
        if self.all:
            self.gram += seen.T @ seen
            self.cross += seen.T @ wanted
        self.inputs += seen.sum(axis=0)
        self.wanted += wanted.sum(axis=0)

    def solve(self, kernel: Real, mask: NDArray[np.bool_], biased: bool) -> tuple[Real, Real]:
        """Weights where the mask is, of least squares near a kernel's, and what biases must be ahead."""
        count = max(self.count, 1)
        mean, wanted = self.inputs / count, self.wanted / count
        found = kernel * mask
        if self.all:
            gram, cross = self.gram / count, self.cross / count
            if biased:
                gram, cross = gram - np.outer(mean, mean), cross - np.outer(mean, wanted)
            found += corrections(gram, cross - gram @ found, mask)
        return found, wanted - mean @ found if biased else np.zeros(kernel.shape[1])


def corrections(gram: Real, lacking: Real, mask: NDArray[np.bool_]) -> Real:
    """Small changes of weights within a mask that make up for what is lacking, by ridge regression.

    Args:
        gram: `(inputs, inputs)` of what the units see.
        lacking: `(inputs, units)` products of what they see with what they lack.
        mask: `(inputs, units)` which weights may change.
    """
    ridges = RIDGE * (np.diag(gram) @ mask) / np.maximum(mask.sum(axis=0), 1)
    if mask.sum(axis=0).max(initial=0) > DIRECT:
        return _by_iteration(gram, np.where((ridges > 0) & mask, lacking, 0.0), mask, ridges)
    found = np.zeros(lacking.shape)
    for unit in np.flatnonzero(ridges > 0):
        own = np.flatnonzero(mask[:, unit])
        part = gram[np.ix_(own, own)] + ridges[unit] * np.eye(len(own))
        found[own, unit] = np.linalg.solve(part, lacking[own, unit])
    return found


def _by_iteration(gram: Real, lacking: Real, mask: NDArray[np.bool_], ridges: Real) -> Real:
    """The same by conjugate gradients, all units at once."""
    found, residual = np.zeros(lacking.shape), lacking.copy()
    direction, squares = residual.copy(), (residual**2).sum(axis=0)
    least = 1e-16 * squares
    for _ in range(ITERATIONS):
        open_ = squares > least
        if not open_.any():
            break
        image = np.where(mask, gram @ direction, 0.0) + ridges * direction
        step = np.where(open_, squares / np.maximum((direction * image).sum(axis=0), 1e-300), 0.0)
        found += step * direction
        residual -= step * image
        before, squares = squares, (residual**2).sum(axis=0)
        direction = residual + np.where(open_, squares / np.maximum(before, 1e-300), 0.0) * direction
    return found


def errors(model: keras.Model, copy: keras.Model, rows: Sample, targets: list[Target]) -> list[list[Real]]:
    """Greatest relative error of each neuron of a copy as it runs, for each target and group."""
    twins = targets_of(copy)[0]
    others = [Target.of(twin) for twin in twins]
    shifts = [_shift(target.layer, twin, target) for target, twin in zip(targets, twins, strict=True)]
    worst = [[np.zeros(matrix.shape[1]) for matrix in target.kernels] for target in targets]
    layers = [target.layer for target in targets]
    for old, new in zip(rows.seen(model, layers), rows.seen(copy, twins), strict=True):
        for number, target in enumerate(targets):
            for group, kernel in enumerate(target.kernels):
                a, b = (np.concatenate(seen[number][group]) for seen in (old, new))
                found = relative_errors(a, kernel, b, others[number].kernels[group], shifts[number][group])
                np.maximum(worst[number][group], found, out=worst[number][group])
    return worst


def _shift(layer: Any, twin: Any, target: Target) -> list[Real]:
    if layer.bias is None:
        return [np.zeros(kernel.shape[1]) for kernel in target.kernels]
    return np.split(to_host(twin.bias) - to_host(layer.bias), len(target.kernels))


def _outputs(model: keras.Model, batch: list[Any]) -> Real:
    """All outputs of a batch, a row for each input."""
    outputs = keras.tree.flatten(run(model, batch))
    return np.concatenate([to_host(output).reshape(len(batch[0]), -1) for output in outputs], axis=1)
