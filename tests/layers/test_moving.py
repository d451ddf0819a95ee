"""Which stage's statistics stand for a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_koopman.layers.basis import Basis
from keras_koopman.layers.moving import Grid
from keras_koopman.layers.tableau import NAMED

RK4, EULER = NAMED["rk4"].c, NAMED["euler"].c


def test_between_two_stages_and_beyond_the_last():
    grid = Grid(EULER, 2, Basis("fem", 3))
    assert grid.at(0.125) == {0: 0.75, 1: 0.25}
    assert grid.at(0.5) == {1: 1.0}
    assert grid.at(1.0) == {1: 1.0}


def test_stages_at_one_time_count_alike():
    grid = Grid(RK4, 1, Basis("constant", 1))
    assert grid.at(0.5) == {1: 0.5, 2: 0.5}
    assert grid.at(0.25) == {0: 0.5, 1: 0.25, 2: 0.25}


def test_where_weights_jump_no_other_cell_is_looked_at():
    grid = Grid(EULER, 2, Basis("constant", 2))
    assert [grid.at(t) for t in (0.0, 0.49, 0.5, 0.9)] == [{0: 1.0}, {0: 1.0}, {1: 1.0}, {1: 1.0}]
    # A cell without a stage takes the nearest one.
    assert Grid(EULER, 2, Basis("constant", 8)).at(0.45) == pytest.approx({0: 0.1, 1: 0.9})


@given(
    st.sampled_from(sorted(NAMED)),
    st.sampled_from(["constant", "fem", "linear", "polynomial"]),
    *[st.integers(1, 6)] * 3,
    st.floats(0, 1),
    st.booleans(),
)
def test_coefficients_are_shares(scheme, name, steps, other, half, time, late):
    grid = Grid(NAMED[scheme].c, steps, Basis(name, 2 * half))
    shares = grid.at(time, late)
    assert all(share > 0 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 <= stage < len(grid.times) for stage in shares)
    assert grid.seen_from(grid) == [{stage: 1.0} for stage in range(len(grid.times))]
    assert len(grid.seen_from(Grid(RK4, other, Basis(name, 2)))) == 4 * other
    homes = grid.homes(Basis(name, 4))
    assert len({node for node, first in homes if first}) == sum(first for _, first in homes) >= 1
    assert Grid.from_config(grid.to_config()) == grid


def test_known_times():
    times = [time for time, _ in Grid(RK4, 2, Basis("constant", 2)).times]
    assert times == pytest.approx(np.array([0, 1, 1, 2, 2, 3, 3, 4]) / 4)
