"""The error by scale."""

from .octaves import SpectralError
from .sobolev_norm import SobolevNorm
from .spectral_error import spectral_error

__all__ = ["SobolevNorm", "SpectralError", "spectral_error"]
