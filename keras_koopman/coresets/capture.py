"""The layers that can be compressed, and what they see when the model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..pruning.graph import MAKERS, graph_of

Real = NDArray[np.float64]
Hear = Callable[[Any, Any], None]


def graphs(model: keras.Model) -> Iterator[Any]:
    """The graph of a model and those of the models within it, each once."""
    seen: set[int] = set()
    waiting = [graph_of(model)]
    while waiting:
        graph = waiting.pop(0)
        if id(graph) not in seen:
            seen.add(id(graph))
            yield graph
            waiting += [graph_of(op) for op in graph.operations if _is_graph(op)]


def targets(model: keras.Model) -> tuple[list[Any], dict[str, str]]:
    """Layers whose kernels can be compressed, in the order of the graph, and path -> reason of the others'.

    A kernel that several layers share is there once.
    """
    found: dict[int, Any] = {}
    skipped: dict[str, str] = {}
    for graph in graphs(model):
        for operation in graph.operations:
            if _is_graph(operation):
                continue
            reason = _refusal(operation)
            if reason is None:
                found.setdefault(id(operation.kernel), operation)
            else:
                skipped |= {v.path: reason for v in getattr(operation, "weights", []) if _is_kernel(v)}
    return [*found.values()], skipped


def run(model: keras.Model, inputs: list[Any], hear: Hear | None = None) -> Any:
    """Outputs of a model outside training; `hear` is told the input of each dense layer and convolution.

    Args:
        model: Sequential or functional.
        inputs: one batch, an array for each input, in Keras's order.
        hear: called with the layer and its input, a tensor, once for each call of the layer.
    """
    graph = graph_of(model)
    tensors = [ops.convert_to_tensor(x, t.dtype) for x, t in zip(inputs, graph.inputs, strict=True)]
    return _run(graph, keras.tree.pack_sequence_as(graph._inputs_struct, tensors), hear)


def _run(graph: Any, inputs: Any, hear: Hear | None) -> Any:
    def heard(operation: Any) -> Any:
        if _is_graph(operation):
            return lambda x, *_, **__: _run(graph_of(operation), x, hear)
        if hear is None or type(operation) not in MAKERS:
            return operation

        def call(x: Any, *rest: Any, **named: Any) -> Any:
            hear(operation, x)
            return operation(x, *rest, **named)

        return call

    standard = graph._standardize_inputs(inputs)
    outputs = graph._run_through_graph(standard, operation_fn=heard)
    return outputs[0] if isinstance(outputs, list | tuple) and len(outputs) == 1 else outputs


def _is_graph(operation: Any) -> bool:
    if not isinstance(operation, keras.Model):
        return False
    own_call = any(
        "call" in vars(c) for c in type(operation).__mro__ if not c.__module__.startswith("keras.")
    )
    return not own_call and (isinstance(operation, keras.Sequential) or hasattr(operation, "_nodes_by_depth"))


def _is_kernel(variable: Any) -> bool:
    return len(variable.shape) >= 2 and "embedding" not in variable.path.rsplit("/", 1)[-1]


def _refusal(operation: Any) -> str | None:
    """Why the kernels of a layer are left alone; None if they are not."""
    kind = type(operation)
    if kind not in MAKERS:
        return f"a {kind.__name__} is left alone: only Dense and Conv1D, 2D and 3D are compressed"
    if getattr(operation, "lora_enabled", False) or getattr(operation, "quantization_mode", None) is not None:
        return "the layer is quantized or has LoRA"
    return None


def check_finite(name: str, values: Any) -> None:
    """See that all numbers are finite.

    Raises:
        ValueError: If one is not.
    """
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(f"{name} has {bad} numbers that are not finite, of {values.size}. Clean it first.")
