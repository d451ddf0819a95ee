"""Learned eigenfunctionals against the exact ones."""

import keras
import numpy as np
import pytest

from keras_koopman.relaxation import learn_eigenfunctionals
from keras_koopman.relaxation.dictionaries import (
    ColeHopfMoments,
    FourierMoments,
    LinearFunctionals,
    NetworkFeatures,
)
from keras_koopman.relaxation.pde import Burgers
from tests.relaxation.equations import EQUATIONS, fields, random_fields

DT = 0.05
DICTIONARIES = {
    "diffusion": lambda count: FourierMoments(count),
    "burgers": lambda count: ColeHopfMoments(count, -1 / (2 * 0.05), of="integral"),
    "phase": lambda count: ColeHopfMoments(count, 0.1 / 0.05),
}


def runs_of(name, runs=12, times=21, nodes=129, size=0.5, seed=0, dt=DT):
    equation = EQUATIONS[name]
    u0 = random_fields(equation, runs, size=size, nodes=nodes, seed=seed)
    return np.asarray(equation.solve(u0, dt * np.arange(times)))


def exact(name, *numbers):
    return np.array([EQUATIONS[name].eigenvalue(n) for n in numbers])


@pytest.fixture(params=EQUATIONS)
def name(request):
    return request.param


def test_first_three_without_noise(name):
    found = learn_eigenfunctionals(runs_of(name), DICTIONARIES[name](6), dt=DT)
    np.testing.assert_allclose(found.eigenvalues[:3], exact(name, 1, 2, 3), rtol=1e-9)
    assert np.all(found.residuals[:3] < 1e-9)
    assert np.all(found.trusted)
    assert found.pairs == 12 * 20


def test_first_three_from_a_solution_that_was_integrated(name):
    """Data that do not come from our own flow."""
    from tests.relaxation.reference import integrate

    u0 = random_fields(EQUATIONS[name], 4, waves=4, size=0.5, nodes=201)
    runs = np.stack([integrate(EQUATIONS[name], u, DT * np.arange(11)) for u in u0])
    found = learn_eigenfunctionals(runs, DICTIONARIES[name](4), dt=DT)
    np.testing.assert_allclose(found.eigenvalues[:3].real, exact(name, 1, 2, 3), rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_first_three_with_one_per_cent_of_noise(name, seed):
    runs = runs_of(name, seed=seed)
    noise = 0.01 * runs.std() * np.random.default_rng(seed).normal(size=runs.shape)
    found = learn_eigenfunctionals(runs + noise, DICTIONARIES[name](6), dt=DT)
    np.testing.assert_allclose(found.eigenvalues[:3].real, exact(name, 1, 2, 3), rtol=0.03)


def test_a_factor_that_is_off_is_mended_by_products():
    """Burgers' viscosity taken to be a tenth too large."""
    off = ColeHopfMoments(3, -1 / (2 * 0.055), of="integral")
    runs = runs_of("burgers", runs=40, size=0.1)
    linear = learn_eigenfunctionals(runs, off, dt=DT)
    better = learn_eigenfunctionals(runs, off, dt=DT, order=3)
    wanted = exact("burgers", 1)[0]
    assert abs(better.eigenvalues[0].real / wanted - 1) < 1e-3
    assert abs(better.eigenvalues[0] - wanted) < abs(linear.eigenvalues[0] - wanted) / 5


@pytest.mark.parametrize("name", [pytest.param("diffusion", marks=pytest.mark.contract), "burgers", "phase"])
def test_values_are_the_exact_functionals_up_to_a_factor(name):
    found = learn_eigenfunctionals(runs_of(name), DICTIONARIES[name](4), dt=DT)
    fresh = random_fields(EQUATIONS[name], 5, size=0.5, nodes=129, seed=9)
    values = np.asarray(found(fresh))
    for i in range(3):
        ratio = values[:, i] / np.asarray(EQUATIONS[name].eigenfunctional(fresh, i + 1))
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)


def test_products_are_recognised(name):
    found = learn_eigenfunctionals(runs_of(name), DICTIONARIES[name](3), dt=DT, order=2)
    lam = exact(name, 1, 2, 3)
    np.testing.assert_allclose(found.eigenvalues[3].real, lam[0] + lam[1], rtol=1e-8)
    # The rates are as 1, 2 = 1+1, 4, 5 = 1+4, 8 = 4+4, 9, 10 = 1+9, 13 = 4+9, 18 = 9+9.
    assert found.products == {1: (0, 0), 3: (0, 2), 4: (2, 2), 6: (0, 5), 7: (2, 5), 8: (5, 5)}
    assert "0 times 2" in found.summary()


def test_equal_rates_alone_make_no_product():
    """The rate of the second is four times that of the first, but it is no product of its powers."""
    found = learn_eigenfunctionals(runs_of("diffusion"), FourierMoments(3), dt=DT)
    assert found.products == {}


def test_a_dictionary_that_does_not_close_is_not_trusted():
    """Plain moments of a strongly nonlinear flow: the slowest rate is off by half, and it shows."""
    found = learn_eigenfunctionals(runs_of("burgers"), FourierMoments(6, "sine"), dt=DT)
    assert not np.any(found.trusted)
    assert abs(found.eigenvalues[0].real / exact("burgers", 1)[0] - 1) > 0.1


def test_dictionaries_of_ones_own():
    """Point values: the constant is conserved, the rest is the difference scheme's or better."""
    runs = runs_of("diffusion", nodes=33) + np.linspace(-1, 1, 12)[:, None, None]
    points = LinearFunctionals(np.eye(33)[[0, 4, 8, 16, 24, 28, 32]])
    found = learn_eigenfunctionals(runs, [points], dt=DT)
    np.testing.assert_allclose(found.eigenvalues[:4].real, [0, *exact("diffusion", 1, 2, 3)], atol=1e-6)
    doubled = learn_eigenfunctionals(
        runs, [lambda u: keras.ops.stack([u[:, 0] - u[:, 32]], 1), points], dt=DT, rank=7
    )
    np.testing.assert_allclose(doubled.eigenvalues[:3].real, found.eigenvalues[:3].real, atol=1e-6)


@pytest.mark.contract
def test_an_oscillation_has_complex_eigenvalues():
    """Two points that turn about each other while they decay."""
    t = 0.1 * np.arange(60)
    runs = (np.exp(-0.2 * t) * np.stack([np.cos(t), np.sin(t), 0 * t, 0 * t, 0 * t])).T
    found = learn_eigenfunctionals(runs, LinearFunctionals(np.eye(5)[:2]), dt=0.1)
    np.testing.assert_allclose(found.eigenvalues, [-0.2 + 1j, -0.2 - 1j], rtol=1e-9)
    values = np.asarray(found(runs))
    np.testing.assert_allclose(values[1:, 0] / values[:-1, 0], found.factors[0], rtol=1e-6)


def test_rank_and_one_run():
    run = runs_of("diffusion", runs=1)[0]
    found = learn_eigenfunctionals(run, FourierMoments(6), dt=DT, rank=3)
    assert len(found) == 3
    assert repr(found).endswith("20 pairs>")


@pytest.mark.contract
def test_network_betters_the_linear_fit():
    """Mildly nonlinear Burgers flow; nothing of Cole and Hopf is told."""
    runs = runs_of("burgers", runs=48, times=13, nodes=33, size=0.2, dt=0.3)
    linear = learn_eigenfunctionals(runs, FourierMoments(4, "sine"), dt=0.3)
    network = NetworkFeatures(features=2, units=16, components=4, epochs=400)
    found = learn_eigenfunctionals(runs, network, dt=0.3)
    assert found.eigenvalues[0].real == pytest.approx(exact("burgers", 1)[0], rel=0.15)
    assert found.errors[0] < 0.85 * linear.errors[0]  # on runs that it has not seen
    assert network.loss < 0.05
    rest = keras.ops.convert_to_numpy(network(np.zeros((1, 33))))
    assert np.all(np.abs(rest) < 0.05)  # of a root mean square of 1: zero at the state of rest


def test_what_a_network_has_learned_by_heart_is_not_trusted():
    """A strongly nonlinear flow, few runs: small misfits where it has learned, large ones elsewhere."""
    runs = runs_of("burgers", nodes=33, size=0.3)
    network = NetworkFeatures(features=1, epochs=250)
    found = learn_eigenfunctionals(runs, network, dt=DT)

    def misfit(some):
        values = keras.ops.convert_to_numpy(found(some.reshape(-1, 33))).astype("float64")
        values = values.reshape(len(some), -1)
        steps = min(10, round(np.log(2) / abs(found.eigenvalues[0].real) / DT))
        factor = found.factors[0].real ** steps
        missed = np.linalg.norm(values[:, steps:] - factor * values[:, :-steps])
        return missed / np.linalg.norm((1 - factor) * values[:, :-steps])

    assert found.errors[0] == pytest.approx(misfit(runs[3::4]), rel=1e-3)
    assert misfit(np.delete(runs, np.s_[3::4], axis=0)) < 0.1 < found.errors[0]
    assert not found.trusted[0]


def test_a_network_of_few_runs_is_judged_by_their_ends():
    u0 = fields(EQUATIONS["diffusion"], [1.0, 1.0], 33)
    run = np.asarray(EQUATIONS["diffusion"].solve(u0, DT * np.arange(21)))
    network = NetworkFeatures(features=2, units=4, components=2, epochs=2)
    found = learn_eigenfunctionals(run, network, dt=DT)
    np.testing.assert_allclose(found.eigenvalues.real, exact("diffusion", 1, 2), rtol=0.02)
    assert np.all(found.trusted)
    with pytest.raises(ValueError, match="1 runs of 7 times are too few to train a network on some"):
        learn_eigenfunctionals(run[:, :7], network, dt=DT)


@pytest.mark.contract
def test_a_keras_model_as_it_is():
    """Its `fit` is not called: it is a dictionary of linear functionals here, in float32."""
    runs = runs_of("diffusion", nodes=33)
    model = keras.Sequential([keras.Input((33,)), keras.layers.Dense(6, use_bias=False)])
    model.layers[0].kernel.assign(np.cos(np.pi * np.outer(np.linspace(0, 1, 33), np.arange(1, 7))) / 32)
    found = learn_eigenfunctionals(runs, model, dt=DT)
    np.testing.assert_allclose(found.eigenvalues[:2].real, exact("diffusion", 1, 2), rtol=0.01)


@pytest.mark.parametrize(
    ("snapshots", "error", "message"),
    [
        (np.zeros(5), ValueError, r"shape \(runs, times, nodes\) or \(times, nodes\), got \(5,\)"),
        (np.zeros((1, 9)), ValueError, "show no motion: at least two"),
        (np.full((4, 9), np.inf), ValueError, "must be finite"),
        (np.zeros((4, 9), complex), TypeError, "real numbers, got dtype complex128"),
        (np.ones((4, 9)), ValueError, "3 pairs of snapshots are too few for 2 observables: at least 4"),
        (np.zeros((9, 9)), ValueError, "the observables are zero on all snapshots"),
        ([[1.0, 2.0], [3.0]], ValueError, "got rows of unequal length"),
        (np.zeros((4, 9), bool), TypeError, "real numbers, got dtype bool"),
        (1e300 * np.eye(9), ValueError, "values up to .*, whose squares overflow. Scale the fields"),
    ],
)
def test_refuses_snapshots(snapshots, error, message):
    with pytest.raises(error, match=message):
        learn_eigenfunctionals(snapshots, FourierMoments(2))


def test_refuses_dictionaries():
    runs = runs_of("diffusion")
    with pytest.raises(TypeError, match=r"dictionary must take fields .*got str"):
        learn_eigenfunctionals(runs, "moments")
    with pytest.raises(TypeError, match="got an empty list"):
        learn_eigenfunctionals(runs, [])
    with pytest.raises(ValueError, match=r"must return \(batch, features\).*got shape \(252,\)"):
        learn_eigenfunctionals(runs, lambda u: u[:, 0])
    with pytest.raises(TypeError, match="must return real numbers, got complex"):
        learn_eigenfunctionals(runs, lambda u: np.asarray(u)[:, :2] * 1j)
    with pytest.raises(ValueError, match="do not change from snapshot to snapshot"):
        learn_eigenfunctionals(np.ones((3, 10, 9)), LinearFunctionals(np.eye(9)[:2]))
    with pytest.raises(ValueError, match=r"got shape \(252, 0\)"):
        learn_eigenfunctionals(runs, lambda u: u[:, :0])
    with pytest.raises(TypeError, match="got the class FourierMoments"):
        learn_eigenfunctionals(runs, FourierMoments)
    with pytest.raises(TypeError, match="rank must be a whole number, got 'svht'"):
        learn_eigenfunctionals(runs, FourierMoments(2), rank="svht")
    network = NetworkFeatures(1, units=1, components=1, epochs=1)
    learn_eigenfunctionals(runs[..., ::4], network, dt=DT)
    with pytest.raises(ValueError, match="fields have 129 nodes, but the network was trained on 33"):
        network(runs[0])
    with pytest.raises(ValueError, match="returned NaN or infinity"):
        learn_eigenfunctionals(runs, lambda u: u[:, :1] * np.inf)
    with pytest.raises(ValueError, match="count=128 half waves cannot be told apart on 129 nodes"):
        learn_eigenfunctionals(runs, FourierMoments(128))
    with pytest.raises(ValueError, match="fields have 129 nodes, but the weights are for 5"):
        learn_eigenfunctionals(runs, LinearFunctionals(np.eye(5)))
    with pytest.raises(ValueError, match="factor must not be 0"):
        ColeHopfMoments(2, 0.0)
    with pytest.raises(ValueError, match="wave must be one of 'cosine', 'sine'"):
        FourierMoments(2, "square")
    with pytest.raises(ValueError, match="weights must be a finite"):
        LinearFunctionals([1.0, 2.0])
    for wrong in (np.eye(5) * 1j, [["1"] * 5], [[1.0], [1.0, 2.0]], None):
        with pytest.raises(TypeError, match="weights must be real numbers"):
            LinearFunctionals(wrong)
    with pytest.raises(ValueError, match="has not been trained"):
        NetworkFeatures()(runs[0])
    with pytest.raises(ValueError, match="dt must be above 0"):
        learn_eigenfunctionals(runs, FourierMoments(2), dt=0)


def test_growth_is_learned_as_growth():
    growing = np.exp(0.3 * np.arange(12))[:, None] * np.ones(9)
    found = learn_eigenfunctionals(growing, LinearFunctionals(np.eye(9)[:1]))
    assert found.eigenvalues[0].real == pytest.approx(0.3)


def test_a_network_wants_something_that_relaxes():
    turning = np.stack([np.cos(np.arange(40.0)), np.sin(np.arange(40.0))], axis=1) @ np.ones((2, 9))
    turning[:, 4:] = np.sin(np.arange(40.0))[:, None]
    with pytest.raises(ValueError, match="no mode that decays without turning"):
        learn_eigenfunctionals(turning, NetworkFeatures(components=2))


def test_burgers_uses_the_viscosity_of_the_tests():
    """The factor above is that of the equation."""
    assert isinstance(EQUATIONS["burgers"], Burgers)
    assert EQUATIONS["burgers"].viscosity == 0.05
