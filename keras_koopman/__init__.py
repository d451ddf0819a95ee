"""See, steer, shrink and certify a Keras training run with the Koopman operator."""

from . import linalg
from .spectrum import KoopmanDecomposition, decompose
from .trajectory import Trajectory

__version__ = "0.1.0"

__all__ = ["KoopmanDecomposition", "Trajectory", "decompose", "linalg"]
