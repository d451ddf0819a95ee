"""Linear primitives: what convolutions, pooling, reshaping and additions come down to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from . import double
from .program import Primitive, Real
from .rounding import UNIT, gamma, magnitude, outward


class Linear(Primitive):
    """An affine map of one or several values; `terms` bounds the length of its sums and its adjoint's."""

    terms: int = 1

    def apply(self, inputs: Sequence[Any], absolute: bool = False) -> Any:
        """The map without its shift, or with `absolute` that of the absolute coefficients."""
        raise NotImplementedError

    def value(self, inputs: Sequence[Any]) -> Any:
        """The output, unrounded."""
        output, added = self.apply(inputs), self.shift()
        return output if added is None else output + added

    def adjoint(self, output: Any) -> list[Any]:
        """Coefficients on the inputs `(..., size)` of a linear form `(..., size)` on the output."""
        raise NotImplementedError

    def adjoint_absolute(self, output: Any) -> list[Any]:
        """The adjoint of the absolute coefficients."""
        return self.adjoint(output)

    def shift(self) -> Any | None:
        """What is added, `(size,)`."""
        return None

    def amplitude(self, magnitudes: Sequence[Any]) -> Any:
        """Bound on `sum |coefficient| |input| + |shift|` by output, broadcastable to `(batch, size)`."""
        raise NotImplementedError

    def interval(self, inputs: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """From centre and radius; exact but for rounding."""
        centres = [0.5 * low + 0.5 * high for low, high in inputs]
        radii = [
            double.maximum(high - c, c - low) * (1 + 4 * UNIT)
            for c, (low, high) in zip(centres, inputs, strict=True)
        ]
        value = self.apply(centres)
        radius = self.apply(radii, absolute=True)
        added = self.shift()
        if added is not None:
            value = value + added
        amplitude = self.amplitude([magnitude(low, high) for low, high in inputs])
        return outward(value - radius, value + radius, gamma(self.terms + 4) * amplitude)


class Matmul(Linear):
    """`y[p, g, :] = x[p, g, :] @ kernel[g] + bias[g]`: dense layers, and convolutions of gathered patches.

    Args:
        kernel: `(groups, inputs, outputs)`.
        bias: `(groups, outputs)`, or None.
        positions: how often it is applied side by side.
    """

    def __init__(self, kernel: Real, bias: Real | None, positions: int) -> None:
        self.positions = positions
        self.groups, self.fan_in, self.fan_out = kernel.shape
        self.size = positions * self.groups * self.fan_out
        self.terms = max(self.fan_in, self.fan_out)
        added = np.zeros((self.groups, self.fan_out)) if bias is None else bias
        sums = np.abs(kernel).sum(1) * (1 + gamma(self.fan_in))
        self.arrays = (kernel, np.abs(kernel), np.ravel(added), np.ravel(sums))

    def static(self) -> tuple[Any, ...]:
        """What a compiled walk depends on."""
        return self.size, self.positions

    def _product(self, x: Any, kernel: Any, fan_in: int, fan_out: int) -> Any:
        lead = tuple(x.shape[:-1])
        rows = math.prod(lead) * self.positions
        if self.groups == 1:
            y = double.matmul(ops.reshape(x, (rows, fan_in)), kernel[0])
        else:
            x = ops.transpose(ops.reshape(x, (rows, self.groups, fan_in)), (1, 0, 2))
            y = ops.transpose(double.matmul(x, kernel), (1, 0, 2))
        return ops.reshape(y, (*lead, self.positions * self.groups * fan_out))

    def apply(self, inputs: Sequence[Any], absolute: bool = False) -> Any:
        """The map without its shift."""
        return self._product(inputs[0], self.arrays[1 if absolute else 0], self.fan_in, self.fan_out)

    def adjoint(self, output: Any) -> list[Any]:
        """Coefficients on the inputs."""
        return [self._product(output, ops.transpose(self.arrays[0], (0, 2, 1)), self.fan_out, self.fan_in)]

    def adjoint_absolute(self, output: Any) -> list[Any]:
        """The adjoint of the absolute coefficients."""
        return [self._product(output, ops.transpose(self.arrays[1], (0, 2, 1)), self.fan_out, self.fan_in)]

    def shift(self) -> Any:
        """What is added."""
        return self._tiled(self.arrays[2])

    def amplitude(self, magnitudes: Sequence[Any]) -> Any:
        """Bound on the sum of absolute terms."""
        most = ops.max(magnitudes[0], axis=-1, keepdims=True)
        return most * self._tiled(self.arrays[3]) + ops.abs(self.shift())

    def _tiled(self, vector: Any) -> Any:
        return ops.tile(vector, (self.positions,)) if self.positions > 1 else vector

    def gain(self, inputs: Sequence[float], norm: float, intervals: Sequence[Any] | None) -> float:
        """A Lipschitz constant with respect to the input of the model."""
        return inputs[0] * max(operator_norm(kernel, norm) for kernel in self.arrays[0])


class Scale(Linear):
    """`y = scale * x + shift`, entry by entry."""

    def __init__(self, scale: Real, shift: Real) -> None:
        self.size = scale.size
        self.arrays = (scale, shift)

    def apply(self, inputs: Sequence[Any], absolute: bool = False) -> Any:
        """The map without its shift."""
        return inputs[0] * (ops.abs(self.arrays[0]) if absolute else self.arrays[0])

    def adjoint(self, output: Any) -> list[Any]:
        """Coefficients on the inputs."""
        return [output * self.arrays[0]]

    def adjoint_absolute(self, output: Any) -> list[Any]:
        """The adjoint of the absolute coefficients."""
        return [output * ops.abs(self.arrays[0])]

    def shift(self) -> Any:
        """What is added."""
        return self.arrays[1]

    def amplitude(self, magnitudes: Sequence[Any]) -> Any:
        """Bound on the sum of absolute terms."""
        return magnitudes[0] * ops.abs(self.arrays[0]) + ops.abs(self.arrays[1])

    def gain(self, inputs: Sequence[float], norm: float, intervals: Sequence[Any] | None) -> float:
        """A Lipschitz constant with respect to the input of the model."""
        return inputs[0] * float(np.abs(self.arrays[0]).max())


class Gather(Linear):
    """`y[j] = x[index[j]]`, or 0 where the index is -1: patches, padding, reordering, repetition."""

    def __init__(self, index: Any, source: int) -> None:
        index = np.asarray(index, np.int32).ravel()
        self.size, self.source = index.size, source
        # The adjoint is a gather too: for each input the outputs that read it, filled up with one past the
        # end.
        order = np.argsort(index, kind="stable")
        order = order[index[order] >= 0]
        readers = np.bincount(index[index >= 0], minlength=source)
        self.most = max(int(readers.max(initial=0)), 1)
        back = np.full((source, self.most), self.size, np.int32)
        back[index[order], np.arange(len(order)) - np.repeat(np.cumsum(readers) - readers, readers)] = order
        self.padded = bool((index < 0).any())
        self.full = bool((back < self.size).all())
        self.terms = self.most
        self.arrays = (np.where(index < 0, source, index).astype(np.int32), back)

    def static(self) -> tuple[Any, ...]:
        """What a compiled walk depends on."""
        return self.size, self.source, self.most, self.padded, self.full

    def apply(self, inputs: Sequence[Any], absolute: bool = False) -> Any:
        """The map without its shift."""
        return ops.take(_with_zero(inputs[0]) if self.padded else inputs[0], self.arrays[0], axis=-1)

    def adjoint(self, output: Any) -> list[Any]:
        """Coefficients on the inputs."""
        padded = output if self.full else _with_zero(output)
        if self.most == 1:
            return [ops.take(padded, self.arrays[1][:, 0], axis=-1)]
        flat = ops.take(padded, ops.reshape(self.arrays[1], (-1,)), axis=-1)
        return [ops.sum(ops.reshape(flat, (*output.shape[:-1], self.source, self.most)), axis=-1)]

    def amplitude(self, magnitudes: Sequence[Any]) -> Any:
        """Bound on the sum of absolute terms."""
        return self.apply(magnitudes)

    def interval(self, inputs: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """Copies need no widening."""
        low, high = inputs[0]
        return self.apply([low]), self.apply([high])

    def gain(self, inputs: Sequence[float], norm: float, intervals: Sequence[Any] | None) -> float:
        """A Lipschitz constant with respect to the input of the model."""
        # Each input is read at most `most` times.
        return inputs[0] * (1.0 if math.isinf(norm) else float(self.most ** (1 / norm) * (1 + 4 * UNIT)))


class Combine(Linear):
    """`y = sum of factor * x` over inputs of equal size."""

    def __init__(self, factors: Sequence[float], size: int) -> None:
        self.size, self.factors = size, tuple(map(float, factors))
        self.terms = len(self.factors)

    def static(self) -> tuple[Any, ...]:
        """What a compiled walk depends on."""
        return self.size, self.factors

    def apply(self, inputs: Sequence[Any], absolute: bool = False) -> Any:
        """The map without its shift."""
        factors = [abs(f) for f in self.factors] if absolute else self.factors
        total = factors[0] * inputs[0]
        for factor, x in zip(factors[1:], inputs[1:], strict=True):
            total = total + factor * x
        return total

    def adjoint(self, output: Any) -> list[Any]:
        """Coefficients on the inputs."""
        return [factor * output for factor in self.factors]

    def adjoint_absolute(self, output: Any) -> list[Any]:
        """The adjoint of the absolute coefficients."""
        return [abs(factor) * output for factor in self.factors]

    def amplitude(self, magnitudes: Sequence[Any]) -> Any:
        """Bound on the sum of absolute terms."""
        return self.apply(magnitudes, absolute=True)

    def gain(self, inputs: Sequence[float], norm: float, intervals: Sequence[Any] | None) -> float:
        """A Lipschitz constant with respect to the input of the model."""
        return sum(abs(f) * k for f, k in zip(self.factors, inputs, strict=True))


class Concat(Linear):
    """The inputs end to end."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.parts = tuple(sizes)
        self.size = sum(sizes)

    def static(self) -> tuple[Any, ...]:
        """What a compiled walk depends on."""
        return self.parts

    def apply(self, inputs: Sequence[Any], absolute: bool = False) -> Any:
        """The map without its shift."""
        return ops.concatenate(list(inputs), axis=-1)

    def adjoint(self, output: Any) -> list[Any]:
        """Coefficients on the inputs."""
        ends = np.cumsum(self.parts)
        return [output[..., end - part : end] for part, end in zip(self.parts, ends, strict=True)]

    def amplitude(self, magnitudes: Sequence[Any]) -> Any:
        """Bound on the sum of absolute terms."""
        return self.apply(magnitudes)

    def interval(self, inputs: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """Copies need no widening."""
        return self.apply([low for low, _ in inputs]), self.apply([high for _, high in inputs])

    def gain(self, inputs: Sequence[float], norm: float, intervals: Sequence[Any] | None) -> float:
        """A Lipschitz constant with respect to the input of the model."""
        if math.isinf(norm):
            return max(inputs)
        return float(math.fsum(k**norm for k in inputs) ** (1 / norm) * (1 + 8 * UNIT))


class Within(Combine):
    """The input itself, known to lie between two numbers."""

    def __init__(self, size: int, low: float, high: float) -> None:
        super().__init__([1.0], size)
        self.low, self.high = low, high

    def static(self) -> tuple[Any, ...]:
        """What a compiled walk depends on."""
        return self.size, self.low, self.high

    def interval(self, inputs: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """The known range, where the other is wider."""
        low, high = inputs[0]
        inside = (
            double.minimum(double.maximum(low, self.low), self.high),
            double.maximum(double.minimum(high, self.high), self.low),
        )
        return inside


def _with_zero(x: Any) -> Any:
    return ops.concatenate([x, ops.zeros_like(x[..., :1])], axis=-1)


def operator_norm(matrix: Real, norm: float) -> float:
    """Upper bound on the norm of `x -> x @ matrix` from l_p to l_p, p = 1, 2 or infinity.

    The largest computed singular value is right to a few dimensions times the rounding unit.
    """
    matrix = np.asarray(matrix, np.float64)
    if norm == 2:
        exact = float(np.linalg.svd(matrix, compute_uv=False)[0]) if matrix.size else 0.0
    else:
        exact = float(np.abs(matrix).sum(1 if norm == 1 else 0).max(initial=0.0))
    return float(exact * (1 + 16 * max(matrix.shape) * UNIT))
