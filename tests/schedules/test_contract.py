"""What every schedule must keep, on every engine. A new one is a line in SCHEDULES."""

import json

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.schedules import ConstantSparsity, OneShot, PolynomialSparsity, Schedule, SpectralSparsity

pytestmark = pytest.mark.contract


@keras.saving.register_keras_serializable("tests_schedules")
class Steps(Schedule):
    """A user's own: three equal stairs."""

    def shape(self, progress):
        return self.target * keras.ops.floor(progress * 3) / 3 if keras.ops.is_tensor(progress) else (
            self.target * np.floor(progress * 3) / 3
        )  # fmt: skip


@keras.saving.register_keras_serializable("tests_schedules")
class TooShort(Schedule):
    """Gets no further than nine tenths of its target."""

    def shape(self, progress):
        return 0.9 * self.target * progress


SCHEDULES = {
    "constant": lambda: ConstantSparsity(0.5, begin_step=10),
    "constant-from-the-start": lambda: ConstantSparsity(0.5),
    "constant-with-end": lambda: ConstantSparsity(0.25, begin_step=10, end_step=30),
    "one-shot": lambda: OneShot(0.9, step=7),
    "cubic": lambda: PolynomialSparsity(0.0, 0.9, begin_step=10, end_step=61),
    "line": lambda: PolynomialSparsity(0.2, 0.8, begin_step=0, end_step=40, power=1),
    "root": lambda: PolynomialSparsity(0.3, 0.7, begin_step=5, end_step=28, power=0.5),
    "flat": lambda: PolynomialSparsity(0.6, 0.6, begin_step=5, end_step=6),
    "nothing": lambda: PolynomialSparsity(0.0, 0.0, begin_step=5, end_step=9),
    "spectral": lambda: SpectralSparsity(None, 0.1, 0.9, begin_step=10, end_step=50, power=2),
    "user": lambda: Steps(0.75, begin_step=3, end_step=33),
}


def steps_of(schedule):
    """As many for all of them, so that what one compiles serves the others; and 20 past the latest end."""
    assert schedule.end_step <= 61
    return np.arange(81)


def faults(schedule):
    """What a schedule does wrong, in words."""
    begin, end = schedule.begin_step, schedule.end_step
    values = [schedule(step) for step in steps_of(schedule).tolist()]
    found = []
    if not all(type(value) is float for value in values):
        found.append("not a float for a whole number")
    if any(value != 0.0 for value in values[:begin]):
        found.append("not 0 before begin_step")
    if any(value != schedule.target for value in values[end:]):
        found.append("target not reached at end_step")
    if not np.all(np.diff(values) >= 0):
        found.append("falls")
    if not all(0.0 <= value < 1.0 for value in values):
        found.append("not a sparsity")
    return found


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    return SCHEDULES[request.param]()


def test_keeps_the_contract(schedule):
    assert faults(schedule) == []


def test_target_that_cannot_be_reached_in_the_steps_given_is_seen():
    assert faults(TooShort(0.5, 10, 20)) == ["target not reached at end_step"]


def test_is_pure(schedule):
    """The same answer again, in whatever order it is asked, and for whatever holds the step."""
    steps = steps_of(schedule)
    values = np.array([schedule(step) for step in steps.tolist()])
    backwards = [schedule(step) for step in reversed(steps.tolist())]
    np.testing.assert_array_equal(values, backwards[::-1])
    np.testing.assert_allclose(schedule(steps), values, rtol=1e-15)
    of_tensor = schedule(keras.ops.convert_to_tensor(steps.astype("int32")))
    assert keras.backend.standardize_dtype(of_tensor.dtype) == "float32"
    found = keras.ops.convert_to_numpy(of_tensor)
    np.testing.assert_allclose(found, values, rtol=0, atol=3e-7)
    np.testing.assert_array_equal(found[: schedule.begin_step], 0.0)
    np.testing.assert_array_equal(found[schedule.end_step :], np.float32(schedule.target))
    assert schedule(keras.ops.convert_to_tensor(schedule.end_step)).shape == ()


def test_round_trip_through_keras_saving(schedule):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule)
    assert repr(again) == repr(schedule)
    assert again.default_update_freq() == schedule.default_update_freq()
    np.testing.assert_array_equal(again(steps_of(schedule)), schedule(steps_of(schedule)))


def test_default_update_freq_is_a_twentieth_of_the_ramp_or_less(schedule):
    freq, ramp = schedule.default_update_freq(), schedule.end_step - schedule.begin_step
    assert freq == max(1, ramp // 20)


# --- closed forms ---


def test_constant_and_one_shot_are_steps():
    steps = np.arange(40)
    np.testing.assert_array_equal(ConstantSparsity(0.5, 10)(steps), np.where(steps >= 10, 0.5, 0.0))
    np.testing.assert_array_equal(ConstantSparsity(0.5, 10, 30)(steps), np.where(steps >= 10, 0.5, 0.0))
    np.testing.assert_array_equal(OneShot(0.5, 7)(steps), np.where(steps >= 7, 0.5, 0.0))


@pytest.mark.parametrize("kind", [PolynomialSparsity, lambda *a: SpectralSparsity(None, *a)])
@pytest.mark.parametrize(("initial", "final", "power"), [(0.0, 0.9, 3), (0.25, 0.75, 1), (0.1, 0.8, 0.5)])
def test_polynomial_is_that_of_zhu_and_gupta(kind, initial, final, power):
    steps = np.arange(10, 61)
    wanted = final + (initial - final) * (1 - (steps - 10) / 50) ** power
    np.testing.assert_allclose(kind(initial, final, 10, 60, power)(steps), wanted, rtol=1e-12)


# --- bad input: the message names the argument, the value and the mend ---

BAD = {
    "sparsity-1": (lambda: OneShot(1.0, 5), ValueError, r"must be .*at least 0.* below 1.*got 1\.0"),
    "sparsity-negative": (lambda: ConstantSparsity(-0.1), ValueError, r"got -0\.1"),
    "sparsity-nan": (lambda: ConstantSparsity(float("nan")), ValueError, "got nan"),
    "sparsity-text": (lambda: OneShot("half", 5), TypeError, "must be a real number, got 'half'"),
    "step-negative": (lambda: OneShot(0.5, -1), ValueError, r"must be at least 0, got -1"),
    "step-broken": (lambda: OneShot(0.5, 2.5), TypeError, r"must be a whole number, got 2\.5"),
    "end-before-begin": (
        lambda: ConstantSparsity(0.5, 10, 9), ValueError, "end_step=9 comes before begin_step=10. Raise",
    ),
    "empty-ramp": (
        lambda: PolynomialSparsity(0.0, 0.5, 10, 10), ValueError,
        "end_step=10 must come after begin_step=10. Raise it, or take OneShot",
    ),
    "falling": (
        lambda: PolynomialSparsity(0.6, 0.5, 0, 10), ValueError, r"initial=0\.6 is above final=0\.5.*Lower",
    ),
    "final": (lambda: PolynomialSparsity(0.0, 1.5, 0, 10), ValueError, r"final must be .*got 1\.5"),
    "initial": (lambda: PolynomialSparsity(-1, 0.5, 0, 10), ValueError, "initial must be .*got -1"),
    "power": (lambda: PolynomialSparsity(0.0, 0.5, 0, 10, power=0), ValueError, "power must be above 0"),
    "power-infinite": (
        lambda: PolynomialSparsity(0.0, 0.5, 0, 10, power=float("inf")), ValueError, "finite, got inf",
    ),
    "recorder": (
        lambda: SpectralSparsity("recorder", 0.0, 0.5, 0, 10), TypeError,
        r"SpectralSparsity needs the recorder.*got 'recorder' of type str\. Pass a kk\.callbacks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    make, error, message = BAD[case]
    with pytest.raises(error, match=message):
        make()


def test_names_of_the_arguments_are_those_of_the_class():
    """`OneShot(sparsity, step)` must not complain of a `target` or a `begin_step` that it does not have."""
    for make, wanted in [
        (lambda: OneShot(2.0, 5), "sparsity must"),
        (lambda: ConstantSparsity(2.0), "sparsity must"),
        (lambda: OneShot(0.5, -1), "^step must"),
    ]:
        with pytest.raises(ValueError, match=wanted):
            make()


def test_every_schedule_of_the_package_is_in_the_table():
    kinds = {type(make()) for make in SCHEDULES.values()}
    exported = {getattr(kk.schedules, name) for name in kk.schedules.__all__} - {Schedule}
    assert exported <= kinds
