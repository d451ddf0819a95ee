"""`export_pruned`: export, reload, compare, measure."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..backend import exact_float32
from .artefact import Loaded, in_memory, output_names, reloaded
from .drafts import drafts, move
from .formats import chosen, place_of
from .inputs import Array, Signature, checked, made_up, signature_of
from .measure import TOLERANCES, difference, disk_sizes, latencies, sizes, zeros
from .report import ExportReport, ExportRow, notes_of

SECONDS_PER_SIZE = 0.8


def export_pruned(
    model: Any,
    path: str | os.PathLike[str],
    formats: str | Sequence[str] = ("tf_saved_model",),
    sample: Any = None,
) -> ExportReport:
    """Export a model for inference, check every artefact and say what was gained.

    The last step of pruning. Keras's own `model.export` writes the artefacts: they hold the model's weights
    and its forward pass, no masks, no optimizer, and need neither Keras nor this package to run. Each is then
    reloaded and its outputs are compared with the model's. All are moved to their places only if all are
    good; until then earlier ones there stay as they are.

    Timing takes about two seconds, longer only where three calls do: one row and the whole sample, the
    model and the artefacts called in turns.

    Args:
        model: A built Keras model. One made by subclassing must have been called on data.
        path: Folder of the SavedModel, with the endpoint `serve`. LiteRT goes to `path + ".tflite"`, ONNX to
            `path + ".onnx"`. Earlier artefacts are replaced, anything else is left alone.
        formats: Some of `"tf_saved_model"`, `"litert"` and `"onnx"`. The last two need the TensorFlow backend
            and `pip install 'keras-koopman[export]'`. Defaults to `("tf_saved_model",)`.
        sample: Rows to run model and artefacts on, as the model takes them: an array, or a list or dict of
            arrays. Defaults to None: eight rows made up from the model's input shapes, if those are known.

    Returns:
        An `ExportReport`: bytes, bytes when zipped, zeros, latency and difference of outputs. Print it.

    Raises:
        TypeError: If the model is no Keras model, or `sample` has another structure than its inputs.
        ValueError: If the model is not built, a format is unknown or cannot be written here, or `sample` has
            another shape than the inputs. Nothing is written then.
        ImportError: If a package that a format needs is missing.
        FileExistsError: If something else than an earlier artefact stands at a place.
        RuntimeError: If an artefact cannot be run, or its outputs differ from the model's by more than
            rounding explains: 1e-4 of the largest output, 1e-2 in float16, 5e-2 in bfloat16. It stays beside
            its place, under the name that the error tells.

    Example:
    >>> import tempfile
    >>> import keras
    >>> import keras_koopman as kk
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.layers[0].set_weights([np.eye(4, 2), np.zeros(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = kk.export.export_pruned(model, f"{folder}/model")
    >>> report.rows[0].bytes, report.rows[1].zeros, report.rows[1].max_difference
    (40, 0.75, 0.0)
    """
    names = chosen(formats)
    base = _base(path)
    signature = signature_of(model, sample)
    places = {name: place_of(name, base) for name in names}
    inputs = made_up(signature) if sample is None else checked(signature, sample)
    before = in_memory(model, signature)
    outputs = None
    if inputs is not None:
        what = "made-up inputs" if sample is None else "the sample"
        with _noted(f"model {model.name!r} failed on {what}, nothing was written"), exact_float32():
            outputs = before.run(inputs)
    base.parent.mkdir(parents=True, exist_ok=True)
    with drafts(places) as made:
        artefacts, differences = [], []
        for name in names:
            _write(name, model, signature, made[name])
            try:
                artefacts.append(_reload(name, model, signature, made[name]))
                differences.append(_compare(artefacts[-1], inputs, outputs, _precision(model)))
            except Exception as error:
                raise _not_good(name, model, made.pop(name), places[name], error) from error
        times = _timed([before, *artefacts], inputs)
        pieces = (array.tobytes() for array in before.weights())
        rows = [ExportRow("model", None, *sizes(pieces), zeros(before.weights()), *times[0])]
        for name, artefact, took, gap in zip(names, artefacts, times[1:], differences, strict=True):
            share, on_disk = zeros(artefact.weights()), disk_sizes(made[name])
            rows.append(ExportRow(name, str(places[name]), *on_disk, share, *took, *gap))
        for name in names:
            move(made[name], places[name])
    size = None if inputs is None else len(inputs[0])
    return ExportReport(tuple(rows), size, notes_of(rows, size, made_up=sample is None))


def _base(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a string or a path, got {path!r} of type {type(path).__name__}.")
    text = os.fsdecode(path)
    if "://" in text:
        raise ValueError(
            f"path must be on this machine's disk, got {text!r}. Export to disk and copy it there."
        )
    if not text or Path(text).name in ("", ".."):
        raise ValueError(f"path must end in a name for the artefact, got {text!r}. Give one, like 'model'.")
    return Path(text).resolve()


@contextlib.contextmanager
def _noted(what: str) -> Iterator[None]:
    """Errors of Keras and TensorFlow keep their type; a note tells where they arose."""
    try:
        yield
    except Exception as error:
        error.add_note(f"keras_koopman: {what}.")
        raise


def _write(name: str, model: Any, signature: Signature, draft: Path) -> None:
    with _noted(
        f"Keras could not export model {model.name!r} as {name!r}, earlier artefacts are as they were"
    ):
        model.export(str(draft), format=name, verbose=False, input_signature=signature)


def _reload(name: str, model: Any, signature: Signature, draft: Path) -> Loaded:
    return reloaded(name, draft, signature, output_names(model, signature) if name == "litert" else [])


def _compare(
    artefact: Loaded, inputs: list[Array] | None, outputs: list[Array] | None, precision: str
) -> tuple[float, float] | tuple[None, None]:
    if inputs is None or outputs is None:
        return None, None
    with exact_float32():
        gap, relative = difference(outputs, artefact.run(inputs))
    if relative > TOLERANCES[precision]:
        raise ValueError(
            f"its outputs differ from the model's by {relative:.1e} of the largest output, more than the "
            f"{TOLERANCES[precision]:g} that {precision} explains."
        )
    return gap, relative


def _not_good(name: str, model: Any, draft: Path, place: Path, error: Exception) -> RuntimeError:
    return RuntimeError(
        f"formats: the {name!r} artefact of model {model.name!r} is not good: "
        f"{type(error).__name__}: {error}\n"
        f"It lies at {str(draft)!r} for a look; nothing was put at {str(place)!r}. Leave {name!r} out, or "
        "find the layer that it does not carry: one that is random at inference, or of a dtype or operation "
        "that the format lacks."
    )


def _precision(model: Any) -> str:
    """The coarsest precision that a layer computes in."""
    found = {"float32", *(str(layer.compute_dtype) for layer in model._flatten_layers())}
    return max(found & set(TOLERANCES), key=TOLERANCES.__getitem__)


def _timed(loaded: list[Loaded], inputs: list[Array] | None) -> list[tuple[float | None, float | None]]:
    """Latencies of each on one row and on all."""
    if inputs is None:
        return [(None, None)] * len(loaded)
    one = [array[:1] for array in inputs]
    first = latencies([functools.partial(each.run, one) for each in loaded], SECONDS_PER_SIZE)
    if len(inputs[0]) == 1:
        return [*zip(first, first, strict=True)]
    every = latencies([functools.partial(each.run, inputs) for each in loaded], SECONDS_PER_SIZE)
    return [*zip(first, every, strict=True)]
