"""`Verdict`: what is the matter with a run, how sure that is, and why."""

from __future__ import annotations

import enum
import math
from dataclasses import asdict, dataclass
from typing import Any

from .losses import LossFigures
from .path import PathFigures


class Diagnosis(enum.Enum):
    """What can be the matter with a run.

    Example:
    >>> import keras_koopman as kk
    >>> [diagnosis.name for diagnosis in kk.verdicts.Diagnosis if diagnosis.finished]
    ['CONVERGED', 'NOISE_LIMITED', 'STALLED']
    """

    HEALTHY = "healthy"
    CONVERGED = "converged"
    NOISE_LIMITED = "limited by minibatch noise"
    STALLED = "stalled"
    LEARNING_RATE_TOO_LOW = "the learning rate is too low"
    LEARNING_RATE_TOO_HIGH = "the learning rate is too high"
    BAD_INITIALIZATION = "bad initialisation"
    DIVERGED = "diverged"
    UNDECIDED = "undecided"

    @property
    def bad(self) -> bool:
        """Whether the run should not go on like this."""
        return self in (
            Diagnosis.STALLED,
            Diagnosis.LEARNING_RATE_TOO_LOW,
            Diagnosis.LEARNING_RATE_TOO_HIGH,
            Diagnosis.BAD_INITIALIZATION,
            Diagnosis.DIVERGED,
        )

    @property
    def finished(self) -> bool:
        """Whether more epochs of the same would earn little."""
        return self in (Diagnosis.CONVERGED, Diagnosis.NOISE_LIMITED, Diagnosis.STALLED)


@dataclass(frozen=True)
class Verdict:
    """What `kk.verdicts.assess` found.

    Attributes:
        diagnosis: a member of `Diagnosis`.
        reason: one sentence with the figures.
        probability: that the diagnosis is right; None where it cannot be had honestly.
        origin: where the probability comes from, in words, or why there is none.
        path: figures of the path of the weights.
        loss: figures of the losses; None if none were given.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> verdict = kk.verdicts.assess(kk.Trajectory(), losses=[2.3, float("nan")])
    >>> verdict.diagnosis.name, verdict.probability
    ('DIVERGED', 1.0)
    """

    diagnosis: Diagnosis
    reason: str
    probability: float | None
    origin: str
    path: PathFigures
    loss: LossFigures | None

    def to_dict(self) -> dict[str, Any]:
        """Numbers, texts and dicts for JSON; what is not finite as None."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: plain(part) for name, part in value.items()}
            return None if isinstance(value, float) and not math.isfinite(value) else value

        found: dict[str, Any] = plain(
            {
                "diagnosis": self.diagnosis.name,
                "reason": self.reason,
                "probability": self.probability,
                "origin": self.origin,
                "path": asdict(self.path),
                "loss": None if self.loss is None else {**asdict(self.loss), "left": self.loss.left},
            }
        )
        return found

    def __str__(self) -> str:
        sure = f"probability {self.probability:.2g}" if self.probability is not None else "no probability"
        return f"{self.diagnosis.name}: {self.reason} ({sure}; {self.origin})"
