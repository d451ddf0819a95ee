"""Coresets: a sparse or smaller model whose neurons are provably close to those of the original."""

from .compress import compress
from .neurons import prune_neurons
from .report import CoresetReport, NeuronReport
from .result import CoresetResult
from .units import NeuronPruning, UnitsReport

__all__ = [
    "CoresetReport",
    "CoresetResult",
    "NeuronPruning",
    "NeuronReport",
    "UnitsReport",
    "compress",
    "prune_neurons",
]
