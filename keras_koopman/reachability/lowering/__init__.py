"""How Keras models are written in primitives."""

from .builder import Builder, Value
from .lower import inputs_of, lower
from .registry import register

__all__ = ["Builder", "Value", "inputs_of", "lower", "register"]
