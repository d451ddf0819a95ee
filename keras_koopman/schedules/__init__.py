"""Pruning schedules: pure functions from the number of a step to a sparsity."""

from .constant import ConstantSparsity
from .one_shot import OneShot
from .polynomial import PolynomialSparsity
from .schedule import Schedule
from .spectral import SpectralSparsity

__all__ = ["ConstantSparsity", "OneShot", "PolynomialSparsity", "Schedule", "SpectralSparsity"]
