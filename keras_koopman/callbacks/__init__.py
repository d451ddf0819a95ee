"""What a user passes to `fit`."""

from .csv_logger import KoopmanCSVLogger
from .early_stopping import KoopmanEarlyStopping
from .initialization_guard import InitializationGuard
from .jump import KoopmanJump
from .jump_report import JumpAttempt, JumpReport
from .monitor import KoopmanMonitor
from .order_annealing import OrderAnnealing
from .recorder import TrajectoryRecorder
from .refine_depth import RefineDepth

__all__ = [
    "InitializationGuard",
    "JumpAttempt",
    "JumpReport",
    "KoopmanCSVLogger",
    "KoopmanEarlyStopping",
    "KoopmanJump",
    "KoopmanMonitor",
    "OrderAnnealing",
    "RefineDepth",
    "TrajectoryRecorder",
]
