"""Weights as functions of time: node weights times shape functions, and linear maps between such bases.

The interval [0, 1] is cut into equal cells; in each cell the weights are a polynomial through its own nodes.
One degree and one choice of nodes tell the bases apart.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
from numpy.typing import NDArray

from .. import _checks

Real = NDArray[np.float64]

NAMES = ("constant", "fem", "linear", "polynomial")
# Times closer to a boundary of cells than this share of a cell lie on it.
ON_BOUNDARY = 1e-9
# What is smaller in a map between bases is rounding.
ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True)
class Basis:
    """A basis of weights over time.

    Args:
        name: `"constant"`, one node in each cell; `"fem"`, linear and continuous, a node at each boundary;
            `"linear"`, linear and discontinuous, two nodes in each cell; `"polynomial"`, one cell with the
            nodes at the Gauss-Lobatto points, where no sum of squared shape functions exceeds 1: the weights
            at no time vary more than those of a node.
        nodes: number of them.

    Raises:
        TypeError: If `nodes` is no whole number.
        ValueError: If there is no such basis.
    """

    name: str
    nodes: int

    def __post_init__(self) -> None:
        _checks.one_of("basis", self.name, NAMES)
        _checks.whole_number("nodes", self.nodes, least=1)
        if self.name == "fem" and self.nodes < 2:
            raise ValueError("nodes must be at least 2 for basis='fem', one at each end, got 1.")
        if self.name == "linear" and self.nodes % 2:
            raise ValueError(
                f"nodes must be even for basis='linear', two in each cell, got {self.nodes}. "
                f"Give {self.nodes + 1}, or basis='fem'."
            )

    @property
    def cells(self) -> int:
        """Number of cells, all of one length."""
        return {"constant": self.nodes, "fem": self.nodes - 1, "linear": self.nodes // 2, "polynomial": 1}[
            self.name
        ]

    @property
    def points(self) -> Real:
        """Where the nodes of a cell lie, from 0 to 1."""
        if self.name == "constant" or self.nodes == 1:
            return np.array([0.5])
        return _lobatto(self.nodes) if self.name == "polynomial" else np.array([0.0, 1.0])

    def members(self, cell: int) -> range:
        """Nodes of a cell."""
        count = len(self.points)
        first = cell if self.name == "fem" else cell * count
        return range(first, first + count)

    def refined(self, factor: int) -> Basis:
        """The basis with `factor` times the cells, or for a polynomial the nodes, which contains this one."""
        nodes = factor * (self.nodes - 1) + 1 if self.name == "fem" else factor * self.nodes
        return Basis(self.name, nodes)

    def shapes(self, places: Real) -> Real:
        """Shape functions of the nodes of a cell, `(places, nodes of a cell)`.

        Args:
            places: in the cell, from 0 to 1.
        """
        points = self.points
        found = np.ones((len(places), len(points)))
        for i, point in enumerate(points):
            for other in np.delete(points, i):
                found[:, i] *= (places - other) / (point - other)
        return found

    def locate(self, time: float, late: bool = True) -> tuple[int, float]:
        """The cell of a time from 0 to 1, and the place in it, from 0 to 1.

        Args:
            time: from 0 to 1.
            late: On a boundary of cells, take the later cell, else the earlier one. Defaults to True.
        """
        place = time * self.cells
        boundary = round(place)
        cell = math.floor(place)
        if abs(place - boundary) < ON_BOUNDARY:
            place = float(boundary)
            cell = boundary if late else boundary - 1
        cell = min(max(cell, 0), self.cells - 1)
        return cell, place - cell

    def at(self, time: float, late: bool = True) -> dict[int, float]:
        """Node -> coefficient at a time from 0 to 1; nodes without influence are absent.

        Args:
            time: from 0 to 1.
            late: as for `locate`. Defaults to True.
        """
        cell, place = self.locate(time, late)
        row = self.shapes(np.array([place]))[0]
        found = {n: float(c) for n, c in zip(self.members(cell), row, strict=True) if abs(c) > ROUNDING}
        return {node: round(c) if abs(c - round(c)) < ROUNDING else c for node, c in found.items()}


def default_nodes(name: str, steps: int) -> int:
    """Nodes that give one cell to each step."""
    _checks.one_of("basis", name, NAMES)
    return {"constant": steps, "linear": 2 * steps}.get(name, steps + 1)


def interpolation(source: Basis, target: Basis) -> Real:
    """The map from the nodes of a basis to those of one that contains it, `(target, source)`.

    Example:
    >>> interpolation(Basis("fem", 3), Basis("fem", 5)) @ [2, 3, 1]
    array([2. , 2.5, 3. , 2. , 1. ])
    """
    found = np.zeros((target.nodes, source.nodes))
    for cell in range(target.cells):
        # Which cell of the source it lies in is seen from its middle: its ends may be boundaries there.
        home = math.floor((cell + 0.5) / target.cells * source.cells)
        places = (cell + target.points) / target.cells * source.cells - home
        found[np.ix_(target.members(cell), source.members(home))] = source.shapes(places)
    return _rounded(found)


def projection(source: Basis, target: Basis) -> Real:
    """The map from the nodes of a basis to those of the nearest function of another one, in L2.

    Example:
    >>> projection(Basis("constant", 4), Basis("constant", 2)) @ [1, 3, 5, 9]
    array([2., 7.])
    """
    return _rounded(np.asarray(np.linalg.solve(_products(target, target), _products(target, source))))


def residual(source: Basis, target: Basis) -> Real:
    """Matrix E such that `w' E w` is the squared L2 distance of node weights w to their projection."""
    cross = _products(target, source)
    kept = cross.T @ np.linalg.solve(_products(target, target), cross)
    return np.asarray(_products(source, source) - kept)


def mass(basis: Basis) -> Real:
    """Inner products of the shape functions over [0, 1]."""
    return _products(basis, basis)


def _products(first: Basis, second: Basis) -> Real:
    """Inner products of the shape functions of two bases; exact, by Gauss quadrature between boundaries."""
    ends = {cell / basis.cells for basis in (first, second) for cell in range(basis.cells + 1)}
    edges = sorted({round(end, 12) for end in ends})
    count = (len(first.points) + len(second.points)) // 2 + 1
    places, weights = np.polynomial.legendre.leggauss(count)
    found = np.zeros((first.nodes, second.nodes))
    for start, end in itertools.pairwise(edges):
        times = start + (end - start) * (places + 1) / 2
        middle = (start + end) / 2
        parts = []
        for basis in (first, second):
            cell = math.floor(middle * basis.cells)
            parts.append((basis.members(cell), basis.shapes(times * basis.cells - cell)))
        (rows, left), (columns, right) = parts
        found[np.ix_(rows, columns)] += (end - start) / 2 * (left.T * weights) @ right
    return found


def _lobatto(count: int) -> Real:
    """Gauss-Lobatto points from 0 to 1."""
    inner = np.polynomial.legendre.Legendre.basis(count - 1).deriv().roots()
    return (1 + np.concatenate([[-1.0], np.sort(np.real(inner)), [1.0]])) / 2


def _rounded(matrix: Real) -> Real:
    """Without the rounding of entries that are whole numbers."""
    whole = np.round(matrix)
    return np.where(np.abs(matrix - whole) < ROUNDING, whole, matrix)
