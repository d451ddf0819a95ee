"""The Koopman spectrum of snapshots and what is read off it."""

from .decompose import decompose
from .decomposition import KoopmanDecomposition, RefinedPairs
from .distance import SpectrumDistance, spectrum_distance
from .operator import DMDOperator, dmd_operator

__all__ = [
    "DMDOperator",
    "KoopmanDecomposition",
    "RefinedPairs",
    "SpectrumDistance",
    "decompose",
    "dmd_operator",
    "spectrum_distance",
]
