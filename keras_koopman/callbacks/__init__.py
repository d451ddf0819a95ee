"""What a user passes to `fit`."""

from .csv_logger import KoopmanCSVLogger
from .monitor import KoopmanMonitor
from .order_annealing import OrderAnnealing
from .recorder import TrajectoryRecorder

__all__ = [
    "KoopmanCSVLogger",
    "KoopmanMonitor",
    "OrderAnnealing",
    "TrajectoryRecorder",
]
