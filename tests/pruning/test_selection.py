"""Which groups stay, against sorting in NumPy; and how many in each layer."""

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_koopman.backend import compiled
from keras_koopman.pruning import selection, shares
from keras_koopman.pruning.selection import highest, keys, shared_out

contract = pytest.mark.contract  # on tests that are quick wherever each operation is compiled

INF = np.float32(np.inf)
SHAPE, SHAPES = (3, 4), [(3, 4), (7,), (1,)]  # few, so that each function is compiled once


def host(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


highest_of = compiled(lambda scores, alive, count: highest(keys(scores, alive), count))
shared_out_of = compiled(lambda scores, alive, total, floors: shared_out(
    [keys(s, a) for s, a in zip(scores, alive, strict=True)], total, floors))  # fmt: skip


def scores_of(shape):
    """Many ties, both zeros, infinities, or any numbers."""
    some = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, 1e-30, -1e30, float("inf"), float("-inf")])
    numbers = st.floats(width=32, allow_nan=False, allow_subnormal=False)
    return st.one_of(arrays(np.float32, shape, elements=some), arrays(np.float32, shape, elements=numbers))


def flat_of(scores, alive):
    """Both zeros as one, and the dead all alike."""
    return np.where(alive, scores + np.float32(0), 0).reshape(-1), alive.reshape(-1)


def order(scores, alive):
    """Flat indices from the highest to the lowest; of equal ones the first; the dead last."""
    flat, there = flat_of(scores, alive)
    return np.lexsort((np.arange(flat.size), -flat, ~there))


# --- keys and highest ---


@contract
def test_keys_are_in_the_order_of_the_scores():
    scores = np.array([-INF, -1e30, -2.0, -1.0, -1e-30, 0.0, 1e-30, 1.0, 2.0, 1e30, INF], "float32")
    found = host(keys(scores, np.ones(11, bool)))
    assert found.dtype == np.int32
    assert np.all(np.diff(found.astype(np.int64)) > 0)
    zeros = host(keys(np.array([0.0, -0.0], "float32"), np.ones(2, bool)))
    assert zeros[0] == zeros[1]
    dead = host(keys(scores, np.zeros(11, bool)))
    assert dead.max() < found.min()


@contract
def test_keys_of_half_precision():
    scores = np.array([3.0, -0.5, 0.25], "float16")
    np.testing.assert_array_equal(host(keys(scores, np.ones(3, bool))).argsort(), [1, 2, 0])


@contract
@settings(max_examples=40, deadline=None)
@given(scores_of(SHAPE), arrays(bool, SHAPE), st.integers(0, 12))
@example(np.zeros(SHAPE, "float32"), np.ones(SHAPE, bool), 5)
@example(np.full(SHAPE, -0.0, "float32"), np.ones(SHAPE, bool), 0)
@example(np.full(SHAPE, INF), np.ones(SHAPE, bool), 12)
@example(np.full(SHAPE, -INF), np.zeros(SHAPE, bool), 3)
def test_highest_is_what_sorting_finds(scores, alive, count):
    wanted = np.zeros(12, bool)
    wanted[order(scores, alive)[:count]] = True
    found = host(highest_of(scores, alive, np.int32(count)))
    np.testing.assert_array_equal(found, wanted.reshape(SHAPE))


@contract
def test_highest_outside_a_compiled_function():
    scores = np.array([0.5, -0.0, 0.0, 2.0, 0.5], "float32")
    key = keys(scores, np.array([True, True, True, True, False]))
    for count in range(6):
        found = host(highest(key, keras.ops.convert_to_tensor(count, "int32")))
        np.testing.assert_array_equal(np.flatnonzero(found), sorted([3, 0, 1, 2, 4][:count]))


# --- shared_out ---


def shared_out_in_numpy(scores, alive, total, floors):
    """The highest `floors` of each are set aside; of the rest the highest go to whom they belong.

    Held is a layer of which less than its floor is as high as the last of the `total` highest of all.
    """
    parts, rest, every = [flat_of(s, a) for s, a in zip(scores, alive, strict=True)], [], []
    for layer, (flat, there) in enumerate(parts):
        ranked = [(not there[i], -flat[i], layer) for i in order(flat, there)]
        rest += ranked[floors[layer] :]
        every += ranked
    taken = sorted(rest)[: total - sum(floors)]
    counts = [floor + sum(layer == t[2] for t in taken) for layer, floor in enumerate(floors)]
    if total == 0:
        return counts, [False] * len(floors)
    last = sorted(every)[total - 1][:2]
    alike = [sum(e[2] == layer and e[:2] <= last for e in every) for layer in range(len(floors))]
    return counts, [found < floor for found, floor in zip(alike, floors, strict=True)]


@st.composite
def problems(draw):
    scores = [draw(scores_of(shape)) for shape in SHAPES]
    alive = [draw(arrays(bool, shape)) for shape in SHAPES]
    floors = [draw(st.integers(0, s.size)) for s in scores]
    total = draw(st.integers(sum(floors), sum(s.size for s in scores)))
    return scores, alive, total, floors


@contract
@settings(max_examples=40, deadline=None)
@given(problems())
@example(([np.zeros(s, "float32") for s in SHAPES], [np.ones(s, bool) for s in SHAPES], 9, [2, 1, 1]))
@example(([np.full(s, -INF) for s in SHAPES], [np.ones(s, bool) for s in SHAPES], 20, [0, 0, 0]))
@example(([np.ones(s, "float32") for s in SHAPES], [np.ones(s, bool) for s in SHAPES], 0, [0, 0, 0]))
def test_shared_out_is_what_sorting_finds(problem):
    scores, alive, total, floors = problem
    counts, held = shared_out_of(scores, alive, np.int32(total), np.array(floors, "int32"))
    wanted, wanted_held = shared_out_in_numpy(scores, alive, total, floors)
    assert host(counts).sum() == total
    np.testing.assert_array_equal(host(counts), wanted)
    np.testing.assert_array_equal(host(held), wanted_held)


@contract
def test_the_layer_that_would_vanish_is_held_and_named():
    scores = [np.arange(12.0).reshape(3, 4) + 10, np.arange(7.0), np.array([-1.0])]
    scores = [s.astype("float32") for s in scores]
    alive = [np.ones(s.shape, bool) for s in scores]
    counts, held = shared_out_of(scores, alive, np.int32(9), np.array([2, 1, 1], "int32"))
    assert host(counts).tolist() == [7, 1, 1]
    assert host(held).tolist() == [False, True, True]


def test_floors_of_others_do_not_count_as_held():
    """The three highest of all are two here and one there, just as the floors would have it."""
    scores = [np.array([10.0, 9.0, 0.0], "float32"), np.array([1.0, 0.5], "float32")]
    parts = [keys(s, np.ones(s.shape, bool)) for s in scores]
    counts, held = shared_out(parts, np.int32(3), np.array([1, 1], "int32"))
    assert host(counts).tolist() == [2, 1]
    assert host(held).tolist() == [False, False]


def test_nothing_is_held_where_the_floor_is_what_is_asked():
    scores = np.arange(10, dtype="float32")
    key = keys(scores, np.ones(10, bool))
    counts, held = shares.counts("global", 0.9, [key], np.array([10]), [(10,)])
    assert host(counts).tolist() == [1]
    assert host(held).tolist() == [False]


@contract
def test_more_weights_than_int32_can_count(monkeypatch):
    """Each key stands for 2^28 of them: no layer is beyond int32, all of them together are."""
    many = 2**28
    for name in ("count_from", "count_above"):
        plain = getattr(selection, name)
        monkeypatch.setattr(selection, name, lambda key, t, plain=plain: many * plain(key, t))
    scores = [np.arange(layer, 24.0, 4).astype("float32") for layer in range(4)]
    scores[3] += 100
    parts = [keys(s, np.ones(6, bool)) for s in scores]
    sizes = np.full(4, 6 * many, np.int64)
    counts, held = shares.counts("global", np.float32(0.5), parts, sizes, [(6 * many,)] * 4)
    assert host(counts).dtype == np.int32
    assert host(counts).tolist() == [2 * many, 2 * many, 2 * many, 6 * many]
    assert not host(held).any()
    counts, _ = shares.counts("global", np.float32(0.0), parts, sizes, [(6 * many,)] * 4)
    assert host(counts).tolist() == sizes.tolist()


@contract
def test_floors_that_keep_more_than_is_asked_are_held():
    """Two layers of one block each: neither can go, and that is told."""
    parts = [keys(np.full((1, 1), s, "float32"), np.ones((1, 1), bool)) for s in (1.0, 2.0)]
    for sparsity, told in ((0.0, False), (0.5, True), (0.9, True)):
        counts, held = shares.counts("global", np.float32(sparsity), parts, np.array([1, 1]), [(1, 1)] * 2)
        assert host(counts).tolist() == [1, 1]
        assert host(held).tolist() == [told, told]


# --- shares ---

SIZES = [
    ([(784, 300), (300, 100), (100, 10)], None),
    ([(3, 3, 1, 8), (3, 3, 8, 16), (400, 64), (64, 10)], None),
    ([(8, 8)], None),
    ([(1, 2), (1000, 1000), (5, 1)], None),
    ([(784, 300), (300, 100)], [300, 100]),  # units
    ([(4, 4), (4, 4), (4, 4)], None),
]
SPARSITIES = [0.0, 1e-3, 0.1, 1 / 3, 0.5, 0.75, 0.9, 0.98, 0.999]


def sizes_of(shapes, sizes):
    return np.array(sizes or [np.prod(shape) for shape in shapes], np.int64)


def erk_in_numpy(sparsity, sizes, shapes):
    """Densities, not rounded: scale up, make dense what overflows, share the rest anew."""
    raw = np.array([sum(shape) / np.prod(shape) for shape in shapes])
    dense = np.zeros(len(shapes), bool)
    while True:
        left = (1 - sparsity) * sizes.sum() - sizes[dense].sum()
        scale = left / np.sum((raw * sizes)[~dense]) if not dense.all() else 0.0
        over = ~dense & (scale * raw > 1 + 1e-12)
        if not over.any():
            return np.where(dense, 1.0, scale * raw)
        dense |= over & (raw == raw[over].max())


@contract
@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize(("shapes", "sizes"), SIZES)
def test_erk_is_what_capping_by_turns_finds(shapes, sizes, sparsity):
    sizes = sizes_of(shapes, sizes)
    found = host(shares.erk(np.float32(sparsity), sizes, shapes))
    wanted = erk_in_numpy(sparsity, sizes, shapes) * sizes
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=0.51)
    assert abs(found.sum() - (1 - sparsity) * sizes.sum()) <= len(sizes) / 2 + 1e-6 * sizes.sum()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=6),
    st.floats(0, 0.984375, width=32),
)
@example([(1, 1), (13, 15)], 0.0)  # nothing goes, though in float32 the last density is above 1
def test_erk_of_any_layers(shapes, sparsity):
    sizes = sizes_of(shapes, None)
    found = host(shares.erk(np.float32(sparsity), sizes, shapes))
    wanted = erk_in_numpy(sparsity, sizes, shapes) * sizes
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=0.51)


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize(("shapes", "sizes"), SIZES)
def test_uniform_rounds_in_each_layer(shapes, sizes, sparsity):
    sizes = sizes_of(shapes, sizes)
    found = host(shares.uniform(np.float32(sparsity), sizes))
    np.testing.assert_allclose(found, (1 - sparsity) * sizes, rtol=1e-6, atol=0.51)


LAYERS = [(40, 50), (50, 4), (4, 1)]


def counts_of(share):
    def count(sparsity, scores, alive):
        found = [keys(s, a) for s, a in zip(scores, alive, strict=True)]
        return shares.counts(share, sparsity, found, sizes_of(LAYERS, None), LAYERS)

    return compiled(count)


COUNTS = {share: counts_of(share) for share in shares.NAMES}


@contract
@pytest.mark.parametrize("share", shares.NAMES)
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_no_layer_falls_below_the_floor(share, sparsity):
    shapes, sizes = LAYERS, sizes_of(LAYERS, None)
    rng = np.random.default_rng(0)
    # The second layer has the lowest scores.
    scores = [rng.uniform(low, low + 1, shape).astype("float32") for low, shape in zip([5, 0, 9], shapes)]  # noqa: B905
    alive = [np.ones(s.shape, bool) for s in scores]
    found, held = COUNTS[share](np.float32(sparsity), scores, alive)
    least = np.maximum(np.ceil(0.2 * (1 - sparsity) * sizes - 1e-3), 1)
    found = host(found)
    assert np.all(found >= least)
    assert np.all(found <= sizes)
    if share == "global":
        np.testing.assert_allclose(found.sum(), (1 - sparsity) * sizes.sum(), atol=1)
        asked = shared_out_in_numpy(scores, alive, int(found.sum()), [0, 0, 0])[0]
        np.testing.assert_array_equal(host(held), np.array(asked) < least)


@contract
def test_floors_are_a_fifth_of_the_uniform_share():
    sizes = np.array([1000, 100, 10, 1])
    for sparsity in (0.0, 0.5, 0.75):
        wanted = np.maximum(np.ceil(0.2 * (1 - sparsity) * sizes), 1)
        np.testing.assert_array_equal(host(shares.floors(np.float32(sparsity), sizes)), wanted)
    np.testing.assert_array_equal(host(shares.floors(np.float32(0.5), sizes, 0.0)), 0)
