"""The one JSON line that every benchmark prints."""

import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

PACKAGES = ("keras-koopman", "keras", "tensorflow", "jax", "torch", "numpy", "scipy", "pydmd")


def processor() -> str:
    """Name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if cpuinfo.exists()
        else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of what is installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def report(benchmark: str, figures: dict, goals: dict[str, bool], **settings) -> None:
    """Print the figures with all that is needed to repeat them.

    Args:
        benchmark: name of the script.
        figures: what was measured.
        goals: each goal in words, and whether it was met.
        settings: sizes and seeds.
    """
    line = {
        "benchmark": benchmark,
        "figures": {name: round_number(value) for name, value in figures.items()},
        "goals": goals,
        "settings": settings,
        "machine": {
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.platform(),
        },
        "versions": versions(),
        "command": " ".join(["python", *sys.argv]),
    }
    print(json.dumps(line), flush=True)


def round_number(value):
    """Three digits are enough to read."""
    if isinstance(value, dict):
        return {name: round_number(part) for name, part in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value
