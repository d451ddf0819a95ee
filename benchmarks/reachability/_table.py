"""A CSV file of results, with what is needed to repeat them in its first line."""

import csv
import platform
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from _report import processor, versions

RESULTS = Path(__file__).parents[1] / "results" / "reachability"


def write(name, rows, note=""):
    """Write rows, a list of dicts with the same keys."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    used = ", ".join(f"{package} {version}" for package, version in versions().items())
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        file.write(f"# python {' '.join(sys.argv)}; {used}; {processor()}, {platform.platform()}; {note}\n")
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(
            {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows
        )
