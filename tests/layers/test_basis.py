"""Bases of weights over time, and the maps between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_koopman.layers.basis import NAMES, Basis, default_nodes, interpolation, mass, projection, residual
from keras_koopman.layers.stages import plan_of, unused_nodes
from keras_koopman.layers.tableau import EULER, HEUN, MIDPOINT, NAMED, RK4

seeds = st.integers(0, 99)
bases = st.builds(lambda name, n: Basis(name, 2 * n), st.sampled_from(NAMES), st.integers(1, 4))


def value(basis, weights, time, late=True):
    return sum(c * weights[node] for node, c in basis.at(time, late).items())


def test_known_values():
    assert [value(Basis("fem", 3), [1, 3, 2], t) for t in (0, 0.25, 0.5, 1)] == [1, 2, 3, 2]
    assert (interpolation(Basis("constant", 2), Basis("constant", 4)) @ [2, 3]).tolist() == [2, 2, 3, 3]
    assert (interpolation(Basis("fem", 3), Basis("fem", 5)) @ [2, 3, 1]).tolist() == [2, 2.5, 3, 2, 1]


def test_values_at_a_boundary_belong_to_the_side_asked_for():
    assert value(Basis("constant", 2), [5, 7], 0.5) == 7
    assert value(Basis("constant", 2), [5, 7], 0.5, late=False) == 5
    assert value(Basis("linear", 4), [1, 2, 3, 4], 0.5, late=False) == 2
    assert value(Basis("constant", 2), [5, 7], 1.0) == 7
    assert value(Basis("constant", 3), [1, 2, 3], 1 / 3) == 2  # which is not exact


def test_polynomial_goes_through_its_nodes():
    basis = Basis("polynomial", 5)
    weights = [3, 1, 4, 1, 5]
    fitted = np.polynomial.Polynomial.fit(basis.points, weights, 4)
    times = np.linspace(0, 1, 7)
    assert np.allclose([value(basis, weights, t) for t in times], fitted(times))
    assert basis.points[[0, -1]].tolist() == [0, 1]


@pytest.mark.parametrize("nodes", range(1, 9))
def test_variance_of_a_polynomial_never_exceeds_that_of_a_node(nodes):
    shapes = Basis("polynomial", nodes).shapes(np.linspace(0, 1, 201))
    assert (shapes**2).sum(axis=1).max() <= 1 + 1e-12


@given(bases, st.floats(0, 1), st.booleans())
@settings(deadline=None)
def test_shape_functions_add_up_to_one(basis, time, late):
    assert sum(basis.at(time, late).values()) == pytest.approx(1)


@given(bases, st.integers(1, 3), st.floats(0, 1), seeds)
@settings(deadline=None, max_examples=40)
def test_refining_keeps_the_function(basis, factor, time, seed):
    weights = np.random.default_rng(seed).normal(size=basis.nodes)
    finer = basis.refined(factor)
    moved = interpolation(basis, finer) @ weights
    # Away from boundaries, at which a discontinuous function has two values.
    time = min(max(time, 1e-6), 1 - 1e-6)
    if abs(time * finer.cells - round(time * finer.cells)) > 1e-6:
        assert value(finer, moved, time) == pytest.approx(value(basis, weights, time), abs=1e-8)
    assert np.allclose(projection(basis, finer), interpolation(basis, finer), atol=1e-9)
    assert np.abs(residual(basis, finer)).max() < 1e-9


@given(bases, bases, seeds)
@settings(deadline=None, max_examples=6)
def test_projection_is_the_nearest(source, target, seed):
    """Against least squares on a grid that all boundaries of up to eight cells fall on."""
    weights = np.random.default_rng(seed).normal(size=source.nodes)
    times = (np.arange(840) + 0.5) / 840
    there = np.array([value(source, weights, t) for t in times])
    columns = np.zeros((len(times), target.nodes))
    for row, time in zip(columns, times, strict=True):
        row[list(target.at(time))] = list(target.at(time).values())
    best, *_ = np.linalg.lstsq(columns, there, rcond=None)
    assert projection(source, target) @ weights == pytest.approx(best, abs=1e-3)
    distance = np.mean((columns @ best - there) ** 2)
    assert weights @ residual(source, target) @ weights == pytest.approx(distance, abs=1e-3)


def test_projection_of_a_step_function():
    assert (projection(Basis("constant", 4), Basis("constant", 2)) @ [1, 3, 5, 9]).tolist() == [2, 7]
    # The mean of 2/3 of one cell and 1/3 of another.
    assert projection(Basis("constant", 2), Basis("constant", 3)) @ [0, 1] == pytest.approx([0, 0.5, 1])
    weights = np.array([1, 3, 5, 9])
    error = weights @ residual(Basis("constant", 4), Basis("constant", 2)) @ weights
    assert error == pytest.approx((1 + 1 + 4 + 4) / 4)
    assert weights @ mass(Basis("constant", 4)) @ weights == pytest.approx(np.mean(weights**2))


@pytest.mark.parametrize("scheme", ["euler", "midpoint", "heun", "rk4", "rk38"])
def test_a_step_in_a_cell_sees_no_other(scheme):
    plan = plan_of(NAMED[scheme], Basis("constant", 3), 6)
    found = [{node for stage in step for node in stage.weights} for step in plan]
    assert found == [
        {0},
        {0},
        {1},
        {1},
        {2},
        {2},
    ]


def test_unused_nodes():
    assert unused_nodes(EULER, Basis("constant", 4), 2) == [1, 3]
    assert unused_nodes(EULER, Basis("constant", 4), 4) == []
    assert unused_nodes(EULER, Basis("fem", 3), 2) == [2]
    assert unused_nodes(HEUN, Basis("fem", 3), 2) == []
    assert unused_nodes(RK4, Basis("constant", 8), 2) == [1, 5]
    assert unused_nodes(MIDPOINT, Basis("polynomial", 4), 2) == []


def test_default_nodes_give_each_step_a_cell():
    assert {name: Basis(name, default_nodes(name, 3)).cells for name in NAMES} == {
        "constant": 3, "fem": 3, "linear": 3, "polynomial": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "nodes", "error", "part"),
    [
        ("spline", 3, ValueError, "'polynomial'.*got 'spline'"),
        ("constant", 0, ValueError, "nodes must be at least 1"),
        ("constant", 1.5, TypeError, "whole number"),
        ("fem", 1, ValueError, "at least 2"),
        ("linear", 3, ValueError, "even"),
    ],
)
def test_bad_arguments(name, nodes, error, part):
    with pytest.raises(error, match=part):
        Basis(name, nodes)
