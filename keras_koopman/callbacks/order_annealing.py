"""`OrderAnnealing`: coarse scales first, then fine ones."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from .. import _checks
from ..losses import Sobolev


class OrderAnnealing(keras.callbacks.Callback):
    """Takes the order of a `kk.losses.Sobolev` from `start` to `end` during `fit`.

    With a negative order a network learns coarse scales first. Where the fine ones matter in the end, and are
    not all noise, let the order rise to 0, the mean squared error, once the coarse ones stand. The order is a
    line in the epochs, and stays at `end` afterwards; it stands in `logs` as `order`. It depends on the
    number of the epoch alone, so that a training that goes on with `initial_epoch` goes on where it was.

    The value of the loss grows as the order rises: for `EarlyStopping` monitor a `kk.metrics.SobolevNorm`, or
    another metric that stays the same.

    Args:
        epochs: Over how many epochs the order goes from `start` to `end`, at least 1.
        start: Order before. Defaults to -1.0.
        end: Order afterwards. Defaults to 0.0.
        delay: Epochs at `start` before. Defaults to 0.
        verbose: 1 prints the order of each epoch. Defaults to 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; in `fit`, if the model is not compiled with a `Sobolev`.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16)])
    >>> model.compile("adam", kk.losses.NegativeSobolev(order=-2))
    >>> x, y = np.ones((4, 8)), np.ones((4, 16))
    >>> annealing = kk.callbacks.OrderAnnealing(epochs=4, start=-2)
    >>> model.fit(x, y, epochs=6, verbose=0, callbacks=[annealing]).history["order"]
    [-2.0, -1.5, -1.0, -0.5, 0.0, 0.0]
    """

    def __init__(
        self, epochs: int, start: float = -1.0, end: float = 0.0, delay: int = 0, verbose: int = 0
    ) -> None:
        super().__init__()
        self.epochs = _checks.whole_number("epochs", epochs, least=1)
        self.start = _checks.real_number("start", start, -np.inf, np.inf)
        self.end = _checks.real_number("end", end, -np.inf, np.inf)
        self.delay = _checks.whole_number("delay", delay, least=0)
        self.verbose = verbose

    def order(self, epoch: int) -> float:
        """The order in an epoch, counted from 0."""
        progress = min(max(epoch - self.delay, 0) / self.epochs, 1.0)
        return (1 - progress) * self.start + progress * self.end

    def set_model(self, model: keras.Model) -> None:
        """Let the model know of the order, before `fit` compiles its step."""
        super().set_model(model)
        for loss in _losses(model):
            _track(model, loss)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """See that there is an order to change."""
        if not _losses(self.model):
            raise ValueError(
                f"OrderAnnealing changes the order of a Sobolev loss, but the model is compiled with "
                f"loss={getattr(self.model, 'loss', None)!r}. Compile it with kk.losses.Sobolev or "
                "kk.losses.NegativeSobolev."
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the order."""
        order = self.order(epoch)
        for loss in _losses(self.model):
            loss.anneal(order)
        if self.verbose:
            print(f"Epoch {epoch + 1}: order {order:g}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the order."""
        if logs is not None:
            logs["order"] = self.order(epoch)


class _Order(keras.metrics.Metric):
    """Makes the order one of the states that JAX gives to a compiled step; shows nothing, resets nothing.

    What is no state of the model is a constant there: the step would never see it change. Metrics are the
    states that are not saved with the weights.
    """

    def __init__(self, loss: Sobolev) -> None:
        super().__init__(name="order")
        self.order = loss.order_variable

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to take in."""

    def result(self) -> dict[str, Any]:
        """Nothing to show."""
        return {}

    def reset_state(self) -> None:
        """The order stays."""


def _losses(model: keras.Model) -> list[Sobolev]:
    """The Sobolev losses that a model is compiled with."""
    return [loss for loss in keras.tree.flatten(getattr(model, "loss", None)) if isinstance(loss, Sobolev)]


def _track(model: keras.Model, loss: Sobolev) -> None:
    """Add the order to the states of the compiled step, for good: later steps must have it too."""
    if keras.backend.backend() != "jax":
        return  # the others read a variable when they need it
    known = [metric.order for metric in model._metrics if isinstance(metric, _Order)]
    if not any(order is loss.order_variable for order in known):
        model._metrics.append(_Order(loss))
        model.train_function = model.test_function = None  # traced without it
