import tracemalloc

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_koopman as kk
from keras_koopman.trajectory import window as module
from tests.trajectory.rows import exact, host, record, same, walk

contract = pytest.mark.contract
BOUND = 6e-8 if keras.backend.backend() == "torch" else 1e-8


@pytest.mark.parametrize(
    "window", [2, 3, pytest.param(7, marks=contract), 12, pytest.param(40, marks=contract)]
)
@pytest.mark.parametrize("every", [0, pytest.param(1, marks=contract), 3])
def test_ring(window, every):
    """Products are asked for after each record, after every third, or at the end alone."""
    rows = walk(2 * window + 9)
    found = kk.Trajectory(window)
    for i, row in enumerate(rows):
        found.append(row)
        if every and i % every == 0:
            same(found.gram, exact(rows[max(0, i + 1 - window) : i + 1]))
    kept = rows[-window:]
    same(found.gram, exact(kept))
    assert len(found) == window
    assert found.times.tolist() == list(range(len(rows) - window, len(rows)))
    coefficients = np.random.default_rng(0).standard_normal(window)
    np.testing.assert_allclose(host(found.combine(coefficients)), coefficients @ kept, rtol=1e-4, atol=1e-4)


@contract
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.integers(2, 40),
    st.lists(
        st.sampled_from(["append", "append", "append", "many", "gram", "combine", "decompose"]), max_size=30
    ),
)
def test_any_order_of_calls(window, calls):
    rows, found, count = walk(400), kk.Trajectory(window), 0
    for call in calls:
        kept = rows[max(0, count - window) : count]
        if call in ("append", "many"):
            for _ in range(1 if call == "append" else 13):
                found.append(rows[count])
                count += 1
        elif call == "gram":
            same(found.gram, exact(kept))
        elif call == "combine" and count:
            np.testing.assert_allclose(host(found.combine(np.eye(len(kept))[0])), kept[0], atol=1e-6)
        elif call == "decompose" and count > 1:
            assert found.decompose(rank=1).rank == 1
    same(found.gram, exact(rows[max(0, count - window) : count]))


# Long rows, whose products are rounded to float32 within a block.


KINDS = {
    "walk": lambda r, m, n: np.cumsum(r.standard_normal((m, n)), axis=0),
    "common": lambda r, m, n: r.standard_normal(n) + 0.03 * r.standard_normal((m, n)),
    "positive": lambda r, m, n: np.abs(r.standard_normal(n) + 0.1 * r.standard_normal((m, n))),
    "nearly equal": lambda r, m, n: 1 + 0.01 * r.random((m, n)),
    # Every block is rounded in the same way: nothing averages out. Adam's first steps look like this.
    "constant": lambda r, m, n: np.outer(np.linspace(0.1, 0.2, m), np.sign(r.standard_normal(n))),
    "in one block": lambda r, m, n: np.where(np.arange(n) < 300, 5.0, 1e-3) * r.normal(1, 0.1, (m, n)),
}


KNOWN = {"constant", "in one block"}


kinds = [
    pytest.param(
        k, marks=pytest.mark.xfail(reason="float32 blocks miss by up to 1e-6: they are all rounded alike")
    )
    if k in KNOWN
    else k
    for k in KINDS
]


@contract
@pytest.mark.parametrize("n", [66_001, 133_000])
@pytest.mark.parametrize("kind", kinds)
def test_rounding_of_long_rows(kind, n):
    rows = KINDS[kind](np.random.default_rng(1), 8, n).astype(np.float32)
    found = kk.Trajectory(7)
    found.set_origin({"a": np.zeros(n // 3, "f"), "b": np.zeros(n - n // 3, "f")})
    for row in rows:
        found.append({"a": row[: n // 3], "b": row[n // 3 :]})
    kept = exact(rows[1:])
    same(found.gram, kept, tolerance=BOUND)
    same(found.gram_of("a") + kept - exact(rows[1:, : n // 3]), kept, tolerance=BOUND)


@contract
@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("blocks", [(5,), (700, 1, 0, 3), (300, 300)])
def test_sums_by_group(blocks, on_gpu, monkeypatch):
    """Of a few blocks, of many, and as they are taken where scattering is slow."""
    monkeypatch.setattr(module, "has_own_memory", lambda: on_gpu)
    a, b = np.random.default_rng(0).normal(size=(2, sum(blocks), 12)).astype("float32")
    found = module.kernels.__wrapped__(blocks, "float64").rows(*map(keras.ops.convert_to_tensor, (a, b)))
    products = np.split((a.astype("float64") * b).sum(axis=1), np.cumsum(blocks)[:-1])
    np.testing.assert_allclose(host(found), [one.sum() for one in products], rtol=1e-12)


@contract
def test_long_rows_far_from_zero():
    """The bound holds for the way from the reference, not only for the weights."""
    n = 70_001
    rows = 64 + walk(6, n) / 64
    same(record(rows).increments().gram, exact(np.diff(rows.astype(np.float64), axis=0)), tolerance=1e-6)


# Motion that dies out: the reference moves with it.


@contract
@pytest.mark.parametrize(
    ("n", "dtype", "count", "tolerance"), [(5, "float64", 40, 1e-5), (70_001, "float32", 14, 1e-4)]
)
def test_shrinking_steps_keep_their_digits(n, dtype, count, tolerance):
    rng = np.random.default_rng(0)
    a, b = rng.integers(-4, 4, n), rng.integers(-32, 32, n) / 32
    rows = (a + 0.5 ** np.arange(count)[:, None] * b).astype(dtype)
    wide = rows.astype(np.float64)
    found = kk.Trajectory(count - 3)
    found.set_origin(np.zeros(n, dtype))
    for i, row in enumerate(rows):
        found.append(row)
        if i % 4 == 0:
            assert np.all(np.isfinite(found.gram))
    kept = wide[3:]
    same(found.gram, exact(kept), tolerance=BOUND)
    steps = found.increments()
    same(steps.gram, exact(np.diff(kept, axis=0)), tolerance=tolerance)
    assert steps.decompose(rank=1).eigenvalues == pytest.approx([0.5], rel=1e-4)
    np.testing.assert_allclose(found.displacements, np.linalg.norm(kept, axis=1), rtol=1e-7)
    np.testing.assert_allclose(host(found.combine(np.eye(len(kept))[-1])), kept[-1], rtol=1e-6)
    np.testing.assert_allclose(host(found.combine(np.eye(len(kept))[0])), kept[0], rtol=1e-5, atol=1e-5)


@contract
def test_as_it_is_done_on_a_gpu(monkeypatch):
    """There torch fills the next chunk row by row, and JAX adds up without scattering."""
    monkeypatch.setattr(module, "has_own_memory", lambda: True)
    module.kernels.cache_clear()
    for window, every in [(2, 1), (7, 0), (7, 3), (12, 1), (40, 1), (40, 3)]:
        test_ring(window, every)
    test_shrinking_steps_keep_their_digits(5, "float64", 40, 1e-5)
    test_shrinking_steps_keep_their_digits(70_001, "float32", 14, 1e-4)
    module.kernels.cache_clear()


@contract
def test_identical_snapshots():
    found = record(np.full((5, 3), 0.1, np.float32))
    same(found.gram, exact(np.full((5, 3), 0.1, np.float32)), 1e-7)
    assert found.decompose().eigenvalues == pytest.approx([1.0])
    assert np.all(found.displacements == 0)
    with pytest.raises(ValueError, match="all zero"):
        found.increments().decompose()


@contract
def test_a_mean_across_a_change_of_reference():
    rows = walk(3, dtype="float64")
    found = kk.Trajectory()
    found.append(rows[0])
    found.append(rows[1])
    found.accumulate(rows[2])
    found.append(rows[1] + 1e-9)
    reference = found._rows.reference
    assert np.all(np.isfinite(found.gram))
    assert found._rows.reference is not reference, "the reference has not moved: this test shows nothing"
    found.accumulate(rows[1])
    assert found.append_mean() == 2
    np.testing.assert_allclose(host(found.latest()), (rows[1] + rows[2]) / 2, rtol=1e-14)


# Properties.


few = settings(max_examples=6, deadline=None, derandomize=True)


seeds = st.integers(0, 10_000)


@few
@given(seeds)
def test_the_order_of_weights_changes_nothing(seed):
    rows = walk(9, 7, seed)
    order = np.random.default_rng(seed).permutation(7)
    same(record(rows[:, order]).gram, record(rows).gram)


@few
@given(seeds, st.integers(-40, 40))
def test_scaling(seed, power):
    rows = walk(9, 7, seed)
    factor = 2.0**power
    same(record(rows * np.float32(factor)).gram, factor**2 * exact(rows))


@few
@given(seeds, st.lists(st.integers(0, 7), min_size=1, max_size=3))
def test_any_split_into_groups_adds_up(seed, cuts):
    rows = walk(9, 7, seed)
    found = record(rows, form=lambda x: {str(i): part for i, part in enumerate(np.split(x, sorted(cuts)))})
    same(sum(found.gram_of(name) for name in found.groups), exact(rows))
    same(found.gram, exact(rows))


# Memory.


def held(trajectory):
    """How many rows are kept, those that have left the window among them."""
    rows = trajectory._rows
    return len(rows._loose) + sum(int(chunk.shape[1]) for chunk in rows._chunks)


def test_no_memory_is_taken_ahead():
    rows = walk(5, 1000)
    record(rows)
    tracemalloc.start()
    found = record(rows, window=10**7)
    assert found.gram.shape == (5, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert held(found) == 5


@pytest.mark.parametrize("window", [2, 5, 12, 24, 50])
def test_rows_that_have_left_are_let_go(window):
    found, most = kk.Trajectory(window), 0
    for i, row in enumerate(walk(3 * window + 40, 2)):
        found.append(row)
        assert held(found) >= min(i + 1, window)
        most = max(most, held(found))
    assert most <= window + window / 3
