"""Does a store survive? 200 kills at random moments, a flipped byte in each chunk, and a disk that fills up.

A process that appends snapshots is killed with SIGKILL at a random moment, 200 times, each time going on in
the same store. Afterwards every snapshot whose append had returned must be there, equal to the bit. Then one
byte of each file of a small store is flipped in turn: reading must give the right numbers or an error that
says that the store is damaged, never a wrong number. The full disk is a small tmpfs, if it may be mounted.

    python benchmarks/endurance/store_faults.py [--kills 200] [--seed 0]
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from _report import report

import keras_koopman as kk
from keras_koopman.trajectory.layout import Layout
from keras_koopman.trajectory.store import TrajectoryStore


def value(number, size=20_000):
    """What snapshot `number` holds."""
    return np.random.default_rng(int(number)).standard_normal(size).astype("float32")


def append_for_ever(path, write):
    """Go on in the store, and say which snapshots are finished."""
    store = TrajectoryStore.open(path, read_only=False)
    for number in range(len(store.times) + 1, 10**6):
        store.append(value(number), float(number), epoch=number, logs={"loss": number})
        os.write(write, b"%d\n" % number)


def killed(path, kills, chance):
    """Numbers of the snapshots whose append returned."""
    finished = set()
    for _ in range(kills):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            append_for_ever(path, write)
            os._exit(1)
        os.close(write)
        with os.fdopen(read) as lines:
            for _ in range(chance.randint(0, 3)):
                finished.add(int(lines.readline()))
            time.sleep(chance.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            finished |= {int(line) for line in lines.read().split()}
    return finished


def kill_figures(folder, kills, chance):
    """How many snapshots were lost, and how many are wrong."""
    path = folder / "killed.zarr"
    TrajectoryStore.create(path, Layout.of(value(0)), "epoch", value(0), 0.0)
    finished = killed(path, kills, chance)
    store = TrajectoryStore.open(path)
    found = {int(t) for t in store.times}
    wrong = sum(not np.array_equal(store.read(i), value(int(time))) for i, time in enumerate(store.times))
    return {"kills": kills, "finished": len(finished), "lost": len(finished - found), "wrong": wrong}


def flip_figures(folder):
    """What reading gives after one byte of one file was flipped, in every file of a store."""
    path = folder / "flipped.zarr"
    trajectory = kk.Trajectory(window=8)
    for number in range(6):
        trajectory.append(value(number, 50), float(number))
    trajectory.save(path)
    right = np.array([np.asarray(kk.Trajectory.load(path).combine(np.eye(6)[i])) for i in range(6)])
    counts = {"flips": 0, "told": 0, "harmless": 0, "wrong": 0, "unclear": 0}
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p.name != "logs.jsonl"):
        whole = file.read_bytes()
        for at in sorted({0, len(whole) // 3, len(whole) // 2, len(whole) - 1}):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
            counts["flips"] += 1
            try:
                loaded = kk.Trajectory.load(path)
                same = np.array_equal([np.asarray(loaded.combine(row)) for row in np.eye(len(loaded))], right)
                counts["harmless" if same else "wrong"] += 1
            except (ValueError, FileNotFoundError, KeyError) as error:
                counts["told" if str(path) in str(error) else "unclear"] += 1
        file.write_bytes(whole)
    return counts


def full_disk_figures(folder):
    """Snapshots finished on a disk of 4 MB before it was full, and how many of them can be read."""
    disk = folder / "disk"
    disk.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        return {"mounted": False}
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=False)
    if mounted.returncode:
        return {"mounted": False}
    try:
        store = TrajectoryStore.create(disk / "run.zarr", Layout.of(value(0)), "epoch", value(0), 0.0)
        finished = 0
        try:
            for number in range(1, 1000):
                store.append(value(number), float(number))
                finished = number
        except OSError:
            pass
        again = TrajectoryStore.open(disk / "run.zarr")
        right = [np.array_equal(again.read(i), value(i + 1)) for i in range(len(again.times))]
        return {"mounted": True, "finished": finished, "read": len(right), "right": sum(right)}
    finally:
        subprocess.run(["umount", disk], check=True)


def main():
    """Harm stores and look at them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kill = kill_figures(folder, arguments.kills, random.Random(arguments.seed))
        flip = flip_figures(folder)
        full = full_disk_figures(folder)
    report(
        "store_faults",
        {"killed": kill, "flipped": flip, "full_disk": full},
        {
            "no finished snapshot lost": kill["lost"] == 0,
            "no wrong number": kill["wrong"] + flip["wrong"] == 0,
            "each damage told with the path": flip["unclear"] == 0,
            "full disk: all that were finished are right": full.get("finished") == full.get("right"),
        },
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
