"""`KoopmanEarlyStopping` on paths whose figures are known, and its contract on every engine."""

import warnings

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import KoopmanEarlyStopping, KoopmanMonitor, TrajectoryRecorder
from tests.callbacks.tiny import Hook, X, dataset, fit, flat, model_of, snapshots, trainable, weights

contract = pytest.mark.contract

L = keras.layers


class Path(keras.callbacks.Callback):
    """Puts the weights where a path says, epoch by epoch, whatever the training does, and reports a loss."""

    def __init__(self, path, losses=None):
        super().__init__()
        self.path, self.losses = path, losses

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.model.layers[0].kernel.assign(np.array([[self.path[self.epoch]]], "float32"))

    def on_epoch_end(self, epoch, logs=None):
        if self.losses is not None:
            logs["loss"] = self.losses[epoch]


def follow(path, *callbacks, losses=None, **options):
    """A fit whose weights go along a path of single numbers."""
    model = model_of(
        lambda: keras.Input((1,)), lambda: L.Dense(1, use_bias=False, kernel_initializer="zeros")
    )  # fmt: skip
    x, y = np.ones((4, 1)), np.ones((4, 1))
    options = {"x": x, "y": y, "epochs": len(path), **options}
    return model, fit(model, Path(path, losses), *callbacks, **options)


def zigzag(count):
    """Increments that turn back each time: rho is -1."""
    return [1.0 + epoch % 2 for epoch in range(count)]


def steady(count, step=1.0, begin=0.0):
    """Increments that are all equal: rho and speed are 1."""
    return [begin + step * (epoch + 1) for epoch in range(count)]


def test_steady_drift_goes_on():
    stopping = KoopmanEarlyStopping()
    history = follow(steady(14), stopping)[1]
    assert len(history.epoch) == 14
    assert stopping.reason is None and stopping.stopped_epoch is None  # noqa: PT018
    np.testing.assert_allclose(history.history["koopman_rho"], np.ones(6), rtol=1e-5)
    np.testing.assert_allclose(history.history["koopman_speed"], np.ones(6), rtol=1e-5)


@contract
def test_stops_when_the_steps_have_died_out():
    path = [1 - 0.8 ** (epoch + 1) for epoch in range(40)]
    stopping = KoopmanEarlyStopping()
    history = follow(path, stopping)[1]
    np.testing.assert_allclose(history.history["koopman_rho"], 0.8, rtol=1e-4)
    speeds = [((path[t] - path[t - 8]) / 8) / (path[t] / (t + 1)) for t in range(8, 40)]
    first = next(t for t, speed in enumerate(speeds, 8) if speed < 0.5)
    np.testing.assert_allclose(history.history["koopman_speed"], speeds[: first - 7], rtol=1e-4)
    assert stopping.stopped_epoch == first == history.epoch[-1]
    assert stopping.reason.startswith("the steps have died out (rho 0.8, speed 0.4")


def test_stops_when_the_drift_is_drowned():
    path = [*steady(10), *(10 + 3 * value for value in zigzag(20))]
    stopping = KoopmanEarlyStopping(speed=0.0)
    history = follow(path, stopping)[1]
    rho = history.history["koopman_rho"]
    assert all(value >= 1 / 3 for value in rho[:-1])
    assert rho[-1] < 1 / 3
    assert stopping.reason.startswith("the drift is drowned in minibatch noise (rho ")


def test_drift_that_was_never_seen_leaves_it_to_the_loss():
    """Too high a learning rate from the start: rho is low at once, but the loss may fall for long."""
    falling = [1 / (epoch + 1) for epoch in range(30)]
    stopping = KoopmanEarlyStopping(speed=0.0)
    assert len(follow(zigzag(30), stopping, losses=falling)[1].epoch) == 30
    assert stopping.reason is None
    stalled = [max(loss, 0.1) for loss in falling]  # the last new minimum is in epoch 10
    stopping = KoopmanEarlyStopping(speed=0.0)
    assert len(follow(zigzag(30), stopping, losses=stalled)[1].epoch) == 18
    assert "no drift in the noise from the start, and no lower loss for 8 epochs" in stopping.reason
    assert "lower learning rate" in stopping.reason


def test_patience_and_min_epochs():
    path = [*steady(10), *(10 + 3 * value for value in zigzag(30))]
    first = len(follow(path, KoopmanEarlyStopping(speed=0.0))[1].epoch)
    assert len(follow(path, KoopmanEarlyStopping(speed=0.0, patience=3))[1].epoch) == first + 2
    assert len(follow(path, KoopmanEarlyStopping(speed=0.0, min_epochs=25))[1].epoch) == 25


@contract
def test_run_that_diverges_is_stopped():
    def spoil(hook, epoch, logs):
        if epoch == 3:
            hook.model.get_layer("out").bias.assign([np.nan])

    stopping = KoopmanEarlyStopping()
    with pytest.warns(UserWarning, match="not finite|must be finite"):
        history = fit(model_of(), Hook(on_epoch_begin=spoil), stopping, epochs=20)
    assert len(history.epoch) == 4
    assert stopping.reason == "the run has diverged (loss nan): lower the learning rate"


def test_losses_that_are_nan_while_the_weights_are_fine_do_not_stop():
    stopping = KoopmanEarlyStopping()
    assert len(follow(steady(12), stopping, losses=[np.nan] * 12)[1].epoch) == 12


def test_restores_the_average_of_the_window():
    path = [*steady(10), *(10 + 3 * value for value in zigzag(20))]
    stopping = KoopmanEarlyStopping(speed=0.0, restore="average")
    model, history = follow(path, stopping)
    count = len(history.epoch)
    assert trainable(model)[0] == pytest.approx(np.mean(path[count - 8 : count]), rel=1e-5)


@contract
def test_average_of_a_run_that_still_drifts_is_that_of_the_last_epoch():
    recorder = TrajectoryRecorder(average=True)
    model = model_of(optimizer=keras.optimizers.SGD(1e-3))
    stopping = KoopmanEarlyStopping(restore="average", recorder=recorder)
    fit(model, recorder, stopping, epochs=9)
    assert stopping.reason is None
    np.testing.assert_allclose(trainable(model), snapshots(recorder.trajectory)[-1], rtol=1e-5, atol=1e-7)


@contract
def test_average_of_layers_goes_to_the_right_weights():
    """Snapshots are grouped by layer; weights of one shape must not change places."""
    model = model_of(
        lambda: keras.Input((3,)), *(lambda: L.Dense(3, "tanh") for _ in range(3)), lambda: L.Dense(1),
        optimizer=keras.optimizers.SGD(1e-3),
    )  # fmt: skip
    last = []
    stopping = KoopmanEarlyStopping(restore="average")
    hook = Hook(
        on_epoch_end=lambda h, epoch, logs: last.append([flat(v) for v in h.model.trainable_variables])
    )
    fit(model, stopping, hook, epochs=9)
    for variable, end in zip(model.trainable_variables, last[-1], strict=True):
        np.testing.assert_allclose(flat(variable), end, atol=0.03)
        assert not np.array_equal(flat(variable), end)


@contract
def test_restores_the_best():
    losses = [5.0, 4.0, 2.0, 3.0, *[3.0] * 8]
    seen = {}
    hook = Hook(on_epoch_end=lambda h, epoch, logs: seen.update({epoch: weights(h.model)}))
    stopping = KoopmanEarlyStopping(restore="best")
    model, _ = follow(steady(12), stopping, hook, losses=losses)
    np.testing.assert_array_equal(weights(model)[0], seen[2][0])


def test_last_leaves_the_weights():
    seen = {}
    hook = Hook(on_epoch_end=lambda h, epoch, logs: seen.update({epoch: weights(h.model)}))
    model = model_of()
    fit(model, KoopmanEarlyStopping(), hook, epochs=9)
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), seen[8], strict=True))


@contract
@pytest.mark.parametrize("restore", ["best", "average"])
def test_next_fit_trains_from_the_restored_weights(restore):
    """On JAX the weights of the last step could come back."""
    losses = [2.0, 1.0, *[3.0] * 7]
    model = model_of(optimizer=keras.optimizers.SGD(1e-3))
    setter = Hook(on_epoch_end=lambda hook, epoch, logs: logs.update(loss=losses[epoch]))
    fit(model, setter, KoopmanEarlyStopping(restore=restore), epochs=9)
    restored = trainable(model)
    begun = []
    fit(model, Hook(on_epoch_begin=lambda h, epoch, logs: begun.append(trainable(h.model))), epochs=1)
    np.testing.assert_array_equal(begun[0], restored)
    assert 0 < np.linalg.norm(trainable(model) - restored) < 0.1


def normalised(**options):
    return model_of(
        lambda: keras.Input((3,)), lambda: L.Dense(4), lambda: L.BatchNormalization(momentum=0.9),
        lambda: L.Dropout(0.0), lambda: L.Dense(1), **options,
    )  # fmt: skip


@contract
def test_statistics_of_batch_normalisation_are_computed_anew():
    model = normalised()
    fit(model, KoopmanEarlyStopping(restore="average", inputs=X), epochs=9)
    layer = model.layers[1]
    ahead = flat(model.layers[0](X)).reshape(len(X), -1)
    np.testing.assert_allclose(flat(layer.moving_mean), ahead.mean(axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(flat(layer.moving_variance), ahead.var(axis=0), rtol=1e-3, atol=1e-5)
    assert layer.momentum == 0.9


def test_statistics_left_alone_are_told():
    with pytest.warns(UserWarning, match=r"moving statistics of batch normalisation.*Pass inputs=x"):
        fit(normalised(), KoopmanEarlyStopping(restore="average"), epochs=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(normalised(), KoopmanEarlyStopping(restore="best"), epochs=9)


@contract
@pytest.mark.usefixtures("no_own_compile")
@pytest.mark.parametrize("restore", ["best", "average"])
def test_pruned_weights_stay_zero(restore):
    model = model_of(lambda: keras.Input((3,)), lambda: L.Dense(4), lambda: L.Dense(1))
    kk.prune(model, kk.schedules.OneShot(0.5, step=45))  # in the eighth epoch of nine
    fit(model, KoopmanEarlyStopping(restore=restore), epochs=9)
    kernels = [flat(layer.kernel) for layer in model.layers]
    assert sum(int(np.sum(kernel == 0)) for kernel in kernels) == 8


@contract
def test_takes_the_figures_of_a_monitor_and_leaves_its_own_recorder_out():
    monitor = KoopmanMonitor()
    stopping = KoopmanEarlyStopping(recorder=monitor)
    history = fit(model_of(), monitor, stopping, epochs=12)
    assert stopping._recorder is monitor
    assert monitor.figures["koopman_rho"] == history.history["koopman_rho"][-1]


def test_same_figures_with_and_without_a_recorder_of_the_users():
    found = []
    for recorder in (None, TrajectoryRecorder(window=20, average=True)):
        stopping = KoopmanEarlyStopping(recorder=recorder)
        calls = [stopping] if recorder is None else [recorder, stopping]
        found.append(fit(model_of(), *calls, epochs=11, shuffle=False).history)
    for name in ("koopman_rho", "koopman_speed"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-4)


def test_another_callback_can_use_the_figures():
    seen = []
    hook = Hook(on_epoch_end=lambda hook, epoch, logs: seen.append(logs.get("koopman_rho")))
    fit(model_of(), KoopmanEarlyStopping(), hook, epochs=10)
    assert seen[:8] == [None] * 8
    assert all(value is not None for value in seen[8:])


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses it on torch")
@pytest.mark.parametrize("steps", [2, pytest.param(4, marks=contract)])
def test_steps_per_execution(steps):
    history = fit(model_of(steps_per_execution=steps), KoopmanEarlyStopping(), epochs=10)
    assert len(history.history["koopman_rho"]) == 2


@pytest.mark.parametrize("counted", [True, pytest.param(False, marks=contract)])
def test_datasets(counted):
    options = {"x": dataset(counted), "y": None, "batch_size": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = fit(model_of(), KoopmanEarlyStopping(), epochs=10, **options)
    assert len(history.history["koopman_rho"]) == 2


def test_path_goes_on_over_fits():
    model, stopping = model_of(optimizer=keras.optimizers.SGD(1e-3)), KoopmanEarlyStopping()
    fit(model, stopping, epochs=9)
    history = fit(model, stopping, epochs=2)
    assert len(history.history["koopman_rho"]) == 2


@contract
def test_path_begins_anew_after_a_stop():
    path = [*steady(10), *(10 + 3 * value for value in zigzag(20))]
    stopping = KoopmanEarlyStopping(speed=0.0)
    model, _ = follow(path, stopping)
    assert stopping.reason is not None
    x, y = np.ones((4, 1)), np.ones((4, 1))
    history = fit(model, Path(steady(12, begin=20.0)), stopping, x=x, y=y, epochs=12)
    assert len(history.epoch) == 12
    assert len(history.history["koopman_rho"]) == 4
    assert stopping.reason is None


def test_another_model_begins_anew_without_a_word():
    stopping = KoopmanEarlyStopping()
    fit(model_of(), stopping, epochs=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        history = fit(model_of(), stopping, epochs=10)
    assert len(history.history["koopman_rho"]) == 2


def test_resumed_in_the_middle():
    stopping = KoopmanEarlyStopping()
    history = fit(model_of(), stopping, epochs=30, initial_epoch=20)
    assert len(history.history["koopman_rho"]) == 2


def test_verbose(capsys):
    path = [*steady(10), *(10 + 3 * value for value in zigzag(20))]
    stopping = KoopmanEarlyStopping(speed=0.0, verbose=1)
    history = follow(path, stopping)[1]
    wanted = f"KoopmanEarlyStopping: stopped after epoch {len(history.epoch)}: {stopping.reason}.\n"
    assert capsys.readouterr().out == wanted


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"window": 1}, ValueError, "window must be at least 2"),
        ({"window": 8.0}, TypeError, "window must be a whole number"),
        ({"rho": 1.5}, ValueError, "rho must be"),
        ({"speed": -0.1}, ValueError, "speed must be"),
        ({"patience": 0}, ValueError, "patience must be at least 1"),
        ({"min_epochs": -1}, ValueError, "min_epochs"),
        ({"restore": "first"}, ValueError, "'last', 'best', 'average'"),
        ({"recorder": "mine"}, TypeError, "recorder must be a TrajectoryRecorder"),
        ({"recorder": TrajectoryRecorder()}, ValueError, "average=False"),
        ({"recorder": TrajectoryRecorder(average=True, record_freq=5)}, ValueError, "record_freq=5"),
        ({"recorder": TrajectoryRecorder(8, average=True)}, ValueError, "keep 9 or more"),
    ],
)
def test_invalid_arguments(options, error, message):
    with pytest.raises(error, match=message):
        KoopmanEarlyStopping(**options)


@pytest.mark.parametrize(
    ("options", "fit_options"),
    [({}, {"epochs": 8}), ({"patience": 2}, {"epochs": 9}), ({"min_epochs": 12}, {"epochs": 11}),
     ({}, {"epochs": 20, "initial_epoch": 12})],
)  # fmt: skip
def test_window_longer_than_the_run_is_told_before_the_first_step(options, fit_options):
    model = model_of()
    before = weights(model)
    with pytest.raises(ValueError, match=r"window=8 is longer than the run: .* could stop after epoch"):
        fit(model, KoopmanEarlyStopping(**options), **fit_options)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True))


def test_recorder_that_is_not_there():
    recorder = TrajectoryRecorder(average=True)
    stopping = KoopmanEarlyStopping(recorder=recorder)
    for callbacks in ([stopping], [stopping, recorder]):
        with pytest.raises(ValueError, match="recorder must be among the callbacks of this fit, before"):
            fit(model_of(), *callbacks, epochs=9)


def test_average_of_other_values():
    recorder = TrajectoryRecorder(
        average=True, observables=kk.observables.TrainableWeights(include="*kernel")
    )  # fmt: skip
    stopping = KoopmanEarlyStopping(restore="average", recorder=recorder)
    with pytest.raises(ValueError, match="recorder records other values"):
        fit(model_of(), recorder, stopping, epochs=9)


def test_model_that_is_frozen_or_not_compiled():
    model = model_of()
    model.trainable = False
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no trainable weights"):
        fit(model, KoopmanEarlyStopping(), epochs=9)
    model.optimizer = None
    stopping = KoopmanEarlyStopping()
    stopping.set_model(model)
    with pytest.raises(ValueError, match="has no optimizer"):
        stopping.on_train_begin()
