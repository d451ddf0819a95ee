import sys

import keras
import pytest

from keras_koopman.export import export_pruned, formats
from tests.export.models import X, pruned


@pytest.mark.parametrize("name", ["litert", "onnx"])
def test_only_tensorflow_writes_it(tmp_path, monkeypatch, name):
    monkeypatch.setattr(formats, "engine", lambda: "jax")
    message = (
        f"{name!r} cannot be written with the Keras backend 'jax', only with 'tensorflow'. Save the model"
    )
    with pytest.raises(ValueError, match=message):
        export_pruned(pruned(), tmp_path / "model", ("tf_saved_model", name), X)
    assert list(tmp_path.iterdir()) == []


def test_torch_writes_no_saved_model(monkeypatch):
    monkeypatch.setattr(formats, "engine", lambda: "torch")
    with pytest.raises(ValueError, match=r"backend 'torch', only with 'tensorflow' or 'jax'.*KERAS_BACKEND="):
        formats.chosen("tf_saved_model")


@pytest.mark.parametrize(
    ("name", "package"),
    [("litert", "ai_edge_litert"), ("onnx", "onnx"), ("onnx", "tf2onnx"), ("onnx", "onnxruntime")],
)
def test_a_missing_package(tmp_path, monkeypatch, name, package):
    monkeypatch.setattr(formats, "engine", lambda: "tensorflow")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"needs .*{package}.*Run pip install 'keras-koopman\[export\]'"):
        export_pruned(pruned(), tmp_path / "model", (name,), X)
    assert list(tmp_path.iterdir()) == []


def test_keras_before_litert(monkeypatch):
    monkeypatch.setattr(formats, "engine", lambda: "tensorflow")
    monkeypatch.setattr(keras, "__version__", "3.12.1")
    with pytest.raises(
        ValueError, match=r"'litert' needs Keras 3.13 or later, this is 3.12.1. Run pip install"
    ):
        formats.chosen(["litert"])
    assert formats.chosen(["tf_saved_model"]) == ("tf_saved_model",)


# What may stand at a place.


def empty_folder(path):
    path.mkdir()


def a_file(path, content=b"mine"):
    path.write_bytes(content)


def saved_model(path):
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").touch()


def saved_model_and_more(path):
    saved_model(path)
    (path / "notes.txt").touch()


def other_folder(path):
    (path / "variables").mkdir(parents=True)


def empty_file(path):
    a_file(path, b"")


def tflite(path):
    a_file(path, b"\x1c\0\0\0TFL3\0")


def onnx(path):
    a_file(path, b"\x08\x0a")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("tf_saved_model", empty_folder),
        ("tf_saved_model", saved_model),
        ("litert", tflite),
        ("litert", empty_file),
        ("onnx", onnx),
        ("onnx", empty_file),
    ],
)
def test_may_be_replaced(tmp_path, name, make):
    place = tmp_path / f"model{formats.FORMATS[name].suffix}"
    make(place)
    assert formats.place_of(name, tmp_path / "model") == place


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("tf_saved_model", a_file, "is a file; only an empty folder or an earlier SavedModel"),
        ("tf_saved_model", other_folder, "holds no saved_model.pb; only an empty folder"),
        ("tf_saved_model", saved_model_and_more, "holds 'notes.txt'; only"),
        ("litert", empty_folder, "is a folder; only an earlier .tflite file"),
        ("litert", a_file, "is another kind of file; only an earlier .tflite file"),
        ("onnx", saved_model, "is a folder; only an earlier .onnx file"),
        ("onnx", a_file, "is another kind of file"),
    ],
)
def test_is_left_alone(tmp_path, name, make, message):
    place = tmp_path / f"model{formats.FORMATS[name].suffix}"
    make(place)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        FileExistsError, match=f"path: .*exists and {message}.* is replaced. Remove it or give"
    ):
        formats.place_of(name, tmp_path / "model")
    assert sorted(tmp_path.rglob("*")) == before
