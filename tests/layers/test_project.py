"""`project`: another depth or scheme without data."""

import keras
import numpy as np
import pytest

from keras_koopman.layers import ContinuousBlock, DenseRate, project, refine
from tests.layers.models import X, Y, array, model_of, normed_rate, randomise

pytestmark = pytest.mark.filterwarnings("ignore:.*they get no gradient")


def test_means_of_cells():
    model, block = model_of(keras.layers.Dense(3), steps=4)
    for value, rate in zip((1.0, 3.0, 5.0, 9.0), block.rates, strict=True):
        rate.kernel.assign(np.full((3, 3), value))
        rate.bias.assign(np.zeros(3))
    small, error = project(model, nodes=2, steps=2, scheme="midpoint")
    found = small.get_layer("block")
    assert [array(rate.kernel)[0, 0] for rate in found.rates] == pytest.approx([2, 7])
    assert (found.nodes, found.steps, found.tableau.name) == (2, 2, "midpoint")
    assert error == pytest.approx(np.sqrt((1 + 1 + 4 + 4) / (1 + 9 + 25 + 81)))
    # The model itself stays as it was.
    assert (block.nodes, block.steps) == (4, 4)


@pytest.mark.parametrize(("basis", "target"), [("constant", "linear"), ("fem", "linear"), ("fem", "fem")])
def test_exact_where_the_new_basis_contains_the_old_one(basis, target):
    model, _ = model_of(normed_rate(), basis=basis, steps=4, nodes=3, scheme="midpoint")
    randomise(model)
    nodes = {"constant": 6, "fem": 4}[basis] if target == "linear" else 5
    other, error = project(model, nodes=nodes, basis=target)
    assert error < 1e-6
    assert array(other(X)) == pytest.approx(array(model(X)), abs=1e-5)


@pytest.mark.parametrize(("basis", "nodes"), [("fem", 2), ("constant", 1)])
def test_statistics_stay_with_their_times(basis, nodes):
    model, block = model_of(normed_rate(), steps=4, basis=basis, scheme="midpoint", nodes=2 * nodes)
    randomise(model)

    def variances(block):
        return [array(variables[1]) for variables in block._moving()]

    found = project(model, nodes=nodes).model.get_layer("block")
    for now, old in zip(variances(found), variances(block), strict=True):
        assert now.tolist() == old.tolist()
    # Half the steps have their stages at times 0, 1/4, 1/2, 3/4, where the old steps began.
    found = project(model, nodes=nodes, steps=2, scheme="midpoint").model.get_layer("block")
    for now, old in zip(variances(found), variances(block)[::2], strict=True):
        assert now.tolist() == old.tolist()


@pytest.mark.contract
def test_statistics_of_fewer_steps_are_those_before_the_change():
    """PyTorch writes in place, also into what is still to be read."""
    model, block = model_of(normed_rate(), steps=4, scheme="rk4", nodes=4)
    for number, variables in enumerate(block._moving()):
        variables[0].assign(np.full(5, number + 1.0))
    found = project(model, steps=3).model.get_layer("block")
    means = [array(variables[0])[0] for variables in found._moving()]
    assert means == pytest.approx([1, 3, 3, 6, 6, 9, 9, 11, 11, 14, 14, 16])


@pytest.mark.parametrize("basis", ["fem", pytest.param("linear", marks=pytest.mark.contract)])
def test_adaptive_blocks_keep_the_statistics_as_they_were(basis, tmp_path):
    model, block = model_of(normed_rate(), steps=4, scheme="rk4", nodes=2, basis=basis, compiled=None)
    randomise(model)
    free = project(model, scheme="dopri5", steps=1).model
    block = free.get_layer("block")
    block.rtol, block.atol = 1e-4, 1e-5
    expected = free.predict(X, verbose=0)
    free.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.predict(X, verbose=0).tolist() == expected.tolist()
    back = project(loaded, scheme="rk4", steps=4).model
    assert array(back(X)) == pytest.approx(array(model(X)), abs=1e-6)
    refine(loaded)
    assert loaded.predict(X, verbose=0) == pytest.approx(expected, abs=1e-3)


def test_steps_and_scheme_alone_keep_the_weights():
    model, _ = model_of(nodes=2, steps=2)
    other, error = project(model, steps=6, scheme="dopri5")
    assert error == 0
    assert [array(v).tolist() for v in other.variables] == [array(v).tolist() for v in model.variables]
    other.predict(X, verbose=0)


@pytest.mark.contract
def test_new_model_trains():
    model, _ = model_of(DenseRate(4), keras.optimizers.Adam(0.02), steps=4)
    model.train_on_batch(X, Y)
    small, _ = project(model, nodes=2, steps=2)
    assert type(small.optimizer) is type(model.optimizer)
    assert float(small.optimizer.learning_rate) == pytest.approx(0.02)
    assert int(small.optimizer.iterations) == 0
    small.train_on_batch(X, Y)
    assert small.count_params() < model.count_params()
    assert np.all(np.isfinite(array(model(X))))  # and shares nothing with the old one
    assert np.all(np.isfinite([array(v).sum() for v in model.optimizer.variables]))


@keras.saving.register_keras_serializable("tests")
class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.body = ContinuousBlock(DenseRate(4), 4, name="body")
        self.head = keras.layers.Dense(1)

    def call(self, inputs):
        return self.head(self.body(inputs))


def test_subclassed_models():
    model = Net()
    model(X)
    same, error = project(model)
    assert error == 0
    assert array(same(X)) == pytest.approx(array(model(X)), abs=1e-6)
    assert len(project(model, nodes=2).model.body.rates) == 2
    assert len(model.body.rates) == 4


def test_not_compiled():
    model, _ = model_of(compiled=None)
    assert not project(model, nodes=1).model.compiled
