"""`estimate_noise` on noise whose spectrum is known."""

import numpy as np
import pytest

from keras_koopman.losses import NegativeSobolev, Sobolev, estimate_noise
from tests.losses import oracle

SIZE = 128


def noise(slope, count=40, knee=1.0, seed=0):
    """Of power `(1 + k^2 / knee^2)^(slope / 2)` and mean square 4."""
    power = (1 + oracle.wavenumbers_squared((SIZE,)) / knee**2) ** (slope / 2)
    white = np.random.default_rng(seed).normal(size=(count, SIZE))
    return 2 * np.fft.ifft(np.fft.fft(white) * np.sqrt(power / power.mean())).real


def signal():
    x = np.arange(SIZE) / SIZE
    return 30 * np.cos(2 * np.pi * x) + 20 * np.sin(2 * np.pi * 3 * x)


@pytest.mark.parametrize("slope", [-2.0, -1.0, 0.0, 1.0, 2.0])
def test_repeats(slope):
    found = estimate_noise(signal() + noise(slope), repeats=0)
    assert found.source == "repeats"
    assert abs(found.slope - slope) < 4 * found.slope_error < 0.25
    assert found.level == pytest.approx(2, rel=0.05)
    assert found.knee == 1.0
    assert found.order == pytest.approx(-slope / 2, abs=0.12)


def test_standard_error_is_the_spread():
    found = [estimate_noise(noise(1.0, 5, seed=seed), repeats=0) for seed in range(60)]
    same = [each for each in found if each.knee == 1.0]
    assert np.std([e.slope for e in same]) == pytest.approx(np.mean([e.slope_error for e in same]), rel=0.35)


def test_residuals():
    clean = np.tile(signal(), (40, 1))
    found = estimate_noise(clean + noise(2.0), smooth=clean)
    assert found.source == "residuals"
    assert found.slope == pytest.approx(2, abs=0.25)
    assert found.level == pytest.approx(2, rel=0.1)


def test_top_octaves():
    found = estimate_noise(signal() + noise(2.0, 200))
    assert found.source == "top octaves"
    assert found.above == 16
    assert found.slope == pytest.approx(2, abs=0.25)
    # All wavenumbers, those of the signal too, are another matter.
    assert estimate_noise(signal() + noise(2.0, 200), above=0).slope < 0


def test_axis_of_repeats_of_its_own():
    """Three samples, each with its own signal, measured 20 times, on two channels."""
    samples = signal() * np.arange(1, 4)[:, None]
    y = samples[:, None] + noise(2.0, 60).reshape(3, 20, SIZE)
    pair = np.stack([y, y], -1)
    apart = estimate_noise(pair, repeats=1)
    assert apart.slope == pytest.approx(2, abs=0.2)
    assert apart.level == pytest.approx(2, rel=0.05)
    first = estimate_noise(np.moveaxis(y, 1, 2), repeats=2)
    assert first.slope == pytest.approx(apart.slope, rel=1e-9)
    # As if there were two independent channels.
    assert first.slope_error == pytest.approx(np.sqrt(2) * apart.slope_error, rel=1e-9)


def test_knee():
    found = estimate_noise(noise(4.0, 100, knee=8.0), repeats=0)
    assert found.knee == 8.0
    assert found.slope == pytest.approx(4, abs=0.3)


def test_knee_is_in_the_unit_of_the_spacing():
    domain = 0.25
    found = estimate_noise(noise(4.0, 100, knee=8.0), repeats=0, spacing=domain / SIZE)
    assert found.knee == 8.0 / domain
    assert Sobolev.from_noise(found).get_config()["spacing"] == domain / SIZE


def test_two_axes_and_mirror():
    rng = np.random.default_rng(0)
    k_squared = oracle.wavenumbers_squared((32, 24), "mirror")
    import scipy.fft

    white = rng.normal(size=(20, 32, 24))
    y = scipy.fft.idctn(white * (1 + k_squared) ** 0.5, axes=(1, 2), norm="ortho")
    found = estimate_noise(y, repeats=0, boundary="mirror", channels=None)
    assert found.slope == pytest.approx(2, abs=0.15)


def test_complex_noise():
    both = noise(2.0) + 1j * noise(2.0, seed=1)
    found = estimate_noise(both, repeats=0)
    assert found.slope == pytest.approx(2, abs=0.15)
    assert found.slope_error == pytest.approx(estimate_noise(noise(2.0), repeats=0).slope_error / 2**0.5)
    assert found.level == pytest.approx(2 * 2**0.5, rel=0.05)


def test_white_noise_gives_order_0_and_a_word():
    found = estimate_noise(noise(0.0), repeats=0)
    assert found.is_white
    assert Sobolev.from_noise(found).order == 0.0
    assert "a negative order would not help" in str(found)
    assert "only noise differs between them" in str(found)
    with pytest.raises(ValueError, match="MeanSquaredError"):
        NegativeSobolev.from_noise(found)


def test_cutoff_is_where_the_signal_is_lost():
    """Waves of 1, 3 and 12 cycles, and one of 40 that the noise hides."""
    x = np.arange(SIZE) / SIZE
    for kind in (0.0, 2.0):
        hidden = 0.02 * np.cos(2 * np.pi * 40 * x)
        y = signal() + 2 * np.cos(2 * np.pi * 12 * x) + hidden + noise(kind)
        for found in estimate_noise(y), estimate_noise(y, repeats=0):
            assert 12 <= found.cutoff <= 20
    with_domain = estimate_noise(y, spacing=0.5 / SIZE)
    assert with_domain.cutoff == pytest.approx(2 * estimate_noise(y).cutoff)


def test_cutoff_under_noise_of_high_wavenumbers_alone():
    """It looks white in the top octaves, but the data below refute that it goes on there."""
    coefficients = np.fft.rfft(noise(0.0))
    coefficients[:, :20] = 0
    found = estimate_noise(0.1 * signal() + np.fft.irfft(coefficients, SIZE), above=24)
    assert found.is_white
    assert found.cutoff == 19


def test_cutoff_of_noise_alone_is_low():
    found = [estimate_noise(noise(0.0, seed=seed)).cutoff for seed in range(20)]
    assert np.median(found) <= 2
    assert max(found) <= 16


def test_for_a_network_that_would_fit_the_noise():
    found = estimate_noise(signal() + noise(0.0))
    loss = NegativeSobolev.from_noise(found, overfits=True)
    assert (loss.order, loss.knee) == (-8.0, found.cutoff)
    assert "overfits=True" in str(found)


def test_words_for_other_noise():
    violet, red = (estimate_noise(noise(s), repeats=0) for s in (2.0, -2.0))
    assert f"order {violet.order:.2f} plays fine scales down" in str(violet)
    assert f"order {red.order:.2f} stresses fine scales" in str(red)
    assert "no signal in them" in str(estimate_noise(noise(2.0)))
    assert "smooth fit" in str(estimate_noise(noise(2.0), smooth=0 * noise(2.0)))


def test_from_noise_takes_all_over_and_lets_itself_be_told():
    found = estimate_noise(noise(2.0)[:, :, None], repeats=0, axes=1, boundary="mirror", channels="first")
    config = NegativeSobolev.from_noise(found).get_config()
    assert (config["axes"], config["boundary"], config["channels"]) == ([1], "mirror", "first")
    assert config["order"] == found.order
    assert config["knee"] == found.knee
    assert NegativeSobolev.from_noise(found, knee=5.0, name="mine").knee == 5.0


@pytest.mark.parametrize(
    ("y", "options", "kind", "words"),
    [
        (np.full((2, SIZE), np.nan), {}, ValueError, "y must be finite"),
        (np.ones((4, SIZE)), {"repeats": 0}, ValueError, "There is no noise"),
        (noise(0.0), {"repeats": 0, "smooth": noise(0.0)}, ValueError, "not both"),
        (noise(0.0), {"repeats": 2}, ValueError, "repeats=2 must be an axis of y"),
        (noise(0.0, 1), {"repeats": 0}, ValueError, "two measurements at least, got 1"),
        (noise(0.0), {"repeats": "all"}, TypeError, "repeats must be a whole number"),
        (noise(0.0), {"smooth": np.zeros(SIZE)}, ValueError, r"smooth must have the shape of y, \(40, 128\)"),
        (noise(0.0), {"above": 63}, ValueError, "Only 3 wavenumbers .* Lower above="),
        (noise(0.0)[:, :5], {}, ValueError, "too few to fit a slope"),
        (noise(0.0), {"above": -1}, ValueError, "above must be at least 0"),
        (noise(0.0)[0], {}, ValueError, "at least one grid axis"),
        (noise(0.0), {"boundary": "free"}, ValueError, "boundary must be one of"),
    ],
)
def test_refuses(y, options, kind, words):
    with pytest.raises(kind, match=words):
        estimate_noise(y, **options)
