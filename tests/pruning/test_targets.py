"""What is pruned, and in groups of what, against loops in NumPy."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_koopman.pruning.targets import BlockTarget, PatternTarget, Target, UnitTarget

contract = pytest.mark.contract  # on tests that are quick wherever each operation is compiled

few = settings(max_examples=12, deadline=None)


def host(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def tensor(array):
    return keras.ops.convert_to_tensor(array)


def numbers(shape):
    """Few different ones, so that many are equal; sums of them are exact."""
    return arrays(np.float32, shape, elements=st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0]))


# --- single weights ---


@contract
@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (2, 2, 1, 3)])
def test_single_weights_are_groups_of_one(shape):
    target = Target("layer/kernel", 7, shape)
    assert (target.size, target.mask_shape) == (int(np.prod(shape)), shape)
    assert target.members == target.scored == (7,)
    scores, mask = np.full(shape, 2.0, "float32"), np.ones(shape, bool)
    np.testing.assert_array_equal(host(target.grouped([tensor(scores)])), scores)
    np.testing.assert_array_equal(host(target.alive(tensor(mask))), mask)
    np.testing.assert_array_equal(host(target.mask(tensor(~mask), [scores], tensor(mask))), ~mask)
    assert [m.shape for m in target.on_members(mask)] == [shape]


# --- n of m ---

PATTERNS = [
    pytest.param((8, 3), 2, 4, marks=contract),
    ((6, 2), 1, 2),
    ((3, 2), 2, 3),
    ((2, 1, 4, 2), 3, 4),
    ((4, 1), 1, 4),
]


def groups_of(shape, m):
    """Indices of the m weights of each group, one group after the other, in the order of `grouped`."""
    *front, inputs, outputs = shape
    places = [*map(range, front), range(inputs // m), range(outputs)]
    for *before, row, column in itertools.product(*places):
        yield [(*before, row * m + i, column) for i in range(m)]


def best(values, n):
    """Which of a group stay: the n highest, of equal ones the first."""
    return sorted(range(len(values)), key=lambda i: (-values[i], i))[:n]


@few
@given(st.data())
@pytest.mark.parametrize(("shape", "n", "m"), PATTERNS)
def test_pattern(shape, n, m, data):
    target = PatternTarget("kernel", 0, shape, n, m)
    groups = list(groups_of(shape, m))
    assert target.size == len(groups) == np.prod(shape) // m
    scores = data.draw(numbers(shape))
    grouped = host(target.grouped([tensor(scores)]))
    assert grouped.size == target.size
    for group, found in zip(groups, grouped.reshape(-1), strict=True):
        values = [scores[place] for place in group]
        assert found == sum(values) - sum(values[i] for i in best(values, n))

    # Some groups have lost theirs before, chosen by other scores.
    gone_before = data.draw(arrays(bool, grouped.shape))
    old = np.ones(shape, bool)
    for group, gone in zip(groups, gone_before.reshape(-1), strict=True):
        for place in group[: m - n] if gone else []:
            old[place] = False
    np.testing.assert_array_equal(host(target.alive(tensor(old))), ~gone_before)

    kept = data.draw(arrays(bool, grouped.shape)) & ~gone_before  # what has gone does not come back
    mask = host(target.mask(tensor(kept), [tensor(scores)], tensor(old)))
    assert mask.shape == shape
    for group, stays, gone in zip(groups, kept.reshape(-1), gone_before.reshape(-1), strict=True):
        if stays:
            wanted = list(range(m))
        elif gone:
            wanted = list(range(m - n, m))
        else:
            wanted = best([scores[place] for place in group], n)
        assert [i for i in range(m) if mask[group[i]]] == sorted(wanted)


@contract
def test_pattern_by_hand():
    target = PatternTarget("kernel", 0, (4, 2), 2, 4)
    scores = np.array([[4, 1], [3, 1], [2, 1], [1, 1]], "float32")
    np.testing.assert_array_equal(host(target.grouped([scores])), [[3, 2]])
    none = np.zeros((1, 2), bool)
    mask = host(target.mask(tensor(none), [tensor(scores)], tensor(np.ones((4, 2), bool))))
    np.testing.assert_array_equal(mask, [[1, 1], [1, 1], [0, 0], [0, 0]])
    assert not target.floored
    assert target.unit == "weights"  # the schedule counts them, not the groups


# --- blocks ---

BLOCKS = [
    ((4, 6), 2, 3),
    pytest.param((5, 7), 2, 3, marks=contract),  # smaller ones at both edges
    ((3, 3), 1, 1),
    ((3, 2), 8, 8),  # larger than the kernel
    ((2, 2, 3, 4), 5, 3),  # a convolution: 12 rows
    ((4, 3), 4, 1),
]


def blocks_of(shape, rows, columns):
    """Slices of the kernel as a matrix, in rows of blocks."""
    height, width = int(np.prod(shape[:-1])), shape[-1]
    return [
        [np.s_[i : i + rows, j : j + columns] for j in range(0, width, columns)]
        for i in range(0, height, rows)
    ]


@few
@given(st.data())
@pytest.mark.parametrize(("shape", "rows", "columns"), BLOCKS)
def test_blocks(shape, rows, columns, data):
    target = BlockTarget("kernel", 0, shape, rows, columns)
    blocks = blocks_of(shape, rows, columns)
    assert target.size == len(blocks) * len(blocks[0])
    scores = data.draw(numbers(shape))
    matrix = scores.reshape(-1, shape[-1])
    means = [[matrix[block].mean() for block in row] for row in blocks]
    np.testing.assert_allclose(host(target.grouped([tensor(scores)])), means, rtol=1e-6, atol=1e-7)

    kept = data.draw(arrays(bool, (len(blocks), len(blocks[0]))))
    wanted = np.zeros(matrix.shape, bool)
    for i, j in zip(*np.nonzero(kept), strict=True):
        wanted[blocks[i][j]] = True
    mask = host(target.mask(tensor(kept), [tensor(scores)], tensor(np.ones(shape, bool))))
    np.testing.assert_array_equal(mask, wanted.reshape(shape))
    np.testing.assert_array_equal(host(target.alive(tensor(mask))), kept)


@contract
def test_blocks_at_the_edge_do_not_lose_to_padding():
    """With equal scores everywhere all blocks are equal, small ones too."""
    target = BlockTarget("kernel", 0, (3, 5), 2, 2)
    np.testing.assert_array_equal(host(target.grouped([np.ones((3, 5), "float32")])), np.ones((2, 3)))


# --- units ---


def units(kernels, vectors=(), count=3):
    return UnitTarget("a + b", count, kernels, list(vectors))


@few
@given(numbers((4, 3)), numbers((2, 2, 1, 3)), arrays(bool, 3))
def test_units_of_several_layers(dense, filters, mask):
    target = units([(0, (4, 3), -1), (4, (2, 2, 1, 3), 3)], [1, 5, 6])
    assert (target.size, target.mask_shape, target.unit) == (3, (3,), "units")
    assert (target.scored, target.members) == ((0, 4), (0, 4, 1, 5, 6))
    found = host(target.grouped([tensor(dense), tensor(filters)]))
    np.testing.assert_allclose(found, (dense.mean(0) + filters.mean((0, 1, 2))) / 2, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(host(target.alive(tensor(mask))), mask)
    np.testing.assert_array_equal(host(target.mask(tensor(mask), [], tensor(np.ones(3, bool)))), mask)
    on_members = [host(m) for m in target.on_members(tensor(mask))]
    shapes = [(4, 3), (2, 2, 1, 3), (3,), (3,), (3,)]
    for own, shape in zip(on_members, shapes, strict=True):
        np.testing.assert_array_equal(np.broadcast_to(own, shape), np.broadcast_to(mask, shape))


@contract
def test_units_along_another_axis():
    """As in a transposed convolution, of which the filters are not last."""
    target = units([(0, (2, 3, 5), 1)], [1])
    scores = np.arange(30, dtype="float32").reshape(2, 3, 5)
    np.testing.assert_allclose(host(target.grouped([tensor(scores)])), scores.mean((0, 2)), rtol=1e-6)
    kernel, vector = (host(m) for m in target.on_members(tensor(np.array([True, False, True]))))
    assert (kernel.shape, vector.shape) == ((1, 3, 1), (3,))
    np.testing.assert_array_equal(np.broadcast_to(kernel, (2, 3, 5)).all((0, 2)), [True, False, True])
