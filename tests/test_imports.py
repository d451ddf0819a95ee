"""`import keras_koopman` costs next to nothing beside `import keras`."""

import compileall
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_koopman

ALLOWED_SECONDS = 0.4
HEAVY = ["matplotlib", "zarr", "tensorflow_probability", "tf_keras"]

# Keras itself tries to import matplotlib. So the heavy ones are refused to all, and what is asked for is
# counted from where our import begins.
PROBE = """
import importlib, json, sys, time

class Refusal:
    asked = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2:]:
            self.asked.append(name)
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Refusal())
import keras
for module in sys.argv[1].split():
    Refusal.asked.clear()
    begin = time.process_time()
    importlib.import_module(module)
    print(json.dumps({"seconds": time.process_time() - begin, "asked": Refusal.asked}))
"""


def probe(*modules, path):
    """Of each import after `import keras`: the processor seconds, and the heavy imports it asks for."""
    command = [sys.executable, "-c", PROBE, " ".join(modules), *HEAVY]
    # The engine is imported with Keras: the quickest one will do.
    environment = {**os.environ, "PYTHONPATH": str(path), "KERAS_BACKEND": "numpy"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()[-len(modules) :]]


@pytest.fixture(scope="module")
def probes(tmp_path_factory):
    """Up to three probes of the package and of a greedy module: the machine may be busy."""
    # As `pip install` does. Without it most of the time would go into reading the source.
    compileall.compile_dir(Path(keras_koopman.__file__).parent, quiet=1)
    path, done = tmp_path_factory.mktemp("modules"), []
    (path / "greedy.py").write_text("try:\n    import zarr\nexcept ImportError:\n    pass\n")
    while len(done) < 3 and not any(ours["seconds"] <= ALLOWED_SECONDS for ours, _ in done):
        done.append(probe("keras_koopman", "greedy", path=path))
    return done


def test_imports_nothing_heavy(probes):
    assert probes[0][0]["asked"] == []


def test_import_is_quick(probes):
    assert min(ours["seconds"] for ours, _ in probes) <= ALLOWED_SECONDS


def test_the_probe_sees_a_heavy_import(probes):
    assert probes[0][1]["asked"] == ["zarr"]
