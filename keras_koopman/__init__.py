"""See, steer, shrink and certify a Keras training run with the Koopman operator."""

import importlib
from typing import TYPE_CHECKING, Any

from . import (
    callbacks,
    export,
    layers,
    losses,
    metrics,
    observables,
    optimizers,
    plotting,
    pruning,
    relaxation,
    schedules,
    verdicts,
)
from .callbacks.restart_report import RestartAttempt, RestartReport
from .callbacks.restarts import fit_with_restarts
from .optimizers.prune import prune
from .spectrum import (
    DMDOperator,
    KoopmanDecomposition,
    SpectrumDistance,
    decompose,
    dmd_operator,
    spectrum_distance,
)
from .trajectory import Trajectory

if TYPE_CHECKING:
    from . import coresets, depth, reachability
    from .depth import estimate_depth

__version__ = "0.1.0"

__all__ = [
    "DMDOperator",
    "KoopmanDecomposition",
    "RestartAttempt",
    "RestartReport",
    "SpectrumDistance",
    "Trajectory",
    "callbacks",
    "coresets",
    "decompose",
    "depth",
    "dmd_operator",
    "estimate_depth",
    "export",
    "fit_with_restarts",
    "layers",
    "losses",
    "metrics",
    "observables",
    "optimizers",
    "plotting",
    "prune",
    "pruning",
    "reachability",
    "relaxation",
    "schedules",
    "spectrum_distance",
    "verdicts",
]

# Imported when they are first asked for: `import keras_koopman` is to cost next to nothing.
_LATER = ("coresets", "depth", "reachability")


def __getattr__(name: str) -> Any:
    if name == "estimate_depth":
        return importlib.import_module(".depth", __name__).estimate_depth
    if name in _LATER:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
