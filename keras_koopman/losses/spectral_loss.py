"""`SpectralLoss`: what the losses that weight the error by scale have in common."""

from __future__ import annotations

import abc
from typing import Any

import keras
from keras import ops

from ..backend import as_tensor
from ..harmonics import targets


class SpectralLoss(keras.losses.Loss, abc.ABC):
    """A weighted sum of squared coefficients of the error, one value for each sample.

    A weight or a mask that tells the points of a sample apart acts on the squared error before the transform:
    the error is multiplied by its square root. A complex error is two real ones.

    Args:
        reduction: As in Keras's losses.
        name: Of the loss.
        dtype: Of the computation; float32 where less is asked for.
    """

    channels_first = False

    @abc.abstractmethod
    def norms(self, error: Any) -> Any:
        """The loss of each sample, `(batch,)`, from a real error."""

    @property
    def dtype(self) -> str:
        """Precision of the computation, float32 at least."""
        return targets.working_dtype(self._dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample, `(batch,)`."""
        y_true, y_pred = targets.same_shape(y_true, y_pred)
        return self.norms(y_pred - y_true)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss, reduced.

        Args:
            y_true: Targets, real or complex.
            y_pred: Predictions of the same shape.
            sample_weight: One weight a sample, `(batch,)`, or one a point, not negative.

        Returns:
            A scalar, or with `reduction="none"` one value a sample.

        Raises:
            ValueError: If the shapes do not fit, or `y_true` is an array that holds NaN.
        """
        mask = targets.keras_mask(y_pred)
        targets.refuse_nan("y_true", y_true)
        y_true, y_pred = targets.same_shape(as_tensor(y_true), as_tensor(y_pred))
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
        root = None
        if mask is not None or (sample_weight is not None and len(sample_weight.shape) > 1):
            weight = targets.combined_weight(
                sample_weight, mask, tuple(y_pred.shape), self.reduction, self.channels_first
            )
            root, sample_weight = ops.cast(ops.sqrt(weight), self.dtype), None
        whole = super().__call__
        if not (targets.is_complex(y_true) or targets.is_complex(y_pred)):
            return whole(self._weighted(y_true, root), self._weighted(y_pred, root), sample_weight)
        # The weights are even in the wavenumber, so the real and the imaginary part do not mix.
        parts = zip(*(targets.real_and_imaginary(y) for y in (y_true, y_pred)), strict=True)
        real, imaginary = (
            whole(self._weighted(true, root), self._weighted(predicted, root), sample_weight)
            for true, predicted in parts
        )
        return real + imaginary

    def _weighted(self, values: Any, root: Any) -> Any:
        return values if root is None else ops.cast(values, self.dtype) * root
