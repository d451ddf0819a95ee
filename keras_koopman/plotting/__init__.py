"""What a recorded run did, in pictures and plain words."""

from .report import write_report

__all__ = ["write_report"]
