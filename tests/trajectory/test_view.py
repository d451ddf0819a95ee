import warnings

import numpy as np
import pytest
from keras import ops

import keras_koopman as kk
from tests.oracle import gap, path_of, random_system
from tests.trajectory.rows import LENGTH, exact, flat, host, record, same, walk


def test_combine_refuses():
    found = record(walk(4))
    for wrong in ([1.0, 2.0, 3.0], [[1.0] * 4], [1, 2, 3, np.nan]):
        with pytest.raises(ValueError, match="coefficients must be 4 finite numbers"):
            found.combine(wrong)
    with pytest.raises(ValueError, match="no snapshot to combine"):
        kk.Trajectory().latest()


@pytest.mark.contract
def test_increments():
    rows = walk(9, LENGTH)
    found = record(rows, window=6, form=lambda x: {"a": x[:5], "b": x[5:]}).increments()
    steps = np.diff(rows[-6:], axis=0)
    same(found.gram, exact(steps))
    same(found.gram_of("b"), exact(steps[:, 5:]))
    assert found.groups == ("a", "b")
    assert found.times.tolist() == [4, 5, 6, 7, 8]
    assert len(found) == 5
    coefficients = np.array([1.0, -1.0, 2.0, 0.0, 0.5])
    np.testing.assert_allclose(flat(found.combine(coefficients)), coefficients @ steps, atol=1e-5)
    for count, length in ((2, 2), (9, 5), (0, 0)):
        tail = found.tail(count)
        assert len(tail) == len(tail.times) == length
        same(tail.gram, exact(steps[5 - length :]))


@pytest.mark.parametrize("count", [0, 1])
def test_no_increment_yet(count):
    found = record(walk(count)).increments()
    assert found.gram.shape == (0, 0)
    assert found.times.shape == (0,)
    with pytest.raises(ValueError, match="0 snapshots"):
        found.decompose()


def test_increments_lose_the_fixed_point():
    rows = 5 + path_of(np.diag([0.9, 0.5, 0.0]), [1.0, 2.0, 0.0], 8).T
    found = record(rows)
    assert gap(found.increments().decompose().eigenvalues, [0.9, 0.5]) < 1e-6
    assert gap(found.decompose(rank=3).eigenvalues[:1], [1.0]) < 1e-5


@pytest.mark.contract
def test_what_was_made_outlives_later_records_until_a_snapshot_of_it_leaves():
    rows = walk(12)
    found = record(rows[:4], window=6)
    steps, spectrum = found.increments(), found.decompose(rank=2)
    last = found.increments().tail(1)
    gram, mode, later = steps.gram, ops.convert_to_numpy(spectrum.mode(0)), host(spectrum.predict(2))
    for row in rows[4:6]:
        found.append(row)
    np.testing.assert_allclose(steps.gram, gram)
    np.testing.assert_allclose(ops.convert_to_numpy(spectrum.mode(0)), mode)
    np.testing.assert_allclose(host(spectrum.predict(2)), later)
    found.append(rows[6])
    for ask in (
        lambda: steps.gram,
        lambda: spectrum.mode(0),
        lambda: steps.combine(np.ones(3)),
        steps.decompose,
    ):
        with pytest.raises(ValueError, match=r"left the window of 6 since.*raise window"):
            ask()
    same(last.gram, exact(rows[3:4] - rows[2:3]))
    for row in rows[7:]:
        found.append(row)
    with pytest.raises(ValueError, match="left the window"):
        _ = last.gram


# Spectra.


@pytest.mark.parametrize(
    "options", [{}, {"center": True}, {"delays": 2}, {"rank": 3}, {"rank": "svht"}, {"dt": 0.5}]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_spectrum_is_that_of_decompose(options, dtype):
    path = random_system(1).astype(dtype)
    options = {"tol": 1e-3, **options}
    wanted, found = kk.decompose(path, **options), record(path.T).decompose(**options)
    assert gap(found.eigenvalues, wanted.eigenvalues) < (1e-4 if dtype == "float32" else 1e-6)
    np.testing.assert_allclose(found.importance, wanted.importance, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.sort(found.residuals), np.sort(wanted.residuals), atol=1e-5)
    np.testing.assert_allclose(found.half_lives, wanted.half_lives, rtol=1e-3)
    np.testing.assert_allclose(host(found.predict(1)), wanted.predict(1), rtol=1e-3, atol=1e-4)
    a, b = ops.convert_to_numpy(found.mode(0)), wanted.mode(0)
    assert abs(np.vdot(a, b)) == pytest.approx(np.linalg.norm(a) * np.linalg.norm(b), rel=1e-4)


@pytest.mark.contract
def test_modes_come_in_the_form_of_snapshots():
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    found = record(path_of(turn, [1.0, 0.0], 5).T, form=lambda x: {"a": x[:1], "b": [x[1:]]}).decompose()
    mode = found.mode(0)
    assert mode["a"].shape == mode["b"][0].shape == (1,)
    vector = np.array([ops.convert_to_numpy(mode["a"])[0], ops.convert_to_numpy(mode["b"][0])[0]])
    np.testing.assert_allclose(turn @ vector, found.eigenvalues[0] * vector, atol=1e-6)


@pytest.mark.contract
def test_spectrum_of_a_group():
    rows = np.array([[0.5**t, 2 * 0.9**t, 0.9**t] for t in range(8)])
    found = record(rows, form=lambda x: {"fast": x[:1], "slow": x[1:]})
    assert found.decompose("fast").eigenvalues == pytest.approx([0.5])
    assert found.decompose("slow").eigenvalues == pytest.approx([0.9])
    assert found.increments().decompose("slow").eigenvalues == pytest.approx([0.9])
    assert gap(found.decompose(name for name in found.groups).eigenvalues, [0.9, 0.5]) < 1e-6
    assert flat(found.decompose("slow").mode(0)).shape == (3,)


@pytest.mark.contract
@pytest.mark.parametrize(
    ("distance", "size", "dtype", "tolerance"),
    [(0, 1, "float64", 1e-7), (1e3, 1e-3, "float64", 1e-6), (1, 1e-2, "float32", 1e-3)],
)
def test_center_finds_an_affine_map(distance, size, dtype, tolerance):
    """Also where the motion is tiny beside the weights."""
    operator, shift = np.array([[0.9, 0.2], [-0.1, 0.7]]), np.array([1.0, -2.0])
    rows = [np.array([3.0, 1.0])]
    for _ in range(9):
        rows.append(operator @ rows[-1] + shift)
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((300, 2)))[0]
    rows = (distance + size * np.array(rows) @ frame.T).astype(dtype)
    found = record(rows[:9]).decompose(center=True, rank=2)
    assert gap(found.eigenvalues, np.linalg.eigvals(operator)) < tolerance
    np.testing.assert_allclose(host(found.predict(1)), rows[9], atol=10 * tolerance * size)
    # Amplitudes refer to the first raw snapshot.
    modes = np.stack([ops.convert_to_numpy(found.mode(i)) for i in range(2)], axis=1)
    wanted = np.linalg.lstsq(modes, rows[0].astype(complex), rcond=None)[0]
    np.testing.assert_allclose(found.importance, np.abs(wanted), rtol=0.01, atol=1e-6)


def test_dt_is_the_spacing_of_times():
    found = kk.Trajectory()
    for t in range(5):
        found.append(np.array([0.5**t]), time=4.0 * t)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found.decompose().half_lives == pytest.approx([4.0])
    assert found.decompose(dt=1).half_lives == pytest.approx([1.0])
    found.append(np.array([0.5**5]), time=100.0)
    with pytest.warns(UserWarning, match=r"not evenly spaced.*from 4 to 84.*Record at equal times"):
        found.decompose()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.decompose(dt=1)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (walk(0), {}, "0 snapshots with delays=1.*Record more"),
        (walk(1), {}, "1 snapshot with delays=1.*Record more"),
        (walk(3), {"delays": 3}, "3 snapshots with delays=3.*lower delays"),
        (walk(4), {"rank": 4}, "rank=4.*at most 3"),
        (walk(9), {"rank": 6}, "rank=6.*at most 5"),
        (walk(4), {"dt": 0}, "dt must be above 0"),
        (walk(4), {"tol": -1}, "tol must be at least 0"),
        (np.ones((4, 3)), {"center": True}, "all equal.*Pass center=False"),
        (np.zeros((4, 3)), {}, "all zero"),
    ],
)
def test_decompose_refuses(rows, options, message):
    with pytest.raises(ValueError, match=message):
        record(rows).decompose(**options)
