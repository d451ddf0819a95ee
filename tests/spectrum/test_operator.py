import keras
import numpy as np
import pytest
from keras import ops

from keras_koopman.backend import compiled, float64_allowed
from keras_koopman.spectrum import DMDOperator, decompose, dmd_operator
from keras_koopman.spectrum.jacobi import jacobi_eigh
from tests.oracle import gap, matched, path_of, random_system

pytestmark = pytest.mark.contract

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own words")
on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX's own words")
OPTIONS = pytest.mark.parametrize(
    "options",
    [{}, {"rank": 3}, {"tol": 1e-1}, {"rank": "svht"}, {"center": True}, {"center": True, "rank": 2}],
    ids=str,
)
# Each way to choose the rank, with and without the mean.
SOME_OPTIONS = pytest.mark.parametrize(
    "options", [{"tol": 1e-1}, {"rank": "svht"}, {"center": True, "rank": 2}], ids=str
)
FEW_OPTIONS = pytest.mark.parametrize("options", [{"tol": 1e-1}, {"center": True, "rank": 2}], ids=str)
ROTATION = np.array([[0.8, -0.6], [0.6, 0.8]])


def host(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def float32_path(kind="noisy", seed=1):
    return random_system(seed, kind).astype("float32")


def agrees(found, path, **options):
    """Whether eigenvalues, residuals and modes are those of `decompose`."""
    wanted = decompose(path, **options)
    values, residuals, modes = map(host, found)
    assert gap(values, wanted.eigenvalues) < 1e-5
    order = matched(values, wanted.eigenvalues)
    np.testing.assert_allclose(residuals[order], wanted.residuals, atol=1e-5)
    for i, j in enumerate(order):
        mode = np.asarray(wanted.mode(i))
        np.testing.assert_allclose(np.linalg.norm(modes[:, j]), np.linalg.norm(mode), rtol=1e-4)
        assert abs(np.vdot(modes[:, j], mode)) == pytest.approx(1.0, abs=1e-4)


def test_a_rotation():
    found = dmd_operator(path_of(ROTATION, [1.0, 0.0], 5))
    assert isinstance(found, DMDOperator)
    assert all(ops.is_tensor(part) for part in found)
    assert [keras.backend.standardize_dtype(p.dtype) for p in found] == [
        "complex128",
        "float64",
        "complex128",
    ]
    assert gap(host(found.eigenvalues), [0.8 + 0.6j, 0.8 - 0.6j]) < 1e-13
    assert np.all(host(found.residuals) < 1e-7)
    modes = host(found.modes)
    np.testing.assert_allclose(ROTATION @ modes, modes * host(found.eigenvalues), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(modes, axis=0), 1, rtol=1e-12)


@(SOME_OPTIONS if keras.backend.backend() == "jax" else OPTIONS)
def test_agrees_with_decompose(options):
    path = float32_path()
    agrees(dmd_operator(ops.convert_to_tensor(path), **options), path, **options)


def test_sorted_by_modulus():
    values = host(dmd_operator(float32_path(), tol=1e-2).eigenvalues)
    assert len(values) > 2
    assert np.all(np.diff(np.abs(values)) < 1e-12)


def test_scaling_x_and_y_apart_would_hide_the_decay():
    path = 0.5 ** np.arange(6)[None, :]
    assert host(dmd_operator(path).eigenvalues) == pytest.approx([0.5])
    assert host(dmd_operator(path, eigenvalues=False))[0, 0] == pytest.approx(0.5)


def test_scaling_divides():
    """Two directions, one snapshot 1e-5 long: multiplied by its length it would be dropped."""
    path = np.array([[1.0, 0.0, 0.3], [0.0, 1e-5, 0.2]])
    wanted = np.linalg.eigvals(path[:, 1:] @ np.linalg.inv(path[:, :2]))
    found = host(dmd_operator(path, tol=1e-4).eigenvalues)
    assert gap(found / np.abs(wanted).max(), wanted / np.abs(wanted).max()) < 1e-7


def test_many_rows_in_blocks(monkeypatch):
    path = float32_path()
    monkeypatch.setattr("keras_koopman.spectrum.operator.BLOCK_NUMBERS", 7 * path.shape[1])
    assert len(path) % 7
    # Another tolerance than anywhere else: not yet compiled.
    agrees(dmd_operator(path, tol=1.234e-2), path, tol=1.234e-2)


@FEW_OPTIONS
def test_projected_operator_has_the_same_eigenvalues(options):
    path = float32_path()
    wanted = decompose(path, **options)
    projected = dmd_operator(path, eigenvalues=False, **options)
    size = options["rank"] if isinstance(options.get("rank"), int) else path.shape[1] - 1
    assert projected.shape == (size, size)
    assert keras.backend.standardize_dtype(projected.dtype) == "float64"
    projected = host(projected)
    kept = wanted.rank
    assert not projected[kept:].any()
    assert not projected[:, kept:].any()
    assert gap(np.linalg.eigvals(projected[:kept, :kept]), wanted.eigenvalues) < 1e-5


def test_fewer_rows_than_snapshots():
    path = np.array(path_of(np.diag([0.9, 0.5]), [1.0, 1.0], 9))
    assert gap(host(dmd_operator(path, tol=1e-5).eigenvalues), [0.9, 0.5]) < 1e-9
    assert dmd_operator(path, eigenvalues=False).shape == (2, 2)


def test_matrices_of_other_widths_one_after_another():
    """Their rank is the same, so that the engine might take them for one program."""
    for columns in (4, 6, 5, 4):
        found = dmd_operator(np.array([0.5 ** np.arange(columns)]))
        assert host(found.eigenvalues) == pytest.approx([0.5])


@on_tensorflow
@FEW_OPTIONS
@pytest.mark.parametrize("rows", ["known", "unknown"])
def test_in_a_function_of_the_user(rows, options):
    import tensorflow as tf

    path = float32_path()
    shape = (len(path) if rows == "known" or options.get("rank") == "svht" else None, path.shape[1])
    function = tf.function(
        lambda x: dmd_operator(2 * x, **options), input_signature=[tf.TensorSpec(shape, tf.float32)]
    )
    agrees(function(path), path, **options)


@on_tensorflow
@SOME_OPTIONS
def test_projected_operator_compiles_with_xla(options):
    import tensorflow as tf

    path = float32_path()
    compiled = tf.function(lambda x: dmd_operator(x, eigenvalues=False, **options), jit_compile=True)
    wanted = host(dmd_operator(path, eigenvalues=False, **options))
    found = compiled(tf.constant(path)).numpy()
    assert found.dtype == np.float64
    assert gap(np.linalg.eigvals(found), np.linalg.eigvals(wanted)) < 1e-6


@on_tensorflow
def test_eigenvalues_do_not_compile_with_xla():
    """Why `eigenvalues=False` exists; when this fails, the documentation is out of date."""
    import tensorflow as tf

    compiled = tf.function(lambda x: dmd_operator(x).eigenvalues, jit_compile=True)
    with pytest.raises(tf.errors.OpError, match=r"(?i)eig"):
        compiled(tf.constant(float32_path()))


@on_tensorflow
def test_an_array_within_a_function():
    import tensorflow as tf

    values = tf.function(lambda: dmd_operator(path_of(ROTATION, [1.0, 0.0], 5)).eigenvalues)()
    assert gap(values.numpy(), [0.8 + 0.6j, 0.8 - 0.6j]) < 1e-13


@on_tensorflow
def test_nan_within_a_function_gives_nan():
    import tensorflow as tf

    path = float32_path()
    path[0, 1] = np.nan
    found = tf.function(lambda x: dmd_operator(x, rank=2))(path)
    assert all(np.all(np.isnan(host(part))) for part in found)


@on_tensorflow
@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((8, None), {}, r"static number of columns, got shape \(8, None\).*input_signature"),
        ((None, 5), {"rank": "svht"}, r"static number of rows.*input_signature"),
        ((None, 5), {"rank": 5}, r"rank=5.*at most 4"),
    ],
)
def test_refuses_unknown_shapes(shape, options, message):
    import tensorflow as tf

    function = tf.function(lambda x: dmd_operator(x, **options))
    with pytest.raises(ValueError, match=message):
        function.get_concrete_function(tf.TensorSpec(shape, tf.float32))


@on_jax
@FEW_OPTIONS
def test_in_jit_with_float64(options):
    """Shapes are static there: what `tol` drops stands as 0 with an infinite residual."""
    import jax

    path = float32_path()
    wanted = decompose(path, **options)
    with jax.enable_x64(True):
        found = jax.jit(lambda x: dmd_operator(x, **options))(path)
        projected = jax.jit(lambda x: dmd_operator(x, eigenvalues=False, **options))(path)
    values, residuals, modes = map(host, found)
    size = options["rank"] if isinstance(options.get("rank"), int) else path.shape[1] - 1
    assert values.shape == (size,)
    assert projected.shape == (size, size)
    kept = np.isfinite(residuals)
    agrees((values[kept], residuals[kept], modes[:, kept]), path, **options)
    assert not values[~kept].any()
    assert not modes[:, ~kept].any()
    assert len(values) - kept.sum() == size - wanted.rank


@on_jax
def test_in_jit_without_float64():
    import jax

    path = path_of(np.diag([0.9, 0.5]), [1.0, 1.0], 9).astype("float32")
    found = jax.jit(lambda x: dmd_operator(x, rank=2))(path)
    assert found.eigenvalues.dtype == np.complex64
    assert gap(host(found.eigenvalues), [0.9, 0.5]) < 1e-4
    projected = jax.jit(lambda x: dmd_operator(x, rank=2, eigenvalues=False))(path)
    assert projected.dtype == np.float32
    assert gap(np.linalg.eigvals(host(projected)), [0.9, 0.5]) < 1e-4


def bad(**entries):
    path = np.random.default_rng(0).standard_normal((5, 4))
    for name, value in entries.items():
        path[0, int(name[1:])] = value
    return path


@pytest.mark.parametrize("eigenvalues", [True, False])
@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        (bad(_2=np.nan), {}, ValueError, r"snapshots must be finite.*snapshot 2.*before it"),
        (bad(_1=np.inf), {}, ValueError, r"snapshots must be finite.*snapshot 1"),
        (np.zeros((5, 4)), {}, ValueError, "snapshots are all zero"),
        (np.ones((5, 4)), {"center": True}, ValueError, r"all equal.*Pass center=False"),
        (bad()[:, :1], {}, ValueError, r"1 snapshot with delays=1.*Record more"),
        (bad()[0], {}, ValueError, r"matrix \(n, m \+ 1\).*got shape \(4,\)"),
        (bad(), {"rank": 4}, ValueError, r"rank=4.*at most 3.*Lower it"),
        (bad(), {"rank": 0}, ValueError, "rank must be at least 1, got 0"),
        (bad(), {"rank": 1.5}, TypeError, "rank must be a whole number"),
        (bad(), {"tol": 1.0}, ValueError, "tol must be at least 0 and below 1"),
        (bad() * 1j, {}, TypeError, r"real numbers, got dtype complex128. Stack"),
    ],
)
def test_refuses(path, options, error, message, eigenvalues):
    with pytest.raises(error, match=message):
        dmd_operator(path, eigenvalues=eigenvalues, **options)


@pytest.mark.parametrize("m", [1, 2, 3, 8, 25])
def test_jacobi_finds_small_eigenvalues_beside_large_ones(m):
    """XLA's own stops at 1e-6 of the norm."""
    rng = np.random.default_rng(m)
    wanted = np.logspace(-12, 0, m)
    q = np.linalg.qr(rng.standard_normal((m, m)))[0]
    matrix = (q * wanted) @ q.T
    with float64_allowed():
        values, vectors = map(host, compiled(jacobi_eigh)(ops.convert_to_tensor((matrix + matrix.T) / 2)))
    np.testing.assert_allclose(values, wanted, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(m), atol=1e-13)
    np.testing.assert_allclose((vectors * values) @ vectors.T, matrix, atol=1e-13)
