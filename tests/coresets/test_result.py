import json

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_koopman as kk
from tests.coresets.networks import kernels, mlp, nonzero, rows

contract = pytest.mark.contract


@pytest.fixture(scope="module")
def found():
    return kk.coresets.compress(mlp(), rows(), keep=0.3)


def test_report_of_pruning_counts_the_zeros(found):
    report = kk.pruning.report(found.model)
    zeros = sum(round(row.reached * np.prod(row.shape)) for row in report.rows if len(row.shape) > 1)
    assert 192 - zeros == nonzero(found.model) == round(0.3 * 192)


def test_exports(found, tmp_path):
    report = kk.export.export_pruned(found.model, tmp_path / "model", sample=rows())
    assert report.rows[1].max_difference < 1e-5
    assert report.rows[1].zeros > 0.5


def test_saves_and_loads(found, tmp_path):
    found.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for old, new in zip(found.model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@contract
@pytest.mark.usefixtures("no_own_compile")
def test_training_on_keeps_the_zeros(tmp_path):
    found = kk.coresets.compress(mlp(), rows(), keep=0.3)
    model, x, y = found.model, rows(), rows(inputs=3)
    model.compile(found.optimizer("adam"), "mse")
    before = [weights.copy() for weights in model.get_weights()]
    model.fit(x, y, epochs=2, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert ((old != 0) == (new != 0)).all() or old.ndim == 1
        assert (old != new).any()
    report = kk.pruning.report(model)
    assert report.asked == pytest.approx(report.reached)
    assert report.reached == pytest.approx(1 - round(0.3 * 192) / 192)
    if keras.backend.backend() == "jax":  # where the next step takes seconds to compile, and is the same
        return
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    again.fit(x, y, verbose=0)
    assert all(((a == 0) == (b == 0)).all() for a, b in zip(kernels(model), kernels(again), strict=True))


@pytest.mark.usefixtures("no_own_compile")
def test_prunes_on_from_the_coreset():
    found = kk.coresets.compress(mlp(), rows(), keep=0.5)
    gone = [kernel == 0 for kernel in kernels(found.model)]
    found.model.compile(found.optimizer("sgd", kk.schedules.OneShot(0.8, step=3)), "mse")
    found.model.fit(rows(), rows(inputs=3), batch_size=8, verbose=0)
    assert nonzero(found.model) == round(0.2 * 192)
    assert all((kernel[zero] == 0).all() for kernel, zero in zip(kernels(found.model), gone, strict=True))


def test_frozen_layers_are_compressed_but_not_masked():
    model = mlp()
    model.layers[0].trainable = False
    found = kk.coresets.compress(model, rows(), keep=0.3)
    assert not found.model.layers[0].trainable
    optimizer = found.optimizer("sgd")
    assert [target.shape for target in optimizer.pruned.targets] == [(12, 8), (8, 3)]


def test_nothing_trained_is_an_error():
    model = mlp()
    model.trainable = False
    with pytest.raises(ValueError, match="is trained"):
        kk.coresets.compress(model, rows(), keep=0.3).optimizer("sgd")


def test_certifies_in_one_call(found):
    region = kk.reachability.Box(0.0, 1.0)
    one = found.certify(region)
    two = kk.reachability.certify_difference(found.original, found, region)
    assert one.bound == two.bound
    inputs = rows(200, seed=5)
    gaps = ops.convert_to_numpy(found.model(inputs)) - ops.convert_to_numpy(found.original(inputs))
    assert (gaps <= one.upper + 1e-4).all()
    assert (gaps >= one.lower - 1e-4).all()
    assert abs(gaps).max() > 0.01 * one.bound


def test_report_reads_and_serializes(found):
    text = str(found.report)
    assert "hidden_0" in text
    assert "held out" in text
    assert json.loads(json.dumps(found.report.to_dict()))["neurons"][0]["layer"] == "hidden_0"
    assert len(found.report.table("out").splitlines()) == 2 + 3
    with pytest.raises(ValueError, match=r"layer must be one of those compressed, 'hidden_0', .* got 'no'"):
        found.report.table("no")


@pytest.mark.parametrize(
    ("method", "error", "words"),
    [
        ("deterministic", None, "for certain"),
        ("hybrid", None, "with probability 0.9 for each"),
        ("sipp", None, "until the budget was met"),
        ("hybrid", (0.5, 0.2), "with probability 0.8 for all at once"),
        ("deterministic", (0.5, 0.2), "is within 0.5 of itself"),
    ],
)
@pytest.mark.filterwarnings("ignore:error=")
def test_guarantee_says_what_holds(method, error, words):
    keep = 0.4 if error is None else None
    report = kk.coresets.compress(mlp(), rows(), keep=keep, error=error, method=method).report
    assert words in report.guarantee
    assert "40 rows" in report.guarantee


def test_schedule_of_kept_zeros_is_a_schedule():
    from keras_koopman.coresets.result import KeptSparsity

    schedule = KeptSparsity(0.75)
    assert schedule(0) == schedule(10**6) == 0.75
    assert KeptSparsity.from_config(schedule.get_config())(5) == 0.75


def test_mixed_precision_trains_on():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, dtype="mixed_float16")])
    found = kk.coresets.compress(model, rows(), keep=0.5)
    found.model.compile(keras.optimizers.LossScaleOptimizer(found.optimizer("sgd")), "mse")
    found.model.fit(rows(), rows(inputs=8), verbose=0)
    assert nonzero(found.model) == 24
