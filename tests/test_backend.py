"""What is exact on a GPU too; here the requests for it are looked at."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_koopman as kk
from keras_koopman import backend

pytestmark = pytest.mark.contract
engine = keras.backend.backend()


def precision_of_products():
    """The engine's own word for how float32 is multiplied."""
    if engine == "jax":
        import jax

        return jax.config.jax_default_matmul_precision
    if engine == "torch":
        import torch

        return torch.get_float32_matmul_precision()
    from tensorflow.config import experimental as config

    return config.tensor_float_32_execution_enabled()


def test_float32_is_multiplied_as_float32_only_within():
    before = precision_of_products()
    with backend.exact_float32():
        assert precision_of_products() == {"tensorflow": False}.get(engine, "highest")
    assert precision_of_products() == before


def test_it_is_so_again_after_an_error():
    before = precision_of_products()
    with pytest.raises(KeyError), backend.exact_float32():
        raise KeyError
    assert precision_of_products() == before


@pytest.mark.skipif(engine != "torch", reason="torch has two switches")
def test_either_switch_of_torch():
    import torch

    products = torch.backends.cuda.matmul
    torch.set_float32_matmul_precision("high")
    try:
        with backend.exact_float32():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    before = products.fp32_precision
    products.fp32_precision = "tf32"
    try:
        with backend.exact_float32():
            assert products.fp32_precision == "ieee"
        assert products.fp32_precision == "tf32"
    finally:
        products.fp32_precision = before


@pytest.mark.parametrize("exact", [True, False])
def test_compiled_functions(exact):
    seen = []

    @backend.compiled(exact=exact)
    def product(a, b):
        seen.append(precision_of_products())
        return a @ b

    before = precision_of_products()
    a = ops.convert_to_tensor(np.eye(2, dtype="float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(product(a, a)), np.eye(2))
    assert seen == [{"tensorflow": False}.get(engine, "highest") if exact else before]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_exact_matmul(dtype, on_gpu, monkeypatch):
    monkeypatch.setattr(backend, "has_own_memory", lambda: on_gpu)
    a, b = np.random.default_rng(0).normal(size=(2, 7, 7)).astype(dtype)
    with backend.float64_allowed():
        found = backend.exact_matmul(*(ops.convert_to_tensor(each, dtype) for each in (a, b)))
        assert backend.precision(found) == dtype
        np.testing.assert_allclose(ops.convert_to_numpy(found), a @ b, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(engine != "jax", reason="only JAX writes the precision into its programs")
@pytest.mark.parametrize("work", ["grid", "scattered", "dmd_operator"])
def test_programs_of_a_users_own_step_ask_for_it(work):
    import jax

    points = np.arange(12) / 12
    values = np.random.default_rng(0).normal(size=(6, 12)).astype("float32")
    call = {
        "grid": lambda v: kk.losses.NegativeSobolev(boundary="mirror")(v, 0 * v),
        "scattered": lambda v: kk.losses.ScatteredSobolev(points, modes=4)(v, 0 * v),
        "dmd_operator": lambda v: kk.dmd_operator(v, eigenvalues=False),
    }[work]
    program = str(jax.make_jaxpr(call)(values))
    assert program.count("dot_general") > 0
    assert program.count("Precision.HIGHEST") == 2 * program.count("dot_general")  # for each factor


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64", "int32", "bool"])
def test_to_host(dtype):
    variable = keras.Variable(np.ones(3), dtype="float32")
    for value in (ops.cast(variable, dtype), variable):
        found = backend.to_host(value)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, np.ones(3))
    variable.assign(np.zeros(3))
    np.testing.assert_array_equal(found, np.ones(3))  # a copy


def test_number_of_a_variable():
    assert backend.concrete_number(keras.Variable(7, dtype="int32", trainable=False)) == 7
