"""Take a finished model out of training: artefacts without masks or optimizer, checked and measured."""

from .export_pruned import export_pruned
from .report import ExportReport, ExportRow

__all__ = ["ExportReport", "ExportRow", "export_pruned"]
