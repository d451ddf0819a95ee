"""`InitializationGuard` on runs with a known fault."""

import keras
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import InitializationGuard
from keras_koopman.callbacks.initialization_guard import advice
from keras_koopman.verdicts import Diagnosis, Thresholds
from tests.callbacks.tiny import Hook, X, Y, fit, model_of, weights

contract = pytest.mark.contract


def linear(rate):
    return model_of(
        lambda: keras.Input((3,)), lambda: keras.layers.Dense(1), optimizer=keras.optimizers.SGD(rate)
    )  # fmt: skip


@contract
def test_rate_too_low():
    guard = InitializationGuard(baseline=(X, Y))
    history = fit(linear(1e-4), guard, epochs=60)
    assert len(history.epoch) == 12
    assert guard.stopped_epoch == 11
    assert guard.verdict.diagnosis is Diagnosis.LEARNING_RATE_TOO_LOW
    assert guard.verdict.reason in str(guard.verdict)
    assert guard.advice == "raise the learning rate, which is 0.0001"


@contract
def test_run_that_diverges_is_stopped_at_once():
    guard = InitializationGuard(baseline=(X, Y))
    with pytest.warns(UserWarning, match="finite"):
        history = fit(linear(1e30), guard, epochs=60)
    assert len(history.epoch) < 9
    assert guard.verdict.diagnosis is Diagnosis.DIVERGED
    assert guard.advice.startswith("lower the learning rate, which is 1e+30")


def test_good_run_goes_on():
    guard = InitializationGuard(baseline=(X, Y))
    history = fit(linear(0.05), guard, epochs=20)
    assert len(history.epoch) == 20
    assert not guard.verdict.diagnosis.bad
    assert guard.advice is None and guard.stopped_epoch is None  # noqa: PT018


def test_is_judged_once_and_when_told():
    guard = InitializationGuard(at=15, baseline=(X, Y))
    fit(linear(1e-4), guard, epochs=60)
    assert guard.stopped_epoch == 14
    assert guard.verdict.path.snapshots == 9  # the window was no longer than needed


@pytest.mark.parametrize("baseline", [9.0, lambda model: 9.0])
def test_baseline_of_other_kinds(baseline):
    guard = InitializationGuard(baseline=baseline)
    fit(linear(0.05), guard, epochs=9)
    assert guard.verdict.loss.baseline == 9.0


def test_without_a_baseline_it_says_less():
    guard = InitializationGuard()
    fit(linear(0.05), guard, epochs=9)
    assert guard.verdict.loss.baseline is None


@contract
def test_schedule_is_told():
    model = linear(1e-4)
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(1e-4, 100, 0.99)), "mse")
    guard = InitializationGuard(baseline=(X, Y))
    fit(model, guard, epochs=20)
    assert "follows a ExponentialDecay, which no callback can change" in guard.advice


def test_schedule_within_other_optimizers_is_told():
    inner = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(1e-4, 100, 0.99))
    pruning = kk.optimizers.PruningOptimizer(inner, kk.schedules.OneShot(0.3, 1))
    assert "follows a ExponentialDecay" in advice(Diagnosis.LEARNING_RATE_TOO_HIGH, pruning)
    assert "another seed" in advice(Diagnosis.BAD_INITIALIZATION, pruning)


def test_reuse_judges_each_fit_for_itself():
    guard = InitializationGuard(baseline=(X, Y))
    fit(linear(1e-4), guard, epochs=20)
    assert guard.stopped_epoch is not None
    history = fit(linear(0.05), guard, epochs=20)
    assert guard.stopped_epoch is None
    assert len(history.epoch) == 20


def test_resumed_in_the_middle():
    guard = InitializationGuard(baseline=(X, Y))
    history = fit(linear(1e-4), guard, epochs=60, initial_epoch=40)
    assert history.epoch == list(range(40, 49))


@contract
def test_training_is_not_changed():
    alone, watched = linear(0.05), linear(0.05)
    fit(alone, epochs=9, shuffle=False)
    fit(watched, InitializationGuard(baseline=(X, Y)), epochs=9, shuffle=False)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(weights(alone), weights(watched), strict=True))


def test_verbose(capsys):
    guard = InitializationGuard(baseline=(X, Y), verbose=1)
    fit(linear(1e-4), guard, epochs=60)
    printed = capsys.readouterr().out
    assert printed.startswith("InitializationGuard: after epoch 12 LEARNING_RATE_TOO_LOW: ")
    assert printed.rstrip().endswith("; raise the learning rate, which is 0.0001")


def test_losses_that_are_not_logged():
    guard = InitializationGuard()
    fit(linear(0.05), Hook(on_epoch_end=lambda hook, epoch, logs: logs.pop("loss")), guard, epochs=9)
    assert guard.verdict.loss is None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"at": 8}, ValueError, "at must be at least 9"),
        ({"at": "early"}, TypeError, "at must be a whole number"),
        ({"window": 1}, ValueError, "window must be at least 2"),
        ({"baseline": "x"}, TypeError, "baseline must be a real number"),
        ({"baseline": (X,)}, TypeError, "baseline must be .* of length 1"),
        ({"baseline": (X, Y[:3])}, ValueError, "baseline must hold equally many samples"),
        ({"thresholds": 0.5}, TypeError, "thresholds must be Thresholds, got float"),
    ],
)
def test_invalid_arguments(options, error, message):
    with pytest.raises(error, match=message):
        InitializationGuard(**options)


def test_run_that_is_too_short():
    with pytest.raises(ValueError, match="window=8 is longer than the run: it would be judged after epoch 9"):
        fit(linear(0.05), InitializationGuard(), epochs=8)
    with pytest.raises(ValueError, match="at=12 is longer than the run"):
        fit(linear(0.05), InitializationGuard(at=12), epochs=11)


@contract
def test_baseline_that_does_not_fit():
    with pytest.raises(ValueError, match="baseline does not fit the model"):
        fit(linear(0.05), InitializationGuard(baseline=(X[:, :2], Y)), epochs=9)


def test_thresholds_are_used():
    guard = InitializationGuard(baseline=(X, Y), thresholds=Thresholds(low_rate_rho=1e6))
    fit(linear(1e-4), guard, epochs=20)
    assert guard.verdict.diagnosis is not Diagnosis.LEARNING_RATE_TOO_LOW
