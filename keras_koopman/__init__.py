"""See, steer, shrink and certify a Keras training run with the Koopman operator."""

from . import linalg
from .spectrum import KoopmanDecomposition, decompose

__version__ = "0.1.0"

__all__ = ["KoopmanDecomposition", "decompose", "linalg"]
