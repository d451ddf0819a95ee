"""What a recorded run did, in pictures and plain words; which scales a model has learned; runs as paths."""

from .paths import plot_paths
from .report import write_report
from .spectral_error import plot_spectral_error

__all__ = ["plot_paths", "plot_spectral_error", "write_report"]
