import numpy as np
import pytest

from keras_koopman.coresets import fitted
from keras_koopman.coresets.fitted import RIDGE, corrections
from tests.coresets.networks import mlp, rows


def problem(inputs=12, units=5, seed=0):
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(50, inputs)) @ rng.normal(size=(inputs, inputs))
    mask = rng.random((inputs, units)) < 0.5
    mask[:, 1] = False
    return seen.T @ seen / 50, rng.normal(size=(inputs, units)), mask


def test_corrections_solve_the_ridge_equations():
    gram, lacking, mask = problem()
    found = corrections(gram, lacking, mask)
    assert not found[~mask].any()
    for unit in (0, 2, 3, 4):
        own = mask[:, unit]
        ridge = RIDGE * np.diag(gram)[own].mean()
        left = gram[own] @ found[:, unit] + ridge * found[own, unit]
        np.testing.assert_allclose(left, lacking[own, unit], atol=1e-9)


def test_iteration_agrees(monkeypatch):
    gram, lacking, mask = problem()
    direct = corrections(gram, lacking, mask)
    monkeypatch.setattr(fitted, "DIRECT", 1)
    np.testing.assert_allclose(corrections(gram, lacking, mask), direct, atol=1e-6)


@pytest.mark.parametrize("gram", [np.zeros((4, 4)), np.eye(4)])
def test_nothing_seen_changes_nothing(gram):
    found = corrections(gram, np.zeros((4, 2)), np.ones((4, 2), bool))
    assert not found.any()


def test_large_layers_get_their_biases(monkeypatch):
    import keras_koopman as kk

    monkeypatch.setattr(fitted, "MOST", 4)
    model, sample = mlp(), rows(60)
    found = kk.coresets.compress(model, sample, keep=0.5).model
    for old, new in zip(model.get_weights(), found.get_weights(), strict=True):
        if old.ndim > 1:
            np.testing.assert_array_equal(new, old * (new != 0))
    fit = sample[np.arange(60) % 5 != 4]
    means = [model.predict_on_batch(fit).mean(axis=0), found.predict_on_batch(fit).mean(axis=0)]
    np.testing.assert_allclose(means[0], means[1], atol=1e-4)
