"""Continuous depth: blocks whose depth can be changed after they have been trained."""

from .continuous_block import ContinuousBlock
from .convergence import convergence_test
from .convergence_report import ConvergenceReport, ConvergenceRow, Represents
from .project import Projection, project
from .rates import ConvolutionRate, DenseRate
from .refine import refine
from .tableau import Tableau

__all__ = [
    "ContinuousBlock",
    "ConvergenceReport",
    "ConvergenceRow",
    "ConvolutionRate",
    "DenseRate",
    "Projection",
    "Represents",
    "Tableau",
    "convergence_test",
    "project",
    "refine",
]
