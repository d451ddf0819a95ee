"""Every operation that the walks use keeps float64 on this engine."""

import re
from pathlib import Path

import numpy as np
import pytest
from keras import ops

import keras_koopman
from keras_koopman.backend import float64_allowed, precision
from keras_koopman.reachability import double

pytestmark = pytest.mark.contract

FOLDER = Path(keras_koopman.__file__).parent / "reachability"
SOURCE = "\n".join(p.read_text() for p in FOLDER.glob("*.py") if p.name != "double.py")
UNARY = [
    "abs", "erf", "exp", "expm1", "log", "log1p", "max", "min", "round", "sign", "softmax", "sqrt", "square",
    "sum", "zeros_like", "ones_like",
]  # fmt: skip
# These give indices, booleans, or what their arguments are.
OTHER = [
    "where", "reshape", "convert_to_tensor", "full_like", "take", "logical_and", "logical_or", "logical_not",
    "isnan", "isfinite", "concatenate", "transpose", "convert_to_numpy", "zeros", "tile", "one_hot",
    "all", "top_k", "searchsorted", "repeat", "eye", "cast", "argmax",
]  # fmt: skip


def test_every_operation_is_known_to_this_test():
    """A new one must be entered here once its precision was looked at."""
    assert set(re.findall(r"\bops\.([a-z_0-9]+)", SOURCE)) <= {*UNARY, *OTHER, "sin"}


@pytest.mark.parametrize("name", UNARY)
def test_keras_keeps_float64(name):
    with float64_allowed():
        assert precision(getattr(ops, name)(ops.convert_to_tensor(np.array([[0.1, 0.2]])))) == "float64"


@pytest.mark.parametrize("name", ["tanh", "sin", "cos", "arccos", "floor"])
def test_ours_keep_float64_and_its_digits(name):
    x = np.linspace(-0.9, 0.9, 50)
    with float64_allowed():
        y = getattr(double, name)(ops.convert_to_tensor(x))
        assert precision(y) == "float64"
        np.testing.assert_allclose(ops.convert_to_numpy(y), getattr(np, name)(x), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", ["maximum", "minimum", "matmul"])
def test_ours_of_two_keep_float64(name):
    x, y = np.array([[0.1, 0.7], [1.1, 2.3]]), np.array([[0.3, 0.2], [1.0, 1 / 3]])
    with float64_allowed():
        z = getattr(double, name)(*map(ops.convert_to_tensor, (x, y)))
        assert precision(z) == "float64"
        np.testing.assert_allclose(ops.convert_to_numpy(z), getattr(np, name)(x, y), rtol=1e-15)
