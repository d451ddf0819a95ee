"""The three equations against an independent integrator and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_koopman.relaxation.pde import Burgers, Diffusion, PhaseDiffusion
from tests.relaxation.equations import EQUATIONS, fields, random_fields
from tests.relaxation.reference import integrate

TIMES = np.linspace(0, 1, 6)


@pytest.fixture(params=EQUATIONS, scope="module")
def equation(request):
    return EQUATIONS[request.param]


@pytest.fixture(scope="module")
def reference(equation):
    """A solution on 801 nodes by the method of lines."""
    u0 = fields(equation, [1.0, 0.5, 0.3, 0.2, 0.1], 801)[0]
    return integrate(equation, u0, TIMES)


def numbers(tensor):
    return np.asarray(tensor, np.float64)


def test_decay_rates_along_a_reference_solution(equation, reference):
    for n in range(1, 6):
        values = numbers(equation.eigenfunctional(reference, n))
        rate = np.polyfit(TIMES, np.log(np.abs(values)), 1)[0]
        assert rate == pytest.approx(equation.eigenvalue(n), rel=1e-6)


def test_flow_is_the_reference_solution(equation, reference):
    np.testing.assert_allclose(numbers(equation.solve(reference[:1], TIMES))[0], reference, atol=1e-8)


def test_expansion_rebuilds_the_field(equation, reference):
    for count, tolerance in (40, 1e-5), (8, 1e-3):
        rebuilt = numbers(equation.expand(reference[:1], count).at(1.0))[0]
        np.testing.assert_allclose(rebuilt, reference[-1], atol=tolerance)


def test_isostable_is_the_slowest_modulus(equation, reference):
    found = numbers(equation.isostable(reference))
    np.testing.assert_allclose(found, np.abs(numbers(equation.eigenfunctional(reference, 1))))
    np.testing.assert_allclose(found / found[0], np.exp(equation.eigenvalue(1) * TIMES), rtol=1e-7)


def test_products_of_eigenfunctionals_decay_at_the_summed_rate(equation, reference):
    product = numbers(equation.eigenfunctional(reference, 1)) * numbers(
        equation.eigenfunctional(reference, 2)
    )
    total = equation.eigenvalue(1) + equation.eigenvalue(2)
    np.testing.assert_allclose(product / product[0], np.exp(total * TIMES), rtol=1e-6)


def test_quadrature_converges_faster_than_any_power(equation):
    """Of a field that an equation has smoothed; errors on 9, 17 and 33 nodes against 257."""
    fine = numbers(equation.solve(random_fields(equation, 2, nodes=257), 0.05))
    exact = numbers(equation.eigenfunctional(fine, 2))
    errors = [
        np.max(np.abs(numbers(equation.eigenfunctional(fine[:, :: 256 // (n - 1)], 2)) - exact))
        for n in (9, 17, 33)
    ]
    assert errors[1] < errors[0] / 2**6 or errors[0] < 1e-14
    assert errors[2] < 1e-9


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_functionals_of_the_difference_scheme(n):
    """The trapezoidal functional is a left eigenvector of the usual matrix, to rounding."""
    nodes, length, diffusivity = 41, 1.7, 0.3
    h = length / (nodes - 1)
    matrix = np.diag(np.full(nodes, -2.0)) + np.diag(np.ones(nodes - 1), 1) + np.diag(np.ones(nodes - 1), -1)
    matrix[0, 1] = matrix[-1, -2] = 2.0
    matrix *= diffusivity / h**2
    heat = Diffusion(diffusivity, length)
    u = fields(heat, np.random.default_rng(0).normal(size=(3, nodes - 1)), nodes)
    expected = -4 * diffusivity / h**2 * np.sin(n * np.pi * h / (2 * length)) ** 2
    ratio = numbers(heat.eigenfunctional(u @ matrix.T, n)) / numbers(heat.eigenfunctional(u, n))
    np.testing.assert_allclose(ratio, expected, rtol=1e-10)
    assert np.min(np.abs(np.linalg.eigvals(matrix) - expected)) < 1e-10 * abs(expected) + 1e-11


@pytest.mark.parametrize("n", [0, 1, 4])
def test_linear_functionals_in_closed_form(n):
    """int_0^L (2 + x^2 (3 L - 2 x)) cos(n pi x / L), whose field has no slope at the ends."""
    length = 1.3
    x = np.linspace(0, length, 2001)
    k = n * np.pi / length
    # Twice by parts: the second derivative is 6 L - 12 x.
    expected = 2 * length + length**4 / 2 if n == 0 else -12 * (1 - (-1) ** n) / k**4
    found = numbers(Diffusion(1.0, length).eigenfunctional((2 + x**2 * (3 * length - 2 * x))[None], n))
    assert found[0] == pytest.approx(expected, abs=1e-9)


def test_cole_hopf_in_closed_form():
    """u = -2 nu v' / v with v = 2 + cos(pi x): phi_1 = 1/4."""
    x, nu = np.linspace(0, 1, 65), 0.07
    u = 2 * nu * np.pi * np.sin(np.pi * x) / (2 + np.cos(np.pi * x))
    burgers = Burgers(nu, 1.0)
    found = [float(burgers.eigenfunctional(u[None], n)[0]) for n in range(4)]
    assert found == pytest.approx([1, 0.25, 0, 0], abs=1e-12)
    phase = PhaseDiffusion(nu, 0.3, 0.0, 1.0)
    theta = nu / 0.3 * np.log(2 + np.cos(np.pi * x))
    assert float(phase.eigenfunctional(theta[None], 1)[0]) == pytest.approx(0.25, abs=1e-12)
    assert float(phase.expand(theta[None], 3).level[0, 0]) == pytest.approx(nu / 0.3 * np.log(2))


def test_products_converge_to_the_closed_form(equation):
    """With few products far off, with many exact; diffusion is linear and needs one."""
    expansion = equation.expand(fields(equation, [0.05, 0.02]), 20)
    whole = numbers(expansion.at([0.5, 1.0]))
    errors = [np.max(np.abs(numbers(expansion.at([0.5, 1.0], products=p)) - whole)) for p in (1, 3, 30)]
    assert errors[2] < 1e-12
    if not isinstance(equation, Diffusion):
        assert errors[0] > errors[1] > 1e-9


def test_phase_without_nonlinearity_is_diffusion():
    u = random_fields(EQUATIONS["diffusion"], 3) + 4.0
    plain, linear = Diffusion(0.2, 1.0), PhaseDiffusion(0.2, 0.0, 3.0, 1.0)
    assert linear.eigenvalue(2) == plain.eigenvalue(2)
    np.testing.assert_allclose(linear.eigenfunctional(u, 2), plain.eigenfunctional(u, 2))
    np.testing.assert_allclose(linear.solve(u, 0.5), numbers(plain.solve(u, 0.5)) + 1.5)
    nearly = PhaseDiffusion(0.2, 1e-9, 3.0, 1.0)
    np.testing.assert_allclose(nearly.solve(u, 0.5), linear.solve(u, 0.5), atol=1e-7)


def test_mass_of_the_transformed_phase_grows_at_its_own_rate():
    """Unnormalised, int v cos has the eigenvalue b omega / a more."""
    a, b, omega = 0.1, 0.2, 0.7
    phase = PhaseDiffusion(a, b, omega, 1.0)
    u0 = random_fields(phase, 2)
    later = numbers(phase.solve(u0, 1.5))
    weights = np.full(65, 1 / 64)
    weights[[0, -1]] /= 2
    mass = [np.exp(b * u / a) @ weights for u in (u0, later)]
    np.testing.assert_allclose(np.log(mass[1] / mass[0]) / 1.5, b * omega / a, rtol=1e-10)


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from(["diffusion", "burgers", "phase"]),
    st.floats(0.02, 2.0),
    st.floats(0.5, 3.0),
    st.floats(-0.5, 0.5),
    st.lists(st.floats(-1, 1), min_size=1, max_size=4),
    st.integers(0, 6),
    st.floats(0.0, 0.5),
)
def test_functionals_decay_exactly_along_the_flow(kind, rate, length, b, amplitudes, n, time):
    equation = {
        "diffusion": lambda: Diffusion(rate, length),
        "burgers": lambda: Burgers(rate, length),
        "phase": lambda: PhaseDiffusion(rate, b, 1.0, length),
    }[kind]()
    u0 = fields(equation, 0.2 * np.array(amplitudes), 129)
    before = numbers(equation.eigenfunctional(u0, n))
    after = numbers(equation.eigenfunctional(equation.solve(u0, time), n))
    np.testing.assert_allclose(after, before * np.exp(equation.eigenvalue(n) * time), atol=1e-9)


@settings(deadline=None, max_examples=8)
@given(st.floats(0.0, 0.4), st.floats(0.0, 0.4))
def test_flow_is_a_semigroup(first, second):
    for equation in EQUATIONS.values():
        u0 = fields(equation, [0.4, -0.2])
        once = numbers(equation.solve(u0, first + second))
        twice = numbers(equation.solve(equation.solve(u0, first), second))
        np.testing.assert_allclose(twice, once, atol=1e-9)


@pytest.mark.parametrize("b", [2e-311, -5e-324, 1e-300])
def test_nonlinearity_that_is_next_to_nothing(b):
    field = np.cos(np.pi * np.linspace(0, 1, 33))[None]
    plain = PhaseDiffusion(0.1, 0.0, 1.0, 1.0)
    almost = PhaseDiffusion(0.1, b, 1.0, 1.0)
    np.testing.assert_array_equal(almost.eigenfunctional(field, 1), plain.eigenfunctional(field, 1))
    np.testing.assert_array_equal(almost.solve(field, 0.5), plain.solve(field, 0.5))
