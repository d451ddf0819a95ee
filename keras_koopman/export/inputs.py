"""What a model takes: its input signature, and a sample that fits it.

A signature is the list of positional arguments of `model(...)`, each a tensor's `keras.InputSpec` or a list,
tuple or dict of them. Samples have the same structure, and travel as flat lists of arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ..backend import precision

Array = NDArray[Any]
Signature = list[Any]

MADE_UP_ROWS = 8


def signature_of(model: Any, sample: Any = None) -> Signature:
    """The inputs of `model`, the batch left open.

    A model that was made by subclassing knows the shapes that it was called on but not the dtypes: whole
    numbers in `sample` are believed.

    Raises:
        TypeError: If it is no Keras model.
        ValueError: If it was not built, or never called.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {model!r} of type {type(model).__name__}.")
    if not model.built:
        raise ValueError(f"model {model.name!r} is not built: it has no weights. Call it on data.")
    # Keras offers no public way to a model's input structure.
    from keras.src.export.export_utils import get_input_signature

    try:
        signature = list(get_input_signature(model))
    except ValueError as error:
        raise ValueError(
            f"model {model.name!r} was never called, so its inputs are not known. Call it once on data "
            "before it is exported."
        ) from error
    named = hasattr(model, "inputs") and model.inputs
    several = len(keras.tree.flatten(signature)) > 1

    def finished(spec: Any, where: str, value: Any) -> Any:
        dtype = spec.dtype
        if not named and value is not None and np.asarray(value).dtype.kind in "biu":
            dtype = precision(keras.ops.convert_to_tensor(np.asarray(value)[:1]))
        # Names by which every format knows the inputs again. One without a name needs none.
        name = spec.name or (where or "input" if several else None)
        name = name and re.sub(r"^(?=\d)", "input_", re.sub(r"\W+", "_", name).strip("_"))
        return keras.InputSpec(shape=spec.shape, dtype=dtype, name=name)

    values = _arguments(signature, sample)
    return [_walk(spec, value, finished) for spec, value in zip(signature, values, strict=True)]


def checked(signature: Signature, sample: Any) -> list[Array]:
    """A sample as a flat list of arrays in the dtypes of the signature.

    Raises:
        TypeError: If its structure is another.
        ValueError: If a shape or dtype does not fit, or there is no row.
    """
    flat: list[Array] = []

    def check(spec: Any, where: str, value: Any) -> None:
        flat.append(_fitting(spec, f"sample{where and f' {where!r}'}", value))

    values = _arguments(signature, sample)
    for spec, value in zip(signature, values, strict=True):
        _walk(spec, value, check, strict=True)
    rows = {len(array) for array in flat}
    if len(rows) != 1 or rows == {0}:
        raise ValueError(f"sample must have one number of rows, at least 1, got {sorted(rows)}.")
    # In the order in which Keras flattens, which sorts the keys of a dict.
    return [flat[i] for i in _order(signature)]


def made_up(signature: Signature) -> list[Array] | None:
    """A small batch of random floats and zero integers; None if a shape is not known or texts are wanted."""
    generator = np.random.default_rng(0)
    flat: list[Array] = []
    for spec in keras.tree.flatten(signature):
        shape = (MADE_UP_ROWS, *spec.shape[1:])
        if None in shape or spec.dtype == "string":
            return None
        floating = keras.backend.is_float_dtype(spec.dtype)
        flat.append(generator.normal(size=shape) if floating else np.zeros(shape))
        flat[-1] = flat[-1].astype(np.dtype(spec.dtype))
    return flat


def _fitting(spec: Any, where: str, value: Any) -> Array:
    array = np.asarray(keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value)
    want = ", ".join(["n", *("any" if size is None else str(size) for size in spec.shape[1:])])
    fits = array.ndim == len(spec.shape) and all(
        size in (None, got) for size, got in zip(spec.shape[1:], array.shape[1:], strict=False)
    )
    if not fits:
        raise ValueError(
            f"{where} has shape {array.shape}, the model takes ({want}). Give rows as the model is called on."
        )
    if spec.dtype == "string":
        return array.astype(object)
    dtype = np.dtype(spec.dtype)
    # bfloat16 is no kind of numpy's own.
    if array.dtype.kind not in "biufV" or (dtype.kind in "biu" and array.dtype.kind in "fV"):
        raise ValueError(
            f"{where} has dtype {array.dtype}, the model takes {spec.dtype}. Convert it with astype."
        )
    return array.astype(dtype)


def _arguments(signature: Signature, sample: Any) -> list[Any]:
    if len(signature) == 1:
        return [sample]
    if sample is None:
        return [None] * len(signature)
    if not isinstance(sample, list | tuple) or len(sample) != len(signature):
        raise TypeError(
            f"sample must be a list of {len(signature)} inputs, one for each argument of the model, "
            f"got {type(sample).__name__}."
        )
    return list(sample)


def _parts(structure: Any) -> Iterator[tuple[Any, Any]]:
    yield from structure.items() if isinstance(structure, dict) else enumerate(structure)


def _walk(spec: Any, value: Any, leaf: Any, where: str = "", strict: bool = False) -> Any:
    """`leaf(spec, where, value)` for each tensor, in the structure of `spec`."""
    if isinstance(spec, keras.InputSpec):
        return leaf(spec, where, value)
    keys = [key for key, _ in _parts(spec)]
    alike = isinstance(value, dict if isinstance(spec, dict) else list | tuple)
    if not (alike and sorted(keys, key=str) == sorted((key for key, _ in _parts(value)), key=str)):
        if strict:
            kind = "dict with the keys" if isinstance(spec, dict) else "list of inputs"
            raise TypeError(
                f"sample{where and f' {where!r}'} must be a {kind} {', '.join(map(repr, keys))}, as the "
                f"model takes, got {type(value).__name__}"
                + (f" with {', '.join(repr(key) for key, _ in _parts(value))}." if alike else ".")
            )
        value = dict.fromkeys(keys)
    parts = [
        _walk(part, value[key], leaf, f"{where}/{key}" if where else str(key), strict)
        for key, part in _parts(spec)
    ]
    return dict(zip(keys, parts, strict=True)) if isinstance(spec, dict) else type(spec)(parts)


def _order(signature: Signature) -> list[int]:
    """Places in a walk of the tensors that Keras's flatten yields."""
    walked: list[int] = []
    for spec in signature:
        _walk(spec, None, lambda leaf, *_: walked.append(id(leaf)))
    return [walked.index(id(leaf)) for leaf in keras.tree.flatten(signature)]
