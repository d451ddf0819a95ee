import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

import keras_koopman as kk
from keras_koopman.coresets.choice import METHODS as SENSITIVE
from tests.coresets.networks import kernels, mlp, nonzero, randomize, rows

contract = pytest.mark.contract
METHODS = ("fitted", *SENSITIVE)
compress = kk.coresets.compress


def one_neuron(*weights):
    model = keras.Sequential([keras.Input((len(weights),)), layers.Dense(1, use_bias=False, name="n")])
    model.set_weights([np.array(weights, float)[:, None]])
    return model


@contract
def test_two_weights_by_hand():
    """The shares of 3 and 1 are 3/4 and 1/4: the first stays, and a quarter of the sum is lost."""
    found = compress(one_neuron(3, 1), np.ones((1, 2)), keep=0.5, method="deterministic")
    assert kernels(found.model)[0].tolist() == [[3.0], [0.0]]
    row = found.report.rows[0]
    assert (row.layer, row.unit, row.kept, row.entries, row.draws) == ("n", 0, 1, 2, 0)
    assert (row.sensitivity_sum, row.bound, row.error) == pytest.approx((1.0, 0.25, 0.25))


def test_a_draw_by_hand():
    """One draw: w / q of the one that was drawn, so always the sum of the weights on a row of ones."""
    found = compress(one_neuron(3, 1), np.ones((1, 2)), keep=0.5, method="sipp")
    assert kernels(found.model)[0].sum() == pytest.approx(4.0)


@contract
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("allocate", ["optimal", "uniform"])
def test_keeps_exactly_the_budget(method, allocate):
    model = mlp()
    before = [weights.copy() for weights in model.get_weights()]
    found = compress(model, rows(), keep=0.4, method=method, allocate=allocate)
    assert nonzero(found.model) == round(0.4 * 192) == sum(row.kept for row in found.report.rows)
    assert found.report.kept == pytest.approx(nonzero(found.model) / 192)
    for old, now, new in zip(before, model.get_weights(), found.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
        assert old.shape == new.shape
        if method != "fitted":
            assert old.ndim > 1 or (old == new).all()
            assert (old * new >= 0).all()


@settings(max_examples=15, deadline=None)
@given(
    st.floats(0.005, 1.0),
    st.sampled_from(METHODS),
    st.sampled_from(["optimal", "uniform"]),
    st.integers(1, 2),
)
def test_any_budget_is_met(keep, method, allocate, repeats):
    found = compress(MODEL, ROWS, keep=keep, method=method, allocate=allocate, repeats=repeats)
    assert nonzero(found.model) == max(1, round(keep * 192))


MODEL, ROWS = mlp(), rows()


def test_all_kept_is_the_model_itself():
    for method in METHODS:
        found = compress(MODEL, ROWS, keep=1, method=method)
        for old, new in zip(MODEL.get_weights(), found.model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        assert all(row.bound == row.error == 0 for row in found.report.rows)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_cut_off_bound_holds_on_every_row(activation):
    """Errors of the halves, worked out anew from the weights and the activations of the model."""
    model = mlp(activation=activation)
    found = compress(model, ROWS, keep=0.5, method="deterministic")
    inputs, errors = ROWS.astype(float), []
    for old, new in zip(model.layers, found.model.layers, strict=True):
        kernel, coreset = (ops.convert_to_numpy(layer.kernel).astype(float) for layer in (old, new))
        for unit in range(kernel.shape[1]):
            worst = 0.0
            for sign, half in itertools.product((1, -1), (np.maximum(inputs, 0), np.maximum(-inputs, 0))):
                part, rest = (np.maximum(sign * matrix[:, unit], 0) for matrix in (kernel, coreset))
                sums = half @ part
                worst = max(worst, (abs(half @ rest - sums)[sums > 0] / sums[sums > 0]).max(initial=0))
            errors.append(worst)
        inputs = ops.convert_to_numpy(old(inputs.astype("float32"))).astype(float)
    for row, half in zip(found.report.rows, errors, strict=True):
        assert row.error <= half + 1e-5
        assert half <= row.bound + 1e-5


def test_sum_of_bounds_is_less_if_allocated():
    even, best = (
        compress(MODEL, ROWS, keep=0.4, method="deterministic", allocate=allocate)
        for allocate in ("uniform", "optimal")
    )
    assert sum(row.bound for row in best.report.rows) < sum(row.bound for row in even.report.rows)


def test_repeats_lessen_the_error():
    model = mlp(inputs=40, widths=(30,))
    sample = rows(inputs=40)
    errors = [
        np.mean(
            [row.error for row in compress(model, sample, keep=0.5, method="sipp", repeats=n).report.rows]
        )
        for n in (1, 12)
    ]
    assert errors[1] < 0.9 * errors[0]


def test_seed_repeats_and_varies():
    one, same, other = (
        kernels(compress(MODEL, ROWS, keep=0.4, method="sipp", seed=seed).model)[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@contract
@pytest.mark.parametrize("size", [7, 40])
def test_batches_do_not_matter(size):
    found = compress(MODEL, ROWS, keep=0.4, method="deterministic", batch_size=size)
    np.testing.assert_allclose(
        kernels(found.model)[1], kernels(compress(MODEL, ROWS, keep=0.4, method="deterministic").model)[1]
    )


def wide(count=600):
    """A neuron with many weights, for which the theorem asks for few."""
    return one_neuron(*np.random.default_rng(0).lognormal(size=count)), rows(5, count)


@pytest.mark.parametrize("method", SENSITIVE)
def test_promise_is_kept_at_least_as_often_as_it_says(method):
    model, sample = wide()
    kernel, epsilon, delta = kernels(model)[0], 0.6, 0.5
    good, kept = [], []
    for seed in range(1 if method == "deterministic" else 60):
        found = compress(model, sample, error=(epsilon, delta), method=method, seed=seed)
        sums, gaps = sample @ kernel, sample @ (kernels(found.model)[0] - kernel)
        good.append(abs(gaps[:, 0]) <= epsilon * sums[:, 0])
        kept.append(found.report.kept)
        assert found.report.rows[0].bound <= epsilon * (1 + 1e-9)
        assert found.report.asked is None
    assert np.mean(good, axis=0).min() >= 1 - delta
    assert max(kept) < 0.6


def test_hybrid_draws_only_where_that_bound_is_the_less():
    """In few weights cutting off is always the better; that it is equal to the least is no draw."""
    found = compress(mlp(widths=(16, 16)), ROWS, error=(0.9, 0.1), method="hybrid")
    assert found.report.kept < 0.9
    assert not any(row.draws for row in found.report.rows)
    assert all(row.error <= row.bound + 1e-6 for row in found.report.rows)


def test_promise_takes_the_draws_of_the_theorem():
    model, sample = wide()
    found = compress(model, sample, error=(0.6, 0.5), method="sipp").report.rows[0]
    log_term = np.log(2 / 0.5)
    assert found.draws == int(np.ceil(found.sensitivity_sum * log_term * (6 + 2 * 0.6) / (3 * 0.36)))
    older = compress(model, sample, error=(0.6, 0.5), method="corenet").report.rows[0]
    assert older.draws == int(np.ceil(8 * older.sensitivity_sum * log_term / 0.36))


def test_promise_that_asks_for_all_says_so():
    with pytest.warns(UserWarning, match=r"23 of 23 neurons, which stay dense"):
        found = compress(mlp(activation="tanh"), ROWS, error=(0.1, 0.1), method="sipp")
    assert len(found.report.dense) == 23
    assert found.report.dense[0] == "hidden_0[0]"
    assert nonzero(found.model) == 192
    assert "left dense" in str(found.report)


def test_unbiased():
    """The mean of many compressed neurons is the neuron."""
    model, sample = wide(200)
    weights = kernels(model)[0]
    drawn = [
        kernels(compress(model, sample, error=(0.9, 0.9), method="sipp", seed=seed).model)[0]
        for seed in range(100)
    ]
    factors = np.mean(drawn, axis=0) / weights
    errors = np.std(drawn, axis=0) / weights / np.sqrt(100)
    assert abs(factors - 1).max() > 0.01
    assert (abs(factors - 1) < 6 * errors + 0.01)[errors > 0].all()
    assert np.mean(factors) == pytest.approx(1.0, abs=0.1)


# --- least squares ---


@contract
def test_fitted_keeps_the_budget_and_beats_cutting_off():
    model = mlp(inputs=20, widths=(30,))
    sample = rows(300, 20)
    for allocate in ("optimal", "uniform"):
        found = compress(model, sample, keep=0.3, allocate=allocate)
        other = compress(model, sample, keep=0.3, allocate=allocate, method="deterministic")
        assert nonzero(found.model) == round(0.3 * 690)
        assert found.report.method == "fitted"
        gaps = [_gap(m, model, sample) for m in (found.model, other.model)]
        assert gaps[0] < 0.6 * gaps[1]


def _gap(one, other, sample):
    return np.abs(one.predict_on_batch(sample) - other.predict_on_batch(sample)).mean()


def test_fitted_is_least_squares():
    """One neuron whose second input doubles the first: nothing is lost if either goes."""
    x = np.random.default_rng(0).normal(size=(200, 1))
    sample = np.concatenate([x, 2 * x, np.random.default_rng(1).normal(size=(200, 1))], axis=1)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.set_weights([np.array([[1.0], [1.0], [5.0]]), np.array([0.5])])
    found = compress(model, sample, keep=2 / 3)
    kernel = kernels(found.model)[0][:, 0]
    assert kernel[0] == 0
    assert kernel[1] == pytest.approx(1.5, abs=0.05)  # but for the ridge
    assert kernel[2] == pytest.approx(5.0, abs=0.05)


def test_fitted_bias_makes_up_for_a_constant():
    sample = np.concatenate([np.ones((50, 1)), np.random.default_rng(0).normal(size=(50, 1))], axis=1)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.set_weights([np.array([[7.0], [1.0]]), np.array([0.5])])
    found = compress(model, sample, keep=0.5)
    kernel, bias = found.model.get_weights()
    np.testing.assert_allclose(kernel[:, 0], [0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(bias, [7.5], atol=1e-5)


def test_fitted_bound_is_the_error_on_rows_held_out():
    """Rows 4, 9, 14, … are held out; an outlier there is in the bound, and moves no weight."""
    model, sample = mlp(), rows(50)
    spoilt = sample.copy()
    spoilt[4] *= [30, 1, 1, 1, 1, 1]
    one, other = (compress(model, x, keep=0.4) for x in (sample, spoilt))
    for a, b in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    bounds = [[row.bound for row in found.report.rows] for found in (one, other)]
    assert (np.array(bounds[1]) >= bounds[0]).all()
    assert max(bounds[1]) > max(bounds[0])
    assert "1/11" in one.report.guarantee
    assert all(row.bound <= row.error + 1e-12 for row in one.report.rows)


def test_fitted_bound_holds_for_new_rows():
    """With n rows held out the chance to be beyond is 1/(n + 1): over many samples, on average."""
    model, beyond = mlp(widths=(8,)), []
    new = rows(400, seed=99)
    for seed in range(12):
        found = compress(model, rows(50, seed=seed), keep=0.5)
        hidden = (model.layers[0](new), found.model.layers[0](new))
        a, b = (ops.convert_to_numpy(h).astype(float) for h in hidden)
        old, now = (
            [m.layers[1].get_weights()[i].astype(float) for i in range(2)] for m in (model, found.model)
        )
        gaps = abs(b @ now[0] + now[1] - a @ old[0] - old[1]) / (abs(a) @ abs(old[0]))
        beyond.append((gaps > [row.bound for row in found.report.rows[-3:]]).mean())
    assert np.mean(beyond) < 2 / 11


def test_fitted_sees_a_small_sample_through():
    found = compress(MODEL, ROWS[:3], keep=0.4)
    assert nonzero(found.model) == round(0.4 * 192)
    assert "too few rows" in found.report.guarantee


# --- what a sample may be ---


@contract
def test_dead_units_and_inputs():
    model = mlp()
    model.layers[0].bias.assign(np.where(np.arange(12) < 4, -1e3, 0))
    sample = rows() * (np.arange(6) < 3)
    for method in METHODS:
        found = compress(model, sample, keep=0.2, method=method)
        assert nonzero(found.model) == round(0.2 * 192)
        assert all(np.isfinite(kernel).all() for kernel in kernels(found.model))
        assert all(np.isfinite([row.bound, row.error]).all() for row in found.report.rows)
        # Weights of which nothing was seen go before any of which something was.
        assert not kernels(found.model)[1][:4].any()
        assert not kernels(found.model)[0][3:].any()


def test_all_zero_sample_warns_and_keeps_the_largest():
    model = one_neuron(3, -4, 1, 2)
    with pytest.warns(UserWarning, match="inputs of layer 'n' are zero"):
        found = compress(model, np.zeros((5, 4)), keep=0.5)
    assert kernels(found.model)[0][:, 0].tolist() == [3.0, -4.0, 0.0, 0.0]


def test_model_with_zeros_keeps_what_there_is():
    found = compress(one_neuron(3, 0, 0, 2), np.ones((2, 4)), keep=0.9)
    assert found.report.kept == 0.5


def test_what_is_left_alone_is_named():
    inputs = keras.Input((8, 8, 2))
    x = layers.DepthwiseConv2D(3, name="depth")(inputs)
    x = layers.Conv2D(4, 3, name="conv")(x)
    model = randomize(keras.Model(inputs, layers.Flatten()(x)))
    found = compress(model, np.random.default_rng(0).normal(size=(4, 8, 8, 2)), keep=0.5)
    (path, reason), *more = found.report.skipped.items()
    assert more == []
    assert "depth" in path
    assert "DepthwiseConv2D" in reason
    assert nonzero(found.model) == 36 + 18
    assert path in str(found.report)


def test_shared_layer_sees_both_inputs():
    """Each weight is the whole sum of one of the two inputs."""
    one, two = keras.Input((2,), name="one"), keras.Input((2,), name="two")
    shared = layers.Dense(1, use_bias=False, name="shared")
    model = keras.Model([one, two], layers.Add()([shared(one), shared(two)]))
    shared.kernel.assign([[3.0], [1.0]])
    sample = [np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])]
    (row,) = compress(model, sample, keep=1.0, method="deterministic").report.rows
    assert row.sensitivity_sum == pytest.approx(2.0)


@contract
def test_several_inputs_and_a_nested_model():
    one, two = keras.Input((6,), name="one"), keras.Input((4,), name="two")
    x = layers.Concatenate()([mlp()(one), layers.Dense(3, name="own")(two)])
    model = randomize(keras.Model({"one": one, "two": two}, layers.Dense(2, name="last")(x)))
    sample = {"two": rows(9, 4), "one": rows(9, 6)}
    found = compress(model, sample, keep=0.5, method="deterministic")
    assert nonzero(found.model) == round(0.5 * (192 + 12 + 12))
    assert {row.layer for row in found.report.rows} == {"hidden_0", "hidden_1", "out", "own", "last"}
    assert all(row.error <= row.bound + 1e-6 for row in found.report.rows)


@contract
def test_mixed_precision():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu", dtype="mixed_bfloat16")])
    found = compress(randomize(model), rows(), keep=0.5)
    assert nonzero(found.model) == 24


def test_compile_state_is_kept():
    model = mlp()
    model.compile(keras.optimizers.Adam(0.02), "mse")
    found = compress(model, ROWS, keep=0.5)
    assert found.model.compiled
    assert float(found.model.optimizer.learning_rate) == pytest.approx(0.02)
