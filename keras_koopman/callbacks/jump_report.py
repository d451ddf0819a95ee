"""What `KoopmanJump` tried, what it gained and what that cost."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from .._table import text_table


@dataclasses.dataclass(frozen=True)
class JumpAttempt:
    """One attempt to jump.

    Attributes:
        time: when, in epochs of its fit, or batches of all fits.
        method: which forecast was taken, `"koopman"` or `"linear"`; None if the jump was rejected.
        horizon: how many records ahead.
        loss_before: guard loss before.
        loss_after: guard loss after; the same if the jump was rejected.
        evaluations: how often the guard loss was computed.
        seconds: time that took.

    Example:
    >>> import keras_koopman as kk
    >>> print(kk.callbacks.JumpAttempt(5, "koopman", 10.0, 0.5, 0.4, 4, 0.01))
    at 5 jumped 10 ahead (koopman): guard loss 0.5 -> 0.4
    """

    time: int
    method: Literal["koopman", "linear"] | None
    horizon: float
    loss_before: float
    loss_after: float
    evaluations: int
    seconds: float

    def __str__(self) -> str:
        if self.method is None:
            return (
                f"at {self.time} no jump {self.horizon:g} ahead: guard loss not below {self.loss_before:.4g}"
            )
        return (
            f"at {self.time} jumped {self.horizon:g} ahead ({self.method}): guard loss "
            f"{self.loss_before:.4g} -> {self.loss_after:.4g}"
        )


@dataclasses.dataclass
class JumpReport:
    """All attempts of a callback with one model; print it for a table.

    Attributes:
        unit: of their times, `"epoch"` or `"batch"`.
        attempts: the earliest first.

    Example:
    >>> import keras_koopman as kk
    >>> attempt = kk.callbacks.JumpAttempt(5, "koopman", 10.0, 0.5, 0.4, 4, 0.01)
    >>> report = kk.callbacks.JumpReport("epoch", [attempt])
    >>> report.jumps, report.leapt, report.evaluations
    (1, 10.0, 4)
    """

    unit: str
    attempts: list[JumpAttempt] = dataclasses.field(default_factory=list)

    @property
    def jumps(self) -> int:
        """How many jumps were kept."""
        return sum(attempt.method is not None for attempt in self.attempts)

    @property
    def leapt(self) -> float:
        """Records over which the kept jumps went."""
        return float(sum(attempt.horizon for attempt in self.attempts if attempt.method is not None))

    @property
    def evaluations(self) -> int:
        """How often the guard loss was computed."""
        return sum(attempt.evaluations for attempt in self.attempts)

    @property
    def seconds(self) -> float:
        """Time that the guard took."""
        return sum(attempt.seconds for attempt in self.attempts)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists for JSON."""
        return {
            "unit": self.unit,
            "jumps": self.jumps,
            "leapt": self.leapt,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "attempts": [dataclasses.asdict(attempt) for attempt in self.attempts],
        }

    def __str__(self) -> str:
        head = (
            f"{self.jumps} of {len(self.attempts)} jumps kept; {self.evaluations} evaluations of the guard "
            f"in {self.seconds:.2g} s"
        )
        rows = [
            [
                str(a.time),
                a.method or "rejected",
                f"{a.horizon:g}",
                f"{a.loss_before:.4g}",
                f"{a.loss_after:.4g}",
            ]
            for a in self.attempts
        ]
        headings = [self.unit, "jump", "ahead", "loss before", "loss after"]
        return "\n".join([head, *text_table(headings, rows, left=("jump",))]) if rows else head
