from itertools import pairwise

import numpy as np
import pytest

import keras_koopman as kk
from tests.trajectory.rows import LENGTH, exact, host, record, same, walk


@pytest.mark.contract
def test_groups_add_up():
    rows = walk(9, LENGTH)
    found = record(rows, window=6, form=lambda x: {"a": x[:7], "b": {"k": x[7:9], "b": x[9]}, "c": x[10:]})
    kept = rows[-6:]
    assert found.groups == ("a", "b", "c")
    for name, part in (("a", kept[:, :7]), ("b", kept[:, 7:10]), ("c", kept[:, 10:])):
        same(found.gram_of(name), exact(part))
    same(found.gram_of(["c", "a", "c"]), exact(np.delete(kept, [7, 8, 9], axis=1)))
    same(sum(found.gram_of(name) for name in found.groups), found.gram)


def test_refuses_an_unknown_group():
    found = record(walk(4), form=lambda x: {"a": x, "b": x})
    for ask in (found.gram_of, found.decompose, found.increments().gram_of):
        for group in ("z", ["a", "z"]):
            with pytest.raises(KeyError, match=r"no group 'z'; there are 'a', 'b'"):
                ask(group)
    with pytest.raises(KeyError, match=r"no group 'z'; there are none"):
        kk.Trajectory().gram_of("z")


def test_two_trajectories_of_different_layout():
    a, b, rows = kk.Trajectory(5), kk.Trajectory(3), walk(9, LENGTH)
    for row in rows:
        a.append({"x": row[:5], "y": row[5:]})
        b.append(row[::-1].reshape(4, 3))
        same(b.gram[-1:, -1:], exact(row[None]))
    same(a.gram, exact(rows[-5:]))
    same(b.gram, exact(rows[-3:]))


def test_nothing_recorded():
    empty = kk.Trajectory(5)
    assert (len(empty), empty.size, empty.groups, empty.origin_time) == (0, 0, (), None)
    assert empty.gram.shape == (0, 0)
    assert empty.times.shape == empty.displacements.shape == (0,)
    assert repr(empty) == "<Trajectory of 0 snapshots of 0 numbers, window=5>"


# Times and origin.


def test_times():
    found, row = kk.Trajectory(3), np.ones(2)
    for time in (None, None, 2.5, None, np.float32(8)):
        found.append(row, time)
    assert found.times.tolist() == [2.5, 3.5, 8.0]
    assert found.origin_time == 0.0


@pytest.mark.parametrize(
    ("time", "error"),
    [*((t, ValueError) for t in (2.0, 1, np.nan, np.inf)), ("3", TypeError), (True, TypeError)],
)
def test_refuses_a_time(time, error):
    found = record(walk(3))
    with pytest.raises(error, match="time"):
        found.append(walk(1)[0], time)
    assert found.times.tolist() == [0, 1, 2]
    same(found.gram, exact(walk(3)))


@pytest.mark.contract
def test_origin():
    found, rows = kk.Trajectory(3), walk(6)
    found.set_origin(rows[0], time=4.0)
    assert len(found) == 0
    assert found.displacements.shape == (0,)
    for row in rows[1:]:
        found.append(row)
    assert found.times.tolist() == [7, 8, 9]
    assert found.origin_time == 4.0
    np.testing.assert_allclose(found.displacements, np.linalg.norm(rows[-3:] - rows[0], axis=1), rtol=1e-6)
    same(found.gram, exact(rows[-3:]))
    with pytest.raises(ValueError, match="set_origin comes before the first append"):
        found.set_origin(rows[0])


def test_origin_is_the_first_snapshot_unless_set():
    rows = walk(6)
    np.testing.assert_allclose(
        record(rows, window=4).displacements, np.linalg.norm(rows[-4:] - rows[0], axis=1), rtol=1e-6
    )
    assert record(rows).displacements[0] == 0


def test_origin_can_be_set_anew_before_the_first_record():
    found = kk.Trajectory()
    found.set_origin(np.ones(3))
    with pytest.raises(ValueError, match="finite"):
        found.set_origin(np.full(2, np.nan))
    found.set_origin(np.zeros(2))
    found.append(np.array([3.0, 4.0]))
    assert found.displacements == pytest.approx([5.0])
    other = kk.Trajectory()
    other.accumulate(np.ones(2))
    with pytest.raises(ValueError, match="set_origin comes before"):
        other.set_origin(np.ones(3))


# Means.


@pytest.mark.contract
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_append_mean(dtype):
    rows = 3 + walk(30, dtype=dtype)
    found, counts = kk.Trajectory(4), [1, 5, 2, 7, 11]
    ends = np.cumsum([0, *counts])
    means = np.array([rows[i:j].astype(np.float64).mean(axis=0) for i, j in pairwise(ends)])
    for i, j, count in zip(ends[:-1], ends[1:], counts, strict=True):
        for row in rows[i:j]:
            found.accumulate(row)
        assert found.append_mean() == count
    same(found.gram, exact(means[1:]), tolerance=1e-6 if dtype == "float32" else 1e-13)
    np.testing.assert_allclose(host(found.latest()), means[-1], rtol=1e-6)
    np.testing.assert_allclose(found.displacements, np.linalg.norm(means[1:] - rows[0], axis=1), rtol=1e-5)


def test_a_mean_needs_something():
    found = record(walk(3))
    with pytest.raises(ValueError, match=r"nothing was accumulated.*Call accumulate first"):
        found.append_mean()
    found.accumulate(walk(1)[0])
    found.append_mean()
    with pytest.raises(ValueError, match="nothing was accumulated"):
        found.append_mean()


@pytest.mark.contract
def test_a_broken_sample_leaves_the_mean_as_it_was():
    found = kk.Trajectory()
    found.accumulate(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="finite"):
        found.accumulate(np.array([np.nan, 2.0]))
    with pytest.raises(ValueError, match="differ"):
        found.accumulate(np.ones(3))
    found.accumulate(np.array([3.0, 2.0]))
    assert found.append_mean() == 2
    assert host(found.latest()).tolist() == [2.0, 2.0]


def test_a_time_that_is_refused_keeps_the_mean():
    found = record(walk(3))
    found.accumulate(walk(1)[0])
    with pytest.raises(ValueError, match="must be later"):
        found.append_mean(time=2.0)
    assert found.append_mean(time=2.5) == 1
