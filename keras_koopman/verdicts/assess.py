"""`assess`: what is the matter with a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..spectrum.posterior import posterior as spectrum_posterior
from ..trajectory import Trajectory
from .calibrated import calibrated
from .judge import judge
from .losses import LossFigures, loss_figures
from .path import WINDOW, PathFigures, measure_path
from .thresholds import Thresholds
from .verdict import Diagnosis, Verdict


def assess(
    trajectory: Any,
    losses: Any = None,
    *,
    baseline: float | None = None,
    window: int = WINDOW,
    thresholds: Thresholds | None = None,
    posterior: bool = False,
) -> Verdict:
    """What is the matter with a run, how sure that is, and why.

    The losses say *whether* a run is bad, the path of the weights says *why*: a rate too low leaves every
    layer drifting steadily, one too high throws the weights far from where they began, and what neither
    explains is laid to the initialisation. A good run has converged once its steps have died out, and is
    limited by noise once its drift is drowned in that of the minibatches. Too little data gives `UNDECIDED`.

    Args:
        trajectory: Of means over epochs or other equal intervals, as `KoopmanMonitor` records and
            `TrajectoryRecorder(average=True)`; or the recorder itself. The weights at the ends of epochs
            would pass for noise.
        losses: Training losses, one for each epoch from the first; the `History` that `fit` returned; or its
            dict. Defaults to None: then only the path can be judged.
        baseline: Loss of a model that knows nothing: of the best constant prediction (the logarithm of the
            number of classes, the variance of the targets), or `model.evaluate(x, y)` before training if
            that is lower. Without it the mean of the first epoch stands in, which in large data is low
            already, so that most bad runs stay `UNDECIDED`. Defaults to None.
        window: How many increments of the path to look at. Defaults to 8.
        thresholds: Defaults to `Thresholds()`.
        posterior: For a converged run, take as probability the posterior's that every mode of the increments
            decays, where it can be trusted. Loads TensorFlow Probability. Defaults to False.

    Returns:
        A `Verdict`.

    Raises:
        TypeError: If an argument has the wrong type, or a recorder does not record means.
        ValueError: If the trajectory cannot hold `window + 1` snapshots, `losses` is empty or has no
            `"loss"`, or the baseline is not finite or comes without losses.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(1e-4), "mse")  # far too slow
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> y = x[:, :1] - 2 * x[:, 1:]
    >>> baseline = model.evaluate(x, y, verbose=0)
    >>> recorder = kk.callbacks.TrajectoryRecorder(average=True)
    >>> history = model.fit(x, y, epochs=12, verbose=0, callbacks=[recorder])
    >>> kk.verdicts.assess(recorder.trajectory, history, baseline=baseline).diagnosis.name
    'LEARNING_RATE_TOO_LOW'
    """
    thresholds = Thresholds() if thresholds is None else thresholds
    if not isinstance(thresholds, Thresholds):
        raise TypeError(f"thresholds must be Thresholds, got {type(thresholds).__name__}.")
    path_of_run = _trajectory(trajectory)
    loss = loss_figures(losses, baseline)
    path = measure_path(path_of_run, window)
    diagnosis, reason = judge(path, loss, thresholds)
    probability, origin = _probability(diagnosis, path, loss, thresholds)
    if posterior and diagnosis is Diagnosis.CONVERGED:
        probability, origin = _decay(path_of_run, probability, origin)
    return Verdict(diagnosis, reason, probability, origin, path, loss)


def _trajectory(source: Any) -> Trajectory:
    """A trajectory, or that of a recorder of means."""
    if isinstance(source, Trajectory):
        return source
    found = getattr(source, "trajectory", None)
    if not isinstance(found, Trajectory):
        raise TypeError(
            f"trajectory must be a kk.Trajectory or a recorder that has one, got {type(source).__name__}."
        )
    if not getattr(source, "average", True):
        raise TypeError(
            "trajectory must be of means, but the recorder takes the weights at the end of each interval. "
            "Record with average=True, or with a KoopmanMonitor."
        )
    return found


def _probability(
    diagnosis: Diagnosis, path: PathFigures, loss: LossFigures | None, thresholds: Thresholds
) -> tuple[float | None, str]:
    """Probability that the diagnosis is right, and where it comes from."""
    if loss is not None and loss.broken is not None:
        return 1.0, "observed"
    if diagnosis is Diagnosis.UNDECIDED:
        return None, "nothing was decided"
    if not thresholds.default:
        return None, "calibrated for default thresholds alone"
    if loss is None or loss.baseline is None:
        return None, "calibrated with losses and baseline alone"
    if path.still:
        return None, "no calibration run stood still"
    return calibrated(diagnosis)


def _decay(trajectory: Trajectory, probability: float | None, origin: str) -> tuple[float | None, str]:
    """The posterior's probability that every mode of the increments decays, if it can be trusted."""
    try:
        found = spectrum_posterior(trajectory.increments())
    except ValueError as error:
        return probability, f"{origin}; no posterior: {error}"
    if not found.trusted:
        return probability, f"{origin}; the posterior is not trusted: {found.reason}"
    return float(np.round(1 - found.any_growth, 4)), (
        f"posterior: that every mode decays, from {found.columns} pairs of increments"
    )
