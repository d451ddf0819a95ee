"""Losses that weight the error by scale."""

from .estimate_noise import estimate_noise
from .multiscale_sobolev import MultiscaleSobolev
from .negative_sobolev import NegativeSobolev
from .noise_estimate import NoiseEstimate
from .scattered_sobolev import ScatteredSobolev
from .sobolev import Sobolev

__all__ = [
    "MultiscaleSobolev",
    "NegativeSobolev",
    "NoiseEstimate",
    "ScatteredSobolev",
    "Sobolev",
    "estimate_noise",
]
