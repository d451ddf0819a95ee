"""Relaxation to a steady state: eigenfunctionals, isostables, and the time that is left."""

from . import dictionaries, pde
from .eigenfunctionals import Eigenfunctionals
from .isostable import Isostable, Relaxation, TimeLeft, isostable
from .learn import learn_eigenfunctionals
from .manifold import InertialManifold, inertial_manifold

__all__ = [
    "Eigenfunctionals",
    "InertialManifold",
    "Isostable",
    "Relaxation",
    "TimeLeft",
    "dictionaries",
    "inertial_manifold",
    "isostable",
    "learn_eigenfunctionals",
    "pde",
]
