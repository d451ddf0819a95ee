"""Snapshots of a run on the device, with their inner products, and the store they are kept in."""

from .trajectory import Trajectory
from .view import TrajectoryView

__all__ = ["Trajectory", "TrajectoryView"]
