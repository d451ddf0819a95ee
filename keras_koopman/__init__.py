"""See, steer, shrink and certify a Keras training run with the Koopman operator."""

from . import (
    callbacks,
    coresets,
    depth,
    export,
    layers,
    losses,
    metrics,
    observables,
    optimizers,
    plotting,
    pruning,
    reachability,
    relaxation,
    schedules,
    verdicts,
)
from .callbacks.restart_report import RestartAttempt, RestartReport
from .callbacks.restarts import fit_with_restarts
from .depth import estimate_depth
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
