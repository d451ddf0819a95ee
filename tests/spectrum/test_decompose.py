import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_koopman.spectrum import decompose
from tests.oracle import dgedmd, gap, matched, needs_dgedmd, path_of, random_system

METHODS = pytest.mark.parametrize("method", ["gram", "qr"])
ANGLE = 0.4
ROTATION = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


def small_path(kind=0, **replaced):
    path = np.random.default_rng(kind).standard_normal((5, 4))
    for place, value in replaced.items():
        path[0, int(place[1:])] = value
    return path


# Closed forms.


@METHODS
def test_a_known_map(method):
    operator = np.array([[0.9, 0.3, 0.0], [0.0, 0.5, 0.1], [0.0, 0.0, -0.4]])
    found = decompose(path_of(operator, [1.0, 2.0, 3.0], 6), method=method, tol=1e-6)
    assert gap(found.eigenvalues, [0.9, 0.5, -0.4]) < 1e-9
    assert np.all(found.residuals < (1e-7 if method == "gram" else 1e-12))


@METHODS
def test_a_rotation(method):
    found = decompose(path_of(ROTATION, [1.0, 0.0], 6), method=method)
    assert gap(found.eigenvalues, np.exp([1j * ANGLE, -1j * ANGLE])) < 1e-13


@METHODS
def test_a_jordan_block(method):
    found = decompose(path_of(np.array([[0.8, 1.0], [0.0, 0.8]]), [1.0, 1.0], 6), method=method)
    assert gap(found.eigenvalues, [0.8, 0.8]) < 1e-6


@METHODS
def test_hankel_dmd_of_a_damped_cosine(method):
    """One number a snapshot can show one real mode; two delays show the oscillation."""
    t = np.arange(20)
    signal = (0.95**t * np.cos(ANGLE * t))[None, :]
    assert decompose(signal, method=method).rank == 1
    found = decompose(signal, delays=2, method=method)
    assert gap(found.eigenvalues, 0.95 * np.exp([1j * ANGLE, -1j * ANGLE])) < 1e-12
    later = 19 + np.array([0, 1, 5])
    np.testing.assert_allclose(found.predict([0, 1, 5])[0], 0.95**later * np.cos(ANGLE * later), atol=1e-12)


@METHODS
def test_more_delays_than_needed_do_no_harm(method):
    t = np.arange(20)
    signal = np.array([0.9**t + 0.5**t, 0.9**t])
    found = decompose(signal, delays=4, method=method, tol=1e-5)
    assert gap(found.eigenvalues, [0.9, 0.5]) < 1e-8


@METHODS
def test_center_fits_an_affine_map(method):
    """`y = A x + b`: the eigenvalues are those of A, and the prediction is exact."""
    operator, shift = np.array([[0.9, 0.2], [-0.1, 0.7]]), np.array([1.0, -2.0])
    path = [np.array([3.0, 1.0])]
    for _ in range(8):
        path.append(operator @ path[-1] + shift)
    future = operator @ (operator @ path[-1] + shift) + shift
    found = decompose(np.array(path).T, center=True, method=method, tol=1e-6)
    assert gap(found.eigenvalues, np.linalg.eigvals(operator)) < 1e-9
    np.testing.assert_allclose(found.predict(2), future, rtol=1e-8)
    np.testing.assert_allclose(found.predict(0), path[-1], rtol=1e-10)


def test_without_center_the_fixed_point_is_a_mode_at_one():
    t = np.arange(8)
    path = np.array([3.0 + 0.5**t, 1.0 - 2 * 0.5**t])
    assert gap(decompose(path).eigenvalues, [1.0, 0.5]) < 1e-7
    assert gap(decompose(path, center=True).eigenvalues, [0.5]) < 1e-9


@METHODS
@pytest.mark.parametrize("distance", [1.0, 1e4, 1e8])
def test_center_keeps_small_motion_far_from_zero(distance, method):
    """The inner products of raw weights would lose it: 1e8 squared has no digit left for 1."""
    path = path_of(np.diag([0.9, 0.6]), [1.0, 1.0], 8) + distance
    found = decompose(path, center=True, method=method, tol=1e-4)
    assert gap(found.eigenvalues, [0.9, 0.6]) < 1e-13 * distance + 1e-6
    np.testing.assert_allclose(found.predict(1) - distance, [0.9**9, 0.6**9], atol=1e-7 * distance**0.5)


def test_center_does_not_stretch_a_column_that_is_all_rounding():
    """The middle snapshot of a straight line is the mean: it must not become a mode."""
    path = np.outer(np.random.default_rng(0).standard_normal(30), np.arange(8.0)) + 7.0
    assert decompose(path, center=True).eigenvalues == pytest.approx([1.0])


def test_center_with_a_mean_that_only_drifts():
    """Eigenvalue 1 with a constant push: the prediction goes on in a straight line."""
    path = np.outer([1.0, 2.0], np.arange(6.0)) + np.array([[5.0], [0.0]])
    found = decompose(path, center=True)
    assert found.eigenvalues == pytest.approx([1.0])
    np.testing.assert_allclose(found.predict(3), [5.0 + 8.0, 16.0], rtol=1e-8)


@pytest.mark.parametrize("center", [False, True])
def test_amplitudes_refer_to_the_first_raw_snapshot(center):
    rng = np.random.default_rng(2)
    path = random_system(3) + rng.standard_normal((len(random_system(3)), 1))
    found = decompose(path, rank=4, center=center)
    modes = np.stack([found.mode(i) for i in range(found.rank)], axis=1)
    on_modes = np.linalg.lstsq(modes, path[:, 0].astype(complex), rcond=None)[0]
    np.testing.assert_allclose(found.amplitudes, on_modes, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.importance, np.abs(on_modes), rtol=1e-6, atol=1e-8)


def test_scaling_x_and_y_apart_would_hide_the_decay():
    assert decompose(0.5 ** np.arange(6)[None, :]).eigenvalues == pytest.approx([0.5])


def test_a_decay_over_many_decades_keeps_its_small_mode():
    """Dividing by the columns' lengths, not multiplying: late, tiny snapshots count as much as early ones."""
    t = np.arange(12)
    path = np.array([0.05**t, 0.04**t])
    assert path[:, -1].max() < 1e-14
    assert gap(decompose(path, method="qr").eigenvalues, [0.05, 0.04]) < 1e-9


def test_rank_is_an_upper_limit():
    path = random_system(0)
    assert decompose(path, rank=3).rank == 3
    assert decompose(path_of(ROTATION, [1.0, 0.0], 9), rank=2, tol=0.999).rank == 1


def test_svht_finds_the_number_of_modes():
    rng = np.random.default_rng(0)
    turn = np.zeros((4, 4))
    turn[:2, :2], turn[2:, 2:] = ROTATION, 0.99 * ROTATION @ ROTATION
    path = rng.standard_normal((400, 4)) @ path_of(turn, [1.0, 0.0, 1.0, 0.0], 60)
    found = decompose(path + 0.05 * rng.standard_normal(path.shape), rank="svht")
    assert found.rank == 4
    assert gap(found.eigenvalues, np.linalg.eigvals(turn)) < 2e-3


def test_svht_of_more_snapshots_than_dimensions():
    """The Gram matrix of a wide matrix has zeros that must not enter the median."""
    rng = np.random.default_rng(0)
    path = np.vstack([10 * path_of(ROTATION, [1.0, 0.0], 200), np.zeros((8, 201))])
    path += 0.01 * rng.standard_normal(path.shape)
    assert decompose(path, rank="svht", tol=1e-7).rank == 2
    assert decompose(path, rank="svht", tol=1e-7, method="qr").rank == 2


# The oracle.


@needs_dgedmd
@pytest.mark.parametrize("kind", ["noisy", "decay", "walk", "steep", "deep"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("method", "tol", "allowed"), [("gram", 1e-4, 1e-7), ("qr", 1e-6, 1e-8)])
def test_agrees_with_lapack(method, tol, allowed, kind, seed):
    path = random_system(seed, kind)
    wanted = dgedmd(path[:, :-1], path[:, 1:], tol)
    found = decompose(path, tol=tol, method=method)
    assert gap(found.eigenvalues, wanted.eigenvalues) < allowed
    order = matched(found.eigenvalues, wanted.eigenvalues)
    np.testing.assert_allclose(found.residuals[order], wanted.residuals, rtol=0, atol=allowed)
    assert np.all(found.refined.residuals <= found.residuals)


# Properties.

seeds = st.integers(0, 10_000)
few = settings(max_examples=15, deadline=None, derandomize=True)


def same_spectrum(path, other, **options):
    a, b = decompose(path, tol=1e-4, **options), decompose(other, tol=1e-4, **options)
    assert gap(a.eigenvalues, b.eigenvalues) < 1e-6
    order = matched(a.eigenvalues, b.eigenvalues)
    np.testing.assert_allclose(a.residuals[order], b.residuals, atol=1e-6)
    return a, b


@few
@given(seeds, st.sampled_from(["gram", "qr"]))
def test_orthogonal_maps_change_nothing(seed, method):
    path = random_system(seed)
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(path), len(path))))[0]
    same_spectrum(path, q @ path, method=method)


@few
@given(seeds, st.booleans())
def test_the_order_of_weights_changes_nothing(seed, center):
    path = random_system(seed)
    same_spectrum(path, np.random.default_rng(seed).permutation(path), center=center)


@few
@given(seeds, st.floats(1e-12, 1e12), st.integers(1, 3))
def test_a_constant_factor_changes_importance_alone(seed, factor, delays):
    path = random_system(seed)
    a, b = same_spectrum(path, factor * path, delays=delays)
    np.testing.assert_allclose(np.sort(b.importance), factor * np.sort(a.importance), rtol=1e-3)


@few
@given(seeds, st.booleans(), st.sampled_from(["noisy", "walk", "decay", "steep"]))
def test_eigenvalues_come_in_conjugate_pairs_side_by_side(seed, center, kind):
    values = decompose(random_system(seed, kind), tol=1e-3, center=center).eigenvalues
    i = 0
    while i < len(values):
        if values[i].imag:
            assert values[i + 1] == np.conj(values[i])
            assert values[i].imag > 0
            i += 1
        i += 1


@few
@given(seeds)
def test_center_is_blind_to_a_shift(seed):
    path = random_system(seed)
    a, b = decompose(path, center=True, tol=1e-4), decompose(path + 0.3, center=True, tol=1e-4)
    assert gap(a.eigenvalues, b.eigenvalues) < 1e-6


# What comes in.


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 1e-5), ("float16", 1e-2)])
@METHODS
def test_low_precision(dtype, allowed, method):
    path = path_of(np.diag([0.9, 0.5]), [1.0, 1.0], 4)
    found = decompose(path.astype(dtype), method=method, rank=2)
    assert gap(found.eigenvalues, [0.9, 0.5]) < allowed
    assert found.tol == {"float32": 1e-6, "float16": 1e-3}[dtype]
    assert found.predict(1).dtype == np.float64


def test_whole_numbers():
    found = decompose(np.array([[1, 2, 4, 8], [1, -1, 1, -1]]))
    assert gap(found.eigenvalues, [2.0, -1.0]) < 1e-12


def test_a_nested_list():
    assert decompose([[1.0, 2.0, 4.0]]).eigenvalues == pytest.approx([2.0])


def test_gram_raises_a_tolerance_that_it_cannot_keep():
    assert decompose(random_system(0)).tol > 1e-8
    assert decompose(random_system(0), method="qr").tol == 1e-10


@METHODS
def test_blocks_of_rows_change_nothing(method, monkeypatch):
    path = random_system(0)
    whole = decompose(path, tol=1e-4, method=method)
    monkeypatch.setattr("keras_koopman.spectrum.tall.BLOCK_NUMBERS", 7 * path.shape[1])
    parts = decompose(path, tol=1e-4, method=method)
    assert gap(parts.eigenvalues, whole.eigenvalues) < 1e-8
    np.testing.assert_allclose(parts.predict(1), whole.predict(1), atol=1e-8)


@pytest.mark.contract
@METHODS
@pytest.mark.parametrize("options", [{}, {"delays": 2}, {"center": True}])
def test_a_tensor_gives_what_an_array_gives(method, options):
    path = random_system(1).astype("float32")
    wanted = decompose(path, tol=1e-3, method=method, **options)
    found = decompose(ops.convert_to_tensor(path), tol=1e-3, method=method, **options)
    assert gap(found.eigenvalues, wanted.eigenvalues) < 1e-7
    assert ops.is_tensor(found.mode(0))
    assert ops.is_tensor(found.predict(1))
    np.testing.assert_allclose(
        ops.convert_to_numpy(found.predict(1)), wanted.predict(1), rtol=1e-5, atol=1e-6
    )
    i = int(np.argmax(np.abs(found.eigenvalues.imag)))
    assert found.eigenvalues[i].imag != 0
    mode = ops.convert_to_numpy(found.mode(i))
    other = wanted.mode(int(matched(wanted.eigenvalues, found.eigenvalues)[i]))
    assert abs(np.vdot(mode, other)) == pytest.approx(np.linalg.norm(other) * np.linalg.norm(mode), rel=1e-5)


# What is refused.


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        (small_path(_2=np.nan), {}, ValueError, "snapshots must be finite.*snapshot 2.*before it"),
        (small_path(_3=np.inf), {}, ValueError, "snapshots must be finite.*snapshot 3"),
        (small_path(_1=np.nan), {"method": "qr"}, ValueError, "snapshots must be finite"),
        (small_path() * 1e200, {}, ValueError, "overflow"),
        (small_path()[:, :1], {}, ValueError, "1 snapshot with delays=1.*Record more"),
        (small_path(), {"delays": 4}, ValueError, "4 snapshots with delays=4.*lower delays"),
        (np.ones((5, 4)), {"center": True}, ValueError, "all equal.*Pass center=False"),
        (np.ones((5, 4)), {"center": True, "method": "qr"}, ValueError, "all equal.*Pass center=False"),
        (np.zeros((5, 4)), {}, ValueError, "snapshots are all zero"),
        (np.zeros((5, 4)), {"method": "qr"}, ValueError, "snapshots are all zero"),
        (small_path(), {"rank": 4}, ValueError, "rank=4.*at most 3.*Lower it"),
        (small_path()[:2], {"rank": 3}, ValueError, "rank=3.*at most 2"),
        (small_path(), {"rank": 0}, ValueError, "rank must be at least 1, got 0"),
        (small_path(), {"rank": 2.0}, TypeError, "rank must be a whole number, got 2.0"),
        (small_path(), {"rank": True}, TypeError, "rank must be a whole number"),
        (small_path(), {"rank": "svd"}, ValueError, "rank must be one of 'svht', got 'svd'"),
        (small_path() * 1j, {}, TypeError, "real numbers, got dtype complex128. Stack real and imaginary"),
        (np.array([["a", "b"]]), {}, TypeError, "snapshots must be real numbers"),
        (small_path()[0], {}, ValueError, r"matrix \(n, m \+ 1\).*got shape \(4,\)"),
        (small_path()[None], {}, ValueError, r"got shape \(1, 5, 4\)"),
        (np.empty((0, 4)), {}, ValueError, r"got shape \(0, 4\)"),
        (small_path(), {"tol": -1e-3}, ValueError, "tol must be at least 0 and below 1, got -0.001"),
        (small_path(), {"tol": 1.0}, ValueError, "tol must be at least 0 and below 1, got 1.0"),
        (small_path(), {"tol": np.nan}, ValueError, "tol must be at least 0"),
        (small_path(), {"tol": "small"}, TypeError, "tol must be a real number"),
        (small_path(), {"delays": 0}, ValueError, "delays must be at least 1, got 0"),
        (small_path(), {"delays": 1.5}, TypeError, "delays must be a whole number"),
        (small_path(), {"dt": 0}, ValueError, "dt must be above 0"),
        (small_path(), {"dt": np.inf}, ValueError, "dt must be above 0 and finite"),
        (small_path(), {"method": "svd"}, ValueError, "method must be one of 'gram', 'qr', got 'svd'"),
    ],
)  # fmt: skip
def test_refuses(path, options, error, message):
    with pytest.raises(error, match=message):
        decompose(path, **options)


@pytest.mark.contract
def test_refuses_a_complex_tensor():
    with pytest.raises(TypeError, match="real numbers, got dtype complex64"):
        decompose(ops.convert_to_tensor(small_path().astype("complex64")))


@pytest.mark.contract
@METHODS
def test_refuses_a_tensor_with_nan(method):
    with pytest.raises(ValueError, match=r"snapshots must be finite.*snapshot 2"):
        decompose(ops.convert_to_tensor(small_path(_2=np.nan).astype("float32")), method=method)
