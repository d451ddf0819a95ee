"""`KoopmanJump` on runs whose end is known, and its contract on every engine."""

import re
import warnings

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import KoopmanJump
from keras_koopman.callbacks.jump import Ways
from tests.callbacks.tiny import BATCH, Hook, X, Y, fit, flat, model_of, trainable, weights

contract = pytest.mark.contract

L = keras.layers


def line(rate=0.02, optimizer=None, **options):
    """A linear model, whose increments under full batches are the sum of four decaying modes."""
    return model_of(
        lambda: keras.Input((3,)), lambda: L.Dense(1),
        optimizer=optimizer or keras.optimizers.SGD(rate), **options,
    )  # fmt: skip


def train(model, *callbacks, epochs=12, **options):
    return fit(model, *callbacks, **{"epochs": epochs, "batch_size": len(X), **options})


def state(model):
    return [*weights(model), *(np.array(keras.ops.convert_to_numpy(v)) for v in model.optimizer.variables)]


def equal(one, other):
    """Bit for bit."""
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def never(model, values=None):
    """A guard that finds every jump worse than staying."""
    values = iter(range(10**6)) if values is None else values
    return lambda model: float(next(values))


def test_forecast_of_a_linear_system_is_exact():
    growth = np.array([0.9, 0.6, -0.3])
    trajectory = kk.Trajectory(6)
    for t in range(6):
        trajectory.append(np.array([1.0, -2.0, 3.0]) * growth**t + 7.0)
    ahead = trajectory.increments().combine(Ways(trajectory).ahead("koopman", 4))
    here = np.array([1.0, -2.0, 3.0]) * growth**5
    np.testing.assert_allclose(np.asarray(ahead), here * growth**4 - here, rtol=1e-6)


def test_straight_line_is_the_mean_increment():
    trajectory = kk.Trajectory(4)
    for value in [0.0, 1.0, 3.0, 6.0]:
        trajectory.append(np.array([value]))
    ahead = trajectory.increments().combine(Ways(trajectory).ahead("linear", 3))
    assert float(np.asarray(ahead)[0]) == 6.0


def test_weights_that_stand_still_go_nowhere():
    trajectory = kk.Trajectory(4)
    for _ in range(4):
        trajectory.append(np.ones(3))
    assert not np.any(flat(trajectory.increments().combine(Ways(trajectory).ahead("koopman", 5))))


@contract
def test_jumps_reach_a_loss_far_below():
    plain = train(line()).history["loss"][-1]
    jump = KoopmanJump(guard=(X, Y))
    history = train(line(), jump)
    assert history.history["loss"][-1] < plain / 10
    assert jump.report.jumps >= 1
    assert sum(history.history["koopman_jump"]) == jump.report.leapt > 0


@contract
def test_next_step_starts_from_the_weights_of_the_jump():
    """On JAX a step could go on from the weights it had."""
    seen = {}

    def before(hook, epoch, logs):
        seen[epoch] = trainable(hook.model)

    guard = iter(
        [10.0, 10.0, 1.0, 20.0]
    )  # checked; before; the forecast is better; the line is not; no farther
    model = line(1e-5)
    jump = KoopmanJump(guard=lambda model: next(guard, 30.0))
    train(model, jump, Hook(on_epoch_begin=before), epochs=6)
    jumped = np.linalg.norm(seen[5] - seen[4])
    step = np.linalg.norm(seen[4] - seen[3])
    after = np.linalg.norm(trainable(model) - seen[5])
    assert jump.report.attempts[0].method == "koopman"
    assert jumped == pytest.approx(6 * step, rel=0.05)  # a step, and five that were leapt
    assert after == pytest.approx(step, rel=0.05)


@pytest.mark.parametrize("optimizer", [pytest.param("adam", marks=contract), "momentum"])
def test_rejected_jump_leaves_everything_bit_for_bit(optimizer):
    def made():
        return keras.optimizers.SGD(0.05, momentum=0.9) if optimizer == "momentum" else optimizer

    layers = [lambda: keras.Input((3,)), lambda: L.Dense(4, "tanh"), L.BatchNormalization, lambda: L.Dense(1)]
    alone, guarded = model_of(*layers, optimizer=made()), model_of(*layers, optimizer=made())
    fit(alone, epochs=6, shuffle=False)
    jump = KoopmanJump(guard=never(guarded))
    fit(guarded, jump, epochs=6, shuffle=False)
    assert [a.method for a in jump.report.attempts] == [None]
    assert jump.report.attempts[0].evaluations == 3
    assert equal(state(alone), state(guarded))


@contract
def test_guard_of_samples_is_the_loss_of_evaluate():
    model = model_of(
        lambda: keras.Input((3,)),
        lambda: L.Dense(4, kernel_regularizer="l2", activity_regularizer="l2"),
        L.BatchNormalization,
        lambda: L.Dropout(0.5),
        lambda: L.Dense(1),
    )
    jump = KoopmanJump(guard=(X, Y, np.linspace(0.1, 1.0, len(X))))
    fit(model, jump, epochs=5)
    wanted = model.evaluate(X, Y, sample_weight=np.linspace(0.1, 1.0, len(X)), batch_size=len(X), verbose=0)
    assert jump.guard(model) == pytest.approx(wanted, rel=1e-5)


@contract
def test_guard_touches_no_metric_in_the_middle_of_an_epoch():
    """The mean loss of an epoch is that of all its batches."""
    options = {"optimizer": keras.optimizers.SGD(0.0), "metrics": ["mae"]}
    plain = fit(model_of(**options), epochs=1).history
    options["optimizer"] = keras.optimizers.SGD(0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fit(model_of(**options), KoopmanJump(3, guard=(X, Y), record_freq=1), epochs=1).history
    for name in ("loss", "mae"):
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-6)


@contract
def test_jump_in_the_middle_of_an_epoch():
    plain = fit(line(), epochs=3).history["loss"][-1]
    jump = KoopmanJump(3, guard=(X, Y), record_freq=1)
    history = fit(line(), jump, epochs=3)
    assert [a.time for a in jump.report.attempts][:2] == [3, 6]
    assert jump.report.unit == "batch"
    assert jump.report.jumps >= 1
    assert history.history["loss"][-1] < plain


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses it on torch")
@pytest.mark.parametrize("steps", [2, pytest.param(4, marks=contract)])
def test_steps_per_execution(steps):
    jump = KoopmanJump(3, guard=(X, Y), record_freq=2)
    fit(line(steps_per_execution=steps), jump, epochs=3)
    times = [a.time for a in jump.report.attempts]
    assert times
    assert all(time % 2 == 0 for time in times)


@contract
@pytest.mark.usefixtures("no_own_compile")
def test_pruned_weights_stay_zero():
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    y = x @ np.ones((8, 1), "float32")
    model = model_of(lambda: keras.Input((8,)), lambda: L.Dense(1), optimizer=keras.optimizers.SGD(0.01))
    # Masks come in the middle of a path: snapshots before know nothing of them.
    kk.prune(model, kk.schedules.OneShot(0.5, step=3))
    jump = KoopmanJump(guard=(x, y))
    zeros = []
    train(model, jump, Hook(on_epoch_end=lambda hook, epoch, logs: zeros.append(
        int((np.asarray(keras.ops.convert_to_numpy(hook.model.layers[0].kernel)) == 0).sum())
    )), x=x, y=y, epochs=10)  # fmt: skip
    assert jump.report.jumps >= 1
    assert zeros[2:] == [4] * 8


@contract
def test_constraints_hold():
    model = model_of(
        lambda: keras.Input((3,)), lambda: L.Dense(1, kernel_constraint="non_neg"),
        optimizer=keras.optimizers.SGD(0.05),
    )  # fmt: skip
    jump = KoopmanJump(guard=(X, Y))
    train(model, jump)
    assert jump.report.jumps >= 1
    assert np.min(weights(model)[0]) >= 0


@contract
def test_moments():
    """`reset` puts the momentum to zero, and `keep` does not; both leave the second moment."""
    found = {}
    for moments in ("keep", "reset"):
        model = line(optimizer=keras.optimizers.Adam(0.01))
        train(model, KoopmanJump(guard=(X, Y), moments=moments), epochs=5)
        names = {
            v.path.split("/")[-1]: np.array(keras.ops.convert_to_numpy(v)) for v in model.optimizer.variables
        }
        found[moments] = {n.rsplit("_", 1)[-1]: v for n, v in names.items() if "kernel" in n}
    assert not np.any(found["reset"]["momentum"])
    assert np.any(found["keep"]["momentum"])
    np.testing.assert_array_equal(found["reset"]["velocity"], found["keep"]["velocity"])


@contract
def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = line(0.01)
        jump = KoopmanJump(guard=(X, Y))
        train(model, jump)
    finally:
        keras.config.set_dtype_policy("float32")
    assert jump.report.jumps >= 1
    assert all(v.dtype == np.float32 for v in weights(model))


def test_horizon_grows_and_shrinks_and_failures_wait():
    jump = KoopmanJump(3, guard=never(None))
    fit(line(), jump, epochs=21, batch_size=len(X))
    assert [a.time for a in jump.report.attempts] == [3, 9, 21]
    assert [a.horizon for a in jump.report.attempts] == [3, 1.5, 1]
    falling = iter(range(10**6, 0, -1))
    jump = KoopmanJump(3, horizon=2, guard=lambda model: float(next(falling)))
    fit(line(1e-4), jump, epochs=3, batch_size=len(X))
    assert jump.horizon == 128  # doubled while it pays, not beyond 64 times every


def test_reuse_on_the_same_model_goes_on_and_on_another_begins_anew():
    jump = KoopmanJump(guard=(X, Y))
    model = line(0.005)
    train(model, jump, epochs=5)
    horizon, attempts = jump.horizon, len(jump.report.attempts)
    train(model, jump, epochs=5)
    assert len(jump.report.attempts) == attempts + 1 == 2
    assert jump.horizon >= horizon / 2
    history = train(line(0.005), jump, epochs=5)
    assert len(jump.report.attempts) == 1
    assert sum(history.history["koopman_jump"]) == jump.report.leapt


def test_weights_that_change_during_training():
    model = model_of(lambda: keras.Input((3,)), lambda: L.Dense(2), lambda: L.Dense(1))
    jump = KoopmanJump(3, guard=(X, Y))
    jump.set_model(model)
    jump.on_train_begin()
    for epoch in range(5):
        jump.on_epoch_begin(epoch)
        model.layers[1].bias.assign([0.1 * epoch])
        if epoch == 2:
            model.layers[0].trainable = False
            with pytest.warns(UserWarning, match="trainable weights have changed .*kernel"):
                jump.on_epoch_end(epoch)
        else:
            jump.on_epoch_end(epoch)
    assert jump.report.attempts == []  # there are two increments since


@contract
def test_weights_that_are_not_finite():
    def spoil(hook, epoch, logs):
        if epoch == 2:
            hook.model.layers[0].bias.assign([np.nan])

    jump = KoopmanJump(3, guard=(X, Y))
    with pytest.warns(UserWarning, match="KoopmanJump: no record"):
        train(line(), jump, Hook(on_epoch_begin=spoil), epochs=6)
    assert jump.report.attempts == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, "guard is missing"),
        ({"guard": 3}, TypeError, "guard must be .* got int"),
        ({"guard": (X,)}, TypeError, "of length 1"),
        ({"guard": (X, Y[:5])}, ValueError, r"equally many samples .*\[5, 24\]"),
        ({"guard": (X[:0], Y[:0])}, ValueError, "at least one"),
        ({"guard": (X, 1.0)}, ValueError, "one row for each sample"),
        ({"guard": (X, Y), "every": 2}, ValueError, "every must be at least 3"),
        ({"guard": (X, Y), "every": 3.5}, TypeError, "every"),
        ({"guard": (X, Y), "horizon": 0}, ValueError, "horizon"),
        ({"guard": (X, Y), "moments": "drop"}, ValueError, "'keep', 'reset'"),
        ({"guard": (X, Y), "record_freq": "step"}, ValueError, "record_freq"),
    ],
)
def test_invalid_arguments(options, error, message):
    with pytest.raises(error, match=message):
        KoopmanJump(**options)


@contract
@pytest.mark.parametrize(
    ("guard", "message"),
    [
        ((X[:, :2], Y), "guard does not fit the model"),
        ((X, np.tile(Y, 3)), r"targets of shape \(24, 3\), the model .* gives \(None, 1\)"),
        ((X * np.nan, Y), "loss of nan before training"),
        (lambda model: "low", "guard must give one number, .* got 'low'"),
    ],
)
def test_guard_that_does_not_fit_is_refused_before_the_first_step(guard, message):
    model = line()
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        train(model, KoopmanJump(guard=guard))
    assert equal(before, weights(model))


def test_run_that_is_too_short():
    with pytest.raises(ValueError, match="every=5 is longer than the run: this fit has 4 records"):
        train(line(), KoopmanJump(guard=(X, Y)), epochs=4)
    with pytest.raises(ValueError, match="this fit has 2 records"):
        train(line(), KoopmanJump(guard=(X, Y)), epochs=9, initial_epoch=7)


def test_model_without_optimizer():
    model = line()
    model.optimizer = None
    jump = KoopmanJump(guard=(X, Y))
    jump.set_model(model)
    with pytest.raises(ValueError, match=r"has no optimizer. Call model.compile"):
        jump.on_train_begin()


def test_optimizer_that_would_take_the_jump_back():
    if not hasattr(keras.optimizers, "ScheduleFreeAdamW"):
        pytest.skip("this Keras has none")
    with pytest.raises(ValueError, match="does not work with ScheduleFreeAdamW"):
        train(line(optimizer=keras.optimizers.ScheduleFreeAdamW()), KoopmanJump(guard=(X, Y)))


def test_frozen_model():
    model = line()
    model.trainable = False
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no trainable weights"):
        train(model, KoopmanJump(guard=(X, Y)))


def test_report(capsys):
    jump = KoopmanJump(guard=(X, Y), verbose=1)
    train(line(), jump, epochs=10)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(jump.report.attempts)
    assert re.match(r"KoopmanJump: at 5 jumped \d+ ahead \((koopman|linear)\): guard loss", printed[0])
    text = str(jump.report)
    assert text.startswith(f"{jump.report.jumps} of {len(jump.report.attempts)} jumps kept; ")
    assert len(text.splitlines()) == 3 + len(jump.report.attempts)
    plain = jump.report.to_dict()
    assert plain["evaluations"] == sum(a["evaluations"] for a in plain["attempts"]) > 0
    assert plain["jumps"] == jump.report.jumps


@contract
def test_batch_size_is_that_of_the_guard_not_of_fit():
    """More samples than fit in one pass are weighed by their number."""
    x, y = np.tile(X, (60, 1)), np.tile(Y, (60, 1))
    model = line()
    train(model, epochs=1)
    jump = KoopmanJump(guard=(x, y))
    assert len(x) > 1024
    assert jump.guard.check(model) == pytest.approx(
        model.evaluate(X, Y, batch_size=BATCH, verbose=0), rel=1e-5
    )
