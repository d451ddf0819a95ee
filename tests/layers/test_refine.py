"""`refine`: the same function with more nodes, in the middle of a training."""

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.layers import ContinuousBlock, DenseRate, refine
from keras_koopman.layers.change import Change
from keras_koopman.layers.slots import origins
from tests.layers.models import X, Y, array, model_of, normed_rate, randomise

pytestmark = pytest.mark.filterwarnings("ignore:.*they get no gradient")


@pytest.mark.parametrize("basis", ["constant", "fem", "linear", "polynomial"])
def test_outputs_stay(basis):
    model, block = model_of(normed_rate(), basis=basis, steps=6, nodes=4, scheme="rk4", compiled=None)
    randomise(model)
    before = array(model(X))
    nodes = block.nodes
    assert refine(model, 3) is model
    assert block.nodes == (10 if basis == "fem" else 3 * nodes)
    assert len(block.rates) == block.nodes
    assert array(model(X)) == pytest.approx(before, abs=1e-5)


def test_known_values():
    model, block = model_of(keras.layers.Dense(3), nodes=2, basis="fem", compiled=None)
    for rate, value in zip(block.rates, (1.0, 2.0), strict=True):
        rate.kernel.assign(np.full((3, 3), value))
    refine(model)
    assert [array(rate.kernel)[0, 0] for rate in block.rates] == [1, 1.5, 2]


@pytest.mark.contract
def test_steps_alone_reach_compiled_steps():
    model, block = model_of(nodes=2, mode="graph")
    model.train_on_batch(X, Y)
    before = model.predict(X, verbose=0)
    refine(model, 1, steps=8)
    assert (block.nodes, block.steps) == (2, 8)
    expected = array(model(X))
    assert np.abs(expected - before).max() > 1e-3
    assert model.predict(X, verbose=0) == pytest.approx(expected, abs=1e-5)
    loss = np.mean((expected - Y) ** 2)
    assert float(model.evaluate(X, Y, verbose=0)) == pytest.approx(loss, rel=1e-4)
    model.reset_metrics()
    assert float(model.train_on_batch(X, Y)) == pytest.approx(loss, rel=1e-4)


@pytest.mark.contract
def test_training_goes_on_as_before():
    """Momentum too: two equal halves of a cell move as the cell would have, each by half its gradient."""
    found = {}
    for halves in (False, True):
        model, block = model_of(DenseRate(4), keras.optimizers.SGD(0.1, momentum=0.9), steps=2, nodes=1)
        model.train_on_batch(X, Y)
        model.optimizer.learning_rate.assign(0.05)
        start = array(block.rates[0].inner.kernel)
        if halves:
            refine(model)
        momentum = array(
            next(v for v in model.optimizer.variables if v.name.endswith("inner_kernel_momentum"))
        )
        model.train_on_batch(X, Y)
        assert int(model.optimizer.iterations) == 2
        assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
        # w' = w + 0.9 m - rate g
        found[halves] = sum(array(rate.inner.kernel) - start - 0.9 * momentum for rate in block.rates)
        assert np.abs(momentum).max() > 0
    assert found[True] == pytest.approx(found[False], abs=1e-6)


def test_slots_can_be_reset():
    model, _ = model_of(DenseRate(4), "adam")
    model.train_on_batch(X, Y)
    refine(model, slots="reset")
    slots = [v for v in model.optimizer.variables if v.name.endswith(("momentum", "velocity"))]
    assert len(slots) == 2 * len(model.trainable_variables)
    assert not any(np.any(array(v)) for v in slots)
    assert int(model.optimizer.iterations) == 1


def test_schedule_and_exclusions_survive():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([100], [0.1, 0.01])
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model, _ = model_of(DenseRate(4), optimizer)
    model.train_on_batch(X, Y)
    refine(model)
    assert model.optimizer._learning_rate is schedule
    decays = {
        v.path.rsplit("/", 1)[1]: model.optimizer._use_weight_decay(v) for v in model.trainable_variables
    }
    assert decays == {"bias": False, "kernel": True}
    model.train_on_batch(X, Y)


@pytest.mark.usefixtures("no_own_compile")
def test_masks_survive(tmp_path):
    schedule = kk.schedules.OneShot(0.5, step=1)
    optimizer = kk.optimizers.PruningOptimizer(keras.optimizers.SGD(0.1, momentum=0.9), schedule)
    model, block = model_of(DenseRate(4), optimizer, basis="fem", steps=3, nodes=2)
    model.train_on_batch(X, Y)
    before = array(model(X))
    zeros = [array(rate.inner.kernel) == 0 for rate in block.rates]
    refine(model)
    assert array(model(X)) == pytest.approx(before, abs=1e-6)
    after = [array(rate.inner.kernel) == 0 for rate in block.rates]
    # What is in neither neighbour is not in the node between them.
    assert [a.tolist() for a in after] == [z.tolist() for z in (zeros[0], zeros[0] & zeros[1], zeros[1])]
    assert zeros[0].any()
    model.train_on_batch(X, Y)
    assert all(np.array_equal(array(r.inner.kernel) == 0, z) for r, z in zip(block.rates, after, strict=True))
    assert model.optimizer.schedule is schedule
    model.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    assert array(loaded(X)) == pytest.approx(array(model(X)), abs=1e-6)


def test_variances_of_slots_stay_positive():
    model, _ = model_of(DenseRate(4), "adam", basis="polynomial", nodes=4, steps=4)
    model.train_on_batch(X, Y)
    refine(model)
    slots = [array(v) for v in model.optimizer.variables if v.name.endswith("velocity")]
    assert min(slot.min() for slot in slots) >= 0


def test_mixed_precision():
    model, block = model_of(DenseRate(4, dtype="mixed_float16"), None, dtype="mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(), initial_scale=64.0)
    model.compile(optimizer, "mse", run_eagerly=keras.backend.backend() != "jax")
    model.train_on_batch(X, Y)
    before = array(model(X))
    refine(model)
    assert array(model(X)) == pytest.approx(before, abs=1e-2)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert float(model.optimizer.dynamic_scale) == 64
    assert block.rates[3].inner.kernel.dtype == "float32"


def test_nested_and_subclassed_models():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.body = keras.Sequential([keras.layers.Dense(3), ContinuousBlock(DenseRate(4), 2)])
            self.head = keras.layers.Dense(1)

        def call(self, inputs):
            return self.head(self.body(inputs))

    model = Net()
    before = array(model(X))
    refine(model)
    assert array(model(X)) == pytest.approx(before, abs=1e-5)
    assert len(model.body.layers[1].rates) == 4


def test_blocks_that_are_not_built_take_it_too():
    block = ContinuousBlock(DenseRate(4), steps=2)
    model = keras.Sequential([block])
    refine(model, 2, steps="scale")
    model(X)
    assert (block.nodes, block.steps, len(block.rates)) == (4, 4, 4)


def test_frozen_nodes_stay_frozen():
    model, block = model_of(DenseRate(4), compiled=None)
    block.rates[0].inner.trainable = False
    refine(model)
    assert [rate.inner.trainable for rate in block.rates] == [False, False, True, True]


def test_warns_of_nodes_without_gradient():
    model, _ = model_of(DenseRate(4), compiled=None)
    with pytest.warns(UserWarning, match="4 nodes, of which its 2 steps of 'euler' never meet 1, 3"):
        refine(model)


def test_origins_of_names():
    change = Change("m/block/node_", ({0: 1.0}, {0: 0.5, 1: 0.5}))
    assert origins("m_block_node_1_dense_kernel_momentum", [change], "_") == {
        "m_block_node_0_dense_kernel_momentum": 0.5,
        "m_block_node_1_dense_kernel_momentum": 0.5,
    }
    assert origins("m/block/node_0/kernel", [change], "/") == {"m/block/node_0/kernel": 1.0}
    assert origins("m_out_kernel", [change], "_") == {"m_out_kernel": 1.0}
