"""Which weights are pruned, in which structure, and which are left alone for what reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from .. import _checks, _patterns
from .graph import unit_groups
from .selection import MOST
from .targets import BlockTarget, PatternTarget, Target, UnitTarget

Structure = str | tuple[int, int] | None

# Last parts of the paths of tensors that are left alone unless they are asked for.
LEFT_ALONE = {
    "bias": "a bias",
    "gamma": "a scale",
    "scale": "a scale",
    "beta": "an offset",
    "alpha": "a slope",
}


class Plan(NamedTuple):
    """What is pruned, and path -> reason for what is not."""

    targets: list[Target]
    skipped: dict[str, str]


def checked_structure(value: Any) -> Structure:
    """A structure as the optimizer keeps it.

    Raises:
        TypeError: If it is of no kind that is known.
        ValueError: If it is not a structure, or its numbers make no sense.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if value == "unit":
            return value
        pattern = re.fullmatch(r"(\d+):(\d+)", value)
        if pattern is None:
            raise ValueError(
                f"structure must be None, 'unit', a pattern like '2:4' or a block (rows, columns), "
                f"got {value!r}."
            )
        n, m = int(pattern[1]), int(pattern[2])
        if not 0 < n < m:
            raise ValueError(f"structure={value!r} keeps {n} of each {m}: it must keep 1 to {m - 1}.")
        return value
    if isinstance(value, list | tuple) and len(value) == 2:
        rows = _checks.whole_number("structure: rows", value[0], least=1)
        columns = _checks.whole_number("structure: columns", value[1], least=1)
        return rows, columns
    raise TypeError(
        "structure must be None, 'unit', a pattern like '2:4' or a block (rows, columns), "
        f"got {value!r} of type {type(value).__name__}."
    )


def group_sparsity(structure: Structure) -> float:
    """Sparsity of the weights when all groups are pruned."""
    if isinstance(structure, str) and ":" in structure:
        n, m = map(int, structure.split(":"))
        return 1.0 - n / m
    return 1.0


def plan(
    variables: Sequence[keras.Variable],
    structure: Structure,
    include: tuple[str, ...] | None,
    exclude: tuple[str, ...],
    model: keras.Model | None,
) -> Plan:
    """Divide the variables into what is pruned and what is not.

    Raises:
        ValueError: If nothing is left to prune.
    """
    chosen, skipped = _chosen(variables, include, exclude, model)
    if not chosen:
        asked = f"include={list(include)}" if include else "the choice of weights"
        raise ValueError(
            f"{asked} with exclude={list(exclude)} leaves no weight to prune. Trainable weights are "
            f"{', '.join(repr(v.path) for v in variables[:20])}."
        )
    if structure == "unit":
        found = _unit_targets(variables, chosen, exclude, model)
    else:
        found = _tensor_targets(variables, chosen, structure, model)
    if not found.targets:
        reasons = "; ".join(f"{path!r}: {reason}" for path, reason in found.skipped.items())
        raise ValueError(f"structure={structure!r} fits no weight: {reasons}. Take another structure.")
    skipped |= found.skipped
    pruned = {variables[index].path for target in found.targets for index in target.members}
    return Plan(found.targets, {path: reason for path, reason in skipped.items() if path not in pruned})


def _chosen(
    variables: Sequence[keras.Variable],
    include: tuple[str, ...] | None,
    exclude: tuple[str, ...],
    model: keras.Model | None,
) -> tuple[list[int], dict[str, str]]:
    """Indices of what may be pruned, and reasons for the rest."""
    reasons = [_why_not(variable, include, exclude, model) for variable in variables]
    chosen = [index for index, reason in enumerate(reasons) if reason is None]
    skipped = {v.path: reason for v, reason in zip(variables, reasons, strict=True) if reason is not None}
    return chosen, skipped


def _why_not(
    variable: keras.Variable,
    include: tuple[str, ...] | None,
    exclude: tuple[str, ...],
    model: keras.Model | None,
) -> str | None:
    """Why a tensor is not to be pruned; None if it is."""
    path = variable.path
    if getattr(variable, "overwrite_with_gradient", False):
        return "it is a state of quantized training"
    if _fits(path, exclude, model):
        return "excluded"
    if include is not None and not _fits(path, include, model):
        return "not included"
    if not str(variable.dtype).startswith(("float", "bfloat")):
        return f"its dtype is {variable.dtype}"
    return _why_alone(path.rsplit("/", 1)[-1], len(variable.shape)) if include is None else None


def _fits(path: str, patterns: tuple[str, ...], model: keras.Model | None) -> bool:
    """Whether a path fits, with or without the model's name in front: loading takes it from a Sequential."""
    if model is None:
        return _patterns.fits(path, patterns)
    bare = path.removeprefix(f"{model.name}/")
    return any(_patterns.fits(form, patterns) for form in (path, bare, f"{model.name}/{bare}"))


def _why_alone(name: str, rank: int) -> str | None:
    """Why a tensor is left alone unless asked for; None if it is a kernel."""
    if "embedding" in name:
        return "an embedding: include it to prune it"
    kind = LEFT_ALONE.get(re.sub(r"_\d+$", "", name)) or ("a bias" if name.endswith("bias") else None)
    kind = kind or ("a vector" if rank < 2 else None)
    return f"{kind}: include it to prune it" if kind else None


def _tensor_targets(
    variables: Sequence[keras.Variable], chosen: list[int], structure: Structure, model: keras.Model | None
) -> Plan:
    targets: list[Target] = []
    skipped: dict[str, str] = {}
    without_inputs = _without_inputs(model)
    for index in chosen:
        path, shape = variables[index].path, tuple(variables[index].shape)
        if structure is None:
            targets.append(Target(path, index, shape))
        elif len(shape) < 2:
            skipped[path] = f"structure {structure!r} needs a matrix, this has {len(shape)} axis"
        elif isinstance(structure, tuple):
            targets.append(BlockTarget(path, index, shape, *structure))
        else:
            n, m = map(int, structure.split(":"))
            if path.rsplit("/", 1)[-1].startswith("depthwise") or id(variables[index]) in without_inputs:
                skipped[path] = (
                    f"structure {structure!r} runs along the last axis but one, which here holds no inputs"
                )
            elif shape[-2] % m:
                skipped[path] = f"structure {structure!r}: {m} does not divide its {shape[-2]} inputs"
            else:
                targets.append(PatternTarget(path, index, shape, n, m))
    for target in targets:
        if target.size > MOST:
            skipped[target.name] = (
                f"it has {target.size:,} {target.unit}, more than the {MOST:,} that are ranked"
            )
    return Plan([target for target in targets if target.size <= MOST], skipped)


def _without_inputs(model: keras.Model | None) -> set[int]:
    """Ids of the kernels whose last axis but one is not that of the inputs, by their layers."""
    layers = model._flatten_layers() if model is not None else ()
    return {id(layer.kernel) for layer in layers if _turned(layer)}


def _turned(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.EinsumDense) and layer.built:
        inputs, kernel, outputs = re.split(",|->", layer.equation.replace("...", ""))
        return len(kernel) < 2 or kernel[-2] not in inputs or kernel[-2] in outputs
    kinds = ("DepthwiseConv1D", "DepthwiseConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
    found = tuple(kind for name in kinds if (kind := getattr(keras.layers, name, None)) is not None)
    return isinstance(layer, found) and layer.built


def _unit_targets(
    variables: Sequence[keras.Variable],
    chosen: list[int],
    exclude: tuple[str, ...],
    model: keras.Model | None,
) -> Plan:
    if model is None:
        raise ValueError(
            "structure='unit' must know which layers follow which. Use kk.prune(model, ..., structure='unit')"
            ", or train with model.fit, or call optimizer.build_for(model) before the first step."
        )
    index_of = {id(v): i for i, v in enumerate(variables)}
    targets: list[Target] = []
    skipped: dict[str, str] = {}
    covered: set[int] = set()
    for group in unit_groups(model):
        kernels = [(index_of.get(id(v)), tuple(v.shape), axis) for v, axis in group.kernels]
        reason = group.reason
        if reason is None and (not group.trainable or any(i is None for i, _, _ in kernels)):
            reason = "some of its weights are frozen, and a unit goes as a whole"
        elif reason is None and any(i not in chosen for i, _, _ in kernels):
            reason = "not among the weights chosen"
        elif reason is None and group.count < 2:
            reason = "it has one unit"
        if reason is not None:
            skipped |= {v.path: reason for v, _ in group.kernels}
            continue
        known = [(i, shape, axis) for i, shape, axis in kernels if i is not None]
        # One that is excluded keeps its values: the unit is then a constant, which `shrink` can move.
        vectors = [
            index_of[id(v)] for v in group.vectors if id(v) in index_of and not _fits(v.path, exclude, model)
        ]
        targets.append(UnitTarget(group.name, group.count, known, vectors))
        covered |= set(targets[-1].members)
    for index in chosen:
        if index not in covered:
            skipped.setdefault(variables[index].path, "its layer makes no units that can be followed")
    return Plan(targets, skipped)
