import keras
import numpy as np
import pytest
from keras import layers

import keras_koopman as kk
from tests.coresets.networks import mlp, rows

MODEL, ROWS = mlp(), rows()


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


def called(model, shape=(1, 6)):
    model(np.ones(shape))
    return model


@pytest.mark.parametrize("function", [kk.coresets.compress, kk.coresets.prune_neurons])
@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": "m"}, TypeError, "model must be a keras.Model, got 'm'"),
        ({"model": keras.Sequential([layers.Dense(2)], name="s")}, ValueError, "'s' is not built. Call it"),
        ({"model": called(Subclassed())}, ValueError, "subclassed model.*Write it as a functional"),
        ({"sample": None}, TypeError, "sample must be rows of inputs.*got None"),
        ({"sample": ROWS[:, :4]}, ValueError, r"sample has shape \(40, 4\), the model takes \(n, 6\)"),
        ({"sample": ROWS[:0]}, ValueError, r"at least 1, got \[0\]"),
        ({"sample": np.where(ROWS > 0.9, np.nan, ROWS)}, ValueError, "sample has .* not finite"),
        ({"sample": [["a"] * 6]}, ValueError, "sample has dtype"),
        ({"keep": 0}, ValueError, "keep must be a share above 0, and 1 at most, got 0"),
        ({"keep": 1.5}, ValueError, r"got 1.5. Pass 0.2 to keep a fifth"),
        ({"keep": "all"}, TypeError, "keep must be a real number"),
        ({"keep": True}, TypeError, "keep must be a real number"),
        ({"allocate": "best"}, ValueError, "allocate must be one of"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"max_rows": 2.5}, TypeError, "max_rows must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
    ],
)
def test_both(function, changes, error, words):
    arguments = {"model": MODEL, "sample": ROWS, "keep": 0.5, **changes}
    with pytest.raises(error, match=words):
        function(arguments.pop("model"), arguments.pop("sample"), **arguments)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({}, ValueError, "one of keep and error must be given, got keep=None and error=None"),
        ({"keep": 0.5, "error": (0.5, 0.1)}, ValueError, "one of keep and error"),
        ({"error": 0.5}, TypeError, r"error must be a pair \(eps, delta\), got 0.5"),
        ({"error": (0.5,)}, TypeError, "error must be a pair"),
        ({"error": (1.5, 0.1)}, ValueError, "error: eps must be above 0.0 and below 1.0"),
        ({"error": (0.5, 0)}, ValueError, "error: delta must be above 0.0"),
        ({"error": (0.5, 0.1), "method": "fitted"}, ValueError, "Give it keep, or take method='hybrid'"),
        ({"keep": 0.5, "method": "best"}, ValueError, "method must be one of 'fitted', 'hybrid'"),
        ({"keep": 0.5, "repeats": 0}, ValueError, "repeats must be at least 1"),
    ],
)
def test_compress(changes, error, words):
    with pytest.raises(error, match=words):
        kk.coresets.compress(MODEL, ROWS, **changes)


def test_weights_that_are_not_finite():
    model = mlp()
    model.layers[1].kernel.assign(np.full((12, 8), np.inf))
    with pytest.raises(ValueError, match=r"weight '.*hidden_1/kernel' has 96 numbers that are not finite"):
        kk.coresets.compress(model, ROWS, keep=0.5)


def test_activations_that_overflow():
    model = mlp()
    model.layers[0].kernel.assign(np.full((6, 12), 3e38))
    with pytest.raises(ValueError, match="the input of layer 'hidden_1' on the sample has"):
        kk.coresets.compress(model, ROWS * 1e3, keep=0.5)


def test_nothing_to_compress():
    model = keras.Sequential([keras.Input((6,)), layers.Rescaling(2.0)], name="r")
    with pytest.raises(ValueError, match="model 'r' has no Dense, Conv1D, Conv2D or Conv3D layer"):
        kk.coresets.compress(model, ROWS, keep=0.5)


def test_sample_of_several_inputs_must_have_their_structure():
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    model = keras.Model([one, two], layers.Dense(1)(layers.Concatenate()([one, two])))
    with pytest.raises(TypeError, match="sample must be a list of inputs"):
        kk.coresets.compress(model, ROWS, keep=0.5)


def test_refit_must_be_a_bool():
    with pytest.raises(TypeError, match="refit must be True or False, got 1"):
        kk.coresets.prune_neurons(MODEL, ROWS, keep=0.5, refit=1)
