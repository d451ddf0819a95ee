"""How near to the memory's bandwidth do the operators run?

On whatever device and engine Keras has here: appending a snapshot and its row of the Gram matrix, the
spectrum from the Gram matrix, a combination of the window, the step of a Sobolev loss and of a pruning
optimizer, and a recorder in a transformer's training. Bytes are those that cannot be avoided (each number
read or written once); the bandwidth is that of a copy of 1 GB, measured first. Where there is no GPU the
script runs on the CPU, at a size that fits, and says so: such figures are no figures of a GPU.

    KERAS_BACKEND=jax python benchmarks/gpu/operators.py [--numbers 100000000] [--window 32]
    KERAS_BACKEND=torch python benchmarks/gpu/operators.py
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
from _report import report
from keras import layers, ops

import keras_koopman as kk
from keras_koopman.backend import compiled, engine

FLOAT = 4  # bytes
GOALS = {"append": 0.6, "combine": 0.6}


def device():
    """Name of the device, and whether it is a GPU."""
    if engine() == "jax":
        import jax

        found = jax.devices()[0]
        return f"{found.platform}: {found.device_kind}", found.platform == "gpu"
    if engine() == "torch":
        import torch

        there = torch.cuda.is_available()
        return (f"gpu: {torch.cuda.get_device_name(0)}" if there else "cpu"), there
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return (f"gpu: {found[0].name}" if found else "cpu"), bool(found)


def settle(value):
    """Wait until the device is done."""
    if engine() == "jax":
        import jax

        jax.block_until_ready(value)
    elif engine() == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
    elif value is not None:
        keras.tree.map_structure(lambda t: t.numpy() if t.shape.rank == 0 else t[:1], value)
    return value


def seconds(work, repeats=10, warm=2):
    """Median time of a call that returns a tensor, once it is compiled."""
    times = []
    for number in range(repeats + warm):
        begin = time.perf_counter()
        settle(work())
        if number >= warm:
            times.append(time.perf_counter() - begin)
    return float(np.median(times))


def copy_bandwidth(numbers):
    """Bytes a second that a copy moves, read and written."""
    source = ops.ones((numbers,), "float32")

    @compiled
    def copy(values):
        return values + 1.0

    return 2 * FLOAT * numbers / seconds(lambda: copy(source))


def random_walk(numbers):
    """Snapshots that move, made on the device."""
    state = {"at": keras.random.normal((numbers,), seed=0), "count": 0}

    def following():
        state["count"] += 1
        state["at"] = 0.99 * state["at"] + 0.01 * keras.random.normal((numbers,), seed=state["count"])
        return state["at"]

    return following


def trajectory_figures(numbers, window, bandwidth):
    """Seconds and share of the bandwidth of append, decompose and combine."""
    following = random_walk(numbers)
    trajectory = kk.Trajectory(window=window)
    for _ in range(2 * window):  # all that will be compiled is compiled here
        trajectory.append(following())
        trajectory.displacements  # noqa: B018
    times = []
    for _ in range(window):  # whole turns of the chunks, their joining counted
        values = settle(following())
        begin = time.perf_counter()
        trajectory.append(values)
        trajectory.displacements  # noqa: B018
        times.append(time.perf_counter() - begin)
    # The new snapshot is read and written, the window read.
    append, moved = float(np.mean(times)), FLOAT * numbers * (window + 2)
    coefficients = np.random.default_rng(0).normal(size=window)
    combine = seconds(lambda: trajectory.combine(coefficients))
    trajectory.decompose()
    begin = time.perf_counter()
    for _ in range(10):
        trajectory.decompose()
    spectrum = (time.perf_counter() - begin) / 10
    return {
        "append": {"ms": append * 1e3, "share_of_bandwidth": moved / append / bandwidth},
        "combine": {
            "ms": combine * 1e3,
            "share_of_bandwidth": FLOAT * numbers * (window + 1) / combine / bandwidth,
        },
        "spectrum": {"ms": spectrum * 1e3},
    }


def gram_error(numbers=10**6, window=16):
    """Largest error of a product of two snapshots, as a share of their lengths, against float64."""
    snapshots = np.cumsum(np.random.default_rng(0).normal(size=(window, numbers)), axis=0, dtype="float32")
    trajectory = kk.Trajectory(window=window)
    for snapshot in snapshots:
        trajectory.append(ops.convert_to_tensor(snapshot))
    exact = snapshots.astype("float64") @ snapshots.astype("float64").T
    lengths = np.sqrt(np.diag(exact))
    return float(np.max(np.abs(trajectory.gram - exact) / np.outer(lengths, lengths)))


def fits(models, x, y, batch, rounds):
    """Median ratio of each model's epoch to the first one's, in turns."""
    times = {name: [] for name in models}
    for number in range(rounds + 1):
        for name in np.roll(list(models), number):
            model, callbacks = models[name]
            begin = time.perf_counter()
            model.fit(x, y, batch_size=batch, epochs=1, verbose=0, shuffle=False, callbacks=callbacks)
            if number:
                times[name].append(time.perf_counter() - begin)
    bare = np.array(next(iter(times.values())))
    ratios = {name: float(np.median(np.array(t) / bare)) for name, t in times.items()}
    return {**ratios, "bare_epoch_seconds": float(np.median(bare))}


def sobolev_step(size, rounds):
    """A convnet on images of this size with a Sobolev loss, beside the mean squared error."""

    def made(loss):
        keras.utils.set_random_seed(0)
        body = [layers.Conv2D(32, 3, padding="same", activation="relu") for _ in range(2)]
        model = keras.Sequential([keras.Input((size, size, 1)), *body, layers.Conv2D(1, 3, padding="same")])
        model.compile("adam", loss)
        return model, None

    x, y = np.random.default_rng(0).normal(size=(2, 256, size, size, 1)).astype("float32")
    models = {"mse": made("mse"), "sobolev": made(kk.losses.NegativeSobolev()), "control": made("mse")}
    return fits(models, x, y, 32, rounds)


def transformer(width, depth, vocabulary=1024, length=256):
    """A small language model of about `12 depth width^2` weights."""
    keras.utils.set_random_seed(0)
    tokens = keras.Input((length,), dtype="int32")
    x = layers.Embedding(vocabulary, width)(tokens)
    for _ in range(depth):
        normal = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(8, width // 8)(normal, normal, use_causal_mask=True)
        normal = layers.LayerNormalization()(x)
        x = x + layers.Dense(width)(layers.Dense(4 * width, "gelu")(normal))
    return keras.Model(tokens, layers.Dense(vocabulary)(x))


def recorder(window):
    """One that records each step."""
    return kk.callbacks.TrajectoryRecorder(window=window, record_freq=1, average=False)


class Products(keras.callbacks.Callback):
    """Asks for the products after each step, as a monitor that looks at each does."""

    def __init__(self, recorder):
        super().__init__()
        self.recorder = recorder

    def on_train_batch_end(self, batch, logs=None):
        """Take the products."""
        self.recorder.trajectory.displacements  # noqa: B018


class Touch(keras.callbacks.Callback):
    """Does what any callback that reads weights at each step does: on JAX Keras copies its state then."""

    def on_train_batch_end(self, batch, logs=None):
        """Read the weights."""
        return [variable.value for variable in self.model.trainable_variables]


def training_figures(width, depth, steps, batch, rounds, window, only=None):
    """Ratios of a transformer's step with a recorder at each step, and with a pruning optimizer."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def made(optimizer, callbacks=None):
        model = transformer(width, depth)
        model.compile(optimizer, loss)
        return model, callbacks

    ramp = kk.schedules.PolynomialSparsity(0.0, 0.9, 0, steps * (rounds + 1))
    arms = {
        "bare": lambda: made("adam"),
        "control": lambda: made("adam"),
        "pruning": lambda: made(kk.optimizers.PruningOptimizer("adam", ramp)),
        "weights_read": lambda: made("adam", [Touch()]),
        "recorder": lambda: made("adam", [recorder(window)]),
        "recorder_and_products": lambda: made("adam", [found := recorder(window), Products(found)]),
    }
    models = {name: make() for name, make in arms.items() if only is None or name in only}
    tokens = np.random.default_rng(0).integers(0, 1024, (steps * batch, 257))
    found = fits(models, tokens[:, :-1], tokens[:, 1:], batch, rounds)
    tokens_a_step = batch * 256
    return {**found, "weights": models["bare"][0].count_params(), "tokens_a_step": tokens_a_step}


def main():
    """Measure and print one line."""
    name, gpu = device()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", type=int, default=10**8 if gpu else 10**6, help="in a snapshot")
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--width", type=int, default=1024 if gpu else 64, help="of the transformer")
    parser.add_argument("--depth", type=int, default=8 if gpu else 2)
    parser.add_argument("--size", type=int, default=256 if gpu else 32, help="of the images")
    parser.add_argument("--batch", type=int, default=32 if gpu else 2, help="sequences of 256 tokens")
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    if not gpu:
        print(f"No GPU for {engine()}: this runs on {name}, and its figures are not those of a GPU.")
    bandwidth = copy_bandwidth(25 * 10**7 if gpu else 25 * 10**6)
    print(f"copy: {bandwidth / 1e9:.0f} GB/s", file=sys.stderr)
    found = trajectory_figures(arguments.numbers, arguments.window, bandwidth)
    print(found, file=sys.stderr)
    steps = training_figures(arguments.width, arguments.depth, 10, arguments.batch, arguments.rounds, 8)
    goals = {}
    # The same recorder beside a step of four times as many tokens.
    arms = ("bare", "control", "weights_read", "recorder")
    large = training_figures(
        arguments.width, arguments.depth, 10, 4 * arguments.batch, max(arguments.rounds // 2, 1), 8, arms
    )
    if gpu:
        goals = {
            f"{what} at least {share:.0%} of the copy bandwidth": found[what]["share_of_bandwidth"] >= share
            for what, share in GOALS.items()
        }
        goals["spectrum under 5 ms"] = found["spectrum"]["ms"] < 5
        for found_at in (steps, large):
            share = found_at["recorder"] - found_at["control"]
            goals[f"recorder under 3 % of a step of {found_at['tokens_a_step']} tokens"] = share < 0.03
    report(
        "gpu_operators",
        {
            "device": name,
            "gpu": gpu,
            "copy_gb_per_s": bandwidth / 1e9,
            "gram_error": gram_error(),
            **found,
            "sobolev_step": sobolev_step(arguments.size, arguments.rounds),
            "transformer_step": steps,
            "transformer_step_of_more_tokens": large,
        },
        goals,
        backend=engine(),
        numbers=arguments.numbers,
        window=arguments.window,
    )


if __name__ == "__main__":
    main()
