"""Does a long run stay flat? 20,000 recorded steps with a ring window, monitor and store.

A small network is trained with a recorder at each step and a monitor each hundred; the resident memory, the
open files and the time of a record are written down each five hundred steps. Flat is: the median of the last
fifth within 5 % of that of the second fifth (the first one warms up).

    python benchmarks/endurance/soak.py [--steps 20000] [--store]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
from _report import report
from gram_vs_pydmd import status_bytes
from keras import layers

import keras_koopman as kk

EVERY = 500


class Watch(keras.callbacks.Callback):
    """What the process holds, each five hundred steps; the recorder's hooks are timed."""

    def __init__(self, recorder):
        super().__init__()
        self.seconds, self.rows, self.steps = 0.0, [], 0
        hook = recorder.on_train_batch_end

        def timed(batch, logs=None):
            begin = time.perf_counter()
            hook(batch, logs)
            recorder.trajectory.gram  # noqa: B018
            self.seconds += time.perf_counter() - begin

        recorder.on_train_batch_end = timed

    def on_train_batch_end(self, batch, logs=None):
        """Write a line."""
        self.steps += 1
        if self.steps % EVERY == 0:
            files = len(list(Path("/proc/self/fd").iterdir()))
            self.rows.append((status_bytes("VmRSS"), files, self.seconds / EVERY))
            self.seconds = 0.0


def main():
    """Train and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--store", action="store_true", help="write each hundredth snapshot to a store too")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((64,)), *(layers.Dense(256, "relu") for _ in range(2)), layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    x = np.random.default_rng(0).normal(size=(32 * 1000, 64)).astype("float32")
    recorder = kk.callbacks.TrajectoryRecorder(window=arguments.window, record_freq=1)
    watch = Watch(recorder)
    monitor = kk.callbacks.KoopmanMonitor(window=arguments.window, record_freq=100, average=False)
    callbacks = [recorder, watch, monitor]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.store:
            store = Path(folder) / "run.zarr"
            callbacks.append(kk.callbacks.TrajectoryRecorder(record_freq=100, store=store))
        model.fit(x, x[:, :1], batch_size=32, epochs=arguments.steps // 1000, verbose=0, callbacks=callbacks)
    rows = np.array(watch.rows)
    fifth = max(1, len(rows) // 5)
    early, late = np.median(rows[fifth : 2 * fifth], axis=0), np.median(rows[-fifth:], axis=0)
    growth = late / early
    report(
        "soak",
        {
            "memory_mb": {"early": early[0] / 1e6, "late": late[0] / 1e6},
            "open_files": {"early": float(early[1]), "late": float(late[1])},
            "record_ms": {"early": early[2] * 1e3, "late": late[2] * 1e3},
        },
        {
            "memory flat within 5 %": bool(growth[0] <= 1.05),
            "no file handle left": bool(rows[-1, 1] <= rows[0, 1]),
            "time of a record flat within 5 %": bool(growth[2] <= 1.05),
        },
        steps=watch.steps,
        window=arguments.window,
        store=arguments.store,
    )


if __name__ == "__main__":
    main()
