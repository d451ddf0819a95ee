import warnings

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import TrajectoryRecorder
from tests.callbacks.tiny import Hook, X, Y, dataset, fit, flat, model_of, snapshots, trainable


class Watch(keras.callbacks.Callback):
    """Keeps the weights after each batch."""

    def __init__(self):
        super().__init__()
        self.path = []

    def on_train_batch_end(self, batch, logs=None):
        self.path.append(trainable(self.model))


class Counted:
    """Weights, and how often they were looked at."""

    def __init__(self):
        self.count = 0

    def __call__(self, model):
        self.count += 1
        return {"all": model.trainable_variables[0].value}


FREQUENCIES = {"epoch": 6, 1: 1, 4: 4, 5: 5}  # and how many batches that is


@pytest.fixture(scope="module")
def watched():
    """One training: the weights at its start and after each batch, and the trajectory of each recorder."""
    recorders = {
        (frequency, average): TrajectoryRecorder(record_freq=frequency, average=average)
        for frequency in FREQUENCIES
        for average in (False, True)
    }
    watch, model = Watch(), model_of(optimizer="adam")
    start = trainable(model)
    fit(model, watch, *recorders.values(), epochs=5)
    return start, watch.path, {kind: recorder.trajectory for kind, recorder in recorders.items()}


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_means_are_those_of_numpy(watched, frequency):
    _, path, trajectories = watched
    batches = FREQUENCIES[frequency]
    path = np.array(path[: len(path) // batches * batches])
    expected = path.reshape(-1, batches, path.shape[1]).mean(axis=1)
    found = snapshots(trajectories[frequency, True])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_snapshots_are_the_weights(watched, frequency):
    start, path, trajectories = watched
    trajectory, batches = trajectories[frequency, False], FREQUENCIES[frequency]
    expected = np.array(path[batches - 1 :: batches])
    np.testing.assert_allclose(snapshots(trajectory), expected, rtol=1e-6, atol=1e-7)
    away = np.linalg.norm(expected - start, axis=1)
    np.testing.assert_allclose(trajectory.displacements, away, rtol=1e-5)
    assert trajectory.origin_time == 0


@pytest.mark.parametrize("spe", [1, 5])
def test_long_intervals_are_sampled(spe):
    observable = Counted()
    recorder = TrajectoryRecorder(average=True, observables=observable)
    fit(model_of(steps_per_execution=spe), recorder, x=np.tile(X, (50, 1)), y=np.tile(Y, (50, 1)), epochs=2)
    assert 2 * 16 <= observable.count <= 2 * 33 + 3  # 300 batches an epoch
    assert len(recorder.trajectory) == 2


def test_mean_where_an_epoch_becomes_shorter_than_the_stride():
    model, recorder = model_of(), TrajectoryRecorder(average=True)
    fit(model, recorder, x=np.tile(X, (50, 1)), y=np.tile(Y, (50, 1)), epochs=1)
    recorder.params = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range(1, 4):  # with no word about its length
            recorder.on_epoch_begin(epoch)
            recorder.on_train_batch_end(0)
            recorder.on_epoch_end(epoch)
    assert recorder.trajectory.times.tolist() == [1, 2, 3, 4]


def test_raw_snapshots_are_looked_at_when_due_only():
    observable = Counted()
    fit(model_of(), TrajectoryRecorder(record_freq=6, observables=observable), epochs=4)
    assert observable.count <= 4 + 2  # and at the start


def test_window_keeps_the_last():
    recorder = TrajectoryRecorder(window=3, record_freq=1)
    fit(model_of(), recorder)
    assert recorder.trajectory.times.tolist() == [10, 11, 12]


def test_units():
    assert TrajectoryRecorder().unit == "epoch"
    assert TrajectoryRecorder(record_freq=np.int64(3)).unit == "batch"


def test_size_unknown_and_several_batches_an_execution():
    # TensorFlow's last hook of six batches is number 7, and nobody knows better.
    recorder = TrajectoryRecorder(record_freq=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(model_of(steps_per_execution=4), recorder, x=dataset(False), y=None, batch_size=None)
    assert np.all(np.diff(recorder.trajectory.times) > 0)
    assert len(recorder.trajectory) >= 2


def test_chosen_weights_and_a_function():
    chosen = kk.observables.TrainableWeights(layers="out")

    def norm(model):
        return {"norm": keras.ops.norm(model.trainable_variables[0].value)[None]}

    recorder = TrajectoryRecorder(observables=[chosen, norm])
    model = model_of()
    fit(model, recorder)
    assert recorder.trajectory.groups == ("out", "norm")
    expected = [*flat([v.value for v in model.get_layer("out").trainable_variables])]
    expected.append(np.linalg.norm(flat(model.trainable_variables[0].value)))
    np.testing.assert_allclose(snapshots(recorder.trajectory)[-1], expected, rtol=1e-5)


def test_a_function_of_a_frozen_model_is_recorded():
    model = model_of(lambda: keras.Input((3,)), keras.layers.BatchNormalization)
    model.trainable = False
    model.compile("sgd", "mse")
    recorder = TrajectoryRecorder(observables=lambda m: {"mean": m.non_trainable_variables[-1].value})
    model.compile("sgd", "mse")
    recorder.set_model(model)
    assert recorder.record()


def test_projection_sees_that_a_layer_was_frozen():
    model = model_of()
    recorder = TrajectoryRecorder(observables=kk.observables.RandomProjection(8))
    fit(model, recorder)
    assert recorder.trajectory.size == 8
    model.get_layer("out").trainable = False
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"starts anew: its weights have changed: '.*out/bias' is no longer"):
        fit(model, recorder, epochs=1)
    assert recorder.trajectory.times.tolist() == [1]


def test_observables_that_overwrite_each_other():
    take = kk.observables.TrainableWeights
    recorder = TrajectoryRecorder(observables=[take(include="*kernel"), take(include="*bias")])
    with pytest.raises(ValueError, match="two of them give a group 'hidden'"):
        fit(model_of(), recorder)


def test_observables_that_choose_nothing():
    recorder = TrajectoryRecorder(observables=kk.observables.TrainableWeights(layers="head"))
    with pytest.raises(ValueError, match=r"layers=\['head'\] leaves no weight"):
        fit(model_of(), recorder)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"window": 1}, ValueError, "window=1 leaves no motion"),
        ({"window": 2.5}, TypeError, "window must be a whole number"),
        ({"record_freq": 0}, ValueError, "record_freq must be at least 1, got 0"),
        ({"record_freq": "batch"}, ValueError, "record_freq must be 'epoch' or a number of batches"),
        ({"record_freq": True}, TypeError, "record_freq must be a whole number"),
        ({"observables": "kernel"}, TypeError, "observables must be a callable"),
        ({"observables": [3]}, TypeError, "observables must be a callable"),
    ],
)
def test_refuses(options, kind, message):
    with pytest.raises(kind, match=message):
        TrajectoryRecorder(**options)


def test_a_mean_leaves_out_what_is_not_finite():
    model, recorder = model_of(), TrajectoryRecorder(average=True)
    recorder.set_model(model)
    recorder.on_train_begin()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for batch, bias in enumerate([1.0, np.inf, np.nan, 5.0]):
            model.get_layer("out").bias.assign([bias])
            recorder.on_train_batch_end(batch)
        recorder.on_epoch_end(0)
    (text,) = [str(w.message) for w in caught if "Recorder" in str(w.message)]
    assert "a sample at batch 2 was left out: values must be finite" in text
    assert snapshots(recorder.trajectory)[0, -1] == pytest.approx(3.0)


def test_predict_and_evaluate_leave_it_alone():
    model, recorder = model_of(), TrajectoryRecorder(record_freq=1)
    model.evaluate(X, Y, verbose=0, callbacks=[recorder])
    model.predict(X, verbose=0, callbacks=[recorder])
    assert len(recorder.trajectory) == 0


def test_figures_reach_later_callbacks_at_each_record():
    seen = []
    recorder = TrajectoryRecorder(record_freq=3)
    recorder._after_record = lambda: {"figure": 1.0}
    fit(
        model_of(),
        recorder,
        Hook(on_train_batch_end=lambda _, i, logs: seen.append("figure" in logs)),
        epochs=1,
    )
    assert seen == [False, False, True] * 2
