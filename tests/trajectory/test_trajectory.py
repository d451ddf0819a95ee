"""`Trajectory` against float64 NumPy."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import keras_koopman as kk

# Of long float32 snapshots inner products are known to this share of |u||v|.
BOUND = 6e-8 if keras.backend.backend() == "torch" else 1e-8
# The rounding of w - w_ref averages out over the weights; here there are few.
FEW = 1e-7


def walk(count, size, seed=0, far=0.0, step=1.0):
    """`(count, size)` float32 path that starts `far` from zero."""
    rng = np.random.default_rng(seed)
    start = far * rng.standard_normal(size)
    steps = step * rng.standard_normal((count, size))
    return (start + np.cumsum(steps, axis=0)).astype(np.float32)


def recorded(path, window=64, ask=0, values=lambda row: row):
    """Trajectory of the rows; its products are asked for each `ask` rows."""
    trajectory = kk.Trajectory(window)
    for i, row in enumerate(path):
        trajectory.append(values(row))
        if ask and i % ask == 0:
            assert trajectory.gram.shape == (len(trajectory),) * 2
    return trajectory


def gram_error(found, rows):
    """Largest error of inner products, as a share of the lengths."""
    rows = rows.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    return np.max(np.abs(found - rows @ rows.T) / np.outer(lengths, lengths))


def flat(values):
    """All numbers of a snapshot in one vector."""
    if isinstance(values, dict):
        return np.concatenate([flat(v) for v in values.values()])
    if isinstance(values, list):
        return np.concatenate([flat(v) for v in values])
    return np.asarray(ops.convert_to_numpy(values), np.float64).reshape(-1)


@pytest.mark.parametrize("ask", [0, 1, 3])
@pytest.mark.parametrize(("window", "count"), [(2, 5), (3, 7), (8, 40), (20, 45), (64, 50), (100, 120)])
def test_gram_of_the_last_snapshots(window, count, ask):
    path = walk(count, 300)
    trajectory = recorded(path, window, ask)
    assert len(trajectory) == min(window, count)
    np.testing.assert_array_equal(trajectory.times, np.arange(count)[-window:])
    assert gram_error(trajectory.gram, path[-window:]) < FEW


@pytest.mark.parametrize("size", [pytest.param(70_000, marks=pytest.mark.contract), 150_000, 600_000])
def test_float32_products_keep_their_bound(size):
    """Strongly correlated rows are the hard case: all products have one sign."""
    rng = np.random.default_rng(0)
    path = (rng.standard_normal(size) + 0.1 * rng.standard_normal((19, size))).astype(np.float32)
    path[0] = 0  # the first is the reference: so u = w
    trajectory = recorded(path, window=19)
    assert gram_error(trajectory.gram[1:, 1:], path[1:]) < BOUND


FORMS = {
    "array": lambda row: row.reshape(2, -1),
    "tensor": ops.convert_to_tensor,
    "variable": lambda row: keras.Variable(row),
    "list": lambda row: [row[:7], row[7:].reshape(-1, 1)],
    "dict": lambda row: {"a": row[:7], "b": row[7:]},
    "layers": lambda row: {"a": {"kernel": row[:8].reshape(2, 4), "bias": row[8:10]}, "b": row[10:]},
    "lists": lambda row: {"a": [row[:8], row[8:10]], "b": row[10:]},
}
ON_EVERY_ENGINE = {"tensor", "variable", "layers"}


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[pytest.mark.contract] * (form in ON_EVERY_ENGINE)) for form in FORMS]
)
def test_every_form_of_values(form):
    path = walk(9, 24)
    trajectory = recorded(path, values=FORMS[form])
    assert gram_error(trajectory.gram, path) < FEW
    total = sum(trajectory.gram_of(group) for group in trajectory.groups)
    np.testing.assert_allclose(total, trajectory.gram, rtol=1e-12)
    weights = np.arange(9.0)
    found = trajectory.combine(weights)
    assert isinstance(found, dict) == isinstance(FORMS[form](path[0]), dict)
    np.testing.assert_allclose(flat(found), weights @ path.astype(np.float64), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(flat(trajectory.latest()), path[-1], atol=1e-5)


def test_groups_have_their_own_gram():
    path = walk(6, 20)
    trajectory = recorded(path, values=lambda row: {"a": row[:5], "b": row[5:]})
    assert trajectory.groups == ("a", "b")
    assert gram_error(trajectory.gram_of("b"), path[:, 5:]) < FEW
    assert gram_error(trajectory.gram_of(["a", "b"]), path) < FEW
    with pytest.raises(KeyError, match="no group 'c'"):
        trajectory.gram_of("c")


@pytest.mark.contract
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int32"])
def test_other_precisions(dtype):
    path = ops.cast(np.round(8 * walk(6, 50)), "float32" if dtype == "float64" else dtype)
    path = ops.convert_to_numpy(ops.cast(path, "float32"))
    rows = path.astype(np.float64) if dtype == "float64" else [ops.cast(row, dtype) for row in path]
    assert gram_error(recorded(rows).gram, path) < (1e-12 if dtype == "float64" else FEW)


def test_a_snapshot_may_be_one_number():
    trajectory = recorded([3.0, 2.0, 1.0])
    np.testing.assert_allclose(trajectory.gram, np.outer([3, 2, 1], [3, 2, 1]), atol=1e-12)


@pytest.mark.parametrize("ask", [0, 1])
def test_increments_far_from_zero(ask):
    """Increments a thousand times smaller than the weights keep their digits."""
    path = walk(30, 400, far=10, step=0.01)
    trajectory = recorded(path, window=20, ask=ask)
    increments = np.diff(path[-20:].astype(np.float64), axis=0)
    view = trajectory.increments()
    assert gram_error(view.gram, increments) < 1e-5
    np.testing.assert_array_equal(view.times, trajectory.times[1:])
    np.testing.assert_allclose(flat(view.combine(np.ones(19))), path[-1] - path[-20], atol=1e-5)
    assert gram_error(trajectory.gram, path[-20:]) < FEW


@pytest.mark.contract
@pytest.mark.parametrize("ask", [0, 1, 4])
def test_shrinking_steps_move_the_reference(ask):
    rng = np.random.default_rng(0)
    path = np.cumsum(0.7 ** np.arange(45)[:, None] * rng.standard_normal((45, 500)), axis=0)
    path = (path + 1).astype(np.float32)
    trajectory = recorded(path, window=20, ask=ask)
    assert gram_error(trajectory.gram, path[-20:]) < FEW
    moved = np.linalg.norm(path[-20:].astype(np.float64) - path[0], axis=1)
    np.testing.assert_allclose(trajectory.displacements, moved, rtol=1e-6)
    weights = rng.standard_normal(20)
    np.testing.assert_allclose(flat(trajectory.combine(weights)), weights @ path[-20:], atol=1e-4)
    last = np.diff(path[-3:].astype(np.float64), axis=0)
    found = trajectory.increments().tail(2).gram
    assert found == pytest.approx(last @ last.T, rel=1e-2 if ask else 0.3, abs=1e-12)


def test_displacements_from_a_given_origin():
    path = walk(5, 60)
    trajectory = kk.Trajectory()
    trajectory.set_origin(path[0], time=2.0)
    for row in path[1:]:
        trajectory.append(row)
    np.testing.assert_array_equal(trajectory.times, [3, 4, 5, 6])
    moved = np.linalg.norm((path[1:] - path[0]).astype(np.float64), axis=1)
    np.testing.assert_allclose(trajectory.displacements, moved, rtol=1e-6)
    with pytest.raises(ValueError, match="before the first append"):
        trajectory.set_origin(path[0])


@pytest.mark.contract
def test_means():
    path = walk(12, 80, far=3)
    trajectory = kk.Trajectory()
    trajectory.set_origin(path[0])
    for i, row in enumerate(path):
        trajectory.accumulate(row)
        if i % 4 == 3:
            assert trajectory.append_mean() == 4
    means = path.astype(np.float64).reshape(3, 4, 80).mean(axis=1)
    for i in range(3):
        np.testing.assert_allclose(flat(trajectory.combine(np.eye(3)[i])), means[i], atol=1e-5)
    with pytest.raises(ValueError, match="Call accumulate first"):
        trajectory.append_mean()


def test_a_refused_value_leaves_the_mean_as_it_was():
    trajectory = kk.Trajectory()
    with pytest.raises(ValueError, match="finite"):
        trajectory.accumulate(np.array([np.nan]))
    trajectory.accumulate(np.array([1.0]))
    with pytest.raises(ValueError, match="finite"):
        trajectory.accumulate(np.array([np.inf]))
    trajectory.accumulate(np.array([3.0]))
    assert trajectory.append_mean() == 2
    trajectory.accumulate(np.array([9.0]))
    trajectory.drop_mean()
    with pytest.raises(ValueError, match="nothing was accumulated"):
        trajectory.append_mean()
    assert flat(trajectory.latest()) == pytest.approx([2.0])


def test_a_mean_survives_a_move_of_the_reference():
    rng = np.random.default_rng(0)
    far, direction = 1 + rng.standard_normal((2, 300)).astype(np.float32)
    trajectory = kk.Trajectory()
    for scale in [0.0, 1.0, 1.0 + 1e-5]:
        trajectory.append(far + np.float32(scale) * direction)
    before = trajectory._rows.reference
    trajectory.accumulate(far)
    trajectory.gram  # noqa: B018
    assert trajectory._rows.reference is not before
    trajectory.append_mean()
    np.testing.assert_allclose(flat(trajectory.latest()), far, atol=1e-5)


@pytest.mark.contract
def test_spectrum_is_that_of_the_same_matrix():
    rng = np.random.default_rng(0)
    rates = np.array([1.0, 0.9, 0.6])
    path = (rates ** np.arange(12)[:, None]) @ rng.standard_normal((3, 200))
    trajectory = recorded(path)
    for options in ({}, {"rank": 2}, {"delays": 2}, {"center": True}):
        ours = trajectory.decompose(**options)
        theirs = kk.decompose(path.T, **options)
        np.testing.assert_allclose(ours.eigenvalues, theirs.eigenvalues, atol=1e-7)
        np.testing.assert_allclose(ours.importance, theirs.importance, rtol=1e-5)
        assert flat(ours.predict(2)) == pytest.approx(theirs.predict(2), abs=1e-6)
    assert trajectory.increments().decompose().eigenvalues == pytest.approx([0.6, 0.9], abs=1e-7)


def test_centred_spectrum_far_from_zero():
    """The fixed point is a thousand times larger than the motion."""
    rng = np.random.default_rng(0)
    modes, fixed = rng.standard_normal((2, 3000)), 1000 * rng.standard_normal(3000)
    path = fixed + (np.array([0.9, 0.5]) ** np.arange(10)[:, None]) @ modes
    found = recorded(path).decompose(center=True, rank=2)
    assert sorted(found.eigenvalues.real) == pytest.approx([0.5, 0.9], abs=1e-4)
    np.testing.assert_allclose(
        flat(found.predict(3)), fixed + (np.array([0.9, 0.5]) ** 12) @ modes, atol=1e-2
    )


def test_spectrum_of_one_group():
    path = np.stack([np.concatenate([0.9**t * np.ones(5), 0.5**t * np.ones(3)]) for t in range(6)])
    trajectory = recorded(path, values=lambda row: {"slow": row[:5], "fast": row[5:]})
    assert trajectory.decompose("slow").eigenvalues == pytest.approx([0.9])
    assert trajectory.decompose("fast").eigenvalues == pytest.approx([0.5])
    assert trajectory.decompose("fast").mode(0).keys() == {"slow", "fast"}


@pytest.mark.contract
def test_complex_modes():
    angle = 0.3 * np.arange(8)
    path = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = recorded(path).decompose()
    assert found.eigenvalues == pytest.approx([np.exp(0.3j), np.exp(-0.3j)], abs=1e-7)
    mode = np.asarray(ops.convert_to_numpy(found.mode(0)))
    assert mode.dtype.kind == "c"
    assert np.linalg.norm(mode) == pytest.approx(1)


def test_dt_is_the_spacing_of_the_times():
    trajectory = kk.Trajectory()
    for t in range(5):
        trajectory.append(np.array([0.5**t]), time=10.0 * t)
    assert trajectory.decompose().half_lives == pytest.approx([10.0])
    trajectory.append(np.array([0.5**5]), time=100.0)
    with pytest.warns(UserWarning, match="not evenly spaced"):
        trajectory.decompose()


def held_rows(trajectory):
    return sum(int(chunk.shape[1]) for chunk in trajectory._rows._chunks) + len(trajectory._rows._loose)


def test_memory_grows_with_what_is_recorded():
    assert held_rows(recorded(walk(3, 10), window=10**7)) == 3
    for window in (2, 9, 30, 100):
        assert held_rows(recorded(walk(2 * window + 7, 10), window)) <= window * 4 / 3 + 1


@pytest.mark.parametrize(
    ("window", "error", "message"),
    [
        (1, ValueError, "window=1"),
        (0, ValueError, "window"),
        (True, TypeError, "window"),
        (2.5, TypeError, "2.5"),
    ],
)
def test_refuses_a_window(window, error, message):
    with pytest.raises(error, match=message):
        kk.Trajectory(window)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.array([1.0, np.nan]), ValueError, "must be finite"),
        (np.array([1.0, np.inf]), ValueError, "must be finite"),
        (np.array([1.0]), ValueError, "values differ .*shape"),
        ({"a": np.ones(2)}, ValueError, "values differ"),
        (np.array([1j, 2.0]), TypeError, "real numbers"),
        (np.array(["a", "b"]), TypeError, "real numbers"),
    ],
)
def test_a_refused_snapshot_leaves_the_trajectory_as_it_was(values, error, message):
    trajectory = recorded(walk(3, 2))
    gram = trajectory.gram
    with pytest.raises(error, match=message):
        trajectory.append(values)
    trajectory.append(np.ones(2, np.float32))
    np.testing.assert_array_equal(trajectory.gram[:3, :3], gram)
    np.testing.assert_array_equal(trajectory.times, [0, 1, 2, 3])


@pytest.mark.parametrize("values", [np.zeros((0, 3)), [], {}, np.array([np.nan])])
def test_refuses_a_first_snapshot(values):
    trajectory = kk.Trajectory()
    with pytest.raises((ValueError, TypeError)):
        trajectory.append(values)
    trajectory.append(np.ones(4))
    assert len(trajectory) == 1


def test_refuses_a_time_that_is_not_later():
    trajectory = recorded(walk(2, 4))
    with pytest.raises(ValueError, match="time=1 must be later"):
        trajectory.append(np.ones(4, np.float32), time=1.0)


@pytest.mark.parametrize("weights", [np.ones(2), np.ones((3, 1)), np.array([1, np.nan, 1])])
def test_refuses_coefficients(weights):
    with pytest.raises(ValueError, match="coefficients must be 3 finite numbers"):
        recorded(walk(3, 4)).combine(weights)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ([], {}, "needs at least 2"),
        ([1.0], {}, "needs at least 2"),
        ([1.0, 2.0], {"delays": 2}, "needs at least 3"),
        ([1.0, 2.0, 4.0], {"rank": 2}, "rank=2 is more"),
        ([0.0, 0.0, 0.0], {}, "all zero"),
        ([2.0, 2.0, 2.0], {"center": True}, "all equal"),
        ([1.0, 2.0], {"tol": 2.0}, "tol"),
        ([1.0, 2.0], {"dt": -1.0}, "dt"),
    ],
)
def test_refuses_to_decompose(path, options, message):
    with pytest.raises(ValueError, match=message):
        recorded([np.array([v]) for v in path]).decompose(**options)


def test_identical_snapshots():
    trajectory = recorded([np.ones(50, np.float32)] * 12, ask=1)
    np.testing.assert_allclose(trajectory.gram, np.full((12, 12), 50.0), rtol=1e-6)
    assert trajectory.decompose().eigenvalues == pytest.approx([1.0])
    with pytest.raises(ValueError, match="all zero"):
        trajectory.increments().decompose()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 100),
    scale=st.floats(1e-3, 1e3),
    window=st.integers(2, 12),
    asked=st.lists(st.booleans(), min_size=10, max_size=20),
)
def test_properties(seed, scale, window, asked):
    """Order of the weights, their scale, their groups and when one looks do not matter."""
    path = walk(len(asked), 30, seed)
    order = np.random.default_rng(seed).permutation(30)
    plain, grouped, permuted, scaled = (kk.Trajectory(window) for _ in range(4))
    for row, ask in zip(path, asked, strict=True):
        plain.append(row)
        grouped.append([row[:11], row[11:]])
        permuted.append(row[order])
        scaled.append(row.astype(np.float64) * scale)
        if ask:
            plain.gram  # noqa: B018
    size = np.max(np.abs(plain.gram))
    for other in (grouped, permuted):
        np.testing.assert_allclose(other.gram, plain.gram, atol=1e-7 * size)
    np.testing.assert_allclose(scaled.gram / scale**2, plain.gram, atol=1e-6 * size)
