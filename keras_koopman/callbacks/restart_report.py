"""What `fit_with_restarts` tried."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras

from .._table import text_table


@dataclasses.dataclass(frozen=True)
class RestartAttempt:
    """One attempt of `fit_with_restarts`.

    Attributes:
        number: from 0.
        seed: with which it was built and trained.
        learning_rate: of its optimizer, at its end.
        schedule: name of the schedule that the rate follows; None if it is a number.
        epochs: that it ran before it was stopped, or in all.
        loss: training loss of the last of them.
        diagnosis: name of the verdict's diagnosis.
        reason: the verdict's.
        stopped: whether the verdict stopped it.
        step: what was changed after it, in words.

    Example:
    >>> import keras_koopman as kk
    >>> attempt = kk.RestartAttempt(0, 7, 0.1, None, 30, 0.5, "HEALTHY", "It learns.", False, "kept")
    >>> print(attempt)
    attempt 0, seed 7, rate 0.1: HEALTHY after 30 epochs, It learns; kept
    """

    number: int
    seed: int
    learning_rate: float
    schedule: str | None
    epochs: int
    loss: float
    diagnosis: str
    reason: str
    stopped: bool
    step: str

    def __str__(self) -> str:
        return (
            f"attempt {self.number}, seed {self.seed}, rate {self.learning_rate:.3g}: {self.diagnosis} after "
            f"{self.epochs} epochs, {self.reason.rstrip('.')}; {self.step}"
        )


@dataclasses.dataclass(frozen=True)
class RestartReport:
    """What `fit_with_restarts` tried, and the model it ended with; print it for a table.

    Attributes:
        model: of the attempt that was kept, trained to its end.
        history: its logs by name, as in `History.history`.
        attempts: the earliest first.
        chosen: number of the attempt that was kept.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> attempt = kk.RestartAttempt(0, 7, 0.1, None, 30, 0.5, "HEALTHY", "It learns.", False, "kept")
    >>> report = kk.RestartReport(keras.Sequential(), {"loss": [0.5]}, (attempt,), 0)
    >>> report.restarts, report.epochs_wasted
    (0, 0)
    """

    model: keras.Model
    history: dict[str, list[Any]]
    attempts: tuple[RestartAttempt, ...]
    chosen: int

    @property
    def restarts(self) -> int:
        """How often it started anew."""
        return len(self.attempts) - 1

    @property
    def epochs_wasted(self) -> int:
        """Epochs of attempts that were not kept."""
        return sum(attempt.epochs for attempt in self.attempts if attempt.number != self.chosen)

    @property
    def advice(self) -> str | None:
        """What restarts cannot mend: a start that is bad with several seeds; None if there is none."""
        seeds = {a.seed for a in self.attempts if a.stopped and a.diagnosis == "BAD_INITIALIZATION"}
        if len(seeds) < 2:
            return None
        return (
            f"{len(seeds)} seeds started badly, so another will too: change the kernel_initializer, to "
            '"he_normal" before ReLU or "glorot_uniform" before tanh, or normalise the layers.'
        )

    def to_dict(self) -> dict[str, Any]:
        """Numbers, texts and lists for JSON, without the model; what is not finite as None."""
        rows = [
            {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in dataclasses.asdict(attempt).items()
            }
            for attempt in self.attempts
        ]
        return {
            "chosen": self.chosen,
            "epochs_wasted": self.epochs_wasted,
            "advice": self.advice,
            "attempts": rows,
        }

    def __str__(self) -> str:
        headings = ["attempt", "seed", "rate", "epochs", "loss", "diagnosis", "then"]
        rows = [
            [
                f"{a.number}{' *' * (a.number == self.chosen)}",
                str(a.seed),
                f"{a.learning_rate:.3g}{f' ({a.schedule})' if a.schedule else ''}",
                str(a.epochs),
                f"{a.loss:.4g}",
                a.diagnosis,
                a.step,
            ]
            for a in self.attempts
        ]
        return "\n".join(
            [
                *text_table(headings, rows, left=("attempt", "diagnosis", "then")),
                f"* kept; {self.epochs_wasted} epochs went into others.",
                *([] if self.advice is None else [self.advice]),
                *(f"{a.number}: {a.reason}" for a in self.attempts),
            ]
        )
