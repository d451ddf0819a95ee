"""The difference of two programs as a program."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .activations import CURVES
from .change import Change, LogSumExpChange
from .linear import Combine, Concat, Gather, Matmul, Scale, Within
from .nonlinear import Elementwise, LogSumExp, Max, Product
from .program import Node, Primitive, Program

# A value of the first program, and its difference to that of the second; None where they are equal.
Pair = tuple[int, int | None]


def difference(first: Program, second: Program) -> Program | None:
    """`second - first` of two programs alike but for their weights; None if they are not alike.

    The value of the first program is carried along with the difference, which linear primitives map by the
    second's weights, plus the difference of the weights applied to the first's value, and curves by their
    slopes.
    """
    if first.signature() != second.signature():
        return None
    writer = _Writer(first.size)
    pairs: list[Pair] = [(0, None)]
    for one, other in zip(first.nodes, second.nodes, strict=True):
        writer.origin = other.origin
        pairs.append(writer.follow(one.primitive, other.primitive, [pairs[i] for i in one.inputs]))
    value, changed = pairs[-1]
    if changed is None:
        changed = writer.add(Scale(np.zeros(first.width), np.zeros(first.width)), value)
    if changed != len(writer.nodes):
        changed = writer.add(Combine([1.0], first.width), changed)
    return Program(first.size, tuple(writer.nodes), second.shape)


def side_by_side(first: Program, second: Program) -> Program:
    """`second - first` of any two programs on the same input."""
    count = len(first.nodes)
    moved = tuple(
        dataclasses.replace(node, inputs=tuple(i + count if i else 0 for i in node.inputs))
        for node in second.nodes
    )
    last = Node(Combine([-1.0, 1.0], first.width), (count, count + len(moved)), "difference")
    return Program(first.size, (*first.nodes, *moved, last), second.shape)


class _Writer:
    def __init__(self, size: int) -> None:
        self.nodes: list[Node] = []
        self.size = size
        self.origin = "input"

    def add(self, primitive: Primitive, *inputs: int) -> int:
        self.nodes.append(Node(primitive, inputs, self.origin))
        return len(self.nodes)

    def total(self, parts: Sequence[int | None], factors: Sequence[float], size: int) -> int | None:
        """Sum of what there is."""
        kept = [(p, f) for p, f in zip(parts, factors, strict=True) if p is not None]
        if not kept:
            return None
        return self.add(Combine([f for _, f in kept], size), *(p for p, _ in kept))

    def filled(self, pair: Pair, size: int) -> int:
        """The difference as a value, noughts where there is none."""
        value, changed = pair
        return self.add(Scale(np.zeros(size), np.zeros(size)), value) if changed is None else changed

    def follow(self, one: Primitive, other: Primitive, pairs: list[Pair]) -> Pair:
        """The next node of both programs."""
        if isinstance(one, Max) and not isinstance(one, LogSumExp):
            return self.largest(one, pairs[0])
        value = self.add(one, *(v for v, _ in pairs))
        if isinstance(one, Matmul):
            assert isinstance(other, Matmul)
            return value, self.matmul(one, other, *pairs[0])
        if isinstance(one, Scale):
            assert isinstance(other, Scale)
            return value, self.scale(one, other, *pairs[0])
        if all(changed is None for _, changed in pairs) and self.same(one, other):
            return value, None
        if isinstance(one, Within):
            width = one.high - one.low
            return value, self.add(Within(one.size, -width, width), self.filled(pairs[0], one.size))
        if isinstance(one, Combine):
            return value, self.total([c for _, c in pairs], one.factors, one.size)
        if isinstance(one, Gather):
            return value, self.add(one, self.filled(pairs[0], one.source))
        if isinstance(one, Concat):
            filled = [self.filled(pair, size) for pair, size in zip(pairs, one.parts, strict=True)]
            return value, self.add(one, *filled)
        if isinstance(one, Elementwise):
            return value, self.add(Change(one.curve, one.size), pairs[0][0], self.filled(pairs[0], one.size))
        if isinstance(one, Product):
            return value, self.product(one.size, *pairs)
        assert isinstance(one, LogSumExp)
        changed = self.filled(pairs[0], one.size * one.span)
        return value, self.add(LogSumExpChange(one.size, one.span), pairs[0][0], changed)

    @staticmethod
    def same(one: Primitive, other: Primitive) -> bool:
        return all(np.array_equal(a, b) for a, b in zip(one.arrays, other.arrays, strict=True))

    def matmul(self, one: Matmul, other: Matmul, value: int, changed: int | None) -> int | None:
        shape = one.groups, one.fan_out
        biases = [np.reshape(m.arrays[2], shape) for m in (one, other)]
        parts: list[int | None] = []
        if changed is not None:
            parts.append(self.add(Matmul(other.arrays[0], None, one.positions), changed))
        if not self.same(one, other):
            kernel, bias = other.arrays[0] - one.arrays[0], biases[1] - biases[0]
            parts.append(self.add(Matmul(kernel, bias, one.positions), value))
        return self.total(parts, [1.0] * len(parts), one.size)

    def scale(self, one: Scale, other: Scale, value: int, changed: int | None) -> int | None:
        parts: list[int | None] = []
        if changed is not None:
            parts.append(self.add(Scale(other.arrays[0], np.zeros(one.size)), changed))
        if not self.same(one, other):
            factor, shift = (b - a for a, b in zip(one.arrays, other.arrays, strict=True))
            parts.append(self.add(Scale(factor, shift), value))
        return self.total(parts, [1.0] * len(parts), one.size)

    def product(self, size: int, first: Pair, second: Pair) -> int | None:
        """`(x + d) (y + e) - x y = x e + (y + e) d`."""
        parts: list[int | None] = []
        if second[1] is not None:
            parts.append(self.add(Product(size), first[0], second[1]))
        if first[1] is not None:
            moved = second[0] if second[1] is None else self.add(Combine([1, 1], size), second[0], second[1])
            parts.append(self.add(Product(size), moved, first[1]))
        return self.total(parts, [1.0] * len(parts), size)

    def largest(self, one: Max, pair: Pair) -> Pair:
        """Two by two, as `max(a, b) = b + relu(a - b)`: differences pass through relu well."""
        count, size = one.span, one.size
        while count > 1:
            half = count // 2
            grid = np.arange(size * count).reshape(size, count)
            runs = [grid[:, :half], grid[:, half : 2 * half], grid[:, 2 * half :]]
            a, b, rest = (self.picked(pair, run, size * count) for run in runs)
            gap = self.joined([a, b], [1.0, -1.0], size * half)
            relu = Elementwise(CURVES["relu"], size * half)
            raised = self.follow(relu, relu, [gap])
            pair = self.joined([b, raised], [1.0, 1.0], size * half)
            if count % 2:
                parts = [size * half, size]
                pair = self.follow(Concat(parts), Concat(parts), [pair, rest])
                order = np.concatenate(
                    [np.arange(size * half).reshape(size, half), size * half + np.arange(size)[:, None]],
                    axis=1,
                )
                pair = self.picked(pair, order, sum(parts))
            count = half + count % 2
        return pair

    def picked(self, pair: Pair, places: Any, source: int) -> Pair:
        gather = Gather(places, source)
        return self.follow(gather, gather, [pair]) if gather.size else pair

    def joined(self, pairs: list[Pair], factors: list[float], size: int) -> Pair:
        combine = Combine(factors, size)
        return self.follow(combine, combine, pairs)
