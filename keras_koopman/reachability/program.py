"""A network as a short list of primitive operations on flat float64 vectors.

A value is a tensor `(..., size)`. Every domain (numbers, intervals, linear forms) walks the same list.
Weights are arguments of the compiled walks, not constants in them: a model that trained on, and another of
the same shape, reuse what was compiled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

Real = NDArray[np.float64]


class Primitive:
    """An operation of a program.

    Attributes:
        arrays: weights and index tables; NumPy in a lowered program, tensors in a bound one.
        size: of the output.
    """

    arrays: tuple[Any, ...] = ()
    size: int

    def static(self) -> tuple[Any, ...]:
        """All that a compiled walk depends on but the arrays' entries."""
        return (self.size,)

    def value(self, inputs: Sequence[Any]) -> Any:
        """Output as float64 has it, with no word on rounding."""
        raise NotImplementedError

    def interval(self, inputs: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """Sound `(low, high)` of the output from those of the inputs."""
        raise NotImplementedError

    def gain(self, inputs: Sequence[float], norm: float, intervals: Sequence[Any] | None) -> float:
        """A Lipschitz constant with respect to the model's input, from those of the inputs.

        `intervals` holds the `(low, high)` of each input where a region is known.
        """
        raise NotImplementedError

    def bound_to(self, arrays: Sequence[Any]) -> Primitive:
        """The same operation on other arrays."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.arrays = tuple(arrays)
        return twin


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A step of a program: what is done with which values, and where in the model it comes from."""

    primitive: Primitive
    inputs: tuple[int, ...]
    origin: str


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A network as primitive operations. Value 0 is the flat input, value `i + 1` what `nodes[i]` gives.

    Attributes:
        size: of the input.
        nodes: in an order in which they can be run. The last one gives the output.
        shape: of the model's output, without the batch.
    """

    size: int
    nodes: tuple[Node, ...]
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Size of the output."""
        return self.nodes[-1].primitive.size if self.nodes else self.size

    def sizes(self) -> list[int]:
        """Size of each value."""
        return [self.size, *(node.primitive.size for node in self.nodes)]

    def signature(self) -> tuple[Any, ...]:
        """Equal for programs that one compiled walk can serve."""
        steps = tuple(
            (
                type(n.primitive).__name__,
                n.primitive.static(),
                n.inputs,
                tuple((a.shape, a.dtype.name) for a in n.primitive.arrays),
            )
            for n in self.nodes
        )
        return self.size, steps

    def arrays(self) -> list[Any]:
        """All weights and tables in order."""
        return [array for node in self.nodes for array in node.primitive.arrays]

    def bind(self, arrays: Sequence[Any]) -> Program:
        """The same program on these arrays, for instance on tensors."""
        rest = iter(arrays)
        nodes = tuple(
            dataclasses.replace(n, primitive=n.primitive.bound_to([next(rest) for _ in n.primitive.arrays]))
            for n in self.nodes
        )
        return dataclasses.replace(self, nodes=nodes)

    def on_device(self) -> Program:
        """The same program with its arrays as tensors. Call it where float64 is allowed."""
        return self.bind([ops.convert_to_tensor(array) for array in self.arrays()])

    def then(self, primitive: Primitive, origin: str) -> Program:
        """This program with one more operation on its output."""
        last = Node(primitive, (len(self.nodes),), origin)
        return dataclasses.replace(self, nodes=(*self.nodes, last), shape=(primitive.size,))
