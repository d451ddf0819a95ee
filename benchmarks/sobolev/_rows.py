"""A CSV file to which one configuration after another is added, and that knows which are done."""

import csv
import platform
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from _report import processor, versions

RESULTS = Path(__file__).parents[1] / "results" / "sobolev"


def rows_of(path):
    """All rows of a table as dicts of texts; none if it does not exist."""
    if not path.exists():
        return []
    return list(csv.DictReader(line for line in path.read_text().splitlines() if not line.startswith("#")))


class Table:
    """Rows of `columns`, the first `keys` of which name a configuration.

    The first line of the file says with what command, versions and machine it was begun.
    """

    def __init__(self, name, columns, keys, folder=RESULTS):
        self.path, self.columns, self.keys = Path(folder) / f"{name}.csv", tuple(columns), keys
        self.done = {tuple(row[key] for key in columns[:keys]) for row in self.rows()}
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            found = ", ".join(f"{package} {version}" for package, version in versions().items())
            machine = f"{processor()}, {platform.platform()}"
            command = " ".join(["python", f"benchmarks/sobolev/{Path(sys.argv[0]).name}", *sys.argv[1:]])
            self._append(f"# {command}; {found}; {machine}\n" + ",".join(self.columns) + "\n")

    def rows(self):
        """All rows as dicts of texts."""
        return rows_of(self.path)

    def has(self, *key):
        """Whether a configuration is done."""
        return tuple(map(str, key)) in self.done

    def add(self, *row):
        """Append a row."""
        texts = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row]
        self.done.add(tuple(texts[: self.keys]))
        self._append(",".join(texts) + "\n")

    def _append(self, text):
        with self.path.open("a") as file:
            file.write(text)
