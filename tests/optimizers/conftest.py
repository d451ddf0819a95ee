"""What these tests share."""

import keras
import pytest

from keras_koopman.optimizers import pruning


@pytest.fixture(autouse=True)
def own_names():
    keras.backend.clear_session()  # so that `dense` is not `dense_7`


@pytest.fixture
def no_own_compile(monkeypatch):
    """Let the choice of masks be compiled with the step around it: half the time, and the same masks."""
    monkeypatch.setattr(pruning, "compiled_within", lambda function: function)
