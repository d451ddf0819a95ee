"""Signals of several scales, noise of several colours, and how well one is found under the other."""

import numpy as np

SIZE = 128
WAVENUMBERS = (1, 2, 3, 5, 8, 13)
PARAMETERS = 3
NOISES = ("white", "violet", "high")


def decibels(clean, found):
    """Signal to error, in dB."""
    return float(10 * np.log10(np.mean(clean**2) / np.mean((found - clean) ** 2)))


def colour(white, kind):
    """White noise on a periodic grid (all axes but the first) made violet or of high frequencies; rms 1."""
    axes = tuple(range(1, white.ndim))
    sizes = white.shape[1:]
    k = np.sqrt(sum(np.meshgrid(*[(n * np.fft.fftfreq(n)) ** 2 for n in sizes], indexing="ij")))
    gain = {"white": np.ones(sizes), "violet": k, "high": (k > sizes[0] / 8).astype(float)}[kind]
    noise = np.fft.ifftn(np.fft.fftn(white, axes=axes) * gain, axes=axes).real
    return noise / np.sqrt(np.mean(gain**2))


def noisy(clean, kind, snr, rng):
    """A signal under noise, `snr` in dB."""
    scale = np.sqrt(np.mean(clean**2)) * 10 ** (-snr / 20)
    return clean + scale * colour(rng.normal(size=clean.shape), kind)


def fields(seed, counts):
    """Fields that depend on three parameters: `[(parameters, fields), ...]`, for each count."""
    rng = np.random.default_rng(seed)
    waves = len(WAVENUMBERS)
    into_amplitude, into_phase = rng.normal(size=(2, PARAMETERS, waves))
    amplitudes = 1 / np.sqrt(WAVENUMBERS)
    x = np.arange(SIZE) / SIZE
    found = []
    for count in counts:
        p = rng.uniform(-1, 1, size=(count, PARAMETERS))
        phase = 2 * np.pi * np.outer(WAVENUMBERS, x) + (p @ into_phase)[..., None]
        u = np.sum((amplitudes * (1 + np.tanh(p @ into_amplitude)))[..., None] * np.cos(phase), axis=1)
        found.append((p, u))
    return found


def low_pass(y, highest):
    """Without what lies above a wavenumber, on all axes but the first."""
    axes = tuple(range(1, y.ndim))
    k = np.sqrt(sum(np.meshgrid(*[(n * np.fft.fftfreq(n)) ** 2 for n in y.shape[1:]], indexing="ij")))
    return np.fft.ifftn(np.fft.fftn(y, axes=axes) * (k <= highest), axes=axes).real


def wavelet(y, method):
    """Every sample through the wavelet filter of scikit-image; `method` is its rule of threshold."""
    from skimage.restoration import denoise_wavelet

    levels = int(np.log2(min(y.shape[1:]))) - 2
    options = {"wavelet": "sym4", "mode": "soft", "wavelet_levels": levels, "rescale_sigma": False}
    return np.stack([denoise_wavelet(each, method=method, **options) for each in y])
