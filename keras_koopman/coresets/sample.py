"""Rows of inputs, run through a model batch by batch, and what its layers see of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ..backend import to_host
from .capture import check_finite, run
from .patches import rows
from .sensitivity import relative_errors
from .target import Target

Real = NDArray[np.float64]

# One row in so many is held out, if there are enough.
HELD_OUT = 5


class Sample:
    """Rows of inputs for a model.

    Args:
        inputs: an array for each input of the model.
        batch_size: rows at a time.
        max_rows: rows at most that each layer is looked at with; of patches and positions some are chosen.
        seed: that chooses.
    """

    def __init__(self, inputs: list[Any], batch_size: int, max_rows: int, seed: int) -> None:
        self.inputs = inputs
        self.batch_size, self.max_rows, self.seed = batch_size, max_rows, seed

    def __len__(self) -> int:
        return len(self.inputs[0])

    def divided(self) -> tuple[Sample, Sample]:
        """Rows to fit on, and every fifth held out; if there are fewer than ten, both are all."""
        held = np.arange(len(self)) % HELD_OUT == HELD_OUT - 1
        if len(self) < 2 * HELD_OUT:
            return self, self
        parts = ([array[chosen] for array in self.inputs] for chosen in (~held, held))
        some, others = (Sample(part, self.batch_size, self.max_rows, self.seed) for part in parts)
        return some, others

    def batches(self) -> Iterator[list[Any]]:
        """Batch by batch."""
        for begin in range(0, len(self), self.batch_size):
            yield [array[begin : begin + self.batch_size] for array in self.inputs]

    def seen(self, model: keras.Model, layers: list[Any]) -> Iterator[list[list[list[Real]]]]:
        """For each batch, layer, group of channels: the rows that it sees, one array for each call.

        The same rows for every model of the same layers.

        Raises:
            ValueError: If an activation is not finite.
        """
        numbers = {id(layer.kernel): number for number, layer in enumerate(layers)}
        for count, batch in enumerate(self.batches()):
            quota = max(1, round(self.max_rows * len(batch[0]) / len(self)))
            found: list[list[list[Real]]] = [[] for _ in layers]

            def hear(
                layer: Any, tensor: Any, found: Any = found, count: int = count, quota: int = quota
            ) -> None:
                number = numbers.get(id(layer.kernel))
                if number is not None:
                    inputs = to_host(tensor)
                    check_finite(f"the input of layer {layer.name!r} on the sample", inputs)
                    rng = np.random.default_rng([self.seed, count, number, len(found[number])])
                    found[number].append(rows(layer, inputs, quota, rng))

            run(model, batch, hear)
            yield [[*map(list, zip(*calls, strict=True))] for calls in found]

    def learn(self, model: keras.Model, targets: list[Target], moments_only: bool = False) -> None:
        """Work out the moments and the sensitivities."""

        def see(number: int, group: int, seen: Real) -> None:
            targets[number].learn(group, seen, moments_only)

        self.each(model, targets, see)

    def each(self, model: keras.Model, targets: list[Target], see: Callable[[int, int, Real], None]) -> None:
        """Show what each target sees: `see(target, group, rows)`."""
        for batch in self.seen(model, [target.layer for target in targets]):
            for number, groups in enumerate(batch):
                for group, calls in enumerate(groups):
                    see(number, group, np.concatenate(calls))

    def errors(self, model: keras.Model, targets: list[Target], found: list[list[Real]]) -> list[list[Real]]:
        """Greatest relative error of each neuron, for each target and group, given its inputs in the model.

        Args:
            model: the original.
            targets: its layers.
            found: other matrices for each.
        """
        worst = [[np.zeros(matrix.shape[1]) for matrix in matrices] for matrices in found]

        def see(number: int, group: int, seen: Real) -> None:
            new = relative_errors(seen, targets[number].kernels[group], seen, found[number][group])
            np.maximum(worst[number][group], new, out=worst[number][group])

        self.each(model, targets, see)
        return worst
