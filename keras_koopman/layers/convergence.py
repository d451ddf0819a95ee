"""`convergence_test`: does a trained block stand for a differential equation, or for its own steps?"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from .. import _checks
from .change import blocks_of
from .continuous_block import ContinuousBlock
from .convergence_report import ConvergenceReport, ConvergenceRow, Represents
from .tableau import RK4, Tableau, tableau_of

# Below this share of the outputs float32 knows nothing.
ROUNDING = 2e-6


def convergence_test(
    model: keras.Model,
    x: Any,
    y: Any = None,
    steps: Sequence[int] | None = None,
    schemes: Sequence[str | Tableau] = ("euler", "midpoint", "rk4"),
    tolerance: float = 0.02,
    batch_size: int = 256,
) -> ConvergenceReport:
    """Run a trained model with other steps and schemes, and see whether its outputs have a limit.

    A network trained with large steps may have learned their errors: with finer steps it gets worse. One that
    represents a differential equation keeps its outputs, so that scheme and steps can be chosen afterwards.
    The limit is taken with twice the most steps of `"rk4"`. Orders are clean where the steps are multiples
    of the cells of the basis, and the rate is smooth, as it is not with ReLU.

    Args:
        model: With one `ContinuousBlock` or more, built.
        x: Inputs, some hundred of them: arrays as the model takes them.
        y: Targets; whole numbers are classes, for the accuracy; else the mean squared error is the score.
            Defaults to None.
        steps: Numbers of steps, at least two. Defaults to None: 1, 2, 4 and 8 times the most cells of a
            block.
        schemes: Fixed schemes. Defaults to `("euler", "midpoint", "rk4")`.
        tolerance: Relative difference of the outputs up to which they are the same. Defaults to 0.02.
        batch_size: Defaults to 256.

    Returns:
        A `ConvergenceReport`; print it for a table, `plot()` draws it.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, the model has no blocks or is not built.

    Reference:
        Aditi S. Krishnapriyan, Alejandro F. Queiruga, N. Benjamin Erichson and Michael W. Mahoney (2023),
        "Learning continuous models for continuous physics".

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> decay = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(-1.0))
    >>> block = kk.layers.ContinuousBlock(decay, steps=4, nodes=1)
    >>> model = keras.Sequential([keras.Input((1,)), block])
    >>> report = kk.layers.convergence_test(model, np.ones((1, 1)), steps=[16, 32], schemes=["midpoint"])
    >>> report.represents.name, round(report.orders()["midpoint"], 1)
    ('ODE', 2.0)
    """
    blocks = blocks_of(model)
    if not model.built or not all(block.built for block in blocks):
        raise ValueError(
            f"model {model.name!r} is not built, so it has no weights. Call it on some inputs first."
        )
    cells = max(block._basis.cells for block in blocks)
    counts = _counts([cells, 2 * cells, 4 * cells, 8 * cells] if steps is None else steps)
    tableaus = _fixed(schemes)
    tolerance = _checks.real_number("tolerance", tolerance, 0.0, 1.0)
    batch_size = _checks.whole_number("batch_size", batch_size, least=1)
    metric, score = _score_of(y)

    def outputs(tableau: Tableau | None, count: int | None) -> NDArray[np.float64]:
        with _set(blocks, tableau, count):
            return _outputs(model, x, batch_size)

    limit = outputs(RK4, 2 * counts[-1])
    error = max(_difference(outputs(RK4, counts[-1]), limit), ROUNDING)
    rows: list[ConvergenceRow] = []
    for tableau in tableaus:
        before: ConvergenceRow | None = None
        for count in counts:
            found = outputs(tableau, count)
            difference = _difference(found, limit)
            order = _order(before, count, difference, error)
            before = ConvergenceRow(tableau.name, count, difference, order, score(found))
            rows.append(before)
    found = outputs(None, None)
    names = sorted({block.tableau.name for block in blocks})
    most = max(block.steps for block in blocks)
    trained = ConvergenceRow("/".join(names), most, _difference(found, limit), None, score(found))
    represents = _verdict(trained.difference, error, tolerance)
    reason = _reason(represents, trained, error, tolerance, score(limit), metric)
    return ConvergenceReport(tuple(rows), trained, represents, reason, error, score(limit), metric)


def _verdict(difference: float, error: float, tolerance: float) -> Represents:
    if not error <= tolerance:
        return Represents.UNDECIDED
    return Represents.ODE if difference <= tolerance else Represents.DISCRETISATION


def _reason(
    represents: Represents,
    trained: ConvergenceRow,
    error: float,
    tolerance: float,
    score: float | None,
    metric: str | None,
) -> str:
    setting = f"{trained.steps} steps of {trained.scheme}"
    scores = f" ({metric} {trained.score:.4g} against {score:.4g})" if score is not None else ""
    if represents is Represents.UNDECIDED:
        return (
            f"Undecided: with the most steps tried the outputs still change by {error:.1%}, more than the "
            f"{tolerance:.1%} allowed. Try more steps."
        )
    moved = f"from {setting} to the limit the outputs change by {trained.difference:.1%}{scores}"
    if represents is Represents.ODE:
        return f"The blocks represent a differential equation: {moved}. Scheme and steps are free to choose."
    return (
        f"The blocks represent their own discretisation: {moved}. Keep scheme and steps, or train with more "
        "steps or a higher order."
    )


def _counts(steps: Any) -> list[int]:
    if isinstance(steps, str) or not isinstance(steps, Sequence | range | np.ndarray):
        raise TypeError(f"steps must be a list of whole numbers, got {steps!r}.")
    counts = sorted({_checks.whole_number("steps", n, least=1) for n in steps})
    if len(counts) < 2:
        raise ValueError(f"steps must be two different numbers or more, to see a trend, got {list(steps)}.")
    return counts


def _fixed(schemes: Any) -> list[Tableau]:
    if isinstance(schemes, str | Tableau) or not isinstance(schemes, Sequence) or not schemes:
        raise TypeError(f"schemes must be a list of one scheme or more, got {schemes!r}.")
    found = [tableau_of(scheme) for scheme in schemes]
    for tableau in found:
        if tableau.adaptive:
            raise ValueError(f"schemes must be fixed, but tolerances choose the steps of {tableau.name!r}.")
    return found


@contextlib.contextmanager
def _set(blocks: list[ContinuousBlock], tableau: Tableau | None, steps: int | None) -> Iterator[None]:
    """Within it the blocks have another method, and look where they cease to be finite."""
    kept = [(b, b.tableau, b.steps, b.check_finite) for b in blocks]
    try:
        for block in blocks:
            block._set_method(tableau or block.tableau, block._basis, steps or block.steps)
            block.check_finite = True
        yield
    finally:
        for block, old, count, check in kept:
            block._set_method(old, block._basis, count)
            block.check_finite = check


def _outputs(model: keras.Model, x: Any, batch_size: int) -> NDArray[np.float64]:
    """Outputs, a row for each sample; NaN if a state is not finite."""
    samples = len(keras.tree.flatten(x)[0])
    found = []
    for start in range(0, samples, batch_size):
        batch = keras.tree.map_structure(lambda leaf, s=start: leaf[s : s + batch_size], x)
        try:
            leaves = keras.tree.flatten(model(batch, training=False))
        except FloatingPointError:
            return np.full((samples, 1), np.nan)
        count = min(batch_size, samples - start)
        arrays = [np.asarray(ops.convert_to_numpy(leaf), np.float64).reshape(count, -1) for leaf in leaves]
        found.append(np.concatenate(arrays, axis=1))
    return np.concatenate(found)


def _difference(found: NDArray[np.float64], limit: NDArray[np.float64]) -> float:
    if not (np.all(np.isfinite(found)) and np.all(np.isfinite(limit))):
        return math.inf
    return float(np.linalg.norm(found - limit) / max(float(np.linalg.norm(limit)), 1e-30))


def _order(before: ConvergenceRow | None, count: int, difference: float, error: float) -> float | None:
    """Observed order; None where a difference is that of the limit, of rounding, or infinite."""
    if before is None or not math.isfinite(before.difference) or min(before.difference, difference) <= error:
        return None
    return math.log(before.difference / difference) / math.log(count / before.steps)


def _score_of(y: Any) -> tuple[str | None, Callable[[NDArray[np.float64]], float | None]]:
    """Name of the score and a function of the outputs."""
    if y is None:
        return None, lambda outputs: None
    targets = np.asarray(ops.convert_to_numpy(y) if ops.is_tensor(y) else y)
    if np.issubdtype(targets.dtype, np.integer):
        classes = targets.reshape(-1)

        def accuracy(outputs: NDArray[np.float64]) -> float:
            chosen = outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] > 0.5
            return float(np.mean(chosen == classes))

        return "accuracy", accuracy
    return "mse", lambda outputs: float(np.mean((outputs - targets.reshape(len(targets), -1)) ** 2))
