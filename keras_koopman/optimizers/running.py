"""What an optimizer can learn of the training that calls it."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import keras


class Running(NamedTuple):
    """Who calls the optimizer."""

    model: keras.Model | None  # whose method builds or calls it, if one does
    in_fit: bool
    steps: int | None  # that this fit will make in all; None if nobody knows


def innermost(optimizer: Any) -> list[Any]:
    """An optimizer and those that it wraps, from outside in."""
    found = [optimizer]
    while getattr(found[-1], "inner_optimizer", None) is not None:
        found.append(found[-1].inner_optimizer)
    return found


def running(optimizer: keras.optimizers.Optimizer) -> Running:
    """The training in which `optimizer` is being built or traced.

    Keras tells an optimizer the variables but never the model, nor how long it will be trained. Both stand
    further up in the stack, on whose every frame a method of the model waits for us.
    """
    model: keras.Model | None = None
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.Model) and optimizer in innermost(getattr(caller, "optimizer", None)):
            model = caller
            if frame.f_code.co_name == "fit":
                params: Any = getattr(frame.f_locals.get("callbacks"), "params", None) or {}
                first = frame.f_locals.get("initial_epoch") or 0
                length, epochs = params.get("steps"), params.get("epochs")
                unknown = length is None or epochs is None
                return Running(model, True, None if unknown else (epochs - first) * length)
        frame = frame.f_back  # type: ignore[assignment]
    return Running(model, False, None)
