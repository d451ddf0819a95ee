"""Eight JAX devices in one process: what is recorded stays where it is, and is right."""

import numpy as np
import pytest

pytestmark = pytest.mark.uncounted
DISTRIBUTIONS = "data", "model"


def close(a, b):
    """Whether inner products agree to 1e-8 of the largest."""
    a, b = np.array(a), np.array(b)
    return a.shape == b.shape and np.abs(a - b).max() <= 1e-8 * np.abs(b).max()


def check_stays(seen, devices):
    """All rows are divided over all devices, and nothing but sums is sent."""
    assert set(seen["devices"]) == {devices}
    assert set(seen["share"]) == {1 / devices}
    assert seen["sends"] == ["all-reduce"]


def check_training(seen):
    """What is true of a training that was watched, pruned, jumped ahead and stopped."""
    epochs = seen["stopped epoch"] + 1
    assert 12 <= epochs < 40
    assert seen["times"] == list(range(1, epochs + 1))
    assert seen["reason"].startswith("the steps have died out")
    assert seen["figures"].keys() >= {"koopman_rho", "koopman_speed", "koopman_near_one"}
    assert seen["off the average"] < 1e-6
    assert seen["zeros"] == seen["reported"] == 0.5
    assert seen["wrong"] == 0
    assert seen["alike"]  # masks and scores lie where their weights do
    assert any(method is not None and after < before for _, method, before, after in seen["attempts"])
    assert seen["warnings"] == []


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_gram_matrix_is_that_of_one_device(one_host, name):
    seen = one_host[name]
    assert close(seen["gram"], seen["alone"])
    assert close(seen["gram of out"], seen["alone of out"])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_rows_are_divided_over_all_devices_and_nothing_is_gathered(one_host, name):
    check_stays(one_host[name], 8)


def test_weights_come_back_where_they_were(one_host):
    assert not any("model" in spec for spec in one_host["data"]["specs"])
    assert ["model" in spec for spec in one_host["model"]["specs"]] == [True, True, False, False]


def test_many_numbers(one_host):
    seen = one_host["many numbers"]
    assert close(seen["gram"], seen["alone"])
    assert seen["latest"] < 1e-6
    assert seen["as they were"] == [True, True, True]
    check_stays(seen, 8)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_training(one_host, name):
    check_training(one_host[name])


def test_distributions_train_alike(one_host):
    data, model = (one_host[name] for name in DISTRIBUTIONS)
    np.testing.assert_allclose(data["losses"][:6], model["losses"][:6], rtol=1e-4)
    np.testing.assert_allclose(data["displacements"][:6], model["displacements"][:6], rtol=1e-3)
