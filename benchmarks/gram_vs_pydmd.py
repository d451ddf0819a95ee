"""How much faster than PyDMD is `kk.decompose`, as exact, and in how much memory?

The path is like that of a training: a fixed point, slow decays, slow oscillations, and noise. Errors are
distances of the eigenvalues, matched at best, from the same method in float64 with the same rank: PyDMD does
not scale the columns, we do, so each has its own reference.

    python benchmarks/gram_vs_pydmd.py
    python benchmarks/gram_vs_pydmd.py --rows 100000 --snapshots 50
"""

import argparse
import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from _report import report
from scipy.optimize import linear_sum_assignment

import keras_koopman as kk

RANK = 12
DECAYS = np.array([1.0, 0.99, 0.95, 0.85])
TURNS = np.array([0.99, 0.98, 0.97, 0.95]) * np.exp(1j * np.array([0.1, 0.25, 0.6, 1.2]))


def training_path(rows, snapshots, noise, seed):
    """`(rows, snapshots)` float32: 12 modes of equal size and white noise, made in blocks of rows."""
    rng = np.random.default_rng(seed)
    t = np.arange(snapshots)
    modes = [rate**t for rate in DECAYS]
    for turn in TURNS:
        modes += [(turn**t).real, (turn**t).imag]
    modes = np.array(modes, np.float32)
    path = np.empty((rows, snapshots), np.float32)
    for start in range(0, rows, 50_000):
        block = path[start : start + 50_000]
        block[:] = rng.standard_normal((len(block), len(modes)), np.float32) @ modes
        block += np.float32(noise) * rng.standard_normal(block.shape, np.float32)
    return path


def reference(path, scaled):
    """DMD of rank 12 in float64: QR of the snapshots, then an SVD."""
    triangle = np.linalg.qr(path.astype(np.float64), mode="r")
    x, y = triangle[:, :-1], triangle[:, 1:]
    norms = np.linalg.norm(x, axis=0) if scaled else 1.0
    left, values, right = np.linalg.svd(x / norms, full_matrices=False)
    left, values, right = left[:, :RANK], values[:RANK], right[:RANK]
    return np.linalg.eigvals(left.T @ (y / norms) @ right.T / values)


def errors(found, wanted):
    """Mean and largest distance under the best matching."""
    distances = np.abs(np.asarray(found)[:, None] - np.asarray(wanted)[None, :])
    matched = distances[linear_sum_assignment(distances)]
    return {"mean": float(matched.mean()), "max": float(matched.max())}


def seconds(function, repeats):
    """Least time of several, and the last result."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - begin)
    return min(times), result


def peak_memory(arguments):
    """What `decompose` takes beside the snapshots, as shares of them: peak of the process and of NumPy."""
    path = training_path(arguments.rows, arguments.snapshots, arguments.noise, arguments.seed)
    kk.decompose(path[:1000].copy(), rank=RANK)  # libraries take their buffers once
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = status_bytes("VmRSS")
    kk.decompose(path, rank=RANK)
    process = status_bytes("VmHWM") - before
    tracemalloc.start()
    kk.decompose(path, rank=RANK)
    return {"process": process / path.nbytes, "numpy": tracemalloc.get_traced_memory()[1] / path.nbytes}


def status_bytes(field):
    """A field of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--snapshots", type=int, default=100)
    parser.add_argument("--noise", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_only:
        print(json.dumps(peak_memory(arguments)))
        return
    memory = subprocess.run(
        [sys.executable, *sys.argv, "--memory-only"], capture_output=True, text=True, check=True
    )
    shares = json.loads(memory.stdout.splitlines()[-1])

    from pydmd import DMD

    path = training_path(arguments.rows, arguments.snapshots, arguments.noise, arguments.seed)
    kk.decompose(path[:1000], rank=RANK)
    DMD(svd_rank=RANK).fit(path[:1000])
    our_time, ours = seconds(lambda: kk.decompose(path, rank=RANK), 3)
    their_time, theirs = seconds(lambda: DMD(svd_rank=RANK).fit(path), 1)
    truth = np.concatenate([DECAYS, TURNS, TURNS.conj()])
    ours_off = errors(ours.eigenvalues, reference(path, scaled=True))
    theirs_off = errors(theirs.eigs, reference(path, scaled=False))
    report(
        "gram_vs_pydmd",
        {
            "times_faster": their_time / our_time,
            "seconds": {"decompose": our_time, "pydmd": their_time},
            "error": {"decompose": ours_off, "pydmd": theirs_off},
            "error_of_truth": {
                "decompose": errors(ours.eigenvalues, truth),
                "pydmd": errors(theirs.eigs, truth),
            },
            "extra_memory": shares,
        },
        {
            "at least 30 times faster": their_time >= 30 * our_time,
            "mean error no worse": ours_off["mean"] <= theirs_off["mean"],
            "max error no worse": ours_off["max"] <= theirs_off["max"],
            "at most 10 % extra memory": max(shares.values()) <= 0.1,
        },
        rows=arguments.rows,
        snapshots=arguments.snapshots,
        noise=arguments.noise,
        rank=RANK,
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
