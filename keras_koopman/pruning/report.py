"""`report`: what was pruned of a model, weight by weight."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

import keras
import numpy as np

from ..backend import gathered, to_host


@dataclasses.dataclass(frozen=True)
class WeightReport:
    """A weight tensor in a `PruningReport`.

    Args:
        path: of the variable.
        shape: of it.
        asked: Sparsity that the schedule asks of all targets together, in [0, 1); None if it is not pruned.
        reached: Share of its numbers that are exact zeros.
        reason: Why it is not pruned, or what came in between; empty if nothing did.
        bytes: of its numbers as they are held.
        compressed: bytes of them once deflated.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> kk.pruning.report(model).rows[0].shape
    (8, 4)
    """

    path: str
    shape: tuple[int, ...]
    asked: float | None
    reached: float
    reason: str
    bytes: int
    compressed: int


@dataclasses.dataclass(frozen=True)
class PruningReport:
    """What was pruned of a model: a row a weight, and the total.

    `print` it for a table.

    Args:
        rows: one for each weight of the model.
        asked: Sparsity that the schedule asks after the steps done; None without a pruning optimizer.
        reached: Share of zeros in all weights that are pruned; in all, if none is.
        unit: In what asked is counted: `"weights"`, `"units"` or `"blocks"`.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> kk.pruning.report(model).bytes
    144
    """

    rows: tuple[WeightReport, ...]
    asked: float | None
    reached: float
    unit: str

    @property
    def bytes(self) -> int:
        """Bytes of all weights as they are held."""
        return sum(row.bytes for row in self.rows)

    @property
    def compressed(self) -> int:
        """Bytes of all weights once deflated."""
        return sum(row.compressed for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """All figures as numbers, strings and lists, for JSON."""
        return {
            "asked": self.asked,
            "reached": self.reached,
            "unit": self.unit,
            "bytes": self.bytes,
            "compressed": self.compressed,
            "weights": [{**dataclasses.asdict(row), "shape": list(row.shape)} for row in self.rows],
        }

    def __str__(self) -> str:
        from .table import pruning_table

        return pruning_table(self)


def report(model: keras.Model) -> PruningReport:
    """What was pruned of a model.

    Args:
        model: built; compiled with a `PruningOptimizer` if the sparsity asked, and the reasons why a weight
            was left alone, are to be known.

    Returns:
        A row for each weight, trainable or not. Compressed bytes are those of zlib at its default level, what
        a zipped file comes to; nothing is smaller in memory or faster for its zeros. `shrink` makes it so
        where whole units are zero.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> model.compile(kk.optimizers.PruningOptimizer("sgd", kk.schedules.OneShot(0.75, step=1)), "mse")
    >>> history = model.fit(np.ones((8, 8)), np.ones((8, 4)), verbose=0)
    >>> found = kk.pruning.report(model)
    >>> found.asked, found.reached, found.rows[1].reason
    (0.75, 0.75, 'a bias: include it to prune it')
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {model!r} of type {type(model).__name__}.")
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built: it has no weights. Call it on data, or build it."
        )
    optimizer = _pruning_optimizer(model)
    state = optimizer.pruned if optimizer is not None else None
    reasons: dict[str, str] = dict(state.skipped) if state is not None else {}
    asked, unit = None, "weights"
    notes: dict[int, str] = {}
    pruned: set[int] = set()
    if optimizer is not None and state is not None:
        asked = _asked(optimizer, state)
        unit = state.targets[0].unit
        trained = optimizer._trainable_variables
        pruned = {id(trained[index]) for target in state.targets for index in target.members}
        notes = _notes(state, trained)
    without = "" if optimizer is None else "not built yet" if state is None else "not trained"
    rows = [
        _row(
            variable,
            asked if id(variable) in pruned else None,
            notes.get(id(variable), "")
            if id(variable) in pruned
            else _quantized(variable) or reasons.get(variable.path, without),
        )
        for variable in model.weights
        if str(variable.dtype).startswith(("float", "bfloat")) or _quantized(variable)
    ]
    counted = [row for row in rows if row.asked is not None] or rows
    total = sum(int(np.prod(row.shape)) for row in counted)
    zeros = sum(row.reached * int(np.prod(row.shape)) for row in counted)
    return PruningReport(tuple(rows), asked, zeros / total if total else 0.0, unit)


def _quantized(variable: keras.Variable) -> str:
    """Why a quantized weight is not pruned; empty for others, counters among them."""
    dtype = str(variable.dtype)
    return f"quantized: its dtype is {dtype}" if dtype.startswith(("int4", "int8", "uint4", "uint8")) else ""


def _pruning_optimizer(model: keras.Model) -> Any:
    """The optimizer of the model, or the one within it, that prunes; None without."""
    optimizer = getattr(model, "optimizer", None)
    while optimizer is not None and not hasattr(optimizer, "pruned"):
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return optimizer


def _asked(optimizer: Any, state: Any) -> float:
    """The sparsity that the schedule asks now."""
    step = int(to_host(optimizer._iterations))
    schedule = optimizer.schedule
    progress = state.figures.get("progress")
    if progress is None:
        return float(schedule(step))
    return float(schedule.at(step, float(to_host(progress))))


def _notes(state: Any, trained: Any) -> dict[int, str]:
    """Id of each pruned variable -> what came in between."""
    found: dict[int, str] = {}
    late = "; the latest too: what is asked is not reached yet" if to_host(state.owed) else ""
    for target, held, bad in zip(state.targets, to_host(state.floored), to_host(state.failed), strict=True):
        words = []
        if held:
            words.append("held up by the floor: it would have lost nearly all")
        if bad:
            words.append(f"scores were not finite at {int(bad)} updates, which were skipped{late}")
        found |= {id(trained[index]): "; ".join(words) for index in target.members}
    return found


def _row(variable: keras.Variable, asked: float | None, reason: str) -> WeightReport:
    values = gathered(variable.value)
    raw = np.ascontiguousarray(values).tobytes()
    return WeightReport(
        variable.path,
        tuple(variable.shape),
        asked,
        float(np.mean(values == 0)) if values.size else 0.0,
        reason,
        len(raw),
        len(zlib.compress(raw)),
    )
