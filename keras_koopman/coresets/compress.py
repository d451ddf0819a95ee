"""`compress`: a sparse copy of a model, neuron by neuron provably close to it."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import keras
import numpy as np

from .. import _checks
from ..pruning.rebuild import Cut, rebuild
from . import assemble, capture, fitted
from .choice import AT_FIRST, METHODS, WITH_REPLACEMENT, Chooser, Coreset
from .inputs import checked_error, checked_keep, checked_sample
from .report import CoresetReport, NeuronReport
from .result import CoresetResult
from .sample import Sample
from .target import Half, Target, halves_of
from .words import guarantee

# With a budget, the chance that the bound of a half fails on a row.
DELTA = 0.1


def compress(
    model: keras.Model,
    sample: Any,
    *,
    keep: float | None = None,
    error: tuple[float, float] | None = None,
    method: str | None = None,
    allocate: str = "optimal",
    repeats: int = 1,
    batch_size: int = 256,
    max_rows: int = 4096,
    seed: int = 0,
) -> CoresetResult:
    """A copy of a model with few weights, chosen by what they contribute on a sample.

    The sensitivity of a weight is the greatest share that it has, on a row of the sample, in what the weights
    of its sign add up to in its neuron: `s_j = max_x w_j a_j(x) / sum_k w_k a_k(x)`. Where `s` is small the
    weight can go, or others can stand for it: of `m` draws with chances `q_j = s_j / S`, `S` the sum, the
    weights `count_j w_j / (m q_j)` give each such sum without bias and with a root mean square error of at
    most `sqrt(S / m)` of it. Activations below zero are looked at apart. Layers and shapes do not change.

    Give a budget, `keep`, or a promise, `error`. For a budget the default is not these theorems but least
    squares, which comes much closer to the model; its bound is measured on rows held out.

    Args:
        model: A built Sequential or functional model. It is not changed. Dense layers and convolutions of one
            to three dimensions are compressed, those of models within it too; what is left alone stands in
            the report.
        sample: Rows of inputs as the model takes them, some hundreds of the training set, thousands for
            `"fitted"`: an array, or a list or dict of arrays.
        keep: Share of the entries of all compressed kernels that are not zero afterwards, above 0 and at most
            1. Met exactly, unless there are fewer to begin with.
        error: `(eps, delta)`, both in (0, 1): as many weights as the theorem asks for, so that on a row of
            the sample, with probability `1 - delta`, each half of each neuron (what its positive weights add
            up to, and its negative ones) is within `eps` of itself, given the inputs of its layer. A half for
            which it asks for as many weights as there are is left as it is.
        method: `"fitted"`: the weights whose going would disturb the outputs most stay, fitted by
            least squares, biases too, on four fifths of the sample; `"hybrid"`: the most sensitive
            weights as they are and a draw without replacement of the others, or cut off if that is the less
            error; `"deterministic"`: the most sensitive, all others cut off; `"sipp"`: draws with
            replacement; `"corenet"`: the same with an older theorem, and the same error for all neurons.
            Defaults to None: `"fitted"` with `keep`, `"hybrid"` with `error`.
        allocate: How `keep` is divided over the neurons: `"optimal"` makes the sum of their bounds least (for
            `"corenet"` the greatest, for `"fitted"` the error of the outputs, layer by layer), `"uniform"`
            keeps the same share of each. Defaults to `"optimal"`.
        repeats: How many coresets are drawn for each neuron, of which the one with the least error on the
            sample is taken (CoreNet++). Defaults to 1.
        batch_size: Rows of the sample at a time. Defaults to 256.
        max_rows: Rows, patches of a convolution, or positions of a sequence that a layer is looked at with at
            most; of more some are chosen. Defaults to 4096.
        seed: Of all that is drawn and chosen. Defaults to 0.

    Returns:
        A `CoresetResult`: the model, compiled as `model` is, and a report.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, the model has no graph or nothing to compress, or the
            sample does not fit or is not finite.

    Reference:
        Baykal, Liebenwein, Gilitschenski, Feldman and Rus, 2019, Data-dependent coresets for compressing
        neural networks with applications to generalization bounds (CoreNet); the same, 2019, SiPPing neural
        networks: sensitivity-informed provable pruning of neural networks.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(4)])
    >>> sample = np.random.default_rng(0).random((100, 16))
    >>> result = kk.coresets.compress(model, sample, keep=0.25)
    >>> kernels = [layer.kernel for layer in result.model.layers]
    >>> sum(int((keras.ops.convert_to_numpy(kernel) != 0).sum()) for kernel in kernels)  # of 640
    160
    """
    if (keep is None) == (error is None):
        raise ValueError(
            f"one of keep and error must be given, got keep={keep!r} and error={error!r}. Pass keep=0.2 for "
            "a budget, or error=(0.5, 0.1) for a promise."
        )
    keep = None if keep is None else checked_keep(keep)
    error = None if error is None else checked_error(error)
    method = ("hybrid" if keep is None else "fitted") if method is None else method
    _checks.one_of("method", method, ("fitted", *METHODS))
    if method == "fitted" and keep is None:
        raise ValueError(
            "method='fitted' has no theorem that tells how many weights an error takes. Give it keep, or "
            "take method='hybrid'."
        )
    _checks.one_of("allocate", allocate, ("optimal", "uniform"))
    repeats = _checks.whole_number("repeats", repeats, least=1)
    rows = checked_sample(model, sample, batch_size, max_rows, seed)
    layers, skipped = capture.targets(model)
    if not layers:
        raise ValueError(f"model {model.name!r} has no Dense, Conv1D, Conv2D or Conv3D layer to compress.")
    targets = [Target.of(layer) for layer in layers]
    work = _Work(model, targets, rows, method, allocate, repeats, seed)
    if method == "fitted":
        assert keep is not None
        copy, neurons = work.fitted(keep)
    else:
        copy, neurons = work.chosen(keep, error)
    dense = () if error is None else tuple(f"{n.layer}[{n.unit}]" for n in neurons if n.kept == n.entries)
    if dense:
        warnings.warn(
            f"error={error}: the theorem asks for no fewer weights than there are in {len(dense)} of "
            f"{len(neurons)} neurons, which stay dense. Allow a greater error, or give a budget by keep.",
            stacklevel=2,
        )
    report = CoresetReport(
        rows=tuple(neurons),
        method=method,
        asked=keep,
        kept=sum(neuron.kept for neuron in neurons) / sum(target.size for target in targets),
        guarantee=guarantee(method, error, DELTA, rows),
        dense=dense,
        skipped=skipped,
    )
    return CoresetResult(copy, report, model, tuple(target.layer.kernel.path for target in targets))


@dataclasses.dataclass
class _Work:
    """What `compress` was asked for, once it is checked."""

    model: keras.Model
    targets: list[Target]
    rows: Sample
    method: str
    allocate: str
    repeats: int
    seed: int

    def fitted(self, keep: float) -> tuple[keras.Model, list[NeuronReport]]:
        """The compressed model and its neurons, by least squares."""
        rows, held = self.rows.divided()
        rows.learn(self.model, self.targets, moments_only=True)
        _warn_of_silence(self.targets)
        gains = fitted.gains(self.model, rows, self.targets, np.random.default_rng(self.seed))
        chosen = fitted.supports(self.targets, gains, keep, self.allocate)
        copy = fitted.fit(self.model, rows, self.targets, chosen)
        found = [Target.of(layer).kernels for layer in capture.targets(copy)[0]]
        bounds = fitted.errors(self.model, copy, held, self.targets)
        errors = bounds if held is rows else fitted.errors(self.model, copy, self.rows, self.targets)
        return copy, assemble.neurons(self.targets, found, (), bounds, errors)

    def chosen(
        self, keep: float | None, error: tuple[float, float] | None
    ) -> tuple[keras.Model, list[NeuronReport]]:
        """The compressed model and its neurons, by sensitivities."""
        self.rows.learn(self.model, self.targets)
        _warn_of_silence(self.targets)
        halves = halves_of(self.targets)
        coresets = self.within(halves, keep) if error is None else self.promised(halves, *error)
        found = assemble.matrices(self.targets, coresets)
        errors = self.rows.errors(self.model, self.targets, found)
        copy = rebuild(self.model, Cut(values=assemble.values(self.targets, found)))
        return copy, assemble.neurons(self.targets, found, coresets, None, errors)

    def promised(self, halves: list[Half], epsilon: float, delta: float) -> list[Coreset]:
        """Coresets of the size that the theorem asks for."""
        # Both halves of all neurons, and where there are activations below zero those apart.
        statements = len(halves) + sum(self.targets[half.target].signed for half in halves)
        chooser = self.chooser(delta / statements)
        drawn = [[chooser.needed(half, epsilon) for half in halves] for _ in range(self.repeats)]
        return assemble.best_of(drawn, self.model, self.rows, self.targets)

    def within(self, halves: list[Half], keep: float | None) -> list[Coreset]:
        """Coresets of so large a share of all entries."""
        assert keep is not None
        there = sum(half.size for half in halves)
        budget = min(max(1, round(keep * sum(target.size for target in self.targets))), there)
        chooser = self.chooser(DELTA)
        counts = chooser.shared_out(halves, budget, self.allocate)
        share = AT_FIRST
        while True:
            drawn = [chooser.fill(halves, counts, share) for _ in range(self.repeats)]
            coresets = assemble.best_of(drawn, self.model, self.rows, self.targets)
            if self.method not in WITH_REPLACEMENT:
                return coresets
            if sum(coreset.kept for coreset in coresets) <= budget:
                return chooser.top_up(coresets, budget)
            share *= 0.97

    def chooser(self, delta: float) -> Chooser:
        """One whose statements fail with a chance of at most delta, the best of several draws too."""
        return Chooser(self.method, math.log(2.0 * self.repeats / delta), np.random.default_rng(self.seed))


def _warn_of_silence(targets: list[Target]) -> None:
    """Warn of layers of whose weights the sample says nothing."""
    silent = [target.layer.name for target in targets if target.silent]
    if silent:
        warnings.warn(
            f"sample: all inputs of layer {silent[0]!r} are zero on it, so it says nothing of the weights; "
            "the largest are kept. Give rows on which the layer is active.",
            stacklevel=3,
        )
