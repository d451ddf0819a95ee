"""A table that grows row by row, so that a run that was broken off goes on where it stood."""

import csv
import platform
import sys
from pathlib import Path

from _report import processor, versions

RESULTS = Path(__file__).parent / "results"


class ResumableTable:
    """The rows done so far, and a place for more.

    Args:
        folder: of `results/`.
        name: of the file, without its ending.
        keys: columns that tell rows apart.
        figures: the other columns.
        threads: on how many it runs, in words.
    """

    def __init__(self, folder, name, keys, figures, threads="one thread"):
        self.path = RESULTS / folder / f"{name}.csv"
        self.keys, self.columns = keys, (*keys, *figures)
        self.done = set()
        if self.path.exists():
            self.done = {tuple(row[key] for key in keys) for row in self.rows()}
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        used = ", ".join(f"{package} {version}" for package, version in versions().items())
        with self.path.open("w") as file:
            file.write(f"# python {' '.join(sys.argv)}; {used}; {processor()}, {threads}, ")
            file.write(f"{platform.platform()}\n{','.join(self.columns)}\n")

    def rows(self):
        """All rows, as dicts of text."""
        with self.path.open() as file:
            return list(csv.DictReader(line for line in file if not line.startswith("#")))

    def lacks(self, *key):
        """Whether there is no row with these keys."""
        return tuple(map(_shown, key)) not in self.done

    def append(self, *row):
        """Put a row at the end; numbers with four digits."""
        shown = [_shown(value) for value in row]
        with self.path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(shown)
        self.done.add(tuple(shown[: len(self.keys)]))


def _shown(value):
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
