"""`fit_with_restarts`: trains, and starts anew where a run began badly."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from .. import _checks
from .initialization_guard import InitializationGuard, direction
from .learning_rate import rate_of, schedule_of, set_rate
from .restart_report import RestartAttempt, RestartReport

BASELINE = 1000  # samples


def fit_with_restarts(
    build: Callable[..., keras.Model],
    fit_kwargs: Mapping[str, Any],
    max_restarts: int = 3,
    guard: InitializationGuard | None = None,
    rate_factor: float = 3.0,
    seed: int = 0,
    verbose: int = 0,
) -> RestartReport:
    """Train a model; where an early verdict is bad, start anew with what the verdict asks for.

    Each attempt begins with `keras.utils.set_random_seed` and a new model, and an `InitializationGuard`
    judges it after a fifth of its epochs. If the learning rate is to blame, or the loss was not finite, the
    next attempt has the same seed and a rate `rate_factor` times as high or as low. Where the same is said
    again, the steps grow: by its square, its cube. Between a rate that was too low and one that was too high
    the geometric mean is tried. If the initialisation is to blame the seed is another. When no restart is
    left, the attempt of lowest loss goes on to its end.

    A rate that follows a `LearningRateSchedule` cannot be changed from here: the seed is changed, and the
    report says so; unless `build` takes an argument `rate_factor` by which it multiplies its rates itself.

    Args:
        build: Makes a compiled model, each time a new one. It may have an argument `rate_factor`.
        fit_kwargs: Arguments of `model.fit`. Callbacks among them are used again in each attempt; generators
            cannot be.
        max_restarts: How often to start anew at most; 0 for one attempt that is judged and goes on. Defaults
            to 3.
        guard: Judges. Defaults to None: an `InitializationGuard` with the first thousand samples of
            `fit_kwargs` as baseline, where they are arrays.
        rate_factor: By which the learning rate is changed at first, above 1. Defaults to 3.
        seed: Of the first attempt; later ones count up. Defaults to 0.
        verbose: 1 prints a line for each attempt. Defaults to 0.

    Returns:
        A `RestartReport` with the trained `model`, its `history`, and what was tried; print it for a table.

    Raises:
        TypeError: If an argument has the wrong type, `build` gives no model, or the data can be read once
            only.
        ValueError: If an argument is out of range, the model is not compiled, or a run is too short to be
            judged.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> def build():
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ...     model.compile(keras.optimizers.SGD(0.003), "mse")  # slow
    ...     return model
    >>> report = kk.fit_with_restarts(
    ...     build, {"x": x, "y": x[:, :1] - 2 * x[:, 1:], "epochs": 45, "verbose": 0}, rate_factor=10
    ... )
    >>> [attempt.diagnosis for attempt in report.attempts][:1]
    ['LEARNING_RATE_TOO_LOW']
    >>> round(report.attempts[1].learning_rate, 3), report.chosen
    (0.03, 1)
    """
    _check(build, fit_kwargs, guard)
    max_restarts = _checks.whole_number("max_restarts", max_restarts, least=0)
    rate_factor = _checks.real_number("rate_factor", rate_factor, 1.0, math.inf)
    seed = _checks.whole_number("seed", seed, least=0)
    arguments = dict(fit_kwargs)
    callbacks = arguments.pop("callbacks", None) or []
    callbacks = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    if guard is None:
        guard = InitializationGuard(baseline=_baseline(arguments))
    rates = Rates(rate_factor)
    attempts: list[RestartAttempt] = []
    best: tuple[float, int, keras.Model, dict[str, list[Any]]] | None = None
    for number in range(max_restarts + 1):
        model = _new_model(build, seed, rates.scale)
        history = model.fit(callbacks=[guard, *callbacks], **arguments).history
        loss = history["loss"][-1] if history.get("loss") else math.nan
        bad = guard.stopped_epoch is not None
        if not bad or best is None or loss < best[0] or not math.isfinite(best[0]):
            best = (loss, number, model, history)
        restarts = bad and number < max_restarts
        step, next_seed = "kept", seed
        if restarts:
            step, next_seed = rates.next_step(guard, model, seed, _takes_factor(build))
        elif bad:
            step = "no restart left"
        attempts.append(_attempt(number, seed, model, guard, history, step))
        if verbose:
            print(f"fit_with_restarts: {attempts[-1]}")
        seed = next_seed
        if not bad:
            break
    assert best is not None
    loss, chosen, model, history = best
    if attempts[chosen].stopped and math.isfinite(loss):
        epochs = attempts[chosen].epochs + int(arguments.get("initial_epoch", 0))
        more = model.fit(callbacks=callbacks, **{**arguments, "initial_epoch": epochs}).history
        history = {name: [*history.get(name, []), *values] for name, values in more.items()}
    return RestartReport(model, history, tuple(attempts), chosen)


class Rates:
    """Learning rates that were tried, as multiples of that which `build` gives.

    Args:
        factor: by which to go up or down at first.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.scale = 1.0
        self._steps = 0  # taken in one direction
        self._low: float | None = None  # the highest that was too low
        self._high: float | None = None

    def next_step(
        self, guard: InitializationGuard, model: keras.Model, seed: int, takes_factor: bool
    ) -> tuple[str, int]:
        """What to change for the next attempt, in words, and its seed."""
        assert guard.verdict is not None
        turn = direction(guard.verdict.diagnosis)
        schedule = schedule_of(model.optimizer)
        if not turn:
            return f"new seed {seed + 1}", seed + 1
        if schedule is not None and not takes_factor:
            return (
                f"new seed {seed + 1}, as the rate follows a {type(schedule).__name__}: give build an "
                "argument rate_factor"
            ), seed + 1
        if turn > 0:
            self._low = self.scale
        else:
            self._high = self.scale
        if self._low is not None and self._high is not None:
            self.scale = math.sqrt(self._low * self._high)
        else:  # far off is more likely the more often the same was said
            self._steps += 1
            self.scale *= self.factor ** (turn * self._steps)
        return f"rate times {self.scale:.3g}", seed


def _attempt(
    number: int,
    seed: int,
    model: keras.Model,
    guard: InitializationGuard,
    history: Mapping[str, list[Any]],
    step: str,
) -> RestartAttempt:
    losses = history.get("loss") or [math.nan]
    verdict = guard.verdict
    schedule = schedule_of(model.optimizer)
    return RestartAttempt(
        number=number,
        seed=seed,
        learning_rate=rate_of(model.optimizer),
        schedule=None if schedule is None else type(schedule).__name__,
        epochs=len(losses),
        loss=float(losses[-1]),
        diagnosis="UNDECIDED" if verdict is None else verdict.diagnosis.name,
        reason="it ended before it was judged" if verdict is None else verdict.reason,
        stopped=guard.stopped_epoch is not None,
        step=step,
    )


def _takes_factor(build: Callable[..., Any]) -> bool:
    return "rate_factor" in inspect.signature(build).parameters


def _new_model(build: Callable[..., Any], seed: int, scale: float) -> keras.Model:
    keras.utils.set_random_seed(seed)
    takes_factor = _takes_factor(build)
    model = build(rate_factor=scale) if takes_factor else build()
    if not isinstance(model, keras.Model):
        raise TypeError(f"build must give a keras.Model, got {model!r} of type {type(model).__name__}.")
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            f"build gives a model {model.name!r} that has no optimizer. Call "
            "model.compile(optimizer, loss) in it."
        )
    if scale != 1.0 and not takes_factor:
        set_rate(model.optimizer, scale * rate_of(model.optimizer))
    return model


def _baseline(arguments: Mapping[str, Any]) -> Any:
    """Some samples of the training set; None if it is no arrays."""
    x, y = arguments.get("x"), arguments.get("y")
    leaves = keras.tree.flatten((x, y)) if x is not None and y is not None else []
    if not leaves or not all(isinstance(leaf, np.ndarray) and leaf.ndim for leaf in leaves):
        return None
    return tuple(keras.tree.map_structure(lambda leaf: leaf[:BASELINE], (x, y)))


def _check(build: Any, fit_kwargs: Any, guard: Any) -> None:
    if not callable(build) or isinstance(build, keras.Model):
        raise TypeError(
            f"build must be a function that makes a compiled model, got {type(build).__name__}. Each attempt "
            "needs a new model: pass the function, not what it gives."
        )
    if not isinstance(fit_kwargs, Mapping):
        raise TypeError(f"fit_kwargs must be a dict of arguments of fit, got {type(fit_kwargs).__name__}.")
    if guard is not None and not isinstance(guard, InitializationGuard):
        raise TypeError(f"guard must be an InitializationGuard, got {type(guard).__name__}.")
    if inspect.isgenerator(fit_kwargs.get("x")):
        raise TypeError(
            "fit_kwargs['x'] is a generator, which can be read once only, but each attempt reads the data. "
            "Pass arrays, a tf.data.Dataset or a keras.utils.PyDataset."
        )
