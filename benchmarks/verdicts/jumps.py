"""Experiment 3: what `KoopmanJump` saves, in epochs and in time, against a straight line and an average.

    OMP_NUM_THREADS=1 nice -n 15 python benchmarks/verdicts/jumps.py --seeds 5

Each run is one line of benchmarks/results/verdicts/jumps.csv, those that stand there are not run again. The
goal of a run is the training loss, on all samples, that the plain run of the same seed has at its end; the
summary compares the first epochs in which it is reached, by the plain run too, whose loss may have been
lower before. Time is that of `fit` with its callbacks, compiling included, less that in which this script
looks at the loss.

Always JAX: under TensorFlow, Keras 3.15 shuffles alike in each epoch once `keras.utils.set_random_seed` was
called, and without fresh noise jumps go farther than they would.
"""

import argparse
import csv
import os
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
from _fashion_mnist import load
from _report import processor, versions

import keras_koopman as kk
from keras_koopman.callbacks.guard_loss import GuardLoss
from keras_koopman.callbacks.weights import copies, put

RESULTS = Path(__file__).parents[1] / "results" / "verdicts" / "jumps.csv"
COLUMNS = (
    *("task", "arm", "seed", "epochs", "goal", "epochs_to_goal", "final_loss", "test_accuracy"),
    *("wall_to_goal", "wall", "cpu_to_goal", "cpu", "attempts", "jumps", "leapt", "evaluations"),
    *("guard_seconds", "backend"),
)
GUARD = 1000
AVERAGED = 5  # epochs


def digits():
    """The 8 x 8 digits of scikit-learn: 1,400 to train on."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype("float32"), y[order].astype("int32")
    return (x[:1400], y[:1400]), (x[1400:], y[1400:])


def fashion():
    """Fashion-MNIST, 5,000 to train on."""
    (x, y), (x_test, y_test) = load()
    return (x[:5000], y[:5000]), (x_test[:5000], y_test[:5000])


# name -> data, hidden units, optimizer, batch size (None: all), epochs, kind
SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam
TASKS = {
    "digits-full-gd": (digits, (32,), lambda: SGD(0.1), None, 300, "full batch"),
    "digits-full-momentum": (digits, (32,), lambda: SGD(0.02, 0.9), None, 300, "full batch"),
    "fashion-full-gd": (fashion, (64,), lambda: SGD(0.05), None, 200, "full batch"),
    "digits-slow-sgd": (digits, (32,), lambda: SGD(0.005), 32, 80, "slow"),
    "digits-slow-adam": (digits, (32,), lambda: Adam(1e-4), 32, 60, "slow"),
    "fashion-slow-sgd": (fashion, (64,), lambda: SGD(0.003), 64, 60, "slow"),
    "fashion-slow-adam": (fashion, (64,), lambda: Adam(3e-5), 64, 50, "slow"),
    "digits-tuned-sgd": (digits, (32,), lambda: SGD(0.1), 32, 40, "tuned"),
    "fashion-tuned-sgd": (fashion, (64,), lambda: SGD(0.1), 64, 40, "tuned"),
    "fashion-tuned-adam": (fashion, (64,), lambda: Adam(1e-3), 64, 30, "tuned"),
}


class LinearJump(kk.callbacks.KoopmanJump):
    """The same guard and horizons, but a straight line alone."""

    _contenders = ("linear",)


class Average(keras.callbacks.Callback):
    """Keeps the mean of the weights at the ends of the last epochs."""

    def __init__(self):
        super().__init__()
        self.last = []

    def on_epoch_end(self, epoch, logs=None):
        self.last = [*self.last, copies(self.model.trainable_variables)][-AVERAGED:]

    def mean(self):
        return [sum(each) / len(each) for each in zip(*self.last, strict=True)]


ARMS = {
    "plain": lambda guard: None,
    "koopman": lambda guard: kk.callbacks.KoopmanJump(guard=guard),
    "koopman-reset": lambda guard: kk.callbacks.KoopmanJump(guard=guard, moments="reset"),
    "linear": lambda guard: LinearJump(guard=guard),
    "average": lambda guard: Average(),
}


class Watch(keras.callbacks.Callback):
    """Loss on all samples after each epoch, and the time up to then without the time this takes."""

    def __init__(self, loss, average=None):
        super().__init__()
        self.loss, self.average = loss, average
        self.rows, self.paused = [], np.zeros(2)
        self.begin = _clocks()

    def on_epoch_end(self, epoch, logs=None):
        now, model = _clocks(), self.model
        if self.average is None:
            loss = self.loss(model)
        else:
            here = copies(model.trainable_variables)
            put(model.trainable_variables, self.average.mean())
            loss = self.loss(model)
            put(model.trainable_variables, here)
        self.rows.append((loss, *(now - self.begin - self.paused)))
        self.paused += _clocks() - now


def _clocks():
    return np.array([time.perf_counter(), time.process_time()])


def network(shape, units):
    """Dense layers with tanh."""
    layers = [keras.layers.Dense(width, "tanh") for width in units]
    return keras.Sequential([keras.Input(shape), *layers, keras.layers.Dense(10)])


def run(task, arm, seed, goal=None):
    """One training; the row of the table."""
    data, units, optimizer, batch, epochs, _ = TASKS[task]
    (x, y), (x_test, y_test) = data()
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = network(x.shape[1:], units)
    model.compile(
        optimizer(), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    callback = ARMS[arm]((x, y) if batch is None else (x[:GUARD], y[:GUARD]))
    loss = GuardLoss((x, y))
    loss(model)  # compiled before the clock runs
    watch = Watch(loss, callback if arm == "average" else None)
    calls = [watch] if callback is None else [callback, watch]
    watch.begin = _clocks()
    model.fit(x, y, batch_size=batch or len(x), epochs=epochs, verbose=0, callbacks=calls)
    total = _clocks() - watch.begin - watch.paused
    losses = np.array([row[0] for row in watch.rows])
    goal = losses[-1] if goal is None else goal
    reached = np.flatnonzero(losses <= goal)
    first = int(reached[0]) if len(reached) else None
    report = getattr(callback, "report", None)
    return {
        "task": task, "arm": arm, "seed": seed, "epochs": epochs, "goal": f"{goal:.8g}",
        "epochs_to_goal": "" if first is None else first + 1,
        "final_loss": f"{losses[-1]:.6g}",
        "test_accuracy": f"{model.evaluate(x_test, y_test, verbose=0, return_dict=True)['accuracy']:.4f}",
        "wall_to_goal": "" if first is None else f"{watch.rows[first][1]:.3f}",
        "wall": f"{total[0]:.3f}",
        "cpu_to_goal": "" if first is None else f"{watch.rows[first][2]:.3f}",
        "cpu": f"{total[1]:.3f}",
        "attempts": len(report.attempts) if report else "", "jumps": report.jumps if report else "",
        "leapt": f"{report.leapt:g}" if report else "", "evaluations": report.evaluations if report else "",
        "guard_seconds": f"{report.seconds:.3f}" if report else "",
        "backend": keras.backend.backend(),
    }  # fmt: skip


class Timed(kk.callbacks.KoopmanJump):
    """Adds up the processor time that its own hooks take: before the first step, and after."""

    begun = spent = 0.0

    def on_train_begin(self, logs=None):
        begin = time.process_time()
        super().on_train_begin(logs)
        self.begun += time.process_time() - begin

    def on_epoch_end(self, epoch, logs=None):
        begin = time.process_time()
        super().on_epoch_end(epoch, logs)
        self.spent += time.process_time() - begin


def overhead(task, seed):
    """Share of a run's processor time that goes into jumps; the second run of two, which has compiled."""
    data, units, optimizer, batch, epochs, _ = TASKS[task]
    (x, y), _ = data()
    for _ in range(2):
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        model = network(x.shape[1:], units)
        model.compile(optimizer(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        callback = Timed(guard=(x[:GUARD], y[:GUARD]))
        begin = time.process_time()
        model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, callbacks=[callback])
        total = time.process_time() - begin
    jumps = f"{callback.report.jumps} of {len(callback.report.attempts)} jumps kept"
    return (
        f"{keras.backend.backend():11} {task:20} seed {seed} fit {total:.2f} s: guard compiled and checked "
        f"{callback.begun / total:.1%}, records and attempts {callback.spent / total:.1%}, {jumps}"
    )


def table(path):
    """Rows that stand in the file."""
    if not path.exists():
        return []
    with path.open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def append(path, row):
    """Put a row at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            used = ", ".join(f"{package} {version}" for package, version in versions().items())
            file.write(f"# python {' '.join(sys.argv)}; {used}; {processor()}, one thread\n")
            writer.writeheader()
        writer.writerow(row)
        file.flush()
        os.fsync(file.fileno())


def summary(rows):
    """Medians over seeds, as ratios to the plain run."""
    lines = []
    for task in TASKS:
        plain = {r["seed"]: r for r in rows if r["task"] == task and r["arm"] == "plain"}
        for arm in ARMS:
            ours = [r for r in rows if r["task"] == task and r["arm"] == arm and r["seed"] in plain]
            if arm == "plain" or not ours:
                continue
            gains = {
                key: [
                    float(plain[r["seed"]][key]) / float(r[key]) if r[key] else 0.0  # not reached
                    for r in ours
                ]
                for key in ("epochs_to_goal", "wall_to_goal", "cpu_to_goal")
            }
            epochs, wall, cpu = gains.values()
            slower = [float(r["cpu"]) / float(plain[r["seed"]]["cpu"]) - 1 for r in ours]
            lines.append(
                f"{task:22} {arm:14} n={len(ours)} epochs x{np.median(epochs):.2f} (min {min(epochs):.2f}) "
                f"wall x{np.median(wall):.2f} cpu x{np.median(cpu):.2f} whole run {np.median(slower):+.1%}"
                + (f" jumps {np.median([float(r['jumps']) for r in ours]):g}/"
                   f"{np.median([float(r['attempts']) for r in ours]):g}" if ours[0]["jumps"] else "")
            )  # fmt: skip
    return "\n".join(lines)


def main():
    """Run what is missing, and print the summary."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--minutes", type=float, default=np.inf, help="stop after so long")
    parser.add_argument("--overhead", action="store_true", help="print what it costs where it helps least")
    options = parser.parse_args()
    if options.overhead:
        for task in [t for t in options.tasks if TASKS[t][-1] == "tuned"]:
            for seed in range(options.seeds):
                print(overhead(task, seed), flush=True)
        return
    end = time.monotonic() + 60 * options.minutes
    for seed in range(options.seeds):
        for task in options.tasks:
            for arm in ["plain", *(a for a in options.arms if a != "plain")]:
                rows = table(options.results)
                done = {(r["task"], r["arm"], int(r["seed"])): r for r in rows}
                if (task, arm, seed) in done or time.monotonic() > end:
                    continue
                goal = None if arm == "plain" else float(done[task, "plain", seed]["goal"])
                append(options.results, run(task, arm, seed, goal))
    print(summary(table(options.results)))


if __name__ == "__main__":
    main()
