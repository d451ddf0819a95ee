"""Partial differential equations whose Koopman eigenfunctionals are known exactly."""

from .burgers import Burgers
from .diffusion import Diffusion
from .expansion import Expansion
from .phase_diffusion import PhaseDiffusion

__all__ = ["Burgers", "Diffusion", "Expansion", "PhaseDiffusion"]
