"""How do time and memory of a spectrum grow with the weights and the snapshots, here and in peers?

The path is that of `gram_vs_pydmd.py`: 12 modes of equal size and noise. Each pair of sizes and each library
has a process of its own, which is stopped after ten minutes; its cell then says so, as it does when memory
runs out. `error` is the largest distance of an eigenvalue from the same method in float64 at the same rank,
with a QR in blocks; `memory` is what the process takes at its peak beside the snapshots, as a share of them.
What is in the table is skipped.

    pip install deeptime kooplearn pydmd
    python benchmarks/spectra/growth.py [--rows 10000 1000000] [--snapshots 10 100] [--libraries decompose]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from _resumable import ResumableTable
from gram_vs_pydmd import RANK, errors, status_bytes, training_path

ROWS = (10**4, 10**5, 10**6, 10**7, 10**8)
SNAPSHOTS = (10, 30, 100, 300)
LIMIT = 600  # seconds
NOISE = 1e-3


def by_decompose(path, rank):
    """Ours."""
    import keras_koopman as kk

    return lambda: kk.decompose(path, rank=rank).eigenvalues


def by_pydmd(path, rank):
    """PyDMD's exact DMD."""
    from pydmd import DMD

    return lambda: DMD(svd_rank=rank).fit(path).eigs


def by_deeptime(path, rank):
    """Deeptime's DMD, which takes the transposed snapshots."""
    from deeptime.decomposition import DMD

    x, y = path[:, :-1].T, path[:, 1:].T
    return lambda: DMD(mode="standard", rank=rank).fit((x, y)).fetch_model().eigenvalues


def by_kooplearn(path, rank):
    """Kooplearn's kernel DMD with a linear kernel: the same estimator, without its default ridge."""
    from kooplearn.kernel import KernelRidge

    rows = np.ascontiguousarray(path.T)

    def work():
        model = KernelRidge(n_components=rank, reduced_rank=False, alpha=None, copy_X=False)
        return model.fit(rows).eig()

    return work


LIBRARIES = {
    "decompose": by_decompose,
    "pydmd": by_pydmd,
    "deeptime": by_deeptime,
    "kooplearn": by_kooplearn,
}


def reference(path, rank, scaled):
    """DMD in float64, with the QR taken over blocks of rows."""
    triangle = np.zeros((0, path.shape[1]))
    for start in range(0, len(path), 100_000):
        block = path[start : start + 100_000].astype(np.float64)
        triangle = np.linalg.qr(np.vstack([triangle, block]), mode="r")
    x, y = triangle[:, :-1], triangle[:, 1:]
    norms = np.linalg.norm(x, axis=0) if scaled else 1.0
    left, values, right = np.linalg.svd(x / norms, full_matrices=False)
    return np.linalg.eigvals(left.T[:rank] @ (y / norms) @ right[:rank].T / values[:rank])


def one(library, rows, snapshots):
    """Seconds, extra memory and error of one library at one size."""
    rank = min(RANK, snapshots - 2)
    work = LIBRARIES[library](training_path(1000, snapshots, NOISE, 1), rank)
    work()  # imports, and libraries take their buffers once
    path = training_path(rows, snapshots, NOISE, 0)
    work = LIBRARIES[library](path, rank)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = status_bytes("VmRSS")
    begin = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - begin
    memory = (status_bytes("VmHWM") - before) / path.nbytes
    while seconds < 0.5:  # quick ones are repeated, the best counts
        begin = time.perf_counter()
        work()
        again = time.perf_counter() - begin
        if again > 0.9 * seconds:
            seconds = min(seconds, again)
            break
        seconds = again
    off = errors(found, reference(path, rank, scaled=library == "decompose"))
    print(json.dumps([seconds, memory, off["max"]]))


def measured(library, rows, snapshots):
    """What a process of its own finds, or why it found nothing."""
    command = [sys.executable, __file__, "--one", library, str(rows), str(snapshots)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return None, None, None, "over 10 minutes"
    if done.returncode == 0:
        return *json.loads(done.stdout.splitlines()[-1]), "done"
    last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    out = done.returncode == -9 or "MemoryError" in last or "allocate" in last
    if "integer overflow in LAPACK" in last:
        return None, None, None, "too large for 32-bit LAPACK"
    return None, None, None, "out of memory" if out else last[:80].replace(",", ";")


def half_of_memory():
    """Bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def main():
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--snapshots", type=int, nargs="+", default=SNAPSHOTS)
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=[*LIBRARIES])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        library, rows, snapshots = arguments.one
        one(library, int(rows), int(snapshots))
        return
    table = ResumableTable(
        *("spectra", "growth", ("rows", "snapshots", "library"), ("seconds", "memory", "error", "outcome")),
        threads=f"{len(os.sched_getaffinity(0))} threads",
    )
    sizes = [(r, m) for r in arguments.rows for m in arguments.snapshots if 4 * r * m <= half_of_memory()]
    for rows, snapshots in sorted(sizes, key=lambda size: size[0] * size[1]):
        for library in arguments.libraries:
            if table.lacks(rows, snapshots, library):
                row = (rows, snapshots, library, *measured(library, rows, snapshots))
                table.append(*row)
                print(*row, flush=True)


if __name__ == "__main__":
    main()
