"""What a block does not take, and what it says."""

import keras
import numpy as np
import pytest

from keras_koopman.layers import (
    ContinuousBlock,
    ConvolutionRate,
    DenseRate,
    convergence_test,
    project,
    refine,
)
from tests.layers.models import X, Y, linear_rate, model_of


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 2.0}, TypeError, "steps must be a whole number"),
        ({"nodes": 0}, ValueError, "nodes must be at least 1"),
        ({"scheme": "rk5"}, ValueError, "scheme must be one of 'euler'"),
        ({"basis": "spline"}, ValueError, "basis must be one of 'constant'"),
        ({"memory": "low"}, ValueError, "memory must be one of 'full', 'checkpoint'"),
        ({"horizon": 0}, ValueError, "horizon must be above 0"),
        ({"horizon": np.inf}, ValueError, "horizon"),
        ({"rtol": 0.0}, ValueError, "rtol must be above 0"),
        ({"atol": "small"}, TypeError, "atol must be a real number"),
        ({"check_finite": 1}, TypeError, "check_finite must be True or False"),
        ({"basis": "fem", "nodes": 1}, ValueError, "at least 2 for basis='fem'"),
        ({"basis": "linear", "nodes": 3}, ValueError, "must be even"),
    ],
)
def test_arguments(options, error, part):
    with pytest.raises(error, match=part):
        ContinuousBlock(DenseRate(), **options)


@pytest.mark.parametrize("rate", [DenseRate, lambda h: h, "dense", None])
def test_rate_must_be_a_layer(rate):
    with pytest.raises(TypeError, match="rate must be a Keras layer"):
        ContinuousBlock(rate)


def test_rate_that_changes_the_shape():
    with pytest.raises(ValueError, match=r"changes the shape .* \(16, 3\) to \(16, 4\).*as many units"):
        ContinuousBlock(keras.layers.Dense(4))(X)
    with pytest.raises(ValueError, match="changes the shape"):
        ContinuousBlock(keras.layers.Conv2D(3, 3))(np.ones((1, 5, 5, 3)))


def test_rate_without_weights():
    with pytest.raises(ValueError, match="has no weights"):
        ContinuousBlock(keras.layers.Activation("tanh"))(X)


def test_rate_that_cannot_be_copied():
    class Rate(keras.layers.Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, inputs):
            return self.inner(inputs)

    with pytest.raises(TypeError, match=r"cannot be copied.*get_config"):
        ContinuousBlock(Rate(lambda x: x))(X)


def test_rate_for_images_alone():
    with pytest.raises(ValueError, match="takes images"):
        ContinuousBlock(ConvolutionRate())(X)


def test_adaptive_scheme_in_training():
    model, _ = model_of(scheme="dopri5")
    with pytest.raises(ValueError, match="for inference only"):
        model.train_on_batch(X, Y)


def test_nodes_that_no_step_meets():
    with pytest.warns(
        UserWarning, match="4 nodes, of which its 2 steps of 'euler' never meet 1, 3: they get no"
    ):
        ContinuousBlock(DenseRate(), 2, 4, "euler")


@pytest.mark.contract
def test_states_that_are_not_finite_are_placed():
    growth = linear_rate(np.full((3, 3), 1e25))
    block = ContinuousBlock(growth, 2, 1, "heun", check_finite=True, name="blown")
    with pytest.raises(FloatingPointError, match="rate of 'blown' is not finite at step 1, stage 2"):
        block(np.ones((1, 3), "float32"))


def test_states_that_are_not_finite_in_fit():
    growth = linear_rate(np.full((3, 3), 1e25))
    model, _ = model_of(growth, steps=2, scheme="euler", check_finite=True)
    with pytest.raises(Exception, match="not finite at step 2, stage 1"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("function", [refine, project, lambda model: convergence_test(model, X)])
def test_models_without_blocks(function):
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="is not built"):
        ContinuousBlock(DenseRate()).weights_at(0.5)
    with pytest.raises(ValueError, match="has no ContinuousBlock"):
        function(plain)
    with pytest.raises(TypeError, match=r"model must be a keras\.Model"):
        function(ContinuousBlock(DenseRate()))


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"factor": 0}, ValueError, "factor must be at least 1"),
        ({"factor": 1.5}, TypeError, "factor"),
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"steps": "double"}, ValueError, "steps must be one of 'scale'"),
        ({"slots": "drop"}, ValueError, "slots must be one of 'carry', 'reset'"),
    ],
)
def test_refine(arguments, error, part):
    model, block = model_of()
    with pytest.raises(error, match=part):
        refine(model, **arguments)
    assert block.nodes == 2


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"nodes": 0}, ValueError, "nodes must be at least 1"),
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"scheme": "rk5"}, ValueError, "scheme"),
        ({"basis": "spline"}, ValueError, "basis"),
        ({"basis": "linear", "nodes": 3}, ValueError, "even"),
    ],
)
def test_project(arguments, error, part):
    with pytest.raises(error, match=part):
        project(model_of()[0], **arguments)


def test_models_that_are_not_built():
    model = keras.Sequential([ContinuousBlock(DenseRate())])
    with pytest.raises(ValueError, match="is not built"):
        project(model)
    with pytest.raises(ValueError, match="is not built"):
        convergence_test(model, X)


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"steps": [4]}, ValueError, "two different numbers"),
        ({"steps": 4}, TypeError, "list of whole numbers"),
        ({"steps": [0, 4]}, ValueError, "at least 1"),
        ({"schemes": "rk4"}, TypeError, "list of one scheme"),
        ({"schemes": ["dopri5"]}, ValueError, "must be fixed"),
        ({"tolerance": 0}, ValueError, "tolerance"),
    ],
)
def test_convergence(arguments, error, part):
    with pytest.raises(error, match=part):
        convergence_test(model_of()[0], X, **arguments)
