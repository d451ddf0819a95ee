"""Every example runs, on a small setting, and says what it promises."""

import runpy
import sys
from pathlib import Path

import keras
import pytest

pytestmark = pytest.mark.uncounted
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


@pytest.fixture(scope="module", autouse=True)
def auto_compile():
    """As Keras does it for a user."""


def test_each_example_is_tested():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_example_runs(name, tmp_path, monkeypatch, capsys):
    arguments, words = SETTINGS[name]
    if "--export" in arguments and keras.backend.backend() == "torch":
        pytest.skip("Keras writes no SavedModel on PyTorch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert words in capsys.readouterr().out
