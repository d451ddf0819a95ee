"""A MirroredStrategy with two logical CPUs."""

import pytest

from tests.distributed.test_one_host import check_training, close

pytestmark = pytest.mark.uncounted


def test_gram_matrix_is_that_of_one_device(mirrored):
    assert mirrored["replicas"] == 2
    assert close(mirrored["gram"], mirrored["alone"])


def test_training(mirrored):
    check_training({**mirrored, "alike": True, "warnings": []})
    assert mirrored["agree"]  # what lies on one replica lies on the other


def test_replicas_prune_as_one_device(mirrored):
    assert mirrored["movement"] == {"agree": True, "zeros": 0.5, "wrong": 0, "same masks": True}
