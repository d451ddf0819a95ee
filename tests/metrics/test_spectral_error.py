"""`spectral_error`: octaves that add up to the mean squared error, and hold the waves that belong there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_koopman.metrics import spectral_error


def wave(k, size=64, phase=0.3):
    return np.cos(2 * np.pi * k * np.arange(size) / size + phase)


@pytest.mark.contract
@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
@pytest.mark.parametrize("shape", [(3, 1), (3, 2), (2, 7), (2, 64), (2, 131), (2, 9, 12, 2), (1, 3, 4, 5, 1)])
def test_octaves_add_up_to_the_mean_squared_error(shape, boundary):
    true, predicted = np.random.default_rng(0).normal(size=(2, *shape))
    found = spectral_error(true, predicted, boundary=boundary)
    assert found.errors.sum() == pytest.approx(np.mean((true - predicted) ** 2), rel=1e-12)
    assert found.signal.sum() == pytest.approx(np.mean(true**2), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(k=st.integers(0, 32), spacing=st.sampled_from([None, 0.37, 2.0]))
def test_a_wave_lies_in_its_octave(k, spacing):
    found = spectral_error(wave(k)[None], np.zeros((1, 64)), spacing=spacing)
    unit = 1.0 if spacing is None else 1 / (64 * spacing)
    np.testing.assert_allclose(found.wavenumbers, np.array([0, 1, 2, 4, 8, 16, 32]) * unit)
    wanted = np.searchsorted(found.wavenumbers, k * unit * (1 + 1e-6), side="right") - 1
    assert found.errors[wanted] == pytest.approx(np.mean(wave(k) ** 2), rel=1e-9)
    np.testing.assert_allclose(found.relative[wanted], 1.0)
    assert np.all(np.isnan(np.delete(found.relative, wanted)))


def test_what_is_learned_and_what_is_not():
    true = wave(1) + 2 * wave(6) + wave(20)
    found = spectral_error(true[None], (wave(1) + wave(6))[None])
    np.testing.assert_allclose(found.errors, [0, 0, 0, 0.5, 0, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(found.relative[[1, 3, 5]], [0, 0.25, 1], atol=1e-12)
    rows = [line.split() for line in str(found).splitlines()[2:]]
    assert rows[3] == ["4", "–", "8", "0.5", "2", "0.250"]
    assert rows[5] == ["16", "–", "32", "0.5", "0.5", "1.000"]
    assert rows[0] == ["0", "0", "0", "–"]


def test_mirror_counts_half_waves():
    half = np.cos(np.pi * (np.arange(16) + 0.5) / 16)[None]
    found = spectral_error(half, 0 * half, boundary="mirror")
    np.testing.assert_allclose(found.wavenumbers, [0, 0.5, 1, 2, 4])
    np.testing.assert_allclose(found.errors, [0, 0.5, 0, 0, 0], atol=1e-12)


def test_direction_does_not_matter_and_channels_are_averaged():
    along = wave(5, 16)[:, None] * np.ones(16)
    first = spectral_error(along[None, ..., None], np.zeros((1, 16, 16, 1)))
    second = spectral_error(along.T[None, ..., None], np.zeros((1, 16, 16, 1)))
    np.testing.assert_allclose(first.errors, second.errors, atol=1e-12)
    pair = spectral_error(np.stack([along, 3 * along], -1)[None], np.zeros((1, 16, 16, 2)))
    np.testing.assert_allclose(pair.errors, 5 * first.errors, atol=1e-12)


def test_complex_values():
    true = wave(3) * np.exp(0.4j)
    assert spectral_error(true[None], 0 * true[None]).errors[2] == pytest.approx(0.5)


@pytest.mark.contract
def test_takes_tensors():
    from keras import ops

    true = wave(3)[None].astype("float32")
    assert spectral_error(true, ops.zeros((1, 64))).errors[2] == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("y", "options", "words"),
    [
        (np.zeros((1, 5)), {}, "same shape"),
        (np.full((1, 4), np.inf), {}, "y_true must be finite"),
        (np.zeros((1, 4)), {"axes": 2}, "must be different axes"),
        (np.zeros((1, 4)), {"spacing": 0}, "spacing must be above 0"),
    ],
)
def test_refuses(y, options, words):
    with pytest.raises(ValueError, match=words):
        spectral_error(y, np.zeros((1, 4)), **options)
