"""The learning rate of an optimizer, bare or wrapped: whether it can be changed, and how."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from .weights import wrapped


def schedule_of(optimizer: Any) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """The schedule that the learning rate follows; None if it is a number."""
    rate = getattr(list(wrapped(optimizer))[-1], "_learning_rate", None)
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def rate_of(optimizer: Any) -> float:
    """The learning rate now."""
    return float(ops.convert_to_numpy(list(wrapped(optimizer))[-1].learning_rate))


def set_rate(optimizer: Any, rate: float) -> None:
    """Set a learning rate that follows no schedule."""
    list(wrapped(optimizer))[-1].learning_rate = rate
