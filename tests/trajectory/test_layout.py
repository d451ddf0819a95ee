import keras
import numpy as np
import pytest
from keras import ops

import keras_koopman as kk
from tests.trajectory.rows import FORMS, LENGTH, exact, flat, host, record, same, walk

forms = pytest.mark.parametrize("form", FORMS)


@pytest.mark.contract
@forms
def test_gram_of_every_form(form):
    rows = walk(6, LENGTH)
    found = record(rows, form=FORMS[form])
    same(found.gram, exact(rows))
    assert found.size == LENGTH
    assert found.gram.dtype == np.float64


@pytest.mark.contract
@forms
def test_combine_gives_the_form_back(form):
    rows, coefficients = walk(6, LENGTH), np.array([1.0, -2.0, 0.0, 0.5, 0.0, 3.0])
    found = record(rows, form=FORMS[form])
    for got, wanted in ((found.combine(coefficients), coefficients @ rows), (found.latest(), rows[-1])):
        like = FORMS[form](wanted.astype(np.float32))
        like = list(like) if isinstance(like, tuple) else like
        keras.tree.assert_same_structure(got, like)
        shapes = [[tuple(x.shape) for x in keras.tree.flatten(tree)] for tree in (got, like)]
        assert shapes[0] == shapes[1]
        np.testing.assert_allclose(flat(got), flat(like), rtol=1e-6, atol=1e-6)


@pytest.mark.contract
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int8", "int32", "uint8"])
def test_precisions(dtype):
    rows = np.array([[1, 2, 3], [4, 0, 2], [7, 5, 1]])
    same(record(rows, form=lambda x: ops.cast(ops.convert_to_tensor(x), dtype)).gram, exact(rows))
    if dtype != "bfloat16":
        found = record(rows.astype(dtype))
        same(found.gram, exact(rows))
        kept = str(keras.backend.standardize_dtype(found.latest().dtype))
        assert kept == ("float64" if dtype == "float64" else "float32")


@pytest.mark.contract
def test_float64_keeps_its_digits():
    """On JAX too, which is narrow unless told."""
    rows = 1 + 1e-9 * walk(12, dtype="float64")
    found = record(rows, window=8)
    same(found.gram, exact(rows[-8:]), 1e-14)
    same(found.increments().gram, exact(np.diff(rows[-8:], axis=0)), 1e-6)
    for i in (0, 7):
        np.testing.assert_array_equal(host(found.combine(np.eye(8)[i])), rows[4 + i])


@pytest.mark.parametrize(
    "rows", [[1.0, 2.0, 4.0], [1, 2, 4], [[1.0], [2.0], [4.0]], np.array([1.0, 2.0, 4.0])]
)
def test_plain_numbers(rows):
    found = record(rows)
    assert found.gram.tolist() == [[1, 2, 4], [2, 4, 8], [4, 8, 16]]
    assert found.decompose().eigenvalues == pytest.approx([2.0])


def test_names_count_not_their_order():
    found = kk.Trajectory()
    found.append({"a": np.zeros(2), "b": {"x": np.zeros(2), "y": np.ones(2)}})
    found.append({"b": {"y": np.ones(2), "x": np.zeros(2)}, "a": np.zeros(2)})
    assert found.gram.tolist() == [[2, 2], [2, 2]]
    assert found.gram_of("a").tolist() == [[0, 0], [0, 0]]


def test_numbers_of_layers_do_not_count():
    """Keras numbers layers by what else was built before."""
    found = kk.Trajectory()
    found.append({"dense_1": {"kernel": np.ones(2)}, "dense_2": {"kernel": np.zeros(2)}})
    found.append({"dense_7": {"kernel": np.ones(2)}, "dense_8": {"kernel": np.zeros(2)}})
    assert found.gram_of("dense_1").tolist() == [[2, 2], [2, 2]]


# What is refused.


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.array([1.0, np.nan]), ValueError, "values must be finite, got NaN or infinity. Leave"),
        (np.array([np.inf, 1.0]), ValueError, "values must be finite"),
        (np.array([np.inf, -np.inf]), ValueError, "values must be finite"),
        ({"a": np.ones(2), "b": np.array(np.nan)}, ValueError, "values must be finite"),
        (np.ones(2) * 1j, TypeError, "real numbers, got dtype complex128"),
        ({"a": {"b": np.ones(2) * 1j}}, TypeError, "complex128 in 'a/b'"),
        (np.array([True, False]), TypeError, "real numbers, got dtype bool"),
        (np.array(["a"]), TypeError, "real numbers"),
        ("abc", TypeError, "real numbers"),
        (None, TypeError, "real numbers"),
        ([[1.0, 2.0], [3.0]], TypeError, "real numbers"),
        ({"a": {"b": {"c": np.ones(2)}}}, TypeError, "real numbers.* in 'a/b'"),
        (np.zeros(0), ValueError, "values hold no number"),
        ({}, ValueError, "values hold no number"),
        ([], ValueError, "values hold no number"),
        ({"a": np.zeros((0, 3))}, ValueError, "values hold no number"),
        ({1: np.ones(2), "1": np.ones(2)}, ValueError, "two tensors or groups named '1'"),
    ],
)
def test_refuses_values_and_goes_on(values, error, message):
    fresh = kk.Trajectory()
    for ask in (fresh.append, fresh.set_origin, fresh.accumulate):
        with pytest.raises(error, match=message):
            ask(values)
    assert len(fresh) == 0
    rows = walk(4)
    for row in rows:
        fresh.append(row)
    with pytest.raises((ValueError, TypeError)):
        fresh.append(values)
    fresh.append(rows[0])
    assert fresh.times.tolist() == [0, 1, 2, 3, 4]
    same(fresh.gram, exact(rows[[0, 1, 2, 3, 0]]))


@pytest.mark.contract
@pytest.mark.parametrize("dtype", ["complex64", "bool", "str", "object"])
def test_refuses_numbers_that_are_no_longer_real(dtype):
    """Of the right shape: an engine would drop the imaginary part."""
    found = record(walk(3))
    for ask in (found.append, found.accumulate):
        with pytest.raises(TypeError, match="values must be real numbers"):
            ask(np.ones(5).astype(dtype))
    same(found.gram, exact(walk(3)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": np.ones(2), "b": np.ones(4)}, r"b has shape \(4,\), not \(3,\)"),
        ({"a": np.ones(2)}, r"b \(3,\) is missing"),
        ({"a": np.ones(2), "b": np.ones(3), "c": np.ones(1)}, r"c \(1,\) is new"),
        ({"a": np.ones(2), "z": np.ones(3)}, r"z \(3,\) stands in place of b \(3,\)"),
        ([np.ones(2), np.ones(3)], r"0 \(2,\) stands in place of a \(2,\)"),
        (np.ones(5), r"values \(5,\) stands in place of a \(2,\)"),
        ({"a": np.ones(2), "b": np.ones((3, 1))}, r"b has shape \(3, 1\), not \(3,\)"),
    ],
)
def test_refuses_another_layout(values, message):
    found = kk.Trajectory()
    found.append({"a": np.ones(2), "b": np.ones(3)})
    for ask in (found.append, found.accumulate):
        with pytest.raises(ValueError, match=f"differ from the snapshots before: {message}.*new Trajectory"):
            ask(values)
    assert len(found) == 1
