"""What a network can output on a set of inputs: sound bounds, ranges, safety, and differences."""

from .bounds import bounds
from .difference import Difference, certify_difference
from .lipschitz import lipschitz
from .lowering import register
from .radius import Radius, robust_radius
from .ranges import Range, output_range
from .region import Ball, Box
from .safety import Safety, Status, is_safe
from .specification import Classifies, Inequalities

__all__ = [
    "Ball",
    "Box",
    "Classifies",
    "Difference",
    "Inequalities",
    "Radius",
    "Range",
    "Safety",
    "Status",
    "bounds",
    "certify_difference",
    "is_safe",
    "lipschitz",
    "output_range",
    "register",
    "robust_radius",
]
