"""Optimizers that prune."""

from .pruning import PruningOptimizer

__all__ = ["PruningOptimizer"]
