"""The choice that a pruning step makes, as functions of tensors."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_koopman.backend import compiled
from keras_koopman.pruning.masks import choose, zeroed
from keras_koopman.pruning.targets import BlockTarget, PatternTarget, Target, UnitTarget

contract = pytest.mark.contract  # on tests that are quick wherever each operation is compiled

SHAPES = [(4, 5), (5, 4), (4, 3)]
TARGETS = [Target(f"kernel_{i}", i, shape) for i, shape in enumerate(SHAPES)]
RNG = np.random.default_rng(0)


def host(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def chooser(targets, share):
    return compiled(lambda *tensors: choose(targets, share, *tensors))


GLOBAL, UNIFORM = chooser(TARGETS, "global"), chooser(TARGETS, "uniform")


def masks_of(result):
    return [host(mask) for mask in result[0]]


def all_kept(targets=TARGETS):
    return [np.ones(target.mask_shape, bool) for target in targets]


def some_scores():
    """All different, of equal sizes in each layer, so that no floor is in the way."""
    return [
        [RNG.permutation(np.arange(1, np.prod(s) + 1) / np.prod(s)).reshape(s).astype("float32")]
        for s in SHAPES
    ]


@contract
@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9])
def test_the_lowest_scores_of_all_go(sparsity):
    scores = some_scores()
    new, held, failed = GLOBAL(scores, scores, all_kept(), np.float32(sparsity))
    flat = np.concatenate([s[0].reshape(-1) for s in scores])
    keep = 52 - round(sparsity * 52)
    wanted = np.zeros(52, bool)
    wanted[np.argsort(-flat, kind="stable")[:keep]] = True
    np.testing.assert_array_equal(np.concatenate([host(m).reshape(-1) for m in new]), wanted)
    assert host(held).tolist() == host(failed).tolist() == [0, 0, 0]


@pytest.mark.parametrize("sparsity", [0.25, 0.5])
def test_in_equal_shares_the_lowest_of_each_go(sparsity):
    scores = [[s[0] + 100 * i] for i, s in enumerate(some_scores())]
    for own, mask in zip(
        scores, masks_of(UNIFORM(scores, scores, all_kept(), np.float32(sparsity))), strict=True
    ):
        assert mask.sum() == mask.size - round(sparsity * mask.size)
        assert own[0][mask].min() > own[0][~mask].max()


@contract
def test_one_criterion_ranks_and_another_divides():
    """What is ranked says how many of each layer stay; the scores say which."""
    scores = some_scores()
    ranked = [[np.full(shape, 3 - i, "float32")] for i, shape in enumerate(SHAPES)]  # the first layers stay
    masks = masks_of(GLOBAL(scores, ranked, all_kept(), np.float32(12 / 52)))
    assert [int(mask.sum()) for mask in masks] == [20, 18, 2]  # the floor of the last: 0.2 (40 / 52) 12, up
    for own, mask in zip(scores[1:], masks[1:], strict=True):
        assert own[0][mask].min() > own[0][~mask].max()


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_what_is_gone_stays_gone_and_the_number_is_exact(data):
    masks = all_kept()
    for sparsity in sorted(data.draw(st.lists(st.floats(0, 0.875, width=32), min_size=2, max_size=4))):
        scores = [
            [data.draw(arrays(np.float32, shape, elements=st.sampled_from([0, 1, 2])))] for shape in SHAPES
        ]
        old, masks = masks, masks_of(GLOBAL(scores, scores, masks, np.float32(sparsity)))
        assert sum(mask.sum() for mask in masks) == 52 - np.round(np.float32(sparsity) * np.float32(52))
        assert not any(np.any(new & ~before) for new, before in zip(masks, old, strict=True))


@contract
def test_a_layer_about_to_vanish_is_held_and_counted():
    scores = [[s[0] + 10 * i] for i, s in enumerate(some_scores())]
    new, held, failed = GLOBAL(scores, scores, all_kept(), np.float32(0.75))  # 13 stay, 12 in the last
    assert [int(host(m).sum()) for m in new] == [1, 1, 11]
    assert host(held).tolist() == [1, 0, 0]  # the second would have had its one
    assert host(failed).tolist() == [0, 0, 0]


@contract
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["scores", "ranked"])
def test_no_mask_changes_while_a_score_is_not_finite(bad, where):
    parts = {"scores": some_scores(), "ranked": some_scores()}
    parts[where][1][0][2, 2] = bad
    masks = [RNG.random(shape) < 0.8 for shape in SHAPES]
    new, held, failed = GLOBAL(parts["scores"], parts["ranked"], masks, np.float32(0.9))
    for found, before in zip(new, masks, strict=True):
        np.testing.assert_array_equal(host(found), before)
    assert host(failed).tolist() == [0, 1, 0]
    assert host(held).tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", [pytest.param("pattern", marks=contract), "block", "unit"])
def test_structures(kind):
    targets = {
        "pattern": [PatternTarget("a", 0, (8, 4), 2, 4), PatternTarget("b", 1, (4, 2), 2, 4)],
        "block": [BlockTarget("a", 0, (4, 4), 2, 2), BlockTarget("b", 1, (5, 3), 3, 2)],
        "unit": [UnitTarget("a", 6, [(0, (3, 6), 1)], [1]), UnitTarget("b", 4, [(2, (6, 4), 1)], [])],
    }[kind]
    scores = [[RNG.random(t.shape).astype("float32")] for t in targets]
    run = chooser(targets, "global")
    half = masks_of(run(scores, scores, all_kept(targets), np.float32(0.5)))
    groups = sum(t.size for t in targets)
    alive = sum(
        int(host(t.alive(keras.ops.convert_to_tensor(m))).sum()) for t, m in zip(targets, half, strict=True)
    )
    assert alive == groups - round(groups / 2)
    assert [m.shape for m in half] == [t.mask_shape for t in targets]
    if kind == "pattern":
        full = masks_of(run(scores, scores, half, np.float32(1.0)))
        for mask, before in zip(full, half, strict=True):
            np.testing.assert_array_equal(mask.reshape(-1, 4, mask.shape[1]).sum(1), 2)
            assert not np.any(mask & ~before)


@contract
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_zeroed_gives_exact_zeros_of_the_same_precision(dtype):
    values = keras.ops.cast(np.array([1.5, np.nan, -np.inf, -2.0], "float32"), dtype)
    found = zeroed(keras.ops.convert_to_tensor([True, False, False, True]), values)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    wide = host(keras.ops.cast(found, "float32"))
    np.testing.assert_array_equal(wide, [1.5, 0.0, 0.0, -2.0])
    assert not np.signbit(wide[1:3]).any()
