"""What these tests share."""

import keras
import pytest


@pytest.fixture(autouse=True)
def own_names():
    keras.utils.clear_session(free_memory=False)  # so that `dense` is not `dense_7`
