"""The Koopman spectrum of snapshots and what is read off it."""

from .decompose import decompose
from .decomposition import KoopmanDecomposition, RefinedPairs

__all__ = ["KoopmanDecomposition", "RefinedPairs", "decompose"]
