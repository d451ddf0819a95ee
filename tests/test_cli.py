"""`python -m keras_koopman`: what it writes, and one line for each error."""

import json
import os
import subprocess
import sys

import pytest

from keras_koopman.cli import main
from tests.plotting.stores import make_store


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_report(tmp_path, capsys):
    make_store("a.zarr")
    make_store("b.zarr")
    assert main(["report", "a.zarr", "b.zarr", "-o", "page.html"]) == 0
    assert capsys.readouterr().out == "Wrote page.html\n"
    assert "2 training runs" in (tmp_path / "page.html").read_text("utf-8")


def test_report_has_a_default_name(tmp_path):
    make_store("a.zarr")
    assert main(["report", "a.zarr", "--window", "5"]) == 0
    assert "5 (epochs 8 to 12)" in (tmp_path / "report.html").read_text("utf-8")


def newer(path):
    description = path / "zarr.json"
    text = json.loads(description.read_text())
    text["attributes"]["version"] = 99
    description.write_text(json.dumps(text))


def truncated(path):
    chunk = path / "snapshots" / "c" / "3" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-5])


def no_zarr(path):
    (path / "zarr.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(newer, "version 99"), (truncated, "is damaged: snapshot 3"), (no_zarr, "is damaged")],
)
def test_spoiled_store(tmp_path, capsys, spoil, message):
    spoil(make_store(tmp_path / "run.zarr"))
    assert main(["report", "run.zarr"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("keras_koopman report: ")
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_empty_store(tmp_path, capsys):
    make_store("run.zarr", records=0)
    assert main(["report", "run.zarr"]) == 2
    assert "holds no finished snapshot yet" in capsys.readouterr().err


def test_page_that_cannot_be_written(capsys):
    make_store("run.zarr")
    assert main(["report", "run.zarr", "-o", "nowhere/page.html"]) == 2
    assert "nowhere/page.html" in capsys.readouterr().err


def test_missing_store_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "keras_koopman", "report", "nowhere.zarr"],
        capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": "numpy"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("keras_koopman report: path='nowhere.zarr'")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: command"),
        (["report"], "required: run.zarr"),
        (["report", "a.zarr", "--window", "1"], "expected a whole number from 2 on, got '1'"),
        (["demo", "--epochs", "x"], "expected a whole number from 1 on, got 'x'"),
    ],
)
def test_usage_errors(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_demo_without_scikit_learn(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["demo"]) == 2
    assert "needs scikit-learn" in capsys.readouterr().err
