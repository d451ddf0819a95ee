"""The launch script of the example: what it says when a process dies."""

import subprocess
import sys

import pytest

from tests.distributed.conftest import LAUNCH

DIES = """
import os, signal, sys, time
if os.environ["KERAS_DISTRIBUTION_PROCESS_ID"] == "1":
    print("about to go", flush=True)
    {end}
time.sleep(60)
"""


def launch(tmp_path, end, *options):
    program = tmp_path / "program.py"
    program.write_text(DIES.format(end=end))
    return subprocess.run(
        [sys.executable, LAUNCH, "--grace", "0.3", *options, program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
        ("raise OSError('no disk')", "ended with status 1"),
    ],
)
def test_process_that_dies_ends_the_others(tmp_path, end, how):
    found = launch(tmp_path, end)
    assert found.returncode == 1
    assert "[1] about to go" in found.stdout
    assert f"launch: process 1 {how}. The others wait for it and cannot go on" in found.stderr
    assert "launch: process 0 was killed by SIGKILL" in found.stderr


def test_some_of_them_on_this_machine(tmp_path):
    end = "print(os.environ['KERAS_DISTRIBUTION_JOB_ADDRESSES'], flush=True); sys.exit(3)"
    options = ["--address", "10.0.0.1:7000", "--processes", "2", "--first", "1", "--here", "1"]
    found = launch(tmp_path, end, *options)
    assert "[1] 10.0.0.1:7000" in found.stdout
    assert "[0]" not in found.stdout
    assert "process 1 ended with status 3" in found.stderr


def test_no_script(tmp_path):
    found = subprocess.run([sys.executable, LAUNCH], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "no script given" in found.stderr
