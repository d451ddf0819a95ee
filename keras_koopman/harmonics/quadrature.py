"""Quadrature weights of scattered points: the size of each point's Voronoi cell."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST_DIMENSIONS = 3


def cell_volumes(points: Array, boundary: str) -> Array:
    """Volumes of the Voronoi cells in the unit cube, repeated or mirrored at its faces; their sum is 1.

    Args:
        points: `(points, dimensions)`, from 0 to 1.
        boundary: `"periodic"` or `"mirror"`.

    Raises:
        ValueError: If points coincide, or there are more than 3 dimensions.
    """
    count, dimensions = points.shape
    if boundary == "periodic":
        points = points % 1.0
    if len(np.unique(points, axis=0)) < count:
        raise ValueError(
            "Some points coincide (with a periodic boundary 0 and 1 do), so that they have no cells of "
            "their own. Leave all but one out, or pass quadrature=."
        )
    if dimensions == 1:
        return _intervals(points[:, 0], boundary)
    if dimensions > MOST_DIMENSIONS:
        raise ValueError(
            f"Cells are computed in up to {MOST_DIMENSIONS} dimensions, got {dimensions}. Pass "
            "quadrature=, for instance equal weights for points drawn uniformly."
        )
    return _voronoi(points, boundary)


def _intervals(x: Array, boundary: str) -> Array:
    order = np.argsort(x)
    ends = x[order]
    before, after = (ends[-1:] - 1, ends[:1] + 1) if boundary == "periodic" else (-ends[:1], 2 - ends[-1:])
    beyond = np.concatenate([before, ends, after])
    volumes = np.empty(len(x))
    volumes[order] = (beyond[2:] - beyond[:-2]) / 2
    return volumes


def _voronoi(points: Array, boundary: str) -> Array:
    from scipy.spatial import ConvexHull, Voronoi

    count, dimensions = points.shape
    images = [points]
    for shifts in itertools.product((0, -1, 1), repeat=dimensions):
        shift = np.array(shifts)
        # Mirrored at the face on that side: -x at 0, 2 - x at 1.
        mirrored = np.where(shift == 0, points, shift + 1 - points)
        image = points + shift if boundary == "periodic" else mirrored
        # A point on a face is its own image.
        images.append(image[np.any(image != points, axis=1)])
    cloud = np.concatenate(images)
    first = np.sort(np.unique(cloud, axis=0, return_index=True)[1])
    diagram = Voronoi(cloud[first])  # the points themselves still come first
    cells = (diagram.regions[region] for region in diagram.point_region[:count])
    volumes = np.array([ConvexHull(diagram.vertices[cell]).volume for cell in cells])
    if boundary == "mirror":
        # Half of the cell of a point on a face lies outside.
        volumes /= 2.0 ** np.sum((points == 0) | (points == 1), axis=1)
    return volumes
