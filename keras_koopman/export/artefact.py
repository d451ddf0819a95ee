"""A model in memory, or an artefact reloaded from disk: run it on arrays, look at the weights it stores.

All take flat lists of arrays in host memory and give such lists back, so that their times can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ..backend import compiled, engine
from .formats import optional
from .inputs import Array, Signature

Run = Callable[[list[Array]], list[Array]]


class Loaded(NamedTuple):
    """Something that runs.

    Attributes:
        run: from inputs to outputs, both in Keras's flat order.
        weights: reads the stored weights one by one.
    """

    run: Run
    weights: Callable[[], Iterator[Array]]


def in_memory(model: Any, signature: Signature) -> Loaded:
    """The model as it stands, compiled for inference."""
    call = _call_of(model)

    def run(inputs: list[Array]) -> list[Array]:
        return _flat(call(*keras.tree.pack_sequence_as(signature, inputs)))

    def weights() -> Iterator[Array]:
        for variable in model.weights:
            yield np.asarray(ops.convert_to_numpy(variable.value))

    return Loaded(run, weights)


def reloaded(name: str, path: Path, signature: Signature, outputs: Any) -> Loaded:
    """The artefact of a format.

    Args:
        name: of the format.
        path: where it lies.
        signature: that it was written with.
        outputs: names of its outputs in Keras's flat order, as `output_names` gives them.
    """
    if name == "tf_saved_model":
        return _saved_model(path, signature)
    names = [spec.name for spec in keras.tree.flatten(signature)]
    return _litert(path, names, outputs) if name == "litert" else _onnx(path, names)


def output_names(model: Any, signature: Signature) -> list[str]:
    """How TensorFlow names the outputs of `model` in a signature, in Keras's flat order."""
    outputs = model.compute_output_spec(
        *keras.tree.map_structure(lambda s: keras.KerasTensor(s.shape, s.dtype), signature)
    )
    if isinstance(outputs, dict):
        return sorted(outputs)
    return [f"output_{i}" for i in range(len(keras.tree.flatten(outputs)))]


def _call_of(model: Any) -> Callable[..., Any]:
    if engine() != "jax":
        return compiled(lambda *args: model(*args, training=False), xla=False, exact=False)  # type: ignore[no-any-return]
    import jax

    variables = model.variables

    @jax.jit
    def call(values: list[Any], *args: Any) -> Any:
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            return model(*args, training=False)

    # The weights are arguments: as constants they would be folded, which no exported model does.
    return lambda *args: call([variable.value for variable in variables], *args)


def _flat(outputs: Any) -> list[Array]:
    return [np.asarray(output) for output in keras.tree.flatten(outputs)]


def _saved_model(path: Path, signature: Signature) -> Loaded:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))

    def run(inputs: list[Array]) -> list[Array]:
        tensors = [tf.convert_to_tensor(array) for array in inputs]
        return _flat(model.serve(*keras.tree.pack_sequence_as(signature, tensors)))

    return Loaded(run, lambda: (variable.numpy() for variable in model.variables))


def _litert(path: Path, inputs: list[str | None], outputs: list[str]) -> Loaded:
    model = optional("ai_edge_litert.schema_py_generated").Model.GetRootAs(path.read_bytes(), 0)
    if flex := sorted(_flex_operations(model)):
        raise NotImplementedError(
            f"it needs {', '.join(flex)} from TensorFlow, which LiteRT lacks without the Flex delegate. Give "
            "recurrent layers unroll=True, and compute in float32."
        )
    interpreter = optional("ai_edge_litert.interpreter").Interpreter(str(path))
    signature = interpreter.get_signature_runner()
    takes, gives = signature.get_input_details(), signature.get_output_details()
    into = [details["index"] for details in _by_name(takes, inputs)]
    out_of = [details["index"] for details in _by_name(gives, outputs)]
    shapes: list[tuple[int, ...]] = []

    def run(arrays: list[Array]) -> list[Array]:
        if [array.shape for array in arrays] != shapes:
            shapes[:] = [array.shape for array in arrays]
            for index, array in zip(into, arrays, strict=True):
                interpreter.resize_tensor_input(index, array.shape)
            interpreter.allocate_tensors()
        for index, array in zip(into, arrays, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in out_of]

    return Loaded(run, lambda: _litert_weights(model))


def _by_name(details: dict[str, Any], names: list[Any]) -> list[Any]:
    return list(details.values()) if len(details) == 1 else [details[name] for name in names]


def _flex_operations(model: Any) -> Iterator[str]:
    for code in (model.OperatorCodes(i).CustomCode() for i in range(model.OperatorCodesLength())):
        if code and code.startswith(b"Flex"):
            yield code.decode().removeprefix("Flex")


def _litert_weights(model: Any) -> Iterator[Array]:
    schema = optional("ai_edge_litert.schema_py_generated")
    dtypes = {
        schema.TensorType.FLOAT32: np.float32,
        schema.TensorType.FLOAT16: np.float16,
        schema.TensorType.INT8: np.int8,
    }
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
            buffer, dtype = model.Buffers(tensor.Buffer()), dtypes.get(tensor.Type())
            # What is computed has a buffer without bytes.
            if dtype and buffer.DataLength():
                yield np.frombuffer(buffer.DataAsNumpy().tobytes(), dtype).reshape(tensor.ShapeAsNumpy())


def _onnx(path: Path, names: list[str | None]) -> Loaded:
    session = optional("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = [node.name for node in session.get_inputs()]
    # tf2onnx keeps the names but leaves out an input that nothing uses.
    places = [0] if len(names) == 1 else [names.index(name) for name in given]

    def run(inputs: list[Array]) -> list[Array]:
        feed = {name: inputs[place] for name, place in zip(given, places, strict=False)}
        return _flat(session.run(None, feed))

    def weights() -> Iterator[Array]:
        to_array = optional("onnx.numpy_helper").to_array
        for tensor in optional("onnx").load(str(path)).graph.initializer:
            yield to_array(tensor)

    return Loaded(run, weights)
