"""From a Keras model to a program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

from ..program import Program
from ..region import Domain
from . import layers, operations, still  # noqa: F401  they enter themselves
from .builder import Builder, Value
from .registry import lowering_of


def inputs_of(model: Any) -> tuple[list[str], list[tuple[int, ...]]]:
    """Names and shapes, without the batch, of the inputs of a model.

    Raises:
        TypeError: If it is no Keras model.
        ValueError: If it is not built, or has an input of unknown size.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model, got {model!r} of type {type(model).__name__}.")
    graph = _graph(model)
    if graph is not None:
        tensors = tree.flatten(graph.inputs)
        names, shapes = [t.name for t in tensors], [tuple(t.shape[1:]) for t in tensors]
    else:
        shape = getattr(model, "_build_shapes_dict", None) or {}
        known = list(shape.values())
        if len(known) != 1 or known[0] is None or isinstance(known[0], dict | list):
            raise ValueError(
                f"model {model.name!r} is not built on one input. Call it on data first, or write it as a "
                "functional or Sequential model."
            )
        names, shapes = [model.name], [tuple(known[0][1:])]
    for name, each in zip(names, shapes, strict=True):
        if None in each:
            raise ValueError(
                f"input {name!r} of {model.name!r} has the shape {each}, of unknown size. "
                "Give keras.Input a full shape."
            )
    return names, shapes


def lower(model: Any, domain: Domain, function: Any = None) -> Program:
    """The model as a program on the numbers that vary over the domain.

    Args:
        model: built.
        domain: regions of its inputs.
        function: of the output, to follow: an index, coefficients, or a callable of a Keras tensor.

    Raises:
        ValueError: If a layer is unknown, acts by chance, or has more than one output.
    """
    build = Builder(len(domain.low))
    origin = Value(0, (len(domain.low),))
    values, start = [], 0
    for base, index, shape in zip(domain.bases, domain.index, domain.shapes, strict=True):
        places = np.full(base.size, -1)
        places[index] = start + np.arange(len(index))
        start += len(index)
        x = build.placed(origin, places.reshape(shape))
        if (places < 0).any():
            x = build.scale(x, 1.0, np.where(places < 0, base, 0.0).reshape(shape))
        values.append(x)
    output = _lower_model(build, model, values)
    if not isinstance(output, Value):
        raise ValueError(
            f"model {model.name!r} has {len(tree.flatten(output))} outputs; bounds are for one. Make a "
            "model of the output that you mean, or concatenate them."
        )
    if function is not None:
        output = _apply(build, function, output)
    return build.program(output)


def _apply(build: Builder, function: Any, output: Value) -> Value:
    build.origin = "function"
    if callable(function):
        x = keras.Input(output.shape)
        try:
            graph = keras.Function(x, function(x))
        except Exception as error:
            raise ValueError(
                f"function must be made of keras.ops on a tensor of shape (batch, *{output.shape}), but "
                f"calling it "
                f"gave {type(error).__name__}: {error}"
            ) from error
        try:
            found = _lower_graph(build, graph, [output])
        except ValueError as error:
            raise ValueError(f"function is not known to be Lipschitz: {error}") from error
    else:
        flat = Value(output.number, (output.size,))
        numbers = np.asarray(function)
        if numbers.ndim == 0 and np.issubdtype(numbers.dtype, np.integer):
            if not -output.size <= int(numbers) < output.size:
                raise ValueError(f"function={function} is no index into an output of {output.size} numbers.")
            found = build.gather(flat, lambda g: g[int(numbers)][None])
        else:
            if (
                numbers.dtype.kind not in "fiu"
                or numbers.size != output.size
                or not np.isfinite(numbers).all()
            ):
                raise ValueError(
                    f"function must be an index, {output.size} finite coefficients or a callable, got "
                    f"{function!r}."
                )
            found = build.matmul(flat, numbers.astype(np.float64).reshape(-1, 1))
    if not isinstance(found, Value) or found.size != 1:
        shape = found.shape if isinstance(found, Value) else "several tensors"
        raise ValueError(f"function must give one number for each input, got {shape}.")
    return found


def _graph(model: Any) -> Any | None:
    """The functional graph of a model; None if it has none."""
    graph = getattr(model, "_functional", None) or model
    own = any("call" in vars(c) for c in type(model).__mro__ if not c.__module__.startswith("keras."))
    return None if own or not hasattr(graph, "_nodes_by_depth") else graph


def _lower_model(build: Builder, model: Any, values: list[Value]) -> Any:
    graph = _graph(model)
    if graph is None:
        return _lower_call(build, model, values, {})
    return _lower_graph(build, graph, values)


def _lower_graph(build: Builder, graph: Any, values: list[Value]) -> Any:
    known = {id(t): v for t, v in zip(tree.flatten(graph.inputs), values, strict=True)}

    def fill(leaf: Any) -> Any:
        return known.get(id(leaf), leaf)

    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            args, kwargs = (tree.map_structure(fill, a) for a in (node.arguments.args, node.arguments.kwargs))
            found = _lower_operation(build, node.operation, list(args), dict(kwargs))
            known |= zip(map(id, tree.flatten(node.outputs)), tree.flatten(found), strict=True)
    return tree.map_structure(fill, graph._outputs_struct)


def _lower_operation(build: Builder, operation: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    name, kind = operation.name, type(operation).__name__
    outer, build.origin = build.origin, name
    kwargs = {k: v for k, v in kwargs.items() if v is not None and not (k == "training" and v is False)}
    if kwargs.get("training"):
        raise ValueError(
            f"layer {name!r}, a {kind}, is called with training=True: its output then depends on chance or "
            f"on "
            "the batch. Call it without."
        )
    known = lowering_of(operation)
    try:
        if known is not None:
            found = known(build, operation, *args, **kwargs)
        elif isinstance(operation, keras.Model):
            found = _lower_model(build, operation, tree.flatten(args))
        elif isinstance(operation, keras.Layer):
            found = _lower_call(build, operation, args, kwargs)
        else:
            raise NotImplementedError("its operation")
    except NotImplementedError as error:
        raise ValueError(
            f"layer {name!r}, a {kind}, is unknown to kk.reachability: {error} has no bounds yet. Replace "
            f"it, or "
            "teach it with kk.reachability.register."
        ) from error
    build.origin = outer
    return found


def _lower_call(build: Builder, layer: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Take apart what the `call` of a layer does, if it consists of Keras layers and operations."""

    def placeholder(leaf: Any) -> Any:
        return keras.KerasTensor((None, *leaf.shape)) if isinstance(leaf, Value) else leaf

    places = tree.map_structure(placeholder, args)
    leaves = [t for t in tree.flatten(places) if isinstance(t, keras.KerasTensor)]
    values = [v for v in tree.flatten(args) if isinstance(v, Value)]
    inputs = [keras.Input(t.shape[1:]) for t in leaves]
    swap = {id(t): i for t, i in zip(leaves, inputs, strict=True)}
    places = tree.map_structure(lambda t: swap.get(id(t), t), places)
    with _unmarked(layer):
        try:
            outputs = layer.call(*places, **kwargs)
            graph = _function(inputs, outputs)
        except Exception as error:
            raise NotImplementedError(
                f"its call, which does not consist of Keras layers and keras.ops ({type(error).__name__})"
            ) from error
        return _lower_graph(build, graph, values)


def _function(inputs: Any, outputs: Any) -> Any:
    """The graph between tensors. A layer may be called many times, and its calls bear one name."""
    seen: dict[tuple[int, int], Any] = {}
    waiting = tree.flatten(outputs)
    while waiting:
        tensor = waiting.pop()
        operation, index, _ = getattr(tensor, "_keras_history", (None, 0, 0))
        if operation is None or (id(operation), index) in seen:
            continue
        seen[id(operation), index] = operation
        waiting += operation._inbound_nodes[index].input_tensors
    distinct = {id(o): o for o in seen.values()}
    names = {key: operation.name for key, operation in distinct.items()}
    try:
        for number, operation in enumerate(distinct.values()):
            operation.__dict__["name"] = f"{operation.name}__{number}"
        return keras.Function(inputs, outputs)
    finally:
        for key, operation in distinct.items():
            operation.__dict__["name"] = names[key]


@contextlib.contextmanager
def _unmarked(layer: Any) -> Iterator[None]:
    """Within it the layers inside may be called; afterwards they have no trace of it."""
    inner = list(layer._flatten_layers()) if isinstance(layer, keras.Layer) else []
    before = [len(each._inbound_nodes) for each in inner]
    try:
        yield
    finally:
        for each, count in zip(inner, before, strict=True):
            del each._inbound_nodes[count:]
