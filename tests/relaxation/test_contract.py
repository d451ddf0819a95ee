"""What each equation must keep on every engine: precision, gradients, shapes, and what it refuses."""

import functools
import warnings

import keras
import numpy as np
import pytest

from keras_koopman.relaxation.pde import Burgers, Diffusion, PhaseDiffusion
from tests.relaxation.engines import gradient
from tests.relaxation.equations import EQUATIONS, fields, random_fields

contract = pytest.mark.contract

MAKERS = {
    "diffusion": functools.partial(Diffusion, diffusivity=0.05, length=1.0),
    "burgers": functools.partial(Burgers, viscosity=0.05, length=1.0),
    "phase": functools.partial(PhaseDiffusion, diffusion=0.05, nonlinearity=0.1, frequency=1.0, length=1.0),
}


@pytest.fixture(params=EQUATIONS)
def equation(request):
    return EQUATIONS[request.param]


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=contract), "float64"])
def test_precision_is_that_of_the_fields(equation, dtype):
    u = random_fields(equation, 3, size=0.2).astype(dtype)
    for found in (
        equation.eigenfunctional(u, 2),
        equation.isostable(u),
        equation.solve(u, [0.0, 0.5]),
        equation.expand(u, 4).values,
    ):
        assert keras.backend.standardize_dtype(found.dtype) == dtype
    exact = np.asarray(equation.eigenfunctional(u.astype("float64"), 2), np.float64)
    tolerance = {"float32": 2e-6, "float64": 0}[dtype]
    np.testing.assert_allclose(np.asarray(equation.eigenfunctional(u, 2)), exact, atol=tolerance)


@contract
def test_float32_keeps_its_digits_near_rest(equation):
    """The functionals of small fields are small: they must not drown in the rounding of 1."""
    u = 1e-5 * fields(equation, [1.0, 0.3])
    exact = np.asarray(equation.eigenfunctional(u, 1))
    found = np.asarray(equation.eigenfunctional(u.astype("float32"), 1))
    np.testing.assert_allclose(found, exact, rtol=1e-4)


def test_shapes(equation):
    u = random_fields(equation, 3, size=0.2).astype("float32")
    assert tuple(equation.eigenfunctional(u, 1).shape) == (3,)
    assert tuple(equation.solve(u, 0.1).shape) == (3, 65)
    assert tuple(equation.solve(u, [0.1, 0.2]).shape) == (3, 2, 65)
    assert tuple(equation.expand(u, 4).at(np.zeros(1)).shape) == (3, 1, 65)


@pytest.mark.parametrize("n", [1, pytest.param(3, marks=contract)])
def test_gradient_against_differences(equation, n):
    u = random_fields(equation, 2).astype("float32")
    found = gradient(lambda v: equation.eigenfunctional(v, n), u)
    direction = random_fields(equation, 2, seed=1)
    step = 1e-6
    up, down = (
        np.asarray(equation.eigenfunctional(u.astype("float64") + s * step * direction, n)) for s in (1, -1)
    )
    np.testing.assert_allclose(
        np.sum(found * direction, axis=1), (up - down) / (2 * step), rtol=1e-3, atol=1e-5
    )


@contract
def test_flow_has_a_gradient(equation):
    u = random_fields(equation, 1).astype("float32")
    found = gradient(lambda v: equation.solve(v, 0.5)[:, 20], u)
    direction = random_fields(equation, 1, seed=1)
    up, down = (np.asarray(equation.solve(u.astype("float64") + s * 1e-6 * direction, 0.5)) for s in (1, -1))
    assert np.sum(found * direction) == pytest.approx((up - down)[0, 20] / 2e-6, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("u", "error", "message"),
    [
        (np.zeros(65), ValueError, r"must have shape \(batch, nodes\), got \(65,\).*pass u\[None\]"),
        (np.zeros((2, 3, 65)), ValueError, r"must have shape \(batch, nodes\)"),
        (np.zeros((2, 4)), ValueError, "at least 5 nodes, both ends included"),
        (np.full((1, 9), np.nan), ValueError, "must be finite, got NaN"),
        (np.zeros((1, 9), complex), TypeError, "real numbers, got dtype complex128"),
        (np.array([["a"] * 9]), TypeError, "real numbers"),
        (np.zeros((1, 9), bool), TypeError, "real numbers, got dtype bool"),
        ([[1.0] * 9, [1.0] * 8], ValueError, r"must have shape \(batch, nodes\), got list.*unequal length"),
    ],
)
def test_refuses_fields(equation, u, error, message):
    for call in (
        lambda: equation.eigenfunctional(u, 1),
        lambda: equation.expand(u, 2),
    ):
        with pytest.raises(error, match=message):
            call()
    with pytest.raises(error, match=message.replace("u\\[None", "u0\\[None")):
        equation.solve(u, 1.0)


def test_refuses_arguments(equation):
    u = random_fields(equation, 1, nodes=9)
    with pytest.raises(ValueError, match="n=9 half waves cannot be told apart on 9 nodes: at most 8"):
        equation.eigenfunctional(u, 9)
    with pytest.raises(ValueError, match="modes=12 half waves"):
        equation.expand(u, 12)
    with pytest.raises(TypeError, match=r"n must be a whole number, got 1\.0"):
        equation.eigenvalue(1.0)
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        equation.eigenfunctional(u, -1)
    with pytest.raises(ValueError, match=r"times must be a finite number >= 0.*backwards"):
        equation.solve(u, [-0.1])
    for wrong in ("late", "1.5", 1j, np.array([1j]), True, None, [[1.0], [1.0, 2.0]]):
        with pytest.raises(TypeError, match="times must be a number"):
            equation.solve(u, wrong)
    with pytest.raises(ValueError, match="times must be a finite number >= 0"):
        equation.solve(u, [])
    with pytest.raises(ValueError, match="products must be at least 1"):
        equation.expand(u, 2).at(1.0, products=0)


@pytest.mark.parametrize("name", MAKERS)
def test_refuses_coefficients(name):
    first = next(iter(MAKERS[name].keywords))
    for wrong in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"{first} must be above 0"):
            MAKERS[name](**{first: wrong})
        with pytest.raises(ValueError, match="length must be above 0"):
            MAKERS[name](length=wrong)
    with pytest.raises(TypeError, match=f"{first} must be a real number, got 'big'"):
        MAKERS[name](**{first: "big"})


def test_warns_of_a_broken_boundary_condition(equation):
    x = np.linspace(0, 1, 65)
    ramp = (x + 1)[None]  # a slope at both ends, and no zero
    condition = "u = 0" if isinstance(equation, Burgers) else "_x = 0"
    with pytest.warns(UserWarning, match=rf"{condition} at both ends by 1 of their size"):
        equation.eigenfunctional(ramp, 1)


def test_says_nothing_of_good_or_noisy_fields(equation):
    u = random_fields(equation, 4)
    noisy = u + 0.01 * u.std() * np.random.default_rng(2).normal(size=u.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fields_ in (u, noisy, 100 + u if not isinstance(equation, Burgers) else u, u.astype("float32")):
            equation.eigenfunctional(fields_, 1)


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=contract), "float64"])
def test_the_exponential_does_not_overflow(dtype):
    """A field a thousand times larger than the coefficient: functionals are finite, the field is refused."""
    for equation in (Burgers(1e-3, 1.0), PhaseDiffusion(1e-3, 1.0, 0.0, 1.0)):
        u = fields(equation, [3.0, -1.0]).astype(dtype)
        for sign in (1, -1):
            values = np.asarray(equation.eigenfunctional(sign * u, 1))
            assert np.all(np.abs(values) <= 1)
            assert np.all(np.abs(values) > 0.1)
        with pytest.raises(ValueError, match=r"the transformed field falls to .*Ask for later times"):
            equation.solve(u, 0.0)
        late = equation.solve(u, 5000.0)
        assert np.all(np.isfinite(np.asarray(late)))


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=contract)])
def test_no_fields_give_no_results(equation, dtype):
    u = np.zeros((0, 9), dtype)
    assert tuple(equation.eigenfunctional(u, 2).shape) == (0,)
    assert tuple(equation.isostable(u).shape) == (0,)
    assert tuple(equation.expand(u, 4).values.shape) == (0, 5)
    assert tuple(equation.solve(u, 0.5).shape) == (0, 9)
    found = equation.solve(u, [0.5, 1.0])
    assert tuple(found.shape) == (0, 2, 9)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    assert tuple(equation.expand(u, 4).at([0.5], products=2).shape) == (0, 1, 9)


@pytest.mark.parametrize(
    "call",
    [
        lambda equation, u: equation.eigenfunctional(u, 1),
        lambda equation, u: equation.isostable(u),
        lambda equation, u: equation.expand(u, 2),
        lambda equation, u: equation.solve(u, 1.0),
    ],
)
def test_the_warning_points_at_the_line_that_called(equation, call):
    with pytest.warns(UserWarning, match="break the boundary condition") as caught:
        call(equation, np.linspace(1, 2, 65)[None])
    caught = [warning for warning in caught if warning.category is UserWarning]  # NumPy has others for torch
    assert [warning.filename for warning in caught] == [__file__]
    assert [warning.lineno for warning in caught] == [call.__code__.co_firstlineno]


@pytest.mark.parametrize("amplitude", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("nodes", [33, 257, 1025])
def test_float32_is_right_or_refused(equation, nodes, amplitude):
    """Burgers' slopes on fine grids at early times are sums of many half waves, each with its rounding."""
    u, refused = fields(equation, [amplitude, amplitude / 2], nodes), []
    for time in (0.0, 1e-3, 0.1, 1.0):
        exact = np.asarray(equation.solve(u, time))
        try:
            found = np.asarray(equation.solve(u.astype("float32"), time))
        except ValueError:
            refused.append(time)
        else:
            np.testing.assert_allclose(found, exact, atol=1e-3 * np.max(np.abs(exact)))
    nonlinear = not isinstance(equation, Diffusion)
    assert refused == [0.0, 1e-3, 0.1] if nonlinear and amplitude == 3 else set(refused) <= {0.0}
    if isinstance(equation, Burgers) and nodes > 33 and amplitude == 1:
        assert refused == [0.0]


@pytest.mark.parametrize("nodes", [5, 6, 7, 9])
def test_coarse_grids_warn_of_slopes_and_of_nothing_else(nodes):
    heat = Diffusion(1.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for coefficients in ([1.0], [0.0, 1.0], [1.0, 0.3], [1.0, 0.3, 0.1], [0.0, 0.0, 1.0]):
            heat.eigenfunctional(fields(heat, coefficients, nodes), 1)
    x = np.linspace(0, 1, nodes)
    for steep in (x, np.exp(x), x**2):
        with pytest.warns(UserWarning, match="u_x = 0 at both ends"):
            heat.eigenfunctional(steep[None], 1)


def test_overflow_before_any_exponential_is_told():
    with pytest.raises(ValueError, match="the field divided by the coefficient overflows float64"):
        PhaseDiffusion(1e-300, 1.0, 0.0, 1.0).eigenfunctional(1e10 * fields(EQUATIONS["diffusion"], [1.0]), 1)
