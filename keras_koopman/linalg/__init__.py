"""Pure functions on small float64 arrays; knows neither Keras nor an engine."""

from .gram import delay_embedding, difference_matrix, factor_gram, gram_floor, raw_gram, scaled_floor
from .rank import choose_rank, hard_threshold, hard_threshold_known_noise
from .rayleigh_ritz import RitzPairs, rayleigh_ritz, refine

__all__ = [
    "RitzPairs",
    "choose_rank",
    "delay_embedding",
    "difference_matrix",
    "factor_gram",
    "gram_floor",
    "hard_threshold",
    "hard_threshold_known_noise",
    "raw_gram",
    "rayleigh_ritz",
    "refine",
    "scaled_floor",
]
