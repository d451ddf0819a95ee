"""What each format needs, and where its file goes."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras

from ..backend import engine

Version = tuple[int, int]


class Format(NamedTuple):
    """What one of Keras's export formats needs.

    Attributes:
        suffix: added to the path.
        engines: Keras backends that it is written from here.
        packages: that writing and reloading it take, beyond TensorFlow.
        keras: first release of Keras that writes it.
        start: how its file begins: offset and bytes.
    """

    suffix: str
    engines: tuple[str, ...]
    packages: tuple[str, ...]
    keras: Version
    start: tuple[int, bytes]


FORMATS = {
    "tf_saved_model": Format("", ("tensorflow", "jax"), (), (3, 0), (0, b"")),
    "litert": Format(".tflite", ("tensorflow",), ("ai_edge_litert",), (3, 13), (4, b"TFL3")),
    # A protobuf whose first field is the version of the format.
    "onnx": Format(".onnx", ("tensorflow",), ("onnx", "tf2onnx", "onnxruntime"), (3, 0), (0, b"\x08")),
}
# All that TensorFlow itself puts into the folder of a SavedModel.
SAVED_MODEL_FILES = {"saved_model.pb", "saved_model.pbtxt", "fingerprint.pb", "variables", "assets",
                     "assets.extra", "debug", "keras_metadata.pb"}  # fmt: skip


def chosen(formats: str | Sequence[str]) -> tuple[str, ...]:
    """The formats asked for, if each can be written here.

    Raises:
        TypeError: If they are no names.
        ValueError: If there is none, one is unknown or twice, or the backend or Keras cannot write it.
        ImportError: If a package is missing.
    """
    names = (formats,) if isinstance(formats, str) else formats
    known = ", ".join(map(repr, FORMATS))
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"formats must be a list or tuple of names, got {formats!r}. Choose from {known}.")
    if not names:
        raise ValueError(f"formats is empty. Name at least one of {known}.")
    for name in names:
        if name not in FORMATS:
            raise ValueError(f"formats must be some of {known}, got {name!r}.")
    if len(set(names)) < len(names):
        raise ValueError(f"formats names one twice: {tuple(names)!r}. Name each once.")
    for name in names:
        _can_be_written(name, FORMATS[name])
    return tuple(names)


def _can_be_written(name: str, need: Format) -> None:
    if engine() not in need.engines:
        raise ValueError(
            f"formats: {name!r} cannot be written with the Keras backend {engine()!r}, only with "
            f"{' or '.join(map(repr, need.engines))}. Save the model with model.save('model.keras'), load it "
            "in a process with KERAS_BACKEND=tensorflow and export it there."
        )
    if _version() < need.keras:
        raise ValueError(
            f"formats: {name!r} needs Keras {'.'.join(map(str, need.keras))} or later, this is "
            f"{keras.__version__}. Run pip install --upgrade keras, or leave it out."
        )
    missing = [package for package in need.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            f"formats: {name!r} needs {' and '.join(missing)}. Run pip install 'keras-koopman[export]'."
        )


def _version() -> Version:
    major, minor, *_ = keras.__version__.split(".")
    return int(major), int(minor)


def optional(module: str) -> Any:
    """A module of an optional package, looked for by `chosen` before."""
    return importlib.import_module(module)


def place_of(name: str, base: Path) -> Path:
    """Where the artefact of a format goes, if nothing of other people's stands there.

    Raises:
        FileExistsError: If something does.
    """
    path = base.with_name(base.name + FORMATS[name].suffix)
    offset, start = FORMATS[name].start
    if not path.exists():
        return path
    if name == "tf_saved_model":
        inside = {entry.name for entry in path.iterdir()} if path.is_dir() else None
        strange = inside and sorted(inside - SAVED_MODEL_FILES)
        if inside == set() or (inside and "saved_model.pb" in inside and not strange):
            return path
        what = (
            "is a file"
            if inside is None
            else f"holds {strange[0]!r}"
            if strange
            else "holds no saved_model.pb"
        )
        wanted = "an empty folder or an earlier SavedModel"
    else:
        what, wanted = "is a folder", f"an earlier {FORMATS[name].suffix} file"
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(offset + len(start))
            if not head or head[offset:] == start:
                return path
            what = "is another kind of file"
    raise FileExistsError(
        f"path: {str(path)!r} exists and {what}; only {wanted} is replaced. Remove it or give another path."
    )
