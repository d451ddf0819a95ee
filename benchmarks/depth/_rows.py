"""Tables of the experiments on depth."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "verdicts"))

import _table

_table.RESULTS = Path(__file__).parents[1] / "results" / "depth"
Table = _table.Table
