"""Trials with several processes that take too long for the tests.

    python tools/distributed_trials.py [--folder FOLDER]

Four processes go through all that the tests do with two; then each of two is killed in the middle of a run,
and it is measured how long JAX takes to end the other, without the launch script's help.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "examples" / "distributed" / "launch.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def launch(*command):
    """The launch script with these arguments."""
    return subprocess.Popen(
        [sys.executable, LAUNCH, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
        cwd=ROOT,
    )


def four_processes(folder):
    """Whether four processes agree on all that they see."""
    folder.mkdir()
    script = ROOT / "tests" / "distributed" / "several_hosts.py"
    begun = time.monotonic()
    found = launch("--processes", 4, "--devices", 2, script, folder)
    told, _ = found.communicate(timeout=600)
    if found.returncode:
        sys.exit(told[-5000:])
    seen = [json.loads((folder / f"{i}.json").read_text()) for i in range(4)]
    parts = ("training", "eigenvalues", "resumed")
    alike = all(s[part] == seen[0][part] for s in seen for part in parts)
    training = seen[0]["training"]
    loaded = stored(folder / "run.zarr")
    count = len(training["times"])
    worst = np.abs(np.array(training["gram"]) - loaded.gram[:count, :count]).max() / np.abs(loaded.gram).max()
    print(
        f"four processes: {'agree' if alike else 'DISAGREE'}, "
        f"stopped after epoch {training['stopped epoch'] + 1}, "
        f"rows on {training['devices'][0]} devices, only {training['sends']} sent, "
        f"Gram matrix off by {worst:.1e}, "
        f"store holds {len(loaded)} snapshots; {time.monotonic() - begun:.0f} s"
    )


def killed(folder, number):
    """How long the other of two processes lives when one is killed in `fit`."""
    folder.mkdir()
    train = ROOT / "examples" / "distributed" / "train.py"
    options = ("--devices", 2, "--grace", 600, train, "--epochs", 10**6, "--min-epochs", 10**5)
    found = launch("--processes", 2, *options, "--store", folder / "run.zarr")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(found.stdout))
    reader.start()
    times = folder / "run.zarr" / "times" / "c"
    while not (times.exists() and len(list(times.iterdir())) >= 10):
        time.sleep(0.2)
    victim = next(pid for pid in children(found.pid) if process_number(pid) == str(number))
    os.kill(victim, signal.SIGKILL)
    begun = time.monotonic()
    found.wait(timeout=300)
    seconds = time.monotonic() - begun
    reader.join()
    loaded = stored(folder / "run.zarr")
    print(f"killed process {number} of two: the other ended {seconds:.0f} s later, ", end="")
    print(f"the store holds {len(loaded)} snapshots")
    print("".join(line for line in lines if line.startswith("launch:")), end="")


def children(pid):
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def process_number(pid):
    """Number of a process among those that train together."""
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(
        (w.decode().partition("=")[2] for w in words if w.startswith(b"KERAS_DISTRIBUTION_PROCESS_ID")), None
    )


def stored(path):
    """A store, opened in a process that is alone."""
    import keras_koopman as kk

    return kk.Trajectory.load(path)


def main():
    """Run the trials."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where stores go; a temporary one if not given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        four_processes(folder / "four")
        for number in range(2):
            killed(folder / f"killed-{number}", number)


if __name__ == "__main__":
    main()
