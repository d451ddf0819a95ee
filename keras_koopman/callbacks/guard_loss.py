"""`GuardLoss`: the loss of a model on a few samples of the user's, as it would be in `evaluate`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from ..backend import agreed, beside, compiled, read, shared

BATCH = 1024
Guard = Callable[[keras.Model], Any]


class GuardLoss:
    """Computes the compiled loss, penalties included, without touching the state of the trainer.

    Unlike `model.evaluate` it resets no metric, so it can be asked in the middle of an epoch, and has no
    data pipeline to set up each time.

    Args:
        guard: `(x, y)` or `(x, y, sample_weight)`, each an array or a structure of arrays; or a function of
            the model that gives a number.
        name: of the argument, for errors.
    """

    def __init__(self, guard: Any, name: str = "guard") -> None:
        self.name = name
        self.calls = 0
        self.seconds = 0.0
        self._own: Guard | None = None
        self._batches: list[tuple[int, list[Any]]] = []
        self._compiled: tuple[keras.Model, Any] | None = None
        if callable(guard):
            self._own = guard
            return
        if not isinstance(guard, tuple | list) or len(guard) not in (2, 3):
            raise TypeError(
                f"{name} must be (x, y), (x, y, sample_weight) or a function of the model that gives its "
                f"loss, got {type(guard).__name__}"
                f"{f' of length {len(guard)}' if hasattr(guard, '__len__') else ''}."
            )
        self._parts = [keras.tree.map_structure(self._array, part) for part in guard]
        sizes = sorted({len(leaf) for leaf in keras.tree.flatten(self._parts)})
        if len(sizes) != 1 or sizes[0] == 0:
            raise ValueError(
                f"{name} must hold equally many samples in all its arrays, and at least one, got {sizes}."
            )
        self.samples = sizes[0]

    def __call__(self, model: keras.Model) -> float:
        """The loss with the weights as they are now; NaN if it is not a number.

        Raises:
            ValueError: If what a function of the user's gives is no number.
        """
        begin = time.perf_counter()
        value = self._of_user(model) if self._own is not None else self._of_samples(model)
        value = agreed(value, several=shared(v.value for v in model.trainable_variables))
        self.calls += 1
        self.seconds += time.perf_counter() - begin
        return value

    def check(self, model: keras.Model) -> float:
        """The loss before training, so that what does not fit is told before the first step.

        Raises:
            ValueError: If the guard does not fit the model, or its loss is not finite.
        """
        if self._own is None:
            self._check_targets(model)
        try:
            value = self(model)
        except Exception as error:
            if self._own is not None:
                raise
            raise ValueError(
                f"{self.name} does not fit the model {model.name!r}: its arrays have shapes "
                f"{self._shapes()}. Pass samples like those given to fit. The engine says: {error}"
            ) from error
        if not np.isfinite(value):
            raise ValueError(
                f"{self.name} gives a loss of {value} before training, which tells nothing. Look for NaN in "
                "its samples, and in the initial weights."
            )
        self.calls, self.seconds = 0, 0.0  # compiling is no cost of a jump
        return value

    def _of_user(self, model: keras.Model) -> float:
        assert self._own is not None
        value = self._own(model)
        if hasattr(value, "shape") and not isinstance(value, np.generic):
            value = np.asarray(ops.convert_to_numpy(value))
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"{self.name} must give one number, the loss of the model, got {value!r}. Return float(loss)."
            ) from None

    def _of_samples(self, model: keras.Model) -> float:
        if self._compiled is None or self._compiled[0] is not model:
            self._compiled = (model, _loss_of(model))
            self._batches = []
        if not self._batches:
            like = model.variables[0].value
            self._batches = [self._slice(start, like) for start in range(0, self.samples, BATCH)]
        variables = (model.trainable_variables, model.non_trainable_variables)
        values = [[read(v) for v in part] for part in variables]
        found = [(size, self._compiled[1](*values, batch)) for size, batch in self._batches]
        return sum(size * float(ops.convert_to_numpy(loss)) for size, loss in found) / self.samples

    def _slice(self, start: int, like: Any) -> tuple[int, list[Any]]:
        """Size and samples of a batch, on the devices on which a tensor lies."""
        cut = keras.tree.map_structure(lambda leaf: beside(leaf[start : start + BATCH], like), self._parts)
        return min(BATCH, self.samples - start), cut

    def _array(self, leaf: Any) -> Any:
        """An array with a first axis of samples, in the precision that Keras would give it."""
        array = leaf if hasattr(leaf, "shape") else np.asarray(leaf)
        if len(array.shape) == 0:
            raise ValueError(
                f"{self.name} must hold arrays with one row for each sample, got the number {leaf!r}."
            )
        if isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.floating):
            return array.astype(keras.config.floatx())
        return array

    def _shapes(self) -> str:
        return str(keras.tree.map_structure(lambda leaf: tuple(leaf.shape), self._parts))

    def _check_targets(self, model: keras.Model) -> None:
        """Refuse targets that a loss would stretch over the outputs without a word."""
        targets = self._parts[1]
        outputs = getattr(model, "output_shape", None) if hasattr(model, "outputs") else None
        if not hasattr(targets, "shape") or not isinstance(outputs, tuple) or not outputs:
            return
        if any(isinstance(side, tuple) for side in outputs):
            return
        same_rank = len(targets.shape) == len(outputs) and targets.shape[-1] != 1
        if same_rank and any(
            side is not None and side != given
            for side, given in zip(outputs[1:], targets.shape[1:], strict=True)
        ):
            raise ValueError(
                f"{self.name} has targets of shape {tuple(targets.shape)}, the model {model.name!r} gives "
                f"{outputs}. Pass targets like those given to fit; if the loss takes others, pass a "
                "function of the model."
            )


def _loss_of(model: keras.Model) -> Any:
    """Compiled: the loss of one batch as a function of all variables."""

    @compiled(xla=False, exact=False)
    def loss_of(trainable: list[Any], non_trainable: list[Any], batch: list[Any]) -> Any:
        x, y, weight = [*batch, None][:3]
        predicted, _, penalties = model.stateless_call(
            trainable, non_trainable, x, return_losses=True, training=False
        )
        # As Keras's JAX trainer does: penalties on activations are known to that call alone.
        model._losses_override.clear()
        model._losses_override = penalties
        loss, _ = model.stateless_compute_loss(
            trainable,
            non_trainable,
            [],  # of the metrics, which are no part of it: the first step may make more of them
            x=x,
            y=y,
            y_pred=predicted,
            sample_weight=weight,
            training=False,
        )
        model._losses_override.clear()
        return ops.cast(loss, "float32")

    return loss_of
