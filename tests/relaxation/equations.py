"""The three equations with a field for each."""

import numpy as np

from keras_koopman.relaxation.pde import Burgers, Diffusion, PhaseDiffusion

EQUATIONS = {
    "diffusion": Diffusion(0.05, 1.0),
    "burgers": Burgers(0.05, 1.0),
    "phase": PhaseDiffusion(0.05, 0.1, 1.0, 1.0),
}


def fields(equation, coefficients, nodes=65):
    """`(batch, nodes)` sums of half waves that keep the boundary condition."""
    coefficients = np.atleast_2d(coefficients)
    wave = np.sin if isinstance(equation, Burgers) else np.cos
    numbers = np.arange(1, coefficients.shape[1] + 1)
    return coefficients @ wave(np.pi * np.outer(numbers, np.linspace(0, 1, nodes)))


def random_fields(equation, runs, waves=6, size=1.0, nodes=65, seed=0):
    """Fields whose higher waves are smaller."""
    amplitudes = np.random.default_rng(seed).normal(size=(runs, waves)) / np.arange(1, waves + 1)
    return fields(equation, size * amplitudes, nodes)
