"""How well does a network learn fields from targets that are mostly noise?

A network maps three parameters to a field of 128 points with six scales. Its targets are under white noise,
violet noise, or white noise above an eighth of the wavenumbers ("high"), at 0, -10 and -20 dB. What counts is
the distance to the clean fields for parameters that it has not seen, as signal to error in dB.

Every arm is one training of the same network from the same weights on the same noisy targets; `small`: its
last layer begins at a hundredth. `end` is the network after all steps; `stopped` the one, of those looked at
every 40 steps, at which the arm's own loss on noisy validation targets was least; `stopped_mse` the same by
the mean squared error; `best` the one nearest to the clean fields, which nobody can know.

    python benchmarks/sobolev/fields.py --verify   # the engine against Keras
    python benchmarks/sobolev/fields.py [--seeds 0 1 2 3 4] [--noises white violet high] [--snrs -10 0 -20]

Needs scikit-image and PyWavelets. One thread. Configurations that the table holds already are skipped.
`summary.py` reads the table.
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
from _data import NOISES, fields, low_pass, noisy, wavelet
from _engine import CHECK, CHECKS, RATE, Arm, first_weights, network, train
from _rows import Table
from scipy.signal import wiener

import keras_koopman as kk

COUNTS = 64, 64, 128  # of samples to train, to validate, to test


def sets_of(seed, noise, snr):
    """Noisy training, noisy validation, clean test, each `(parameters, fields)` in float32."""
    rng = np.random.default_rng([seed, 1])
    *pairs, test = fields(seed, COUNTS)
    pairs = [(p, noisy(u, noise, snr, rng)) for p, u in pairs]
    return [tuple(part.astype("float32") for part in pair) for pair in (*pairs, test)]


def arms_of(y):
    """Each arm by name."""
    estimate = kk.losses.estimate_noise(y)
    found = {"mse": Arm(small=False), "mse small": Arm()}
    found |= {f"order {s}": Arm(s, small=False) for s in (-1.0, -2.0)}
    found |= {f"order {s} small": Arm(s) for s in (-0.5, -1.0, -1.5, -2.0)}
    steep = itertools.chain(itertools.product([-4.0], [4, 8, 13]), itertools.product([-8.0], [8, 13, 16, 20]))
    found |= {f"order {s:g} knee {k} small": Arm(s, k) for s, k in steep}
    found["by noise small"] = Arm(estimate.order, estimate.knee)
    found["by noise overfits small"] = Arm(-8.0, estimate.cutoff)
    found["by noise overfits"] = Arm(-8.0, estimate.cutoff, small=False)
    found["order -2 annealed small"] = Arm(-2.0, annealed=True)
    found |= {f"order -8 knee 13 penalty {m} small": Arm(-8.0, 13, penalty=m) for m in (0.01, 0.1)}
    found |= {f"low-pass {k} small": Arm(targets=low_pass(y, k)) for k in (4, 8, 13, 16, 20)}
    found["wiener small"] = Arm(targets=np.stack([wiener(row, 9) for row in y]))
    for method in ("BayesShrink", "VisuShrink"):
        found[f"wavelet {method} small"] = Arm(targets=wavelet(y, method))
    return found


def verify():
    """Print how far the engine is from Keras's `fit` with the library's loss, before rounding has grown."""
    training, validation, test = sets_of(0, "white", -10)
    arms = {name: arm for name, arm in arms_of(training[1]).items() if arm.targets is None}
    arms = {name: arm for name, arm in arms.items() if not (arm.annealed or arm.penalty)}
    last, *_ = train([*arms.values()], 0, training, validation, test, looks=1)
    for number, (name, arm) in enumerate(arms.items()):
        model = network(training[0].shape[1], training[1].shape[1])
        model.set_weights(first_weights(0, training[0].shape[1], training[1].shape[1], arm.small))
        model.compile(keras.optimizers.Adam(RATE), kk.losses.Sobolev(arm.order, arm.knee))
        model.fit(*training, batch_size=len(training[0]), epochs=CHECK, verbose=0, shuffle=False)
        theirs = model.predict(test[0], verbose=0)
        model.set_weights([w[number] for w in last])
        ours = model.predict(test[0], verbose=0)
        apart = np.sqrt(np.mean((ours - theirs) ** 2) / np.mean(theirs**2))
        print(f"{name:34} after {CHECK} steps: predictions {apart:.1e} apart", flush=True)


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[*range(5)])
    parser.add_argument("--noises", nargs="+", choices=NOISES, default=NOISES)
    parser.add_argument("--snrs", nargs="+", type=int, default=[-10, 0, -20])
    parser.add_argument("--verify", action="store_true", help="compare the engine with Keras, and stop")
    arguments = parser.parse_args()
    if arguments.verify:
        verify()
        return
    columns = ("noise", "snr", "seed", "arm", "order", "knee", "end", "stopped", "stopped_mse", "best")
    table, begin = Table("fields", columns, keys=4), time.perf_counter()
    for snr, seed, noise in itertools.product(arguments.snrs, arguments.seeds, arguments.noises):
        training, validation, test = sets_of(seed, noise, snr)
        arms = arms_of(training[1])
        if all(table.has(noise, snr, seed, name) for name in arms):
            continue
        _, own, error, clean = train([*arms.values()], seed, training, validation, test)
        quality = 10 * np.log10(np.mean(test[1] ** 2) / clean)
        for row, (name, arm) in enumerate(arms.items()):
            looks = CHECKS - 1, np.argmin(own[row]), np.argmin(error[row]), np.argmax(quality[row])
            if not table.has(noise, snr, seed, name):
                figures = [float(quality[row, look]) for look in looks]
                table.add(noise, snr, seed, name, arm.order, arm.knee, *figures)
        print(f"{snr} dB, {noise}, seed {seed}: {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
