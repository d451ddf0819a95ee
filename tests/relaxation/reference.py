"""An independent integrator: method of lines, fourth order in space, SciPy's in time."""

import numpy as np
from scipy.integrate import solve_ivp

from keras_koopman.relaxation.pde import Burgers, Diffusion, PhaseDiffusion


def _derivative(u, h, parity, order):
    """First or second derivative; beyond the ends the field is mirrored, with this sign."""
    p = np.concatenate([parity * u[2:0:-1], u, parity * u[-2:-4:-1]])
    if order == 1:
        return (p[:-4] - 8 * p[1:-3] + 8 * p[3:-1] - p[4:]) / (12 * h)
    return (-p[:-4] + 16 * p[1:-3] - 30 * p[2:-2] + 16 * p[3:-1] - p[4:]) / (12 * h * h)


def motion(equation, h):
    """Right-hand side of the equation on a grid."""
    if isinstance(equation, Diffusion):
        return lambda t, u: equation.diffusivity * _derivative(u, h, 1, 2)
    if isinstance(equation, Burgers):
        return lambda t, u: equation.viscosity * _derivative(u, h, -1, 2) - _derivative(u * u / 2, h, 1, 1)
    assert isinstance(equation, PhaseDiffusion)
    return lambda t, u: (
        equation.frequency
        + equation.diffusion * _derivative(u, h, 1, 2)
        + equation.nonlinearity * _derivative(u, h, 1, 1) ** 2
    )


def integrate(equation, u0, times):
    """`(times, nodes)`, to nine digits in time."""
    h = equation.length / (len(u0) - 1)
    found = solve_ivp(
        motion(equation, h), (0, times[-1]), u0, "LSODA", times, rtol=1e-9, atol=1e-12, lband=4, uband=4
    )
    assert found.success, found.message
    return found.y.T
