"""The tables of this folder."""

import functools
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from _resumable import RESULTS, ResumableTable

RESULTS = RESULTS / "verdicts"
Table = functools.partial(ResumableTable, "verdicts")
