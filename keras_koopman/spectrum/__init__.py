"""The Koopman spectrum of snapshots and what is read off it."""

from .decompose import decompose
from .decomposition import KoopmanDecomposition, RefinedPairs
from .distance import SpectrumDistance, spectrum_distance
from .operator import DMDOperator, dmd_operator
from .posterior import SpectrumPosterior, posterior

__all__ = [
    "DMDOperator",
    "KoopmanDecomposition",
    "RefinedPairs",
    "SpectrumDistance",
    "SpectrumPosterior",
    "decompose",
    "dmd_operator",
    "posterior",
    "spectrum_distance",
]
