"""`estimate_depth`: grows the depth at a reduced budget until it no longer pays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from .. import _checks
from .probe import Data, Probe, error_of_guessing, share_of_error, split
from .report import TRIVIAL, DepthEstimate, DepthProbe


def estimate_depth(
    build: Callable[[int], keras.Model],
    x: Any,
    y: Any,
    depths: Sequence[int] = range(1, 9),
    epochs: int = 40,
    budget: float = 0.2,
    patience: int = 2,
    validation_split: float = 0.2,
    validation_data: tuple[Any, Any] | None = None,
    batch_size: int = 32,
    least_gain: float = 0.1,
    least_drop: float = 0.01,
    prolong: float = 0.5,
    score: Callable[[keras.Model, Any, Any], float] | None = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
    verbose: int = 0,
) -> DepthEstimate:
    """How many layers a task needs, from short trainings of growing depth.

    A depth is accepted if the error falls by more than `least_gain` of that of the last accepted one and by
    more than `least_drop`: by default a tenth, and a hundredth of the variance or of the samples. After
    `patience` depths in a row that were not, the last accepted one is the estimate; while none is such a fall
    below the error of guessing, none counts, as nothing was learned that could tell. A depth whose weights
    still drift after its budget, as its Koopman figures tell, goes on a little before it is judged: else a
    deeper model that merely learns faster would look better.

    Errors are measured on data held back. The rule knows nothing of depth but what training shows; spectral
    figures of the depth itself have not been found to do better. If no depth learns more than guessing,
    `reason` says so: then the estimate is worth nothing.

    Args:
        build: Makes a compiled model of a given depth, each time a new one.
        x: Inputs, as arrays.
        y: Targets, as an array; whole numbers and rows of one 1 are classes.
        depths: To try, the least first. Defaults to `range(1, 9)`.
        epochs: Of a full training, against which the cost is counted. Defaults to 40.
        budget: Share of `epochs` for each probe. Defaults to 0.2.
        patience: Depths in a row that are not accepted before it stops, once one has learned anything.
            Defaults to 2.
        validation_split: Share of the samples to hold back. Defaults to 0.2.
        validation_data: `(x, y)` to judge by instead. Defaults to None.
        batch_size: Of training. Defaults to 32.
        least_gain: Least fall of the error as a share of it. Defaults to 0.1.
        least_drop: Least fall of the error. Defaults to 0.01.
        prolong: Share of a probe's budget by which it may go on. Defaults to 0.5.
        score: Error of a model on data, `(model, x, y) -> number`, the less the better. Defaults to None:
            the share of wrong classes, or of the variance that is not explained. Of an error of your own it
            is not known what guessing gives, so all depths count.
        fit_kwargs: More arguments of `fit`, but for epochs and batch size. Defaults to None.
        seed: Of the split and of each probe. Defaults to 0.
        verbose: 1 prints a line for each probe. Defaults to 0.

    Returns:
        A `DepthEstimate` with `depth`, `table`, `cost` and `reason`; print it.

    Raises:
        TypeError: If an argument has the wrong type, or `build` gives no model.
        ValueError: If an argument is out of range, the data are empty or not finite, or the model is not
            compiled.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> def build(depth):
    ...     hidden = [keras.layers.Dense(4, "relu") for _ in range(depth - 1)]
    ...     model = keras.Sequential([keras.Input((3,)), *hidden, keras.layers.Dense(1)])
    ...     model.compile(keras.optimizers.Adam(0.1), "mse")
    ...     return model
    >>> estimate = kk.estimate_depth(build, x, x @ np.ones((3, 1)), depths=[1, 2, 3], epochs=50)
    >>> estimate.depth  # the task is linear
    1
    """
    if not callable(build) or isinstance(build, keras.Model):
        raise TypeError(
            f"build must be a function that makes a compiled model of a given depth, got "
            f"{type(build).__name__}. Each depth needs a model: pass the function, not what it gives."
        )
    tried = _depths(depths)
    epochs = _checks.whole_number("epochs", epochs, least=1)
    budget = _checks.real_number("budget", budget, 0.0, math.nextafter(1.0, 2.0))
    patience = _checks.whole_number("patience", patience, least=1)
    batch_size = _checks.whole_number("batch_size", batch_size, least=1)
    least_gain = _checks.real_number("least_gain", least_gain, 0.0, 1.0, closed=True)
    least_drop = _checks.real_number("least_drop", least_drop, 0.0, math.inf, closed=True)
    prolong = _checks.real_number("prolong", prolong, 0.0, math.inf, closed=True)
    seed = _checks.whole_number("seed", seed, least=0)
    own = _arguments(fit_kwargs)
    data = _data(x, y, validation_split, validation_data, seed)
    share = max(round(budget * epochs), 1)

    def improves(error: float, last: float) -> bool:
        drop = last - error if math.isfinite(error) else -math.inf
        return drop > max(least_gain * last, least_drop) if math.isfinite(last) else drop > 0

    guess = math.inf if score else error_of_guessing(data.y_held)
    probes: list[Probe] = []
    best: Probe | None = None
    misses = 0
    for depth in tried:
        probe = Probe(depth, build, data, batch_size, share, seed, score or share_of_error, own)
        probe.train(share)
        most = share + math.floor(prolong * share)
        while probe.epochs < most and not probe.converged:
            probe.train(min(max(share // 4, 1), most - probe.epochs))
        best = probe if best is None or improves(probe.error, best.error) else best
        probe.accepted = best is probe
        probes.append(probe)
        if verbose:
            print(f"estimate_depth: {_row(probe)}")
        learned = improves(best.error, guess)
        misses = misses + 1 if learned and not probe.accepted else 0
        if misses == patience:
            break
    assert best is not None
    table = tuple(map(_row, probes))
    cost = sum(row.epochs for row in table) / (len(tried) * epochs)
    reason = _reason(best.depth, table, tried, misses == patience)
    if not learned:
        reason += (
            f" But guessing has an error of {guess:.3g}: nothing was learned that would tell. Raise budget."
        )
    return DepthEstimate(best.depth, table, cost, reason)


def _reason(depth: int, table: tuple[DepthProbe, ...], tried: list[int], settled: bool) -> str:
    """The estimate in words, beside the trivial answer."""
    errors = {row.depth: row.error for row in table}
    failed = [str(row.depth) for row in table if not row.accepted and row.depth > depth]
    if settled:
        why = f"depths {' and '.join(failed)} did not lower its error of {errors[depth]:.3g} enough"
    elif failed:
        why = f"the depths tried end at {tried[-1]}, before it is certain that more would not help"
    else:
        why = f"the deepest one tried is the best, with an error of {errors[depth]:.3g}: try deeper ones"
    trivial = f"The trivial answer, {TRIVIAL} layers,"
    if depth == TRIVIAL:
        beside = f"{trivial} is the same."
    elif TRIVIAL in errors:
        beside = f"{trivial} had an error of {errors[TRIVIAL]:.3g}."
    else:
        beside = f"{trivial} was not tried."
    return f"Depth {depth}: {why}. {beside}"


def _row(probe: Probe) -> DepthProbe:
    state, rho, speed = probe.path()
    parameters = int(probe.model.count_params())
    return DepthProbe(
        probe.depth, parameters, probe.epochs, float(probe.error), probe.accepted, state, rho, speed
    )


def _depths(depths: Any) -> list[int]:
    if isinstance(depths, str) or not isinstance(depths, Sequence | range | np.ndarray):
        raise TypeError(f"depths must be a list of whole numbers or a range, got {depths!r}.")
    found = [_checks.whole_number("depths", depth, least=1) for depth in depths]
    if not found or any(b <= a for a, b in itertools.pairwise(found)):
        raise ValueError(f"depths must be one number or more that rise, got {list(depths)}.")
    return found


def _arguments(fit_kwargs: Any) -> dict[str, Any]:
    if fit_kwargs is None:
        return {}
    if not isinstance(fit_kwargs, Mapping):
        raise TypeError(f"fit_kwargs must be a dict of arguments of fit, got {type(fit_kwargs).__name__}.")
    taken = {"x", "y", "epochs", "initial_epoch", "batch_size"} & set(fit_kwargs)
    if taken:
        raise ValueError(
            f"fit_kwargs must not have {', '.join(sorted(taken))}: estimate_depth sets these itself. Use its "
            "own arguments."
        )
    return dict(fit_kwargs)


def _data(x: Any, y: Any, share: Any, held: Any, seed: int) -> Data:
    samples = _samples(x, y)
    if held is not None:
        if not isinstance(held, tuple | list) or len(held) != 2:
            raise TypeError(f"validation_data must be (x, y), got {type(held).__name__}.")
        x_held, y_held = held
        _samples(x_held, y_held, of=" of validation_data")
        return Data(x, y, x_held, y_held)
    share = _checks.real_number("validation_split", share, 0.0, 1.0)
    if not 0 < round(share * samples) < samples:
        raise ValueError(
            f"validation_split={share:g} of {samples} samples leaves nothing to train or to judge on."
        )
    return split(x, y, share, seed)


def _samples(x: Any, y: Any, of: str = "") -> int:
    """How many there are, of arrays that belong together."""
    for name, value in (("x", x), ("y", y)):
        leaves = keras.tree.flatten(value)
        if not leaves or not all(hasattr(leaf, "shape") and len(leaf.shape) for leaf in leaves):
            raise TypeError(
                f"{name}{of} must be an array, or several, got {type(value).__name__}. Read a dataset into "
                "arrays first."
            )
    leaves = keras.tree.flatten((x, y))
    counts = {len(leaf) for leaf in leaves}
    if len(counts) > 1 or 0 in counts:
        raise ValueError(
            f"x and y{of} must have the same number of samples, one or more, got {sorted(counts)}."
        )
    for leaf in leaves:
        values = np.asarray(ops.convert_to_numpy(leaf) if ops.is_tensor(leaf) else leaf)
        if np.issubdtype(values.dtype, np.floating) and not np.all(np.isfinite(values)):
            raise ValueError(
                f"x and y{of} must be finite, got {np.count_nonzero(~np.isfinite(values))} numbers that are "
                "not. Take these samples out, or fill them in."
            )
    return counts.pop()
