"""How deep to go: an estimate from short trainings."""

from .estimate import estimate_depth
from .report import DepthEstimate, DepthProbe

__all__ = ["DepthEstimate", "DepthProbe", "estimate_depth"]
