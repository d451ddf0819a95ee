"""`plot_spectral_error`: what is drawn is what was measured."""

import sys

import numpy as np
import pytest

from keras_koopman.metrics import spectral_error
from keras_koopman.plotting import plot_spectral_error

plt = pytest.importorskip("matplotlib.pyplot")

N = np.arange(32)
TRUE = (np.cos(2 * np.pi * N / 32) + 0.1 * np.cos(2 * np.pi * 5 * N / 32))[None]


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_lines_bars_and_words(ax):
    first, second = spectral_error(TRUE, 0 * TRUE), spectral_error(TRUE, 0.5 * TRUE)
    assert plot_spectral_error({"untrained": first, "half": second}, ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["untrained", "half", "signal"]
    for line, error in zip(ax.get_lines(), (first, second), strict=True):
        np.testing.assert_allclose(line.get_ydata()[[1, 3]], error.errors[[1, 3]])
        assert np.all(np.isnan(line.get_ydata()[[0, 2, 4, 5]]))  # rounding is not drawn
    assert [bar.get_height() for bar in ax.patches][1] == pytest.approx(0.5)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == first.labels
    assert ax.get_yscale() == "log"


def test_draws_one_on_a_new_figure():
    ax = plot_spectral_error(spectral_error(TRUE, 0 * TRUE))
    assert ax.get_lines()[0].get_label() == "error"
    plt.close(ax.figure)


def test_refuses(ax):
    error = spectral_error(TRUE, 0 * TRUE)
    with pytest.raises(ValueError, match="errors is empty"):
        plot_spectral_error({}, ax)
    with pytest.raises(TypeError, match=r"must be a SpectralError, .*got float.*spectral_error makes one"):
        plot_spectral_error({"a": 1.0}, ax)
    with pytest.raises(ValueError, match="the same octaves"):
        plot_spectral_error({"a": error, "b": spectral_error(TRUE, TRUE, spacing=2.0)}, ax)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"keras-koopman\[plot\]"):
        plot_spectral_error(spectral_error(TRUE, 0 * TRUE))
