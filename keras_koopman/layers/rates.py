"""Ready-made rates for `ContinuousBlock`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from .. import _checks


@keras.saving.register_keras_serializable("keras_koopman")
class DenseRate(keras.layers.Layer):
    """Two dense layers with an activation between them: `V s(W h + a) + b`.

    Args:
        units: Of the inner layer. Defaults to None: as many as the state has.
        activation: Between them. Defaults to `"tanh"`, which is smooth, so that schemes keep their order.
        kernel_regularizer: Of both kernels. Defaults to None.
        **kwargs: Of `keras.layers.Layer`.

    Raises:
        TypeError: If `units` is no whole number.
        ValueError: If `units` is below 1.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> rate = kk.layers.DenseRate(16)
    >>> tuple(rate(keras.ops.ones((2, 3))).shape)
    (2, 3)
    """

    def __init__(
        self,
        units: int | None = None,
        activation: Any = "tanh",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = None if units is None else _checks.whole_number("units", units, least=1)
        self.activation = keras.activations.get(activation)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the two layers."""
        width = input_shape[-1]
        options = {"kernel_regularizer": self.kernel_regularizer, "dtype": self.dtype_policy}
        self.inner = keras.layers.Dense(self.units or width, self.activation, name="inner", **options)
        self.outer = keras.layers.Dense(width, name="outer", **options)
        self.inner.build(input_shape)
        self.outer.build((*input_shape[:-1], self.units or width))

    def call(self, inputs: Any) -> Any:
        """The derivative of the state."""
        return self.outer(self.inner(inputs))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """That of the input."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal layer."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


@keras.saving.register_keras_serializable("keras_koopman")
class ConvolutionRate(keras.layers.Layer):
    """Normalisation, activation, convolution, twice, on images: the branch of a pre-activation residual unit.

    Args:
        filters: Of the inner convolution. Defaults to None: as many channels as the state has.
        kernel_size: Of both. Defaults to 3.
        activation: Before each convolution. Defaults to `"relu"`.
        momentum: Of the moving statistics. Defaults to 0.99.
        kernel_regularizer: Of both kernels. Defaults to None.
        **kwargs: Of `keras.layers.Layer`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or the state is no image with channels last.

    Reference:
        Kaiming He, Xiangyu Zhang, Shaoqing Ren and Jian Sun (2016), "Identity mappings in deep residual
        networks".

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> rate = kk.layers.ConvolutionRate(filters=8)
    >>> tuple(rate(keras.ops.ones((2, 5, 5, 3))).shape)
    (2, 5, 5, 3)
    """

    def __init__(
        self,
        filters: int | None = None,
        kernel_size: int = 3,
        activation: Any = "relu",
        momentum: float = 0.99,
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = None if filters is None else _checks.whole_number("filters", filters, least=1)
        self.kernel_size = _checks.whole_number("kernel_size", kernel_size, least=1)
        self.activation = keras.activations.get(activation)
        self.momentum = _checks.real_number("momentum", momentum, 0.0, 1.0, closed=True)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the layers."""
        if len(input_shape) != 4:
            raise ValueError(
                f"{self.name!r} takes images of shape (batch, height, width, channels), got {input_shape}."
            )
        channels = input_shape[-1]
        widths = (self.filters or channels, channels)
        shape = tuple(input_shape)
        self.norms, self.convolutions = [], []
        for name, width in zip(("inner", "outer"), widths, strict=True):
            norm = keras.layers.BatchNormalization(
                momentum=self.momentum, name=f"{name}_norm", dtype=self.dtype_policy
            )
            convolution = keras.layers.Conv2D(
                width,
                self.kernel_size,
                padding="same",
                use_bias=False,
                data_format="channels_last",
                kernel_regularizer=self.kernel_regularizer,
                name=name,
                dtype=self.dtype_policy,
            )
            norm.build(shape)
            convolution.build(shape)
            self.norms.append(norm)
            self.convolutions.append(convolution)
            shape = (*shape[:-1], width)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The derivative of the state."""
        state = inputs
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            state = convolution(self.activation(norm(state, training=training)))
        return state

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """That of the input."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal layer."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
            "momentum": self.momentum,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
