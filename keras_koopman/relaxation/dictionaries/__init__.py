"""Observables of fields for `learn_eigenfunctionals`; any function from fields to features is one too."""

from .linear import FourierMoments, LinearFunctionals
from .network import NetworkFeatures
from .transformed import ColeHopfMoments

__all__ = ["ColeHopfMoments", "FourierMoments", "LinearFunctionals", "NetworkFeatures"]
