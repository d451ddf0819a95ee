"""Every example runs, on a small setting, and says what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
# What each is asked for here, and words that its answer must hold.
SETTINGS = {
    "01_where_is_my_run_going": (["--epochs", "4"], "Koopman spectrum"),
    "02_prune_while_training": (
        ["--epochs", "1", "--sparsities", "0.9", "--export", "pruned"],
        "tf_saved_model",
    ),
    "03_shrink_for_speed": (["--epochs", "1"], "from scratch"),
}


def test_each_example_is_tested():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_example_runs(name, tmp_path):
    arguments, words = SETTINGS[name]
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
