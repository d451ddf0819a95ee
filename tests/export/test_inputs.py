import keras
import numpy as np
import pytest

from keras_koopman.export.inputs import checked, made_up, signature_of
from tests.export.models import IDS, OnDict, OnIds, X, called, many_outputs, pruned, two_inputs


def specs(model, sample=None):
    flat = keras.tree.flatten(signature_of(model, sample))
    return [(spec.name, spec.shape, spec.dtype) for spec in flat]


def test_names_shapes_and_dtypes():
    want = [("zeta", (None, 4), "float32"), ("alpha", (None, 3), "int32")]
    assert specs(two_inputs("list")) == want
    # Keras sorts the keys of a dict.
    assert specs(two_inputs("dict")) == want[::-1]
    assert [name for name, _, _ in specs(many_outputs())] == ["In_Put_1"]


def test_a_subclassed_model_learns_dtypes_from_the_sample():
    model = called(OnDict(), {"x": X, "ids": IDS})
    assert specs(model) == [("ids", (None, 3), "float32"), ("x", (None, 4), "float32")]
    sample = {"x": X.astype("float64"), "ids": IDS}
    assert specs(model, sample) == [("ids", (None, 3), "int32"), ("x", (None, 4), "float32")]
    assert specs(called(OnIds(), IDS), IDS) == [(None, (None, 3), "int32")]


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_a_sample_is_cast_and_put_in_order(kind):
    signature = signature_of(two_inputs(kind))
    parts = {"alpha": IDS.astype("int8").tolist(), "zeta": X.astype("float64")}
    flat = checked(signature, parts if kind == "dict" else (parts["zeta"], parts["alpha"]))
    ids, x = flat if kind == "dict" else flat[::-1]
    assert (ids.dtype, x.dtype) == ("int32", "float32")
    np.testing.assert_array_equal(ids, IDS)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize(
    ("make", "sample", "error", "message"),
    [
        (pruned, X[0], ValueError, r"sample has shape \(4,\), the model takes \(n, 4\). Give rows"),
        (pruned, X[:, :, None], ValueError, r"shape \(6, 4, 1\), the model takes \(n, 4\)"),
        (pruned, np.full((2, 4), "a"), ValueError, "sample has dtype <U1, the model takes float32"),
        (pruned, [X, X], ValueError, r"sample has shape \(2, 6, 4\)"),
        (lambda: two_inputs("list"), X, TypeError, "must be a list of inputs 0, 1, .*got ndarray"),
        (lambda: two_inputs("list"), [X], TypeError, "must be a list of inputs 0, 1, .*got list with 0"),
        (lambda: two_inputs("list"), [X, X[:, :3]], ValueError, "'1' has dtype float32, .*takes int32"),
        (lambda: two_inputs("list"), [X, IDS[:2]], ValueError, r"one number of rows, .*got \[2, 6\]"),
        (lambda: two_inputs("dict"), {"zeta": X}, TypeError, "the keys 'zeta', 'alpha'.*dict with 'zeta'"),
        (lambda: two_inputs("dict"), [X, IDS], TypeError, "must be a dict with the keys .*got list"),
        (lambda: two_inputs("dict"), {"zeta": IDS, "alpha": IDS}, ValueError,
         r"sample 'zeta' has shape \(6, 3\), the model takes \(n, 4\)"),
    ],
)  # fmt: skip
def test_refuses(make, sample, error, message):
    with pytest.raises(error, match=message):
        checked(signature_of(make()), sample)


def test_open_axes_take_any_size():
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.GlobalMaxPooling1D()])
    assert checked(signature_of(model), np.ones((3, 7, 2)))[0].shape == (3, 7, 2)
    with pytest.raises(ValueError, match=r"shape \(3, 7, 1\), the model takes \(n, any, 2\)"):
        checked(signature_of(model), np.ones((3, 7, 1)))


def test_made_up():
    x, ids = made_up(signature_of(two_inputs("list")))
    assert (x.shape, x.dtype, ids.shape, ids.dtype) == ((8, 4), "float32", (8, 3), "int32")
    assert np.ptp(x) > 1
    assert not ids.any()
    half = keras.Sequential([keras.Input((4,), dtype="bfloat16"), keras.layers.Dense(2)])
    assert made_up(signature_of(half))[0].dtype == "bfloat16"
