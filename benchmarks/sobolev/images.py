"""How well does a network recover a photograph, or a 1-D signal, from one measurement that is mostly noise?

Two networks see noisy targets only: `coordinates`, an MLP on random Fourier features of the position, and
`field`, a dense network from a fixed code to all points. A tenth of the points, drawn at random, has no
weight in the loss and is kept to stop by (`stopped`: least squared error there). The filters are applied to
all points, the low-pass with several cutoffs, of which nobody can know the best. Signal to error in dB.

    python benchmarks/sobolev/images.py [--seeds 0 1 2 3 4] [--subjects camera coins signal] [--snrs -10]

Needs scikit-image and PyWavelets. One thread. Configurations that the table holds already are skipped.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import argparse
import itertools
import time

import keras
import numpy as np
import skimage.data
from _data import NOISES, decibels, low_pass, noisy, wavelet
from _rows import Table
from scipy.signal import wiener
from skimage.transform import resize

import keras_koopman as kk

IMAGE, SIGNAL = (48, 48), (256,)
HIDDEN, FEATURES, SCALE = 64, 64, 6.0  # SCALE: standard deviation of the features' wavenumbers
CHECK, CHECKS = 20, 20  # steps between two looks, and how many looks
HELD_OUT = 0.1
SMALL = 0.01


def subject(name):
    """A clean image or signal with mean 0, `(1, *grid)`."""
    if name == "signal":
        x = np.arange(SIGNAL[0]) / SIGNAL[0]
        clean = sum(np.cos(2 * np.pi * k * x + k) / np.sqrt(k) for k in (1, 2, 3, 5, 8, 13))
    else:
        clean = resize(getattr(skimage.data, name)().astype(float), IMAGE, anti_aliasing=True)
    return (clean - clean.mean())[None]


def network(kind, grid, seed):
    """A model and its input, `(1, ...)`; the output is `(1, *grid)`."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng([seed, 2])
    dense = [keras.layers.Dense(HIDDEN, "relu") for _ in range(2)]
    if kind == "field":
        last = [keras.layers.Dense(int(np.prod(grid))), keras.layers.Reshape(grid)]
        return keras.Sequential([keras.Input((HIDDEN,)), *dense, *last]), rng.normal(size=(1, HIDDEN))
    places = np.stack(np.meshgrid(*[np.arange(n) / n for n in grid], indexing="ij"), -1)
    phases = 2 * np.pi * places @ (SCALE * rng.normal(size=(len(grid), FEATURES)))
    features = np.concatenate([np.cos(phases), np.sin(phases)], -1)[None]
    last = [keras.layers.Dense(1), keras.layers.Reshape(grid)]
    return keras.Sequential([keras.Input(features.shape[1:]), *dense, *last]), features


def train(kind, seed, y, clean, seen, loss, small):
    """`end`, `stopped` and `best`, in dB."""
    model, x = network(kind, y.shape[1:], seed)
    if small:
        last = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][-1]
        last.kernel.assign(SMALL * last.kernel)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    looks = []
    # One epoch of so many equal batches: Keras does much between epochs.
    repeated, data, weight = (np.repeat(values, CHECK, axis=0) for values in (x, y, seen))
    for _ in range(CHECKS):
        model.fit(repeated, data, sample_weight=weight, batch_size=1, verbose=0)
        found = np.asarray(model.predict_on_batch(x))
        looks.append((np.mean((found - y)[seen == 0] ** 2), decibels(clean, found)))
    held_out, quality = np.array(looks).T
    return quality[-1], quality[np.argmin(held_out)], quality.max()


def losses_of(y):
    """Each loss by name, and whether the last layer begins small."""
    options = {"boundary": "mirror", "channels": None}
    estimate = kk.losses.estimate_noise(y, **options)
    sobolev = kk.losses.Sobolev
    return {
        "mse": (sobolev(0.0, **options), False),
        "mse small": (sobolev(0.0, **options), True),
        "order -1": (sobolev(-1.0, **options), False),
        "order -1 small": (sobolev(-1.0, **options), True),
        "order -2 small": (sobolev(-2.0, **options), True),
        "order -8 knee 8 small": (sobolev(-8.0, knee=8.0, **options), True),
        "by noise overfits small": (sobolev.from_noise(estimate, overfits=True), True),
    }


def filters_of(y):
    """Each filter by name, and what it makes of the data."""
    found = {f"low-pass {k}": low_pass(y, k) for k in (2, 4, 6, 8, 12, 16)}
    found["wiener"] = wiener(y[0], 9)[None]
    found |= {f"wavelet {method}": wavelet(y, method) for method in ("BayesShrink", "VisuShrink")}
    return found


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[*range(5)])
    parser.add_argument("--subjects", nargs="+", default=["signal", "camera", "coins"])
    parser.add_argument("--noises", nargs="+", choices=NOISES, default=NOISES)
    parser.add_argument("--snrs", nargs="+", type=int, default=[-10])
    arguments = parser.parse_args()
    columns = ("subject", "noise", "snr", "seed", "network", "arm", "end", "stopped", "best")
    table, begin = Table("images", columns, keys=6), time.perf_counter()
    for snr, seed, name, noise in itertools.product(
        arguments.snrs, arguments.seeds, arguments.subjects, arguments.noises
    ):
        rng = np.random.default_rng([seed, 1])
        clean = subject(name)
        y = noisy(clean, noise, snr, rng)
        seen = (rng.uniform(size=y.shape) >= HELD_OUT).astype("float32")
        for arm, found in filters_of(y).items():
            if not table.has(name, noise, snr, seed, "filter", arm):
                table.add(name, noise, snr, seed, "filter", arm, *[decibels(clean, found)] * 3)
        for kind, (arm, (loss, small)) in itertools.product(("coordinates", "field"), losses_of(y).items()):
            if not table.has(name, noise, snr, seed, kind, arm):
                table.add(name, noise, snr, seed, kind, arm, *train(kind, seed, y, clean, seen, loss, small))
        print(f"{snr} dB, {name}, {noise}, seed {seed}: {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
