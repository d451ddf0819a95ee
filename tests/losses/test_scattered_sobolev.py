"""`ScatteredSobolev` against the uniform loss, and against sums written out."""

import numpy as np
import pytest
from keras import ops

from keras_koopman.backend import float64_allowed
from keras_koopman.harmonics.quadrature import cell_volumes
from keras_koopman.losses import ScatteredSobolev, Sobolev


def losses_of(loss, error):
    with float64_allowed():
        return ops.convert_to_numpy(loss(np.zeros_like(error), error))


def scattered(points, **options):
    return ScatteredSobolev(points, reduction="none", dtype="float64", **options)


def uniform(size, boundary):
    return (np.arange(size) + (0.5 if boundary == "mirror" else 0.0)) / size


@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
@pytest.mark.parametrize("order", [-1.5, 0.0, 0.5])
def test_is_the_uniform_loss_on_a_uniform_grid(order, boundary):
    error = np.random.default_rng(0).normal(size=(3, 15))
    options = {"order": order, "knee": 1.3, "boundary": boundary}
    found = losses_of(scattered(uniform(15, boundary), **options), error)
    wanted = losses_of(Sobolev(reduction="none", dtype="float64", **options), error)
    np.testing.assert_allclose(found, wanted, rtol=1e-11)


@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
def test_is_the_uniform_loss_on_a_uniform_grid_of_two_axes(boundary):
    error = np.random.default_rng(0).normal(size=(2, 9, 7, 3))
    grid = np.meshgrid(uniform(9, boundary), uniform(7, boundary), indexing="ij")
    loss = scattered(np.stack(grid, -1).reshape(-1, 2), order=-1, modes=(4, 3), boundary=boundary)
    wanted = losses_of(Sobolev(-1, boundary=boundary, reduction="none", dtype="float64"), error)
    np.testing.assert_allclose(losses_of(loss, error.reshape(2, 63, 3)), wanted, rtol=1e-11)


def test_against_the_sum_written_out():
    rng = np.random.default_rng(0)
    points, quadrature, error = rng.uniform(size=(20, 2)), rng.uniform(size=20), rng.normal(size=20)
    quadrature /= quadrature.sum()
    wanted = 0.0
    for k in range(-3, 4):
        for m in range(-2, 3):
            wave = np.exp(-2j * np.pi * (points @ [k, m]))
            wanted += (1 + (k**2 + m**2) / 4) ** -1.5 * abs(np.sum(quadrature * error * wave)) ** 2
    loss = scattered(points, order=-1.5, modes=(3, 2), knee=2.0, quadrature=quadrature)
    np.testing.assert_allclose(losses_of(loss, error[None]), wanted, rtol=1e-12)


@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
def test_order_of_the_points_does_not_matter(boundary):
    rng = np.random.default_rng(0)
    points, error, order = rng.uniform(size=30), rng.normal(size=(1, 30)), rng.permutation(30)
    found = losses_of(scattered(points, boundary=boundary), error)
    mixed = losses_of(scattered(points[order], boundary=boundary), error[:, order])
    np.testing.assert_allclose(mixed, found, rtol=1e-12)


def test_a_crowd_of_points_does_not_count_as_often_as_it_has_members():
    """A wave's norm is about that of the uniform grid, though nine points in ten lie in one half."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(0, 0.5, 900), rng.uniform(0.5, 1, 100)])
    error = np.where(points < 0.5, 1.0, 3.0)[None]
    mean_square = losses_of(scattered(points, order=0.0, modes=8), error)
    np.testing.assert_allclose(mean_square, (1 + 9) / 2, rtol=0.05)
    equal = losses_of(scattered(points, order=0.0, modes=8, quadrature=np.ones(1000)), error)
    assert abs(equal[0] - 5) > 1


# --- cells ---


@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_cells_fill_the_cube(dimensions, boundary):
    points = np.random.default_rng(0).uniform(size=(20, dimensions))
    points[0, 0] = 0.0  # on a face
    volumes = cell_volumes(points, boundary)
    assert volumes.min() > 0
    np.testing.assert_allclose(volumes.sum(), 1, rtol=1e-9)


def test_cells_of_known_size():
    np.testing.assert_allclose(cell_volumes(np.array([[0.5], [0.1], [0.2]]), "periodic"), [0.45, 0.35, 0.2])
    np.testing.assert_allclose(cell_volumes(np.array([[0.5], [0.1], [0.2]]), "mirror"), [0.65, 0.15, 0.2])
    np.testing.assert_allclose(cell_volumes(np.array([[0.0], [1.0]]), "mirror"), [0.5, 0.5])
    corners = np.array([[x, y] for x in (0.0, 0.5, 1.0) for y in (0.0, 1.0)])
    np.testing.assert_allclose(cell_volumes(corners, "mirror"), np.repeat([1 / 8, 1 / 4, 1 / 8], 2))
    # The nearest of many points, counted.
    points = np.random.default_rng(1).uniform(size=(6, 2))
    places = np.random.default_rng(2).uniform(size=(40_000, 1, 2))
    gaps = np.abs(places - points)
    nearest = np.argmin(np.sum(np.minimum(gaps, 1 - gaps) ** 2, axis=-1), axis=1)
    shares = np.bincount(nearest, minlength=6) / len(places)
    np.testing.assert_allclose(cell_volumes(points, "periodic"), shares, atol=0.01)


# --- bad input ---


@pytest.mark.parametrize(
    ("points", "options", "kind", "words"),
    [
        ([0.1, 1.2], {}, ValueError, r"points must lie from 0 to 1 .*got 0.1 to 1.2.*divide"),
        ([0.1, np.nan], {}, ValueError, "points must lie from 0 to 1"),
        ([], {}, ValueError, r"points must have shape .*got \(0, 1\)"),
        (np.zeros((2, 2, 2)), {}, ValueError, "points must have shape"),
        ([0.1, 0.1, 0.4], {}, ValueError, "Some points coincide.*quadrature="),
        ([0.0, 0.5, 1.0], {}, ValueError, "Some points coincide.*0 and 1 do"),
        ([0.1, 0.4], {"modes": -1}, ValueError, "modes must be at least 0"),
        ([0.1, 0.4], {"modes": (1, 2)}, ValueError, "modes must be one number or 1, one for each coordinate"),
        ([0.1, 0.4], {"order": "low"}, TypeError, "order must be a real number"),
        ([0.1, 0.4], {"knee": 0.0}, ValueError, "knee must be above 0"),
        ([0.1, 0.4], {"boundary": "open"}, ValueError, "boundary must be one of"),
        ([0.1, 0.4], {"quadrature": [1.0]}, ValueError, "quadrature must have 2 finite numbers"),
        ([0.1, 0.4], {"quadrature": [1.0, -1.0]}, ValueError, "quadrature must have 2 finite numbers"),
        (np.eye(4) / 2, {}, ValueError, "Cells are computed in up to 3 dimensions, got 4.*quadrature="),
    ],
)
def test_arguments_refused(points, options, kind, words):
    with pytest.raises(kind, match=words):
        ScatteredSobolev(points, **options)


def test_number_of_points_that_differs():
    with pytest.raises(ValueError, match=r"There are 3 points, .*\(batch, 3\).*got \(2, 4\)"):
        ScatteredSobolev([0.1, 0.4, 0.7])(np.zeros((2, 4)), np.zeros((2, 4)))
