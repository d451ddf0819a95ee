"""Runge-Kutta methods, against their known orders and against tableaus that are none."""

import numpy as np
import pytest

from keras_koopman.layers import Tableau
from keras_koopman.layers.tableau import NAMED, _trees, tableau_of

ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "rk38": 4, "dopri5": 5}


@pytest.mark.parametrize("name", NAMED)
def test_orders(name):
    assert NAMED[name].order == ORDERS[name]


def test_embedded_method():
    assert NAMED["dopri5"].adaptive
    assert NAMED["dopri5"].order_low == 4
    assert not NAMED["rk4"].adaptive


def test_rooted_trees_are_counted_as_cayley_did():
    assert [len(_trees(n)) for n in range(1, 6)] == [1, 1, 2, 4, 9]


@pytest.mark.parametrize("name", NAMED)
def test_times_of_stages(name):
    tableau = NAMED[name]
    assert tableau.c[0] == 0
    assert max(tableau.c) <= 1 + 1e-12


def test_a_wrong_coefficient_lowers_the_order():
    a = [list(row) for row in NAMED["rk4"].a]
    a[2] = [0.1, 0.4]
    assert Tableau(a, NAMED["rk4"].b).order < 4


def test_square_and_lower_rows_are_the_same():
    assert Tableau([[0, 0], [0.5, 0]], [0, 1]).a == Tableau([[], [0.5]], [0, 1]).a
    assert hash(Tableau([[0, 0], [0.5, 0]], np.array([0, 1]))) == hash(Tableau([[], [0.5]], [0, 1]))


def test_config():
    for tableau in NAMED.values():
        assert Tableau.from_config(tableau.get_config()) == tableau


@pytest.mark.parametrize(
    ("a", "b", "part"),
    [
        ([[], [0.5]], [0.5, 0.6], "add up to 1"),
        ([[0.5]], [1.0], "implicit"),
        ([[0, 0.5], [0.5, 0]], [0.5, 0.5], "implicit"),
        ([[]], [0.5, 0.5], "each of the 2 stages"),
        ([[], [0.1, 0.2, 0.3]], [0.5, 0.5], "1 or 2 numbers"),
        ([[], [np.nan]], [0.5, 0.5], "finite"),
        ([], [], "one finite number"),
    ],
)
def test_no_method(a, b, part):
    with pytest.raises(ValueError, match=part):
        Tableau(a, b)


def test_embedded_weights_must_be_consistent_too():
    with pytest.raises(ValueError, match="b_low"):
        Tableau([[], [1]], [0.5, 0.5], [1, 1])


@pytest.mark.parametrize(("a", "b"), [(3, [1]), ([["x"], []], [0.5, 0.5]), ([[]], 1)])
def test_no_numbers(a, b):
    with pytest.raises(TypeError, match="numbers"):
        Tableau(a, b)


def test_unknown_scheme():
    with pytest.raises(ValueError, match=r"'euler'.*got 'rk5'"):
        tableau_of("rk5")
    with pytest.raises(TypeError, match=r"kk\.layers\.Tableau"):
        tableau_of(4)
