"""`ContinuousBlock` against residual networks, closed solutions and its own arguments."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_koopman.layers import ContinuousBlock, ConvolutionRate, DenseRate, Tableau, adaptive, refine
from tests.layers.models import ROTATION, X, Y, array, linear_rate, model_of, normed_rate, randomise

pytestmark = pytest.mark.filterwarnings("ignore:.*they get no gradient")

START = np.array([[1.0, 0.0], [0.3, 0.7]], "float32")
END = START @ np.array([[np.cos(1), np.sin(1)], [-np.sin(1), np.cos(1)]])


@pytest.mark.contract
@pytest.mark.parametrize(
    ("scheme", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4), ("rk38", 4)]
)
def test_order_on_the_oscillator(scheme, order):
    errors = []
    for steps in (2, 4):
        block = ContinuousBlock(linear_rate(ROTATION), steps, 1, scheme)
        errors.append(np.abs(array(block(START)) - END).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


def test_user_tableau():
    ralston = Tableau([[], [2 / 3]], [1 / 4, 3 / 4], name="ralston")
    one = ContinuousBlock(linear_rate(ROTATION), 1, 1, ralston)
    # A second-order method of two stages on a linear equation is its Taylor polynomial.
    expected = START @ (np.eye(2) + ROTATION + ROTATION @ ROTATION / 2)
    assert array(one(START)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("basis", ["constant", pytest.param("fem", marks=pytest.mark.contract)])
def test_adaptive_steps_keep_their_tolerance(basis):
    """Against many small steps, with weights that jump or bend."""
    options = {"nodes": 4, "basis": basis, "horizon": 2.0, "dtype": "float32"}
    fine = ContinuousBlock(DenseRate(4), 72, scheme="rk4", **options)
    free = ContinuousBlock(DenseRate(4), scheme="dopri5", rtol=1e-5, atol=1e-6, **options)
    expected = array(fine(X))
    free.build(X.shape)
    for v, w in zip(free.variables, fine.variables, strict=True):
        v.assign(w)
    assert array(free(X)) == pytest.approx(expected, abs=2e-4)


def test_adaptive_steps_that_cannot_meet_the_tolerance_give_nan(monkeypatch):
    monkeypatch.setattr(adaptive, "MOST_STEPS", 12)
    blow_up = keras.layers.Dense(1, use_bias=False, activation="exponential", kernel_initializer="ones")
    block = ContinuousBlock(blow_up, nodes=1, scheme="dopri5", horizon=3.0)
    assert np.isnan(array(block(np.ones((1, 1))))).all()  # exp(-h) reaches 0 at t = exp(-1)


@pytest.mark.contract
def test_euler_is_a_residual_network():
    """Outputs, statistics and losses, in training too, and the weights after a step."""
    keras.utils.set_random_seed(0)
    block = ContinuousBlock(normed_rate(), steps=3, scheme="euler", horizon=3.0)
    expected = state = ops.convert_to_tensor(X)
    block(state)
    randomise(block)
    twins = [keras.models.clone_model(rate) for rate in block.rates]
    for rate, twin in zip(block.rates, twins, strict=True):
        for v, w in zip(rate.variables, twin.variables, strict=True):
            w.assign(v)
    losses = 0.0
    for twin in twins:
        expected = expected + twin(expected, training=True)
        losses += float(sum(twin.losses))
    assert array(block(state, training=True)).tolist() == array(expected).tolist()
    assert float(sum(block.losses)) == pytest.approx(losses, rel=1e-6)
    for rate, twin in zip(block.rates, twins, strict=True):
        for v, w in zip(rate.variables, twin.variables, strict=True):
            assert array(v) == pytest.approx(array(w), abs=1e-6), v.path


@pytest.mark.contract
@pytest.mark.parametrize("memory", ["full", "checkpoint"])
@pytest.mark.parametrize("basis", ["constant", "fem"])
def test_each_stage_has_statistics_of_its_own(basis, memory):
    """Those of the batch as the stage met it, so that at rest the block does what it did in training."""
    keras.utils.set_random_seed(0)
    rate = keras.Sequential([keras.layers.BatchNormalization(momentum=0.0), keras.layers.Dense(3)])
    block = ContinuousBlock(rate, 3, 2, "rk38", basis, horizon=3.0, memory=memory)
    block(X)
    randomise(block)
    trained = array(block(X, training=True))
    assert array(block(X)) == pytest.approx(trained, abs=1e-4)
    assert len(block.statistics) == 12 - 2
    first = array(block.rates[0].layers[0].moving_mean)
    assert first == pytest.approx(X.mean(axis=0), abs=1e-6)
    assert len(block.weights_at(1.5)) == 6
    assert array(block.weights_at(0.0)[2]) == pytest.approx(first)


class FixedFeatures(keras.layers.Layer):
    """A rate with weights that nobody learns and nobody updates."""

    def build(self, shape):
        self.features = self.add_weight(
            shape=(shape[-1], 4), initializer="glorot_uniform", trainable=False, name="features"
        )
        self.out = keras.layers.Dense(shape[-1])
        self.out.build((*shape[:-1], 4))

    def call(self, inputs):
        return self.out(ops.tanh(inputs @ self.features))


def test_fixed_weights_are_those_of_their_node():
    block = ContinuousBlock(FixedFeatures(), steps=2, scheme="rk4")
    block(X)
    own = [array(rate.features).tolist() for rate in block.rates]
    assert [array(v).tolist() for (v,) in block._moving()] == [own[0]] * 4 + [own[1]] * 4


@pytest.mark.parametrize("basis", ["constant", "polynomial"])
def test_variances_stay_positive_between_nodes(basis):
    rate = keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dense(3)])
    block = ContinuousBlock(rate, steps=7, nodes=5, basis=basis)
    block(X)
    for number, copy in enumerate(block.rates):
        copy.layers[0].moving_variance.assign(np.full(3, 1e-6 if number % 2 else 5.0))
    assert np.all(np.isfinite(array(block(X))))


def test_recomputing_changes_nothing_under_xla():
    layers = keras.layers
    found = []
    for memory in ("full", "checkpoint"):
        rate = keras.Sequential(
            [
                layers.BatchNormalization(),
                layers.Dropout(0.1, seed=1),
                layers.Dense(3, activity_regularizer="l2"),
            ]
        )
        options = {"basis": "fem", "steps": 2, "scheme": "midpoint", "memory": memory, "mode": "xla"}
        model, _ = model_of(rate, keras.optimizers.SGD(0.1), **options)
        loss = model.train_on_batch(X, Y)
        found.append((loss, [array(v) for v in model.variables]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_save_and_load(tmp_path):
    model, block = model_of(
        normed_rate(), basis="fem", scheme=Tableau([[], [1]], [0.5, 0.5], name="mine"), memory="checkpoint"
    )
    randomise(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert array(loaded(X)).tolist() == array(model(X)).tolist()
    twin = loaded.get_layer("block")
    assert (twin.tableau, twin.basis, twin.nodes, twin.memory) == (block.tableau, "fem", 3, "checkpoint")
    # Each node with weights of its own, as Keras makes equal layers one while it loads.
    assert len(twin.variables) == len(block.variables)
    refine(loaded)
    assert array(loaded(X)) == pytest.approx(array(model(X)), abs=1e-5)
    loaded.train_on_batch(X, Y)


@pytest.mark.parametrize("scheme", ["rk4", "dopri5", Tableau([[]], [1.0])])
def test_config(scheme):
    block = ContinuousBlock(DenseRate(4, "relu", kernel_regularizer="l2"), 3, 6, scheme, "linear", 2.0)
    twin = ContinuousBlock.from_config(block.get_config())
    assert twin.get_config() == block.get_config()
    assert twin.tableau == block.tableau


def test_frozen_rate_stays_frozen():
    rate = keras.Sequential([keras.layers.Dense(4, trainable=False), keras.layers.Dense(3)])
    block = ContinuousBlock(rate, steps=2)
    block(X)
    assert len(block.trainable_variables) == 4
    assert len(block.variables) == 8
    block.trainable = False
    assert not block.trainable_variables


def test_paths_name_the_node():
    model, block = model_of(DenseRate(4))
    assert [v.path for v in block.variables][
        4
    ] == f"{model.name}/block/node_1/{block.rates[1].name}/inner/kernel"


def test_constraints_and_regularizers_act_on_nodes():
    rate = keras.layers.Dense(3, kernel_constraint="non_neg", kernel_regularizer="l2")
    model, block = model_of(rate)
    assert len(block.losses) == 2
    model.fit(X, Y, verbose=0, batch_size=16)
    assert all(array(copy.kernel).min() >= 0 for copy in block.rates)


def test_mask_and_training_reach_the_rate():
    seen = []

    class Rate(keras.layers.Dense):
        def call(self, inputs, training=None, mask=None):
            seen.append((training, None if mask is None else array(mask).tolist()))
            return super().call(inputs)

    block = ContinuousBlock(Rate(3), steps=1, scheme="euler")
    block(X[:2, None])
    seen.clear()
    mask = ops.convert_to_tensor([[True], [False]])
    block(X[:2, None], training=True, mask=mask)
    assert seen == [(True, [[True], [False]])]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_precision(policy):
    keras.utils.set_random_seed(0)
    block = ContinuousBlock(DenseRate(4, dtype=policy), 2, 3, basis="fem", dtype=policy)
    found = block(X)
    assert keras.backend.standardize_dtype(found.dtype) == keras.DTypePolicy(policy).compute_dtype
    plain = ContinuousBlock(DenseRate(4), 2, 3, basis="fem")
    plain.build(X.shape)
    for v, w in zip(plain.variables, block.variables, strict=True):
        v.assign(w)
    assert array(found).astype("float32") == pytest.approx(array(plain(X)), abs=0.05)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 2))
@settings(deadline=None, max_examples=6)
def test_shapes(shape, steps, cells):
    block = ContinuousBlock(DenseRate(2), steps, 2 * cells, basis="linear")
    states = np.ones((2, *shape), "float32")
    assert tuple(block(states).shape) == states.shape
    assert block.compute_output_shape(states.shape) == states.shape


def test_images():
    block = ContinuousBlock(ConvolutionRate(2), steps=1, scheme="euler")
    assert tuple(block(np.ones((2, 4, 4, 3), "float32"), training=True).shape) == (2, 4, 4, 3)
    assert len(block.rates[0].non_trainable_variables) == 4


def test_weights_at_a_time():
    block = ContinuousBlock(linear_rate(ROTATION), 2, 3, basis="fem", horizon=4.0)
    block(START)
    for number, rate in enumerate(block.rates):
        rate.kernel.assign(np.full((2, 2), number))
    assert block.weights_at(1.0)[0].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert block.weights_at(4.0)[0].tolist() == [[2, 2], [2, 2]]
    with pytest.raises(ValueError, match="time"):
        block.weights_at(4.1)
