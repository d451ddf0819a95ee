"""The equations within a step that an engine compiles, where nothing can be raised."""

import numpy as np
import pytest
from keras import ops

from keras_koopman.backend import engine
from keras_koopman.relaxation.pde import Burgers, PhaseDiffusion
from tests.relaxation.engines import compiled, compiled_gradient, gradient
from tests.relaxation.equations import EQUATIONS, fields, random_fields

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(engine() == "torch", reason="nothing is traced there"),
]


@pytest.mark.parametrize("name", EQUATIONS)
def test_within_a_compiled_step(name):
    equation = EQUATIONS[name]
    u = random_fields(equation, 2).astype("float32")
    for function in (lambda v: equation.eigenfunctional(v, 2), lambda v: equation.solve(v, 0.3)):
        np.testing.assert_allclose(
            np.asarray(compiled(function)(ops.convert_to_tensor(u))), np.asarray(function(u)), atol=1e-5
        )


STEEP = {"burgers": Burgers(1e-3, 1.0), "phase": PhaseDiffusion(1e-3, 1.0, 0.0, 1.0)}


def steep_and_gentle(equation):
    """Two fields: one too steep for float32, and one that is not."""
    return fields(equation, [[3.0, -1.0], [1e-3, 5e-4]]).astype("float32")


@pytest.mark.parametrize("name", STEEP)
def test_a_traced_step_gives_nan_for_whole_fields_without_digits(name):
    """Where an error would be raised otherwise; other fields and later times are as they are."""
    equation = STEEP[name]
    u = steep_and_gentle(equation)
    late = 5000.0
    with pytest.raises(ValueError, match="the transformed field falls to"):
        equation.solve(u, [0.0, late])
    found = np.asarray(compiled(lambda v: equation.solve(v, [0.0, late]))(ops.convert_to_tensor(u)))
    assert np.all(np.isnan(found[0, 0]))
    assert np.all(np.isfinite(found[0, 1]))
    np.testing.assert_allclose(
        found[1], np.asarray(equation.solve(u[1:], [0.0, late]))[0], rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(found[1, 0], u[1], atol=1e-5)


@pytest.mark.parametrize("name", STEEP)
def test_a_field_without_digits_leaves_the_gradient_of_others_alone(name):
    """Of weights that all fields share, too, once the loss leaves out what is NaN."""
    equation = STEEP[name]
    u = steep_and_gentle(equation)

    def kept(fields_):
        """Leaves NaN out."""
        found = equation.solve(fields_, 0.0)[:, 20:21]
        return ops.where(ops.isnan(found), ops.zeros_like(found), found)

    both = compiled_gradient(lambda scale: kept(ops.convert_to_tensor(u) * scale), np.float32(1))
    one = gradient(
        lambda scale: equation.solve(ops.convert_to_tensor(u[1:]) * scale, 0.0)[:, 20], np.float32(1)
    )
    assert both == pytest.approx(float(one), rel=1e-3)
    plain = compiled_gradient(lambda v: equation.solve(v, 0.0)[:, 20], u)
    assert np.all(np.isfinite(plain[1]))


@pytest.mark.parametrize("name", STEEP)
def test_a_traced_step_gives_nan_for_fields_that_overflow(name):
    """Minus infinity in the exponent would pass for a node of weight 0."""
    equation = STEEP[name]
    u = steep_and_gentle(equation)
    for bad in (np.inf, -np.inf, np.nan):
        u[0, 20] = bad
        values = np.asarray(compiled(lambda v: equation.eigenfunctional(v, 1))(ops.convert_to_tensor(u)))
        assert np.isnan(values[0])
        assert values[1] == pytest.approx(float(equation.eigenfunctional(u[1:], 1)[0]), rel=1e-5)
