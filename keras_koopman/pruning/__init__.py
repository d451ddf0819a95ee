"""Pruning: criteria, what was pruned, and a smaller model from it."""

from .criteria import (
    Criterion,
    KoopmanForecast,
    KoopmanMode,
    Magnitude,
    MagnitudeDisplacement,
    Movement,
    Random,
)
from .report import PruningReport, WeightReport, report
from .shrink import shrink

__all__ = [
    "Criterion",
    "KoopmanForecast",
    "KoopmanMode",
    "Magnitude",
    "MagnitudeDisplacement",
    "Movement",
    "PruningReport",
    "Random",
    "WeightReport",
    "report",
    "shrink",
]
