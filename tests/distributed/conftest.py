"""Each spread-out training runs once, in processes of its own, whatever workers ask for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Programs, which run when they are imported.
collect_ignore = ["mirrored.py", "no_tensorflow.py", "one_host.py", "scenes.py", "several_hosts.py"]
ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "examples" / "distributed" / "launch.py"


def run(command, **environment):
    """Output of a program of this folder."""
    found = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-5000:]
    return found.stdout


@pytest.fixture(scope="session")
def one_host(once):
    """What eight devices in one process see."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"

    def fill(folder):
        said = run(["tests/distributed/one_host.py"], KERAS_BACKEND="jax", XLA_FLAGS=flags)
        (folder / "seen.json").write_text(said.splitlines()[-1])

    return json.loads((once("one-host", fill) / "seen.json").read_text())


@pytest.fixture(scope="session")
def mirrored(once):
    """What two replicas of TensorFlow see."""

    def fill(folder):
        said = run(["tests/distributed/mirrored.py"], KERAS_BACKEND="tensorflow")
        (folder / "seen.json").write_text(said.splitlines()[-1])

    return json.loads((once("mirrored", fill) / "seen.json").read_text())


@pytest.fixture(scope="session")
def hosts(once):
    """Folder of two processes that trained together, and what each of them saw."""

    def fill(folder):
        command = ["--processes", 2, "--devices", 2, "tests/distributed/several_hosts.py", folder]
        run([LAUNCH, *command])

    folder = once("hosts", fill)
    return folder, [json.loads((folder / f"{i}.json").read_text()) for i in range(2)]
