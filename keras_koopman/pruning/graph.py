"""Which variables of a model belong to the same units: neurons of dense layers, filters of convolutions."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

import keras
from keras import activations, layers

__all__ = ["Reader", "Step", "UnitGroup", "graph_of", "unit_groups"]

MAKERS = (layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv3D)
POINTWISE = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.BatchNormalization)
MERGES = tuple(
    getattr(layers, name) for name in ("Add", "Subtract", "Average", "Maximum", "Minimum", "Multiply")
)
PADDINGS = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
_POOLINGS = [f"{g}{kind}Pooling" for g in ("", "Global") for kind in ("Max", "Average")]
# Outside training these turn a constant into the same constant.
STILL = (
    *(layers.Identity, layers.Dropout, layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout),
    *(
        getattr(layers, f"{kind}{n}D")
        for kind in (*_POOLINGS, "SpatialDropout", "Cropping", "UpSampling")
        for n in (1, 2, 3)
    ),
)
KNOWN = frozenset((*MAKERS, *POINTWISE, *MERGES, *PADDINGS, *STILL, layers.Flatten))
_ELEMENTWISE_NAMES = (
    "linear relu relu6 leaky_relu elu selu celu gelu silu mish sigmoid log_sigmoid hard_sigmoid hard_silu "
    "tanh hard_tanh tanh_shrink softplus softsign squareplus exponential threshold soft_shrink hard_shrink "
    "sparse_plus sparse_sigmoid"
)
ELEMENTWISE = tuple(getattr(activations, name) for name in _ELEMENTWISE_NAMES.split())


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """A dense or convolutional layer that reads the units of a group.

    Args:
        layer: The layer.
        tensor: Of the input it reads; a key, as in `Step`.
        repeats: How often it sees each unit: the number of positions that a `Flatten` before it has laid side
            by side, with the units fastest; 1 without.
    """

    layer: Any
    tensor: int
    repeats: int


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A layer that hands units on one by one: keys of the tensors it takes and of the one it gives."""

    layer: Any
    inputs: tuple[int, ...]
    output: int
    rank: int
    repeats: int


@dataclasses.dataclass(frozen=True, eq=False)
class UnitGroup:
    """Units that live and die together.

    Args:
        name: Of the layer that makes the units, or of several, joined by " + ", if an addition ties them.
        count: How many units.
        kernels: Kernels of the layers that make the units, with the axis of the units. Empty for a quantized
            layer or one with LoRA.
        vectors: Biases of these layers, and scales and offsets of the batch normalizations behind them, each
            with `count` entries.
        states: Moving means and variances of the batch normalizations.
        reason: Why the units must be left alone; None if they can be cut.
        trainable: Whether all of `kernels` and `vectors` are trained.
        makers: The layers that make the units, with the keys of their outputs.
        readers: The layers that read them.
        steps: What lies between, in the order of the graph.
    """

    name: str
    count: int
    kernels: tuple[tuple[keras.Variable, int], ...]
    vectors: tuple[keras.Variable, ...]
    states: tuple[keras.Variable, ...]
    reason: str | None
    trainable: bool
    makers: tuple[tuple[Any, int], ...]
    readers: tuple[Reader, ...]
    steps: tuple[Step, ...]


def unit_groups(model: keras.Model) -> list[UnitGroup]:
    """Groups of units of `model`, in the order of its graph.

    A unit is a neuron of a dense layer or a filter of a convolution. Units that an `Add` or the like lays
    upon one another are in one group. A group whose units cannot be told apart all the way to the layers
    that read them has a `reason`, and must be left alone.

    Args:
        model: A built Sequential or functional model.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model has another form, or is not built.

    Example:
    >>> import keras
    >>> from keras_koopman.pruning.graph import unit_groups
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")]
    ... )
    >>> [(group.name, group.count, group.reason) for group in unit_groups(model)]
    [('a', 3, None), ('b', 2, "'b' is an output of the model")]
    """
    graph = graph_of(model)
    tracer = _Tracer(_sharing(graph))
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            tracer.visit(node)
    for tensor in graph.outputs:
        name = tensor._keras_history[0].name
        tracer.drafts_of([tensor])[0].refuse(f"{name!r} is an output of the model")
    trained = {id(variable) for variable in model.trainable_variables}
    order = {id(operation): number for number, operation in enumerate(graph.operations)}
    drafts = {id(draft): draft for draft, _ in tracer.slots.values() if draft.makers}
    for draft in drafts.values():
        draft.makers.sort(key=lambda made: order[id(made[0])])
    in_order = sorted(drafts.values(), key=lambda draft: order[id(draft.makers[0][0])])
    return [draft.freeze(trained) for draft in in_order]


def graph_of(model: Any) -> Any:
    """The functional model that holds the graph of `model`.

    Raises:
        TypeError: If it is no Keras model.
        ValueError: If there is none.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {model!r} of type {type(model).__name__}.")
    if isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(f"model {model.name!r} is not built. Call it on data, or build it.")
    graph = getattr(model, "_functional", None) or model
    own_call = any("call" in vars(c) for c in type(model).__mro__ if not c.__module__.startswith("keras."))
    if own_call or not hasattr(graph, "_nodes_by_depth"):
        raise ValueError(
            f"model {model.name!r} is a subclassed model, whose graph is not known, got a "
            f"{type(model).__name__}. Write it as a functional or Sequential model."
        )
    return graph


def _sharing(graph: Any) -> dict[int, str]:
    """Id of each operation that must be left alone for what it shares -> the reason."""
    calls = Counter(id(node.operation) for nodes in graph._nodes_by_depth.values() for node in nodes)
    owners: dict[int, list[Any]] = {}
    for layer in graph.layers:
        for variable in layer.variables:
            owners.setdefault(id(variable), []).append(layer)
    reasons = {}
    for sharers in owners.values():
        for layer in sharers:
            others = [other.name for other in sharers if other is not layer]
            if others:
                reasons[id(layer)] = f"{layer.name!r} shares a variable with {others[0]!r}"
    for operation in graph.operations:
        if calls[id(operation)] > 1:
            reasons[id(operation)] = f"{operation.name!r} is used more than once"
    return reasons


class _Draft:
    """A group while the graph is followed."""

    def __init__(self, count: int | None, reason: str | None = None) -> None:
        self.count = count
        self.reason = reason
        self.makers: list[tuple[Any, int]] = []
        self.readers: list[Reader] = []
        self.steps: list[tuple[int, Step]] = []
        self.norms: list[Any] = []

    def refuse(self, reason: str) -> None:
        """Take the reason; the first one stays."""
        self.reason = self.reason or reason

    def absorb(self, other: _Draft) -> None:
        """Take in what the other group has."""
        self.makers += other.makers
        self.readers += other.readers
        self.steps += other.steps
        self.norms += other.norms
        if other.reason:
            self.refuse(other.reason)

    def freeze(self, trained: set[int]) -> UnitGroup:
        """The group as a result."""
        plain = [layer for layer, _ in self.makers if _is_plain(layer)]
        kernels = tuple((layer.kernel, len(layer.kernel.shape) - 1) for layer in plain)
        norms = [vector for norm in self.norms for vector in (norm.gamma, norm.beta)]
        vectors = tuple(v for v in [layer.bias for layer in plain] + norms if v is not None)
        own = [kernel for kernel, _ in kernels] + list(vectors)
        return UnitGroup(
            name=" + ".join(layer.name for layer, _ in self.makers),
            count=self.count or 0,
            kernels=kernels,
            vectors=vectors,
            states=tuple(v for norm in self.norms for v in (norm.moving_mean, norm.moving_variance)),
            reason=self.reason,
            trainable=bool(own) and all(id(variable) in trained for variable in own),
            makers=tuple(self.makers),
            readers=tuple(self.readers),
            steps=tuple(step for _, step in sorted(self.steps, key=lambda pair: pair[0])),
        )


class _Tracer:
    """Follows the tensors of a graph. Each has a slot: the group of its last axis, and the repeats of it."""

    def __init__(self, sharing: dict[int, str]) -> None:
        self.sharing = sharing
        self.slots: dict[int, tuple[_Draft, int]] = {}
        self.made: dict[int, int] = {}
        self.visited = 0

    def drafts_of(self, tensors: list[Any]) -> list[_Draft]:
        """The groups of these tensors."""
        return [self.slots[id(tensor)][0] for tensor in tensors]

    def visit(self, node: Any) -> None:
        """Take in the next call of the graph."""
        self.visited += 1
        layer, inputs = node.operation, list(node.input_tensors)
        if node.is_input:
            self._open(node, f"{layer.name!r} is an input of the model")
            return
        reason = self.sharing.get(id(layer)) or _refusal(node, [self.slots[id(t)][1] for t in inputs])
        if reason:
            for draft in self.drafts_of(inputs):
                draft.refuse(reason)
            self._open(node, reason)
        elif type(layer) in MAKERS:
            draft, repeats = self.slots[id(inputs[0])]
            draft.readers.append(Reader(layer, id(inputs[0]), repeats))
            self._open(node, None if _is_elementwise(layer) else _mixes(layer))
        else:
            self._pass(layer, inputs, node.outputs[0])

    def _open(self, node: Any, reason: str | None) -> None:
        """Begin new groups, one for each tensor that the call gives."""
        layer = node.operation
        for tensor in node.outputs:
            draft = _Draft(tensor.shape[-1] if tensor.shape else None, reason)
            if id(layer) in self.made:
                draft, _ = self.slots[self.made[id(layer)]]
            elif type(layer) in MAKERS:
                draft.makers.append((layer, id(tensor)))
                self.made[id(layer)] = id(tensor)
            self.slots[id(tensor)] = draft, 1

    def _pass(self, layer: Any, inputs: list[Any], output: Any) -> None:
        """Hand the units on, and tie groups that meet here."""
        draft, repeats = self.slots[id(inputs[0])]
        for other in self.drafts_of(inputs[1:]):
            if other is not draft:
                draft.absorb(other)
                # Every tensor of the other group now belongs to this one.
                self.slots |= {key: (draft, r) for key, (d, r) in self.slots.items() if d is other}
        if type(layer) is layers.BatchNormalization:
            draft.norms.append(layer)
        if type(layer) is layers.Flatten:
            repeats *= math.prod(inputs[0].shape[1:-1])
        step = Step(layer, tuple(map(id, inputs)), id(output), len(inputs[0].shape), repeats)
        draft.steps.append((self.visited, step))
        self.slots[id(output)] = draft, repeats


def _refusal(node: Any, repeats: list[int]) -> str | None:
    """Why this call may mix units, in words that name the layer; None if it keeps them apart."""
    layer, inputs = node.operation, node.input_tensors
    name, kind = layer.name, type(layer)
    if kind not in KNOWN:
        return f"{name!r}, a {kind.__name__}, is not known to keep units apart"
    if getattr(layer, "data_format", None) == "channels_first":
        return f"{name!r} has data_format='channels_first'"
    if any(value is not None and value is not False for value in node.arguments.kwargs.values()) or (
        kind not in MERGES and len(inputs) > 1
    ):
        return f"{name!r} is called with arguments of its own or with a mask"
    if kind in MAKERS:
        if getattr(layer, "groups", 1) != 1:
            return f"{name!r} has groups={layer.groups}"
        return None if _is_plain(layer) else f"{name!r} is quantized or has LoRA"
    if layer.activity_regularizer is not None:
        return f"{name!r} has an activity regularizer"
    if kind is layers.Activation and not _is_elementwise(layer):
        return _mixes(layer)
    if kind is layers.BatchNormalization:
        if layer.axis not in (-1, len(inputs[0].shape) - 1):
            return f"{name!r} has axis={layer.axis}"
        if repeats[0] != 1:
            return f"{name!r} stands behind a Flatten"
    if kind is layers.UpSampling2D and layer.interpolation not in ("nearest", "bilinear"):
        return f"{name!r} has interpolation={layer.interpolation!r}"
    if kind is layers.Flatten and None in inputs[0].shape[1:]:
        return f"{name!r} flattens an unknown number of positions"
    if kind in MERGES:
        if len({tuple(tensor.shape) for tensor in inputs}) > 1 or len(set(repeats)) > 1:
            return f"{name!r} merges tensors of unlike shapes"
        if any(getattr(tensor, "_keras_mask", None) is not None for tensor in inputs):
            return f"{name!r} gets a mask"
    return None


def _is_plain(layer: Any) -> bool:
    """Whether the kernel of a dense layer or convolution is the variable it seems."""
    return not getattr(layer, "lora_enabled", False) and getattr(layer, "quantization_mode", None) is None


def _is_elementwise(layer: Any) -> bool:
    return layer.activation is None or any(layer.activation is known for known in ELEMENTWISE)


def _mixes(layer: Any) -> str:
    return f"the activation of {layer.name!r} is not known to act on each unit alone"
