"""What an estimate of the depth found."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .._table import text_table

# "Two layers, always" was as good as any spectral rule that was tried: an estimate must beat it.
TRIVIAL = 2


@dataclasses.dataclass(frozen=True)
class DepthProbe:
    """One depth, trained at the reduced budget.

    Attributes:
        depth: that `build` was given.
        parameters: of the model.
        epochs: that it was trained.
        error: on the validation data: the share of wrong classes or of unexplained variance, or what `score`
            gave; infinite if it was not finite.
        accepted: whether the error fell enough.
        state: in words, what the path of its weights says: whether it has converged.
        rho: by which its increments follow from each other, see `KoopmanEarlyStopping`; None if unknown.
        speed: of its last increments beside its mean speed; None if unknown.

    Example:
    >>> import keras_koopman as kk
    >>> probe = kk.depth.DepthProbe(2, 100, 8, 0.25, True, "still drifting", 0.8, 0.9)
    >>> print(probe)
    depth 2: error 0.25 after 8 epochs, still drifting; accepted
    """

    depth: int
    parameters: int
    epochs: int
    error: float
    accepted: bool
    state: str
    rho: float | None
    speed: float | None

    def __str__(self) -> str:
        judged = "accepted" if self.accepted else "not accepted"
        return (
            f"depth {self.depth}: error {self.error:.4g} after {self.epochs} epochs, {self.state}; {judged}"
        )


@dataclasses.dataclass(frozen=True)
class DepthEstimate:
    """What `kk.estimate_depth` found; print it for a table.

    Attributes:
        depth: the estimate.
        table: the probes, in the order in which they were trained.
        cost: epochs spent, as a share of those of training every depth in full. Deeper models, which are the
            dearer ones, are often not reached, so the share in time is lower.
        reason: the estimate in words, beside the trivial answer of two layers.

    Example:
    >>> import keras_koopman as kk
    >>> probe = kk.depth.DepthProbe(1, 10, 8, 0.25, True, "still drifting", 0.8, 0.9)
    >>> kk.depth.DepthEstimate(1, (probe,), 0.05, "One layer.").error
    0.25
    """

    depth: int
    table: tuple[DepthProbe, ...]
    cost: float
    reason: str

    @property
    def error(self) -> float:
        """Error of the probe of the estimated depth."""
        return next(probe.error for probe in self.table if probe.depth == self.depth)

    def to_dict(self) -> dict[str, Any]:
        """Numbers, texts and lists for JSON; what is not finite as None."""
        rows = [
            {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in dataclasses.asdict(probe).items()
            }
            for probe in self.table
        ]
        return {"depth": self.depth, "cost": self.cost, "reason": self.reason, "table": rows}

    def __str__(self) -> str:
        def number(value: float | None) -> str:
            return "" if value is None else f"{value:.2f}"

        headings = ["depth", "parameters", "epochs", "error", "rho", "speed", "path", "accepted"]
        rows = [
            [
                f"{p.depth}{' *' * (p.depth == self.depth)}",
                str(p.parameters),
                str(p.epochs),
                f"{p.error:.4f}",
                number(p.rho),
                number(p.speed),
                p.state,
                "yes" if p.accepted else "no",
            ]
            for p in self.table
        ]
        table = text_table(headings, rows, left=("depth", "path"))
        return "\n".join([*table, f"* {self.reason} Cost: {self.cost:.0%} of a full sweep."])
