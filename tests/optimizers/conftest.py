"""What these tests share."""

import keras
import pytest

from keras_koopman.optimizers import pruning


@pytest.fixture(autouse=True)
def own_names():
    keras.backend.clear_session()  # so that `dense` is not `dense_7`


@pytest.fixture
def no_own_compile(monkeypatch):
    """Let the choice of masks and the step be compiled with what is around them: the same numbers, sooner."""
    monkeypatch.setattr(pruning, "compiled_within", lambda function: function)
    monkeypatch.setattr(pruning, "run_as_one", lambda function, tensors, **_: function(*tensors))
