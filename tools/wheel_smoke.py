"""Uses the installed package as a stranger would; run by `make wheel` outside the source tree."""

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np

import keras_koopman as kk

where = Path(kk.__file__).resolve().parent
if not where.is_relative_to(Path(sys.prefix).resolve()):
    sys.exit(f"keras_koopman was imported from {where}, not from the wheel installed in {sys.prefix}")
if not files("keras_koopman").joinpath("py.typed").is_file():
    sys.exit("the wheel ships no py.typed: users' type checkers would ignore our annotations")

# A linear map with the eigenvalues .9 and .5; a Hankel matrix reads the same by rows and by columns.
step = np.add.outer(np.arange(8), np.arange(8))
found = np.sort_complex(kk.decompose(0.9**step + 0.5**step).eigenvalues)
if found.shape != (2,) or not np.allclose(found, [0.5, 0.9], rtol=0, atol=1e-6):
    sys.exit(f"expected the eigenvalues .5 and .9, got {found}")

print(f"wheel: {where} works")
