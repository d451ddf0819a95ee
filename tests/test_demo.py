"""The demo on a tiny setting."""

import pytest

from keras_koopman import Trajectory
from keras_koopman.cli import main

pytest.importorskip("sklearn")


def test_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--epochs", "1"]) == 0
    assert "It is too early to say" in capsys.readouterr().out
    assert main(["demo", "--epochs", "5"]) == 0  # over the first one
    said = capsys.readouterr().out
    assert said.count("\nepoch ") == 5
    assert "Koopman spectrum, rank" in said
    assert "they need 9 records and there are 5 so far" in said
    assert "Wrote demo/run.zarr, demo/spectrum.png, demo/report.html." in said
    assert len(Trajectory.load("demo/run.zarr")) == 5
    assert (tmp_path / "demo" / "spectrum.png").read_bytes().startswith(b"\x89PNG")
