"""The state of an optimizer, when the weights that it trains are replaced by sums of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from ..backend import precision, read
from .change import Change, moved, scope_of

Key = tuple[str, int]  # name, and how many of that name came before


def renew_optimizer(model: keras.Model, changes: Sequence[Change], carry: bool) -> None:
    """Put an optimizer like that of a model in its place, built for the weights as they are now.

    Every optimizer names a slot after the path of its weight, by which it is found again; so wrapped
    optimizers need no care of their own. What belongs to no weight (steps, learning rate, loss scale) is
    carried in any case, and so are masks.

    Args:
        model: whose weights have changed.
        changes: what became of them.
        carry: whether slots are carried over too.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not optimizer.built or not changes:
        return
    values = {key: read(variable) for key, variable in _keyed(optimizer.variables)}
    with scope_of(model):
        new = like(optimizer)
        _exclude_from_decay(optimizer, new, model, changes)
        parts: list[Any] = [new, getattr(new, "inner_optimizer", None)]
        for part in parts:
            if hasattr(part, "build_for"):  # it must see the model, not its weights alone
                part.build_for(model)
        new.build(model.trainable_variables)
        paths = tuple(v.path.replace("/", "_") + "_" for v in model.trainable_variables)
        for (name, number), variable in _keyed(new.variables):
            if not carry and precision(variable) != "bool" and name.startswith(paths):
                continue
            sources = origins(name, changes, "_")
            found = {i: values.get((source, number)) for i, source in enumerate(sources)}
            if any(v is None or tuple(v.shape) != tuple(variable.shape) for v in found.values()):
                continue  # it counts what has another number now: it begins anew
            weights = dict(enumerate(sources.values()))
            variable.assign(moved(weights, found, within=True))
    compiled = getattr(model, "_compile_config", None)
    if compiled is not None and isinstance(compiled.config.get("optimizer"), keras.optimizers.Optimizer):
        compiled.config["optimizer"] = new
    model.optimizer = new


def origins(name: str, changes: Iterable[Change], between: str) -> dict[str, float]:
    """Old names, with coefficients, that a name stands for now; the name itself if its weight has stayed.

    Args:
        name: with the path of a weight at its start.
        changes: of blocks.
        between: what stands between the parts of the path in the name.
    """
    for change in changes:
        prefix = change.prefix.replace("/", between)
        node, dash, rest = name.removeprefix(prefix).partition(between)
        if name.startswith(prefix) and dash and node.isdigit():
            return {f"{prefix}{source}{between}{rest}": c for source, c in change.sources[int(node)].items()}
    return {name: 1.0}


def _keyed(variables: Iterable[Any]) -> list[tuple[Key, Any]]:
    """Variables with their names, numbered where several have one name."""
    count: Counter[str] = Counter()
    found = []
    for variable in variables:
        found.append(((variable.name, count[variable.name]), variable))
        count[variable.name] += 1
    return found


def like(optimizer: Any) -> Any:
    """A new optimizer, not built, with the same arguments; schedules and criteria are the same objects."""
    config = optimizer.get_config()
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is None:
        rate = getattr(optimizer, "_learning_rate", None)
        if callable(rate) and not isinstance(rate, keras.Variable):
            config["learning_rate"] = rate
        return type(optimizer).from_config(config)
    for name in config:
        if name in ("inner", "inner_optimizer"):
            config[name] = like(inner)
        elif isinstance(config[name], dict) and hasattr(optimizer, name):
            config[name] = getattr(optimizer, name)
    return type(optimizer)(**config)


def _exclude_from_decay(old: Any, new: Any, model: keras.Model, changes: Sequence[Change]) -> None:
    """Leave out of weight decay what was left out before."""
    while hasattr(old, "inner_optimizer"):
        old, new = old.inner_optimizer, new.inner_optimizer
    excluded = {v.path for v in old._trainable_variables if not old._use_weight_decay(v)}
    variables = model.trainable_variables
    kept = [v for v in variables if excluded.intersection(origins(v.path, changes, "/"))]
    if kept:
        new.exclude_from_weight_decay(kept)
