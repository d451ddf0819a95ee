"""`plot_paths`: runs as paths, each from a ring to a dot."""

import sys

import numpy as np
import pytest

from keras_koopman.plotting import plot_paths

plt = pytest.importorskip("matplotlib.pyplot")

T = np.arange(20.0)
PATHS = {"first": np.stack([0.9**T, 0.5**T], 1), "second": np.stack([-(0.9**T), 2 * 0.5**T, T], 1)}


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_paths_ends_and_names(ax):
    assert plot_paths(PATHS, ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["first", "second"]
    lines = ax.get_lines()
    for i, path in enumerate(PATHS.values()):
        drawn, start, end = lines[3 * i : 3 * i + 3]
        np.testing.assert_array_equal(drawn.get_xydata(), path[:, :2])
        np.testing.assert_array_equal(start.get_xydata()[0], path[0, :2])
        np.testing.assert_array_equal(end.get_xydata()[0], path[-1, :2])
        assert drawn.get_color() == end.get_color()
    assert lines[0].get_color() != lines[3].get_color()
    np.testing.assert_array_equal(lines[6].get_xydata(), [[0, 0]])


def test_one_path_on_a_new_figure():
    ax = plot_paths(PATHS["first"])
    assert ax.get_xlabel() == "slowest direction"
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        ({}, ValueError, "paths is empty"),
        (
            {"a": np.zeros((3, 1))},
            ValueError,
            r"paths\['a'\] must have a row .* got shape \(3, 1\).*directions=2",
        ),
        ({"a": np.zeros((0, 2))}, ValueError, "must have a row for each snapshot"),
        ({"a": np.full((2, 2), np.nan)}, ValueError, "must be finite"),
        ({"a": "x"}, TypeError, "must be real numbers"),
        (
            {"a": np.zeros((3, 2), complex)},
            TypeError,
            r"must be real numbers .*got ndarray of dtype complex128",
        ),
        ({"a": [[1.0, 2.0], [3.0]]}, TypeError, "must be real numbers .*got list"),
        (None, TypeError, r"must be real numbers .*got NoneType"),
    ],
)
def test_refuses(ax, paths, error, message):
    with pytest.raises(error, match=message):
        plot_paths(paths, ax)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"keras-koopman\[plot\]"):
        plot_paths(PATHS)
