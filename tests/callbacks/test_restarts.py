"""`fit_with_restarts`: what is changed after which verdict, and what it ends with."""

import json
import math

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import InitializationGuard
from keras_koopman.callbacks.restarts import Rates
from keras_koopman.verdicts import Diagnosis, Verdict
from keras_koopman.verdicts.path import PathFigures
from tests.callbacks.tiny import Hook, X, Y, flat, in_batches

contract = pytest.mark.contract

EPOCHS = 10
ARRAYS = {"x": X, "y": Y, "batch_size": 4, "epochs": EPOCHS, "verbose": 0}
FIT = in_batches(ARRAYS)


def maker(rate=0.05, built=None, optimizer=None):
    def build():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(rate) if optimizer is None else optimizer(), "mse")
        if built is not None:
            built.append(flat(model.layers[0].kernel))
        return model

    return build


class Judge(InitializationGuard):
    """Gives the verdicts it is told, after the ninth epoch."""

    def __init__(self, *diagnoses):
        super().__init__()
        self.diagnoses = list(diagnoses)

    def on_epoch_end(self, epoch, logs=None):
        if epoch != 8 or not self.diagnoses:
            return
        self.verdict = Verdict(
            self.diagnoses.pop(0), "so it was told.", None, "test", PathFigures(9, 8), None
        )
        if self.verdict.diagnosis.bad:
            self.stopped_epoch = epoch
            self.model.stop_training = True


LOW, HIGH = Diagnosis.LEARNING_RATE_TOO_LOW, Diagnosis.LEARNING_RATE_TOO_HIGH
BAD, GOOD, DIVERGED = Diagnosis.BAD_INITIALIZATION, Diagnosis.HEALTHY, Diagnosis.DIVERGED


def test_good_run_is_trained_once():
    built = []
    report = kk.fit_with_restarts(maker(built=built), ARRAYS)
    assert report.restarts == report.epochs_wasted == 0
    assert len(built) == 1
    assert len(report.history["loss"]) == EPOCHS
    assert report.model.evaluate(X, Y, verbose=0) < 0.1


@contract
def test_rate_too_low_is_raised_until_it_learns():
    report = kk.fit_with_restarts(maker(3e-4), FIT, rate_factor=10)
    assert report.attempts[0].diagnosis == "LEARNING_RATE_TOO_LOW"
    assert report.attempts[1].learning_rate == pytest.approx(3e-3)
    assert report.attempts[0].stopped
    assert report.attempts[0].epochs == 9
    assert report.history["loss"][-1] < report.attempts[0].loss


@contract
def test_seed_stays_where_the_rate_is_to_blame_and_changes_where_the_start_is():
    built = []
    report = kk.fit_with_restarts(
        maker(0.01, built), FIT, 3, Judge(LOW, BAD, HIGH, GOOD), rate_factor=2, seed=5
    )
    assert [a.seed for a in report.attempts] == [5, 5, 6, 6]
    rates = [a.learning_rate for a in report.attempts]
    np.testing.assert_allclose(rates, [0.01, 0.02, 0.02, 0.01 * math.sqrt(2)], rtol=1e-5)
    assert [a.step for a in report.attempts] == ["rate times 2", "new seed 6", "rate times 1.41", "kept"]
    np.testing.assert_array_equal(built[0], built[1])
    assert not np.array_equal(built[1], built[2])
    assert report.chosen == 3
    assert report.epochs_wasted == 27


def test_divergence_lowers_the_rate():
    report = kk.fit_with_restarts(maker(0.1), FIT, guard=Judge(DIVERGED, GOOD), rate_factor=4)
    assert report.attempts[1].learning_rate == pytest.approx(0.025)


def test_rate_is_bracketed():
    """The steps grow; between too low and too high lies the geometric mean."""
    rates = Rates(3.0)
    model = maker()()
    scales = []
    for diagnosis in (LOW, LOW, HIGH, LOW):
        guard = Judge()
        guard.verdict = Verdict(diagnosis, "", None, "", PathFigures(9, 8), None)
        rates.next_step(guard, model, 0, False)
        scales.append(rates.scale)
    np.testing.assert_allclose(scales, [3, 27, 9, math.sqrt(9 * 27)])


@contract
def test_best_of_bad_runs_goes_on_to_the_end():
    begun = []
    hook = Hook(on_epoch_begin=lambda hook, epoch, logs: begun.append((id(hook.model), epoch)))
    report = kk.fit_with_restarts(
        maker(0.002), {**FIT, "callbacks": [hook]}, 1, Judge(LOW, LOW), rate_factor=10
    )
    assert [a.stopped for a in report.attempts] == [True, True]
    assert report.attempts[1].step == "no restart left"
    assert report.chosen == 1  # the higher rate has learned more
    assert len(report.history["loss"]) == EPOCHS
    assert begun[-1] == (id(report.model), EPOCHS - 1)
    assert sorted(report.history["loss"], reverse=True)[0] == report.history["loss"][0]


def test_no_restart_at_all():
    report = kk.fit_with_restarts(maker(0.01), FIT, 0, Judge(BAD))
    assert report.restarts == 0
    assert len(report.history["loss"]) == EPOCHS


def test_schedule_cannot_be_changed_and_that_is_said():
    def scheduled():
        return keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.05, 1000))

    report = kk.fit_with_restarts(maker(optimizer=scheduled), FIT, 1, Judge(LOW, GOOD))
    assert report.attempts[0].step.startswith("new seed 1, as the rate follows a CosineDecay: give build an")
    assert report.attempts[0].schedule == "CosineDecay"
    assert "(CosineDecay)" in str(report)


def test_build_may_scale_its_own_rates():
    factors = []

    def build(rate_factor):
        factors.append(rate_factor)
        schedule = keras.optimizers.schedules.CosineDecay(0.01 * rate_factor, 1000)
        return maker(optimizer=lambda: keras.optimizers.SGD(schedule))()

    report = kk.fit_with_restarts(build, FIT, 1, Judge(LOW, GOOD))
    assert factors == [1.0, 3.0]
    assert report.attempts[1].learning_rate > 2 * report.attempts[0].learning_rate


def test_report(capsys):
    report = kk.fit_with_restarts(maker(0.01), FIT, 2, Judge(LOW, GOOD), verbose=1)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        "fit_with_restarts: attempt 0, seed 0, rate 0.01: LEARNING_RATE_TOO_LOW after 9 epochs, so it was "
        "told; rate times 3"
    )
    lines = str(report).splitlines()
    assert lines[0].split() == ["attempt", "seed", "rate", "epochs", "loss", "diagnosis", "then"]
    assert lines[3].split()[:3] == ["1", "*", "0"]
    assert "* kept; 9 epochs went into others." in lines
    assert lines[-1] == "1: so it was told."
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["chosen"] == 1
    assert [a["diagnosis"] for a in plain["attempts"]] == ["LEARNING_RATE_TOO_LOW", "HEALTHY"]


def test_what_no_seed_can_mend_is_told():
    def report(*diagnoses):
        rows = enumerate(diagnoses)
        attempts = [kk.RestartAttempt(n, n, 0.1, None, 9, 2.3, d, "So.", True, "new seed") for n, d in rows]
        return kk.RestartReport(None, {}, tuple(attempts), 0)

    assert report("BAD_INITIALIZATION", "LEARNING_RATE_TOO_LOW").advice is None
    found = report("BAD_INITIALIZATION", "LEARNING_RATE_TOO_LOW", "BAD_INITIALIZATION")
    assert found.advice.startswith(
        "2 seeds started badly, so another will too: change the kernel_initializer"
    )
    assert found.advice in str(found)
    assert found.to_dict()["advice"] == found.advice


def test_report_of_a_loss_that_is_not_finite():
    attempt = kk.RestartAttempt(
        0, 0, 1.0, None, 1, math.nan, "DIVERGED", "It broke.", True, "no restart left"
    )
    assert kk.RestartReport(None, {}, (attempt,), 0).to_dict()["attempts"][0]["loss"] is None


@contract
def test_all_diverge():
    """There is nothing to go on with, and that is told by the table."""
    with pytest.warns(UserWarning, match="finite"):
        report = kk.fit_with_restarts(maker(1e30), FIT, 1)
    assert [a.diagnosis for a in report.attempts] == ["DIVERGED", "DIVERGED"]
    assert report.attempts[1].learning_rate == pytest.approx(1e30 / 3)
    assert len(report.history["loss"]) < 9


def generator():
    yield X, Y


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((maker()(), FIT), TypeError, "build must be a function"),
        ((lambda: 3, FIT), TypeError, "build must give a keras.Model, got 3"),
        (
            (lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), FIT),
            ValueError,
            "no optimizer",
        ),
        ((maker(), [X, Y]), TypeError, "fit_kwargs must be a dict"),
        ((maker(), {"x": generator(), "epochs": 20}), TypeError, "can be read once only"),
        ((maker(), FIT, -1), ValueError, "max_restarts must be at least 0"),
        ((maker(), FIT, 1, "guard"), TypeError, "guard must be an InitializationGuard"),
        ((maker(), FIT, 1, None, 1.0), ValueError, "rate_factor must be above 1"),
        ((maker(), {**FIT, "epochs": 5}), ValueError, "longer than the run"),
    ],
)
def test_invalid_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        kk.fit_with_restarts(*arguments)
