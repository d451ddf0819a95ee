"""What does one more snapshot cost beside a bare float32 matrix-vector product over the same window?

Three things are timed in turn: the bare product, an `append` whose inner products are asked for at once
(as a monitor does), and an `append` alone (as a recorder does: products are computed when asked for); then a
window of appends whose products are asked for once at the end. Errors
are those of all inner products, against float64, for unrelated snapshots and for ones that hardly differ.

    python benchmarks/append_cost.py
    KERAS_BACKEND=jax python benchmarks/append_cost.py --rows 100000 --window 32
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _report import report
from keras import ops

import keras_koopman as kk
from keras_koopman.backend import compiled


def seconds(work, tensor):
    """Seconds until `work` is done with a tensor."""
    begin = time.perf_counter()
    work(tensor)
    return time.perf_counter() - begin


def snapshots(kind, rows, count, seed):
    """`(count, rows)` float32: unrelated, or a slow path from a far point."""
    rng = np.random.default_rng(seed)
    path = rng.standard_normal((count, rows), np.float32)
    if kind == "slow path":
        np.cumsum(path, axis=0, out=path)
        path *= 0.01
        path += rng.standard_normal(rows, np.float32)
    return path


def error(trajectory, path):
    """Largest error of an inner product, as a share of the lengths of the two snapshots.

    Returns:
        For the snapshots as they are, and for what is left of them when the first ever is taken off.
    """
    kept = path[-len(trajectory) :].astype(np.float64)
    raw = np.abs(trajectory.gram - kept @ kept.T)
    lengths = np.linalg.norm(kept, axis=1)
    increments = np.diff(kept, axis=0)
    steps = np.linalg.norm(increments, axis=1)
    # The first snapshot itself has not moved, to rounding: its row is left out below.
    moved = np.maximum(np.linalg.norm(kept - path[0].astype(np.float64), axis=1), 1e-30)
    between = np.abs(trajectory.increments().gram - increments @ increments.T)
    return {
        "of |w||w|": float(np.max(raw / np.outer(lengths, lengths))),
        "of |u||u|, u = w - w_0": float(np.max((raw / np.outer(moved, moved))[1:, 1:])),
        "of increments": float(np.max(between / np.outer(steps, steps))),
    }


def main():
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    count = args.window + args.repeats + 3
    path = snapshots("unrelated", args.rows, count, args.seed)
    tensors = [ops.convert_to_tensor(row) for row in path]
    asked, alone = kk.Trajectory(args.window), kk.Trajectory(args.window)
    for tensor in tensors[: args.window + 3]:
        asked.append(tensor)
        alone.append(tensor)
        asked.gram  # noqa: B018
    matrix = ops.convert_to_tensor(path[: args.window])
    product = compiled(ops.matmul, xla=False)

    def ask(tensor):
        asked.append(tensor)
        return asked.gram

    works = {
        "product": lambda tensor: ops.convert_to_numpy(product(matrix, tensor)),
        "asked": ask,
        "alone": alone.append,
    }
    times = {name: [] for name in works}
    for tensor in tensors[args.window + 3 :]:
        for name, work in works.items():
            times[name].append(seconds(work, tensor))
    # A whole window whose products are asked for once; each row meets half a window on average.
    begin = time.perf_counter()
    once = kk.Trajectory(args.window)
    for tensor in tensors[: args.window]:
        once.append(tensor)
    once.gram  # noqa: B018
    times["asked once"] = [(time.perf_counter() - begin) / args.window]
    median = {name: float(np.median(values)) for name, values in times.items()}
    ratio = {name: median[name] / median["product"] for name in times if name != "product"}
    errors = {"unrelated": error(asked, path)}
    path = snapshots("slow path", args.rows, args.window, args.seed)
    trajectory = kk.Trajectory(args.window)
    for row in path:
        trajectory.append(row)
    errors["slow path"] = error(trajectory, path)
    worst = max(e["of |w||w|"] for e in errors.values())
    report(
        "append_cost",
        {
            "backend": keras.backend.backend(),
            "ratio": ratio,
            "mean_ratio": {n: float(np.mean(times[n])) / float(np.mean(times["product"])) for n in ratio},
            "milliseconds": {name: 1e3 * value for name, value in median.items()},
            "error": errors,
        },
        {
            "append with its products at most 1.6 times a bare product": ratio["asked"] <= 1.6,
            "append alone at most 1.6 times a bare product": ratio["alone"] <= 1.6,
            "error at most 1e-8": worst <= 1e-8,
        },
        rows=args.rows,
        window=args.window,
        repeats=args.repeats,
        seed=args.seed,
    )


if __name__ == "__main__":
    main()
