"""Criteria: which weights go first."""

from __future__ import annotations

from typing import Any

from .criterion import Criterion
from .displacement import MagnitudeDisplacement
from .function import FunctionCriterion
from .koopman import KoopmanForecast, KoopmanMode, TrajectoryCriterion
from .magnitude import Magnitude
from .movement import Movement
from .random import Random

__all__ = [
    "Criterion",
    "FunctionCriterion",
    "KoopmanForecast",
    "KoopmanMode",
    "Magnitude",
    "MagnitudeDisplacement",
    "Movement",
    "Random",
    "TrajectoryCriterion",
    "get",
]

BY_NAME: dict[str, type[Criterion]] = {
    "magnitude": Magnitude,
    "magnitude_displacement": MagnitudeDisplacement,
    "movement": Movement,
    "random": Random,
}
NEED_RECORDER = {"koopman_mode": "KoopmanMode", "koopman_forecast": "KoopmanForecast"}


def get(argument: str, value: Any) -> Criterion:
    """A criterion from its name, a function, or itself.

    Raises:
        TypeError: If it is neither.
        ValueError: If there is no criterion of that name, or it needs a recorder.
    """
    if isinstance(value, Criterion):
        return value
    if isinstance(value, str):
        if value in NEED_RECORDER:
            name = NEED_RECORDER[value]
            raise ValueError(
                f"{argument}={value!r} needs the recorder of the trajectory. Pass kk.pruning.{name}(recorder)"
                ", and the recorder to fit(callbacks=[...])."
            )
        if value not in BY_NAME:
            raise ValueError(
                f"{argument} must be one of {', '.join(map(repr, BY_NAME))}, a criterion of kk.pruning or a "
                f"function (weights, state) -> scores, got {value!r}."
            )
        return BY_NAME[value]()
    if callable(value) and not isinstance(value, type):
        return FunctionCriterion(value)
    raise TypeError(
        f"{argument} must be a name, a criterion of kk.pruning or a function (weights, state) -> scores, "
        f"got {value!r} of type {type(value).__name__}."
    )
