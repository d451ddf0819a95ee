"""One depth on trial: a short training whose path says whether it has converged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..callbacks import TrajectoryRecorder
from ..verdicts.path import WINDOW, measure_path, stopping_rule

# Records that a probe makes within its budget: enough for a window, and some to forget the start.
RECORDS = 2 * WINDOW


class Data(NamedTuple):
    """What a probe is trained and judged on."""

    x: Any
    y: Any
    x_held: Any
    y_held: Any


class Probe:
    """A model of one depth.

    Args:
        depth: of it.
        build: makes it.
        data: to train and judge it on.
        batch_size: in training.
        budget: epochs of the first training.
        seed: of initialisation and shuffling.
        score: gives the error of a model.
        fit_kwargs: more arguments of `fit`.

    Raises:
        TypeError: If `build` gives no model.
        ValueError: If the model is not compiled.
    """

    def __init__(
        self,
        depth: int,
        build: Callable[[int], keras.Model],
        data: Data,
        batch_size: int,
        budget: int,
        seed: int,
        score: Callable[[keras.Model, Any, Any], float],
        fit_kwargs: Mapping[str, Any],
    ) -> None:
        self.depth = depth
        self.data = data
        self.epochs = 0
        self.error = np.inf
        self.accepted = False
        self._score = score
        self._arguments = {"batch_size": batch_size, "verbose": 0, **fit_kwargs}
        keras.utils.set_random_seed(seed)
        self.model = build(depth)
        if not isinstance(self.model, keras.Model):
            raise TypeError(
                f"build must give a keras.Model, got {self.model!r} of type {type(self.model).__name__} for "
                f"depth {depth}."
            )
        if getattr(self.model, "optimizer", None) is None:
            raise ValueError(
                f"build gives a model {self.model.name!r} that is not compiled. Call "
                "model.compile(optimizer, loss) in it."
            )
        batches = -(-len(keras.tree.flatten(data.x)[0]) // batch_size)
        self._recorder = TrajectoryRecorder(
            window=WINDOW + 1, record_freq=max(budget * batches // RECORDS, 1), average=True
        )

    def train(self, epochs: int) -> None:
        """Go on for so many epochs, and measure the error."""
        callbacks = [*self._arguments.get("callbacks", ()), self._recorder]
        self.model.fit(
            self.data.x,
            self.data.y,
            **{
                **self._arguments,
                "callbacks": callbacks,
                "initial_epoch": self.epochs,
                "epochs": self.epochs + epochs,
            },
        )
        self.epochs += epochs
        error = float(self._score(self.model, self.data.x_held, self.data.y_held))
        self.error = error if np.isfinite(error) else np.inf

    def path(self) -> tuple[str, float | None, float | None]:
        """What the path of the weights says in words, rho and speed."""
        if not np.isfinite(self.error):
            return "diverged", None, None
        path = measure_path(self._recorder.trajectory)
        if path.rho is None and path.speed is None:
            return "too short to say", None, None
        reason = stopping_rule(path.rho, path.speed)
        return ("still drifting" if reason is None else "converged"), path.rho, path.speed

    @property
    def converged(self) -> bool:
        """Whether the path says that going on earns little, or it cannot go on."""
        return self.path()[0] in ("converged", "diverged")


def split(x: Any, y: Any, share: float, seed: int) -> Data:
    """Samples at random: a share is held back."""
    samples = len(keras.tree.flatten(y)[0])
    order = np.random.default_rng(seed).permutation(samples)
    held = round(share * samples)

    def part(values: Any, rows: NDArray[np.intp]) -> Any:
        return keras.tree.map_structure(lambda leaf: np.asarray(leaf)[rows], values)

    return Data(part(x, order[held:]), part(y, order[held:]), part(x, order[:held]), part(y, order[:held]))


def share_of_error(model: keras.Model, x: Any, y: Any) -> float:
    """Share of wrong classes, where the targets are classes, or of unexplained variance."""
    targets = np.asarray(y)
    outputs = np.asarray(ops.convert_to_numpy(model.predict(x, verbose=0)), np.float64)
    if not np.all(np.isfinite(outputs)):
        return np.inf
    classes = _classes(targets)
    if classes is None:
        misses = np.sum((outputs - targets.reshape(outputs.shape)) ** 2)
        return float(misses / np.sum((targets - targets.mean(axis=0)) ** 2))
    outputs = outputs.reshape(len(outputs), -1)
    if outputs.shape[1] > 1:
        return float(np.mean(outputs.argmax(axis=1) != classes))
    # One output: a probability, or a logit if any of them cannot be one.
    threshold = 0.5 if outputs.min() >= 0 and outputs.max() <= 1 else 0.0
    return float(np.mean((outputs[:, 0] > threshold) != classes))


def error_of_guessing(y: Any) -> float:
    """The least error that one answer to all can have: the mean of the targets, or their commonest class."""
    targets = np.asarray(y)
    classes = _classes(targets)
    if classes is None:
        return 1.0 if np.sum((targets - targets.mean(axis=0)) ** 2) else 0.0
    return float(1 - np.unique(classes, return_counts=True)[1].max() / len(classes))


def _classes(targets: NDArray[Any]) -> NDArray[Any] | None:
    """Number of the class of each sample; None if the targets are values."""
    if np.issubdtype(targets.dtype, np.integer) or targets.dtype == bool:
        one_hot = targets.ndim == 2 and targets.shape[1] > 1
        return targets.argmax(axis=1) if one_hot else targets.reshape(len(targets)).astype(int)
    is_one_hot = targets.ndim == 2 and targets.shape[1] > 1 and np.all(np.sort(targets)[:, :-1] == 0)
    return targets.argmax(axis=1) if is_one_hot and np.all(targets.max(axis=1) == 1) else None
