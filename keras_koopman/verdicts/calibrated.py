"""How often each diagnosis was right in runs of which the truth is known."""

from __future__ import annotations

from typing import NamedTuple

from .verdict import Diagnosis


class Score(NamedTuple):
    """Of so many runs with a diagnosis, in how many it was right."""

    right: int
    runs: int
    meaning: str


CAUSE = "had the cause named, as other rates and initialisations proved"
STOP = "earned at most 1 % of accuracy by going on"
# `benchmarks/verdicts/calibration.py --summarise`, of small networks on digits, judged after 10 epochs of 40
# with the loss of chance as baseline. The shares hold for its mixture, where most causes are initialisations.
SCORES = {
    Diagnosis.HEALTHY: Score(54, 68, "ended well"),
    Diagnosis.CONVERGED: Score(10, 33, STOP),
    Diagnosis.NOISE_LIMITED: Score(11, 37, STOP),
    Diagnosis.LEARNING_RATE_TOO_LOW: Score(70, 117, CAUSE),
    Diagnosis.LEARNING_RATE_TOO_HIGH: Score(30, 59, CAUSE),
    Diagnosis.BAD_INITIALIZATION: Score(102, 107, CAUSE),
    Diagnosis.STALLED: Score(2, 2, "ended badly"),
    Diagnosis.DIVERGED: Score(6, 6, "ended badly"),
}
# A share of fewer runs says nothing.
LEAST_RUNS = 10


def calibrated(diagnosis: Diagnosis) -> tuple[float | None, str]:
    """Share of calibration runs in which a diagnosis was right, and its origin in words.

    The share is `(right + 1) / (runs + 2)`, which is never quite 0 or 1.

    Example:
    >>> calibrated(Diagnosis.UNDECIDED)
    (None, 'too few calibration runs had this diagnosis')
    """
    score = SCORES.get(diagnosis)
    if score is None or score.runs < LEAST_RUNS:
        return None, "too few calibration runs had this diagnosis"
    share = (score.right + 1) / (score.runs + 2)
    return share, f"calibrated: {score.right} of {score.runs} runs of small networks {score.meaning}"
