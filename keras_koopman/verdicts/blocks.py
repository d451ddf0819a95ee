"""The chain of blocks of a model: places through which all that it computes must pass."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Block:
    """What lies between two places of equal shape.

    Attributes:
        name: of its layers that have weights; the first and the last if there are more.
        before: symbolic tensor that goes in.
        after: symbolic tensor that comes out, of the same shape.
    """

    name: str
    before: Any
    after: Any


@dataclass
class _Segment:
    """Layers with a kernel, and those without that follow."""

    layers: list[Any]
    before: Any
    after: Any

    def __post_init__(self) -> None:
        self.tail: list[Any] = []
        self.end = self.after


def chain_of_blocks(model: Any) -> list[Block]:
    """Blocks of a model whose input and output have equal shape, in order.

    A block begins and ends at tensors through which every path from input to output leads: the trunk of a
    residual network. What has no kernel of its own, an activation or a normalisation on the trunk, belongs to
    the block before it.

    Args:
        model: a built functional or Sequential model.

    Raises:
        TypeError: If it is no Keras model.
        ValueError: If it has no graph, is not built, or has no such block.
    """
    places = _trunk(_graph_of(model))
    segments: list[_Segment] = []
    for (before, _), (after, layers) in itertools.pairwise(places):
        if _has_kernel(layers):
            segments.append(_Segment(layers, before, after))
        elif segments and segments[-1].end is before and _same_shape(before, after):
            segments[-1].tail += layers
            segments[-1].end = after
    found = [segment for segment in segments if _same_shape(segment.before, segment.after)]
    # A normalisation behind the last block belongs to it only if other blocks end with one too.
    if found and _has_weights(found[-1].tail) and not any(_has_weights(s.tail) for s in found[:-1]):
        found[-1].end = found[-1].after
    blocks = [Block(_name(s.layers), s.before, s.end) for s in found]
    if not blocks:
        raise ValueError(
            f"model {model.name!r} has no block whose input and output have equal shape, so there is no "
            f"chain to profile; its trunk has shapes {', '.join(str(tuple(t.shape)) for t, _ in places)}. If "
            "the blocks lie within an inner model, pass that and its input; or pass activations of equal "
            "width to profile_activations."
        )
    return blocks


def _graph_of(model: Any) -> Any:
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model, got {type(model).__name__}.")
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if graph is not None and hasattr(graph, "_nodes_by_depth"):
        return graph
    if isinstance(model, keras.Sequential):
        raise ValueError(f"model {model.name!r} is not built. Give it a keras.Input, or build it.")
    raise ValueError(
        f"model {model.name!r} is a subclass of keras.Model without a graph, so its blocks cannot be seen. "
        "Make it a functional or Sequential model, or pass the activations between its blocks to "
        "profile_activations."
    )


def _trunk(graph: Any) -> list[tuple[Any, list[Any]]]:
    """Tensors that every path passes, each with the layers since the one before; the input first."""
    nodes = [
        node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]
    ]
    inputs = {id(tensor) for tensor in graph.inputs}
    last_use = {id(t): number for number, node in enumerate(nodes) for t in node.input_tensors}
    last_use |= {id(tensor): len(nodes) for tensor in graph.outputs}
    # Inputs but the first, a mask for instance, may be read anywhere.
    live: dict[int, Any] = {id(graph.inputs[0]): graph.inputs[0]}
    places: list[tuple[Any, list[Any]]] = [(graph.inputs[0], [])]
    between: list[Any] = []
    for number, node in enumerate(nodes):
        if all(id(tensor) in inputs for tensor in node.outputs):
            continue
        between.append(node.operation)
        live |= {id(t): t for t in node.outputs if last_use.get(id(t), -1) > number}
        live = {key: t for key, t in live.items() if last_use[key] > number}
        if len(live) == 1:
            places.append((next(iter(live.values())), between))
            between = []
    return places


def _has_kernel(layers: list[Any]) -> bool:
    """Whether one of the layers has a weight of more than one dimension."""
    return any(len(v.shape) > 1 for layer in layers for v in getattr(layer, "weights", ()))


def _has_weights(layers: list[Any]) -> bool:
    return any(getattr(layer, "weights", ()) for layer in layers)


def _same_shape(a: Any, b: Any) -> bool:
    return tuple(a.shape) == tuple(b.shape)


def _name(layers: list[Any]) -> str:
    named = [str(layer.name) for layer in layers if getattr(layer, "weights", ())]
    return named[0] if len(named) == 1 else f"{named[0]} … {named[-1]}"
