"""What the training losses say of a run: whether it is bad, not why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from ..backend import is_tensor, to_host


@dataclass(frozen=True)
class LossFigures:
    """Figures of the training losses, oldest first.

    Attributes:
        count: how many there were.
        first: the first of them, a mean over the first epoch.
        last: the last.
        lowest: the lowest.
        baseline: loss before any training; None if it was not given.
        rising: whether each of the last three was above the one before.
        broken: number of the first loss that is NaN or infinite, from 1; None if all are finite.
    """

    count: int
    first: float
    last: float
    lowest: float
    baseline: float | None = None
    rising: bool = False
    broken: int | None = None

    @property
    def start(self) -> float:
        """Where the loss began: the baseline, or else the first loss."""
        return self.first if self.baseline is None else self.baseline

    @property
    def left(self) -> float | None:
        """Share of the start that is left; None where losses are not positive: shares mean nothing."""
        return self.last / self.start if self.start > 0 and self.lowest >= 0 else None


def loss_figures(losses: Any, baseline: Any = None) -> LossFigures | None:
    """Figures of losses.

    Args:
        losses: numbers, a Keras `History` or its dict; None if there are none.
        baseline: loss before any training, or None.

    Returns:
        The figures; None without losses.

    Raises:
        TypeError: If `losses` or `baseline` has the wrong type.
        ValueError: If `losses` is empty or has the wrong shape, or the baseline is not finite.
    """
    if baseline is not None:
        baseline = _checks.real_number("baseline", baseline, -math.inf, math.inf)
    if losses is None:
        if baseline is not None:
            raise ValueError("baseline without losses says nothing. Pass losses too.")
        return None
    values = _numbers(losses)
    broken = np.flatnonzero(~np.isfinite(values))
    finite = values[np.isfinite(values)]
    return LossFigures(
        count=len(values),
        first=float(values[0]),
        last=float(values[-1]),
        lowest=float(np.min(finite, initial=math.inf)),
        baseline=baseline,
        rising=len(values) > 3 and bool(np.all(np.diff(values[-4:]) > 0)),
        broken=int(broken[0]) + 1 if len(broken) else None,
    )


def _numbers(losses: Any) -> Any:
    """A vector of losses."""
    losses = getattr(losses, "history", losses)
    if isinstance(losses, Mapping):
        if "loss" not in losses:
            raise ValueError(
                f"losses has no 'loss', only {', '.join(map(repr, losses)) or 'nothing'}. Pass the history "
                "of fit, or a list of training losses."
            )
        losses = losses["loss"]
    if is_tensor(losses):
        losses = to_host(losses)
    if isinstance(losses, str | bytes) or not isinstance(losses, Sequence | np.ndarray):
        raise TypeError(
            "losses must be a list of numbers, one for each epoch, or the History that fit returned, got "
            f"{losses!r} of type {type(losses).__name__}."
        )
    try:
        values = np.asarray(losses, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"losses must be numbers, got {list(losses)[:5]!r}.") from None
    if values.ndim != 1 or not len(values):
        raise ValueError(
            f"losses must be a list of one number or more, got shape {values.shape}. Pass "
            'history.history["loss"].'
        )
    return values
