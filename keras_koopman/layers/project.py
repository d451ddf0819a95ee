"""`project`: another depth or scheme without data."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
from keras import ops

from .. import _checks
from ..backend import read, to_host
from .basis import Basis, mass, projection, residual
from .change import blocks_of, change_block
from .continuous_block import ContinuousBlock
from .prototype import learned
from .slots import like
from .tableau import Tableau, tableau_of


class Projection(NamedTuple):
    """What `kk.layers.project` gives.

    Attributes:
        model: the new one.
        error: L2 distance over time of the weights of its blocks to those of the old ones, as a share of
            the norm of the old ones.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> block = kk.layers.ContinuousBlock(kk.layers.DenseRate(), steps=4, nodes=1)
    >>> model = keras.Sequential([keras.Input((3,)), block])
    >>> kk.layers.project(model, steps=2).error
    0.0
    """

    model: keras.Model
    error: float


def project(
    model: keras.Model,
    nodes: int | None = None,
    steps: int | None = None,
    scheme: str | Tableau | None = None,
    basis: Literal["constant", "fem", "linear", "polynomial"] | None = None,
) -> Projection:
    """A model whose blocks have another depth, scheme or basis, without data.

    The weights as functions of time are replaced by the nearest ones, in L2, that the new nodes can make up.
    It is exact where the new basis contains the old one. Moving statistics stay with their times: as they are
    where steps and scheme stay, else those of the nearest stages. The error says how far the weights moved,
    not how much worse the model is: evaluate it.

    Args:
        model: With one `ContinuousBlock` or more; Sequential, functional, or of a class with `get_config`.
        nodes: New number of nodes. Defaults to None: as before.
        steps: New number of steps. Defaults to None: as before.
        scheme: New scheme. Defaults to None: as before.
        basis: New basis. Defaults to None: as before.

    Returns:
        The new model, compiled like the old one but with an optimizer that begins anew, and the error.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, the model has no blocks or is not built.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> block = kk.layers.ContinuousBlock(kk.layers.DenseRate(), steps=4)
    >>> model = keras.Sequential([keras.Input((3,)), block])
    >>> small, error = kk.layers.project(model, nodes=2, steps=2)
    >>> small.count_params() / model.count_params()
    0.5
    """
    blocks = blocks_of(model)
    if nodes is not None:
        nodes = _checks.whole_number("nodes", nodes, least=1)
    if steps is not None:
        steps = _checks.whole_number("steps", steps, least=1)
    tableau = None if scheme is None else tableau_of(scheme)
    if not model.built or not all(block.built for block in blocks):
        raise ValueError(
            f"model {model.name!r} is not built, so it has no weights. Call it on some inputs first."
        )
    new = copied(model)
    moved = total = 0.0
    for block in blocks_of(new):
        source = block._basis
        target = Basis(basis or source.name, nodes or source.nodes)
        moved += _energy(block, residual(source, target))
        total += _energy(block, mass(source))
        matrix = projection(source, target)
        change_block(new, block, tableau or block.tableau, target, steps or block.steps, matrix)
        block._warn_of_unused()
    _compile_like(new, model)
    return Projection(new, math.sqrt(moved / total) if total else 0.0)


def copied(model: keras.Model) -> keras.Model:
    """A model with layers of its own and the same values, not compiled.

    Raises:
        ValueError: If it cannot be made from its configuration.
    """
    try:
        new = type(model).from_config(model.get_config())
        if not new.built:
            new.build_from_config(model.get_build_config() or {})
    except NotImplementedError as error:
        raise ValueError(
            f"model {model.name!r} of class {type(model).__name__} cannot be copied: its class must have a "
            f"get_config that gives the arguments of its constructor. ({error})"
        ) from error
    if [tuple(v.shape) for v in new.variables] != [tuple(v.shape) for v in model.variables]:
        raise ValueError(
            f"model {model.name!r} cannot be copied: made from its configuration, a {type(model).__name__} "
            f"has {len(new.variables)} variables, not {len(model.variables)}. Give it a build method that "
            "builds all its layers, or make it a functional model."
        )
    for variable, value in zip(new.variables, model.variables, strict=True):
        variable.assign(ops.copy(read(value)))  # JAX gives buffers away in a step: none may be shared
    return new


def _energy(block: ContinuousBlock, matrix: Any) -> float:
    """`sum_w w' M w` over all weights of a rate, w their values at the nodes; M is positive semidefinite."""
    values, vectors = np.linalg.eigh(matrix)
    # As a sum of squares, in which nothing cancels.
    roots = (np.sqrt(np.clip(values, 0.0, None)) * vectors).T.astype("float32")
    found = 0.0
    for i, weight in enumerate(learned(block.rates[0])):
        if weight:
            stacked = ops.stack([ops.reshape(read(rate.variables[i]), (-1,)) for rate in block.rates])
            found += float(to_host(ops.sum(ops.square(ops.matmul(roots, ops.cast(stacked, "float32"))))))
    return found


def _compile_like(new: keras.Model, model: keras.Model) -> None:
    if not model.compiled or model.optimizer is None:
        return
    # The arguments as they were given, not as a saved model would describe them. Metrics have a state.
    arguments = dict(model._compile_config.config)
    for name in ("metrics", "weighted_metrics"):
        arguments[name] = keras.tree.map_structure(
            lambda m: type(m).from_config(m.get_config()) if isinstance(m, keras.metrics.Metric) else m,
            arguments.get(name),
        )
    keras.Model.compile(new, **{**arguments, "optimizer": like(model.optimizer)})
