"""The rule by which figures become a diagnosis: the loss says whether a run is bad, the path says why."""

from __future__ import annotations

from .losses import LossFigures
from .path import PathFigures, StopReason, stopping_rule
from .thresholds import Thresholds
from .verdict import Diagnosis

Judgement = tuple[Diagnosis, str]


def judge(path: PathFigures, loss: LossFigures | None, thresholds: Thresholds) -> Judgement:
    """Diagnosis and reason, from figures alone.

    Args:
        path: of the weights.
        loss: of the losses, or None.
        thresholds: where one diagnosis ends and another begins.

    Returns:
        The diagnosis, and one sentence with the figures.
    """
    if loss is not None:
        diverged = _diverged(loss, thresholds)
        if diverged:
            return Diagnosis.DIVERGED, diverged
    if path.snapshots <= path.window:
        return Diagnosis.UNDECIDED, (
            f"{path.snapshots} snapshot{'s' * (path.snapshots != 1)} of the weights are too few: "
            f"{path.window} increments need {path.window + 1}."
        )
    if path.rho is None and not path.still:
        return Diagnosis.UNDECIDED, "the weights moved too little for their inner products to show how."
    stop = (
        StopReason.STEPS_DIED_OUT
        if path.still
        else stopping_rule(path.rho, path.speed, thresholds.rho, thresholds.speed)
    )
    if loss is None:
        return _by_path_alone(path, stop)
    if loss.left is None:
        return Diagnosis.UNDECIDED, (
            f"losses down to {loss.lowest:.3g} have no natural zero, so they do not tell whether the run is "
            f"bad; {_motion(path, stop)}."
        )
    if loss.baseline is None:
        return _without_baseline(path, loss, loss.left, stop, thresholds)
    if loss.left > thresholds.loss_left:
        return _cause(path, loss, loss.left, stop, thresholds)
    return _good(path, loss, loss.left, stop)


def _diverged(loss: LossFigures, thresholds: Thresholds) -> str | None:
    """Why the losses say that the run diverged; None if they do not."""
    if loss.broken == 1:
        return (
            "the loss was not finite from the first epoch on: look at the data, the loss function and the "
            "learning rate."
        )
    if loss.broken is not None:
        return f"the loss was not finite in epoch {loss.broken}, after {loss.first:.3g} in the first."
    start = max(loss.start, loss.first)
    if start > 0 and loss.last > thresholds.growth * start:
        return f"the loss has grown from {start:.3g} to {loss.last:.3g}."
    if loss.rising and loss.lowest > 0 and loss.last > thresholds.growth * loss.lowest:
        return f"the loss keeps rising and is {loss.last:.3g}, after {loss.lowest:.3g} at its lowest."
    return None


def _motion(path: PathFigures, stop: StopReason | None) -> str:
    """What the path does, in words with the figures."""
    if path.still:
        return "the weights stand still"
    words = stop.value if stop is not None else "the weights still drift"
    figures = [
        f"{name} {value:.2g}"
        for name, value in (("rho", path.rho), ("speed", path.speed))
        if value is not None
    ]
    return f"{words} ({', '.join(figures)})"


def _fallen(loss: LossFigures, left: float) -> str:
    since = "the baseline" if loss.baseline is not None else "that in the first epoch"
    return f"the loss is {loss.last:.3g}, {left:.0%} of {since}"


def _by_path_alone(path: PathFigures, stop: StopReason | None) -> Judgement:
    if stop is StopReason.DRIFT_IS_NOISE:
        return Diagnosis.NOISE_LIMITED, f"{_motion(path, stop)}; how good the run is, only losses can tell."
    return Diagnosis.UNDECIDED, (
        f"{_motion(path, stop)}, but without losses it cannot be told whether the run is good. Pass losses."
    )


def _good(path: PathFigures, loss: LossFigures, left: float, stop: StopReason | None) -> Judgement:
    """A run that has learned something."""
    diagnosis = {
        None: Diagnosis.HEALTHY,
        StopReason.DRIFT_IS_NOISE: Diagnosis.NOISE_LIMITED,
        StopReason.STEPS_DIED_OUT: Diagnosis.CONVERGED,
    }[stop]
    return diagnosis, f"{_fallen(loss, left)}, and {_motion(path, stop)}."


def _cause(
    path: PathFigures, loss: LossFigures, left: float, stop: StopReason | None, thresholds: Thresholds
) -> Judgement:
    """Why a bad run is bad."""
    head = _fallen(loss, left)
    least, displacement = path.least_layer_rho, path.displacement
    if stop is None and least is not None and least >= thresholds.low_rate_rho:
        return Diagnosis.LEARNING_RATE_TOO_LOW, (
            f"{head}, while every layer drifts steadily on (rho {least:.2g} or more): longer steps would pay."
        )
    if displacement is not None and displacement >= thresholds.high_rate_displacement:
        return Diagnosis.LEARNING_RATE_TOO_HIGH, (
            f"{head}, and the weights have gone {displacement:.3g} times as far as they were long: shorter "
            "steps would pay."
        )
    if stop is not None and left <= thresholds.hardly_fallen:
        return Diagnosis.STALLED, f"{head}, and {_motion(path, stop)}: it learned something and then stopped."
    went = "" if displacement is None else f"; the weights went {displacement:.2g} of their length"
    return Diagnosis.BAD_INITIALIZATION, (
        f"{head}, but steps neither too short nor too long explain it ({_motion(path, stop)}{went})."
    )


def _without_baseline(
    path: PathFigures, loss: LossFigures, left: float, stop: StopReason | None, thresholds: Thresholds
) -> Judgement:
    """The first epoch's loss may be low already, so it convicts only where the path agrees."""
    if left <= thresholds.hardly_fallen:
        return _good(path, loss, left, stop)
    least = path.least_layer_rho
    if stop is None and least is not None and least >= thresholds.low_rate_rho:
        return _cause(path, loss, left, stop, thresholds)
    return Diagnosis.UNDECIDED, (
        f"{_fallen(loss, left)}, and {_motion(path, stop)}: it learned all in the first epoch or nothing at "
        "all. Pass baseline, the loss before training."
    )
