"""`Sobolev`: the mean squared error with each scale weighted by a power of its wavenumber."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from .. import _checks
from ..backend import read
from ..harmonics.grid import Axes, Grid, Spacing
from .grid_loss import GridLoss

if TYPE_CHECKING:
    from .noise_estimate import NoiseEstimate

# With it a scale beyond the knee is learned last; the best of those tried in benchmarks/sobolev.
STEEP = -8.0


@keras.saving.register_keras_serializable("keras_koopman")
class Sobolev(GridLoss):
    """Mean squared error in which the wavenumber k has the weight `(1 + |k|^2 / knee^2)^order`.

    A negative order plays down fine scales, and with them noise that lives there; a positive order stresses
    them; order 0 is `keras.losses.MeanSquaredError`, to float rounding. For a model that can represent the
    signal and little else the best order is minus half the slope of the noise's power spectrum: 0 for white
    noise, -1 for violet. `estimate_noise` measures that slope, and `Sobolev.from_noise` takes it.

    For each sample, with c the coefficients of the error in a real orthonormal basis (cosines and sines, or
    half-wave cosines with `boundary="mirror"`): `sum_k (1 + |k|^2 / knee^2)^order c_k^2`, where
    `sum_k c_k^2` is the mean square of the error. The mean is taken over the channels. Targets and
    predictions are real or complex; half precisions are computed in float32.

    `sample_weight` may be one number a sample, or one a point, like a mask: then it acts on the squared error
    before the transform. With `reduction="sum"` one value a sample is added up, not one a point as Keras
    does.

    Args:
        order: Exponent of the weight, for instance -1.
        knee: Wavenumber up to which all scales count alike, in cycles per domain, or with `spacing` in
            cycles per unit of length. Defaults to 1.0.
        axes: Axes of the grid, one or several, but not 0. Defaults to None: all between batch and channels.
        boundary: `"periodic"`; or `"mirror"` for signals whose ends do not join. Defaults to `"periodic"`.
        spacing: Distance of neighbouring points, one number or one for each axis. Defaults to None: the
            domain is 1 long along each axis.
        channels: `"last"`, `"first"`, or None if there is no such axis; `(batch, points)` has none in any
            case. Only asked where `axes` is None. Defaults to `"last"`.
        reduction: As in Keras's losses; `"none"` gives one value a sample. Defaults to
            `"sum_over_batch_size"`.
        name: Of the loss. Defaults to `"sobolev"`.
        dtype: As in Keras's losses.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; in use, if the shapes do not fit or the size of an axis of
            the grid is not known.

    Reference:
        Engquist, Ren and Yang, 2022, A generalized weighted optimization method for computational learning
        and inversion; Yu, Yang and Townsend, 2023, Tuning frequency bias in neural network training with
        nonuniform data.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x = np.arange(16) / 16
    >>> coarse, fine = np.cos(2 * np.pi * x)[None], np.cos(2 * np.pi * 7 * x)[None]
    >>> loss = kk.losses.Sobolev(order=-1)
    >>> for error in coarse, fine:  # 0.5 / (1 + 1), 0.5 / (1 + 49)
    ...     print(round(float(loss(0 * error, error)), 6))
    0.25
    0.01
    """

    def __init__(
        self,
        order: float,
        knee: float = 1.0,
        axes: Axes = None,
        boundary: str = "periodic",
        spacing: Spacing = None,
        channels: str | None = "last",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "sobolev",
        dtype: Any = None,
    ) -> None:
        super().__init__(Grid.of(axes, boundary, spacing, channels), reduction, name, dtype)
        self._order = _checks.real_number("order", order, -np.inf, np.inf)
        self.knee = _checks.real_number("knee", knee, 0, np.inf)
        # A variable, so that a compiled step sees it change; see OrderAnnealing.
        self.order_variable = keras.Variable(self._order, dtype=self.dtype, trainable=False, name="order")

    @property
    def order(self) -> float:
        """Exponent of the weight now. `kk.callbacks.OrderAnnealing` changes it during a training."""
        return self._order

    def anneal(self, order: float) -> None:
        """Set the order, for training loops of one's own; in `fit` use `kk.callbacks.OrderAnnealing`.

        On JAX a step that is already compiled sees it only if `order_variable` is among the states that the
        step is given, which the callback sees to.
        """
        self._order = _checks.real_number("order", order, -np.inf, np.inf)
        self.order_variable.assign(self._order)

    def weights(self, k_squared: Any) -> Any:
        """Weight of each coefficient."""
        growth = np.log1p(k_squared / self.knee**2).astype(self.dtype)
        return ops.exp(ops.multiply(read(self.order_variable), growth))

    @classmethod
    def from_noise(cls, estimate: NoiseEstimate, overfits: bool = False, **options: Any) -> Any:
        """The loss for a noise: order minus half its slope, or for a network that would fit it a cutoff.

        A model that can represent the signal and little else wants each scale weighted by the inverse power
        of its noise. A network that can represent the noise too fits in the end whatever the loss weights:
        what helps it is to learn the scales of the signal long before the others. With `overfits` the order
        is -8 and the knee the wavenumber at which the signal is lost in the noise.

        Args:
            estimate: What `kk.losses.estimate_noise` found. Axes, boundary, spacing and channels are taken
                from it, too.
            overfits: Whether the network is large enough to fit the noise. Defaults to False.
            **options: Other arguments of the constructor, or other values for those.

        Raises:
            ValueError: On a class that refuses the order found.
        """
        order, knee = (STEEP, estimate.cutoff) if overfits else (estimate.order, estimate.knee)
        return cls(**{"order": order, "knee": knee, **estimate.grid, **options})

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor, with the order that the loss has now."""
        return {**super().get_config(), "order": self.order, "knee": self.knee}
