"""The tables of this folder."""

import functools
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from _resumable import ResumableTable

Table = functools.partial(ResumableTable, "depth")
