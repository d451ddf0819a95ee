"""Saved in the middle of the ramp and loaded, training goes on as if nothing had been."""

import shutil
import warnings

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import TrajectoryRecorder
from tests.optimizers.tiny import (
    L,
    Look,
    compiled,
    exact,
    fit,
    host,
    kernels,
    masks,
    network,
    pruning,
    ramp,
    weights,
    zeros,
)

pytestmark = [
    pytest.mark.uncounted,
    pytest.mark.usefixtures("no_own_compile"),
    pytest.mark.filterwarnings("ignore:.*had too few records"),
]

INNER = {
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01, use_ema=True, gradient_accumulation_steps=2),
}
CASES = [
    ("sgd", "magnitude", "movement"),
    ("adam", "magnitude_displacement", "global"),
    ("sgd", "mode", "uniform"),
]


@pytest.mark.parametrize(("inner", "criterion", "share"), CASES)
def test_goes_on_bit_by_bit(inner, criterion, share, tmp_path):
    recorder = TrajectoryRecorder(record_freq=1, store=tmp_path / "store")
    follows = criterion == "mode"
    scores = kk.pruning.KoopmanMode(recorder) if follows else criterion
    model = compiled(pruning(INNER[inner](), ramp(0.6, 2, 18), scores, share, update_freq=4))
    fit(model, recorder)
    model.save(tmp_path / "model.keras")
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    halfway = zeros(model)
    fit(model, recorder, initial_epoch=1, epochs=2)

    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert 0 < halfway == zeros(loaded) < zeros(model)
    again = TrajectoryRecorder(record_freq=1, store=tmp_path / "copy")
    if follows:
        loaded.optimizer.criterion.recorder = again
    fit(loaded, again, initial_epoch=1, epochs=2)
    ours, theirs = ([*m.weights, *m.optimizer.variables] for m in (loaded, model))
    for new, old in zip(ours, theirs, strict=True):
        if old.name.endswith("score"):  # of a Gram matrix that was made anew from the snapshots
            np.testing.assert_allclose(host(new.value), host(old.value), rtol=1e-3, atol=1e-5)
        else:
            np.testing.assert_array_equal(host(new.value), host(old.value), err_msg=old.path)
    assert int(host(loaded.optimizer._iterations)) == 20
    assert zeros(loaded) == pytest.approx(0.6, abs=0.01)
    assert exact(loaded.optimizer)


def test_goes_on_from_a_backup(tmp_path):
    """`BackupAndRestore` keeps weights and optimizer, not the model."""

    class Broken(Exception):
        pass

    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                raise Broken

    def made():
        return compiled(pruning(keras.optimizers.SGD(0.05, momentum=0.9), ramp(0.6, 2, 18), update_freq=4))

    whole = made()
    fit(whole, epochs=2)
    backup = tmp_path / "backup"
    with pytest.raises(Broken):
        fit(made(), keras.callbacks.BackupAndRestore(backup), Break(), epochs=2)
    keras.utils.clear_session(free_memory=False)
    model = made()
    fit(model, keras.callbacks.BackupAndRestore(backup), epochs=2)
    for new, old in zip(weights(model), weights(whole), strict=True):
        np.testing.assert_array_equal(new, old)


# --- the recorder ---


def following(recorder, step=18):
    optimizer = pruning(
        "adam", kk.schedules.OneShot(0.5, step), kk.pruning.KoopmanMode(recorder), exclude="out*"
    )
    return compiled(optimizer)


class Scores(keras.callbacks.Callback):
    """Copies of the scores as each step found them."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_batch_begin(self, batch, logs=None):
        optimizer = self.model.optimizer
        self.found.append(host(optimizer.pruned.slots[0]["score"].value) if optimizer.built else None)


@pytest.mark.contract
def test_scores_are_read_and_not_compiled_into_the_step():
    recorder, scores = TrajectoryRecorder(record_freq=2), Scores()
    model = following(recorder)
    fit(model, scores, recorder, epochs=2)
    (mask,) = masks(model.optimizer)
    now, before = scores.found[17], scores.found[10]  # which step 18 reads; and an epoch earlier
    half = np.median(now)
    np.testing.assert_array_equal(mask, now > half)
    assert np.any(mask != (before > np.median(before)))
    assert int(host(model.optimizer.pruned.early)) == 0


def test_recorder_that_is_not_among_the_callbacks():
    recorder = TrajectoryRecorder(record_freq=1)
    model = following(recorder, step=5)
    with pytest.raises(ValueError, match="KoopmanMode follows a recorder that watches no model"):
        fit(model)
    fit(model, recorder)
    other = following(recorder, step=5)
    before = weights(other)
    with pytest.raises(ValueError, match=r"not among the callbacks of this fit. Pass callbacks=\[recorder\]"):
        fit(other)
    for new, old in zip(weights(other), before, strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.contract
def test_recorder_that_is_left_out_of_a_later_fit():
    """Its step is compiled by then, so nothing is asked before it; on torch nothing is compiled."""
    recorder = TrajectoryRecorder(record_freq=2)
    model = following(recorder)
    fit(model, recorder)
    if keras.backend.backend() == "torch":
        with pytest.raises(
            ValueError, match="KoopmanMode follows a recorder that is not among the callbacks"
        ):
            fit(model)
        return
    with pytest.warns(UserWarning, match="KoopmanMode follows a recorder that was not among the callbacks"):
        fit(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model)  # the ramp has ended


def test_from_config_asks_for_the_recorder_at_the_next_fit():
    recorder = TrajectoryRecorder(record_freq=1)
    schedule = kk.schedules.SpectralSparsity(recorder, 0.0, 0.5, 2, 8)
    share = kk.pruning.KoopmanForecast(recorder, horizon=3, rank=2)
    optimizer = pruning("sgd", schedule, share=share)
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert (again.share.recorder, again.schedule.recorder) == (None, None)
    model = compiled(again)
    for owner, part in [("KoopmanForecast", again.share), ("SpectralSparsity", again.schedule)]:
        with pytest.raises(
            ValueError, match=f"{owner} has no recorder: it is not saved with the model. Set its"
        ):
            fit(model, recorder)
        part.recorder = recorder
    look = Look()
    fit(model, recorder, look)
    assert look.faults == []
    assert zeros(model) == 0.5


def test_recorder_of_part_of_the_weights():
    recorder = TrajectoryRecorder(
        record_freq=1, observables=kk.observables.TrainableWeights(include="hidden*")
    )
    model = compiled(pruning("sgd", ramp(), kk.pruning.KoopmanMode(recorder)))
    with pytest.raises(
        ValueError, match=r"KoopmanMode prunes 'out/kernel', which its recorder does not watch"
    ):
        fit(model, recorder)
    model = compiled(pruning("sgd", ramp(), kk.pruning.KoopmanMode(recorder), exclude="out*"))
    fit(model, recorder)
    assert np.mean(kernels(model)[0] == 0) == 0.5


def test_recorder_of_something_else():
    recorder = TrajectoryRecorder(
        record_freq=1, observables=lambda model: {"a": model.trainable_variables[0] * 2}
    )
    model = compiled(pruning("sgd", ramp(), kk.pruning.KoopmanMode(recorder)))
    with pytest.raises(ValueError, match="needs a recorder of the weights themselves"):
        fit(model, recorder)


# --- configurations ---


@pytest.mark.parametrize("structure", [None, "2:4", pytest.param((2, 3), marks=pytest.mark.contract), "unit"])
def test_configuration_round_trip(structure):
    options = {
        "share": kk.pruning.Random(3), "include": "*kernel", "exclude": ["out*", "head*"],
        "structure": structure, "update_freq": 7, "name": "mine",
    }  # fmt: skip
    inner = keras.optimizers.AdamW(0.02, clipnorm=3.0)
    optimizer = kk.optimizers.PruningOptimizer(inner, ramp(0.5), "movement", **options)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert (again.name, again.update_freq, again.structure) == ("mine", 7, structure)
    assert isinstance(again.inner_optimizer, keras.optimizers.AdamW)
    assert again.inner_optimizer.clipnorm == 3.0
    assert repr((again.schedule, again.criterion, again.share)) == repr(
        (optimizer.schedule, optimizer.criterion, optimizer.share)
    )


@pytest.mark.parametrize("exclude", ["out/*", "net/out/*", "*out/kernel"])
def test_patterns_choose_the_same_weights_once_loaded(exclude, tmp_path):
    """Keras names the weights of a Sequential anew when it loads it."""
    model = keras.Sequential(
        [keras.Input((8,)), L.Dense(8, name="hidden"), L.Dense(4, name="out")], name="net"
    )
    compiled(pruning(exclude=exclude), model)
    model.optimizer.build_for(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    names = [[target.name for target in m.optimizer.pruned.targets] for m in (model, loaded)]
    assert names == [["net/hidden/kernel"], ["hidden/kernel"]]


def test_clone_and_weights_files_know_nothing_of_it(tmp_path):
    model = compiled(pruning("sgd", ramp()))
    fit(model)
    model.save_weights(tmp_path / "w.weights.h5")
    bare = network(seed=5)
    bare.load_weights(tmp_path / "w.weights.h5")
    for new, old in zip(weights(bare), weights(model), strict=True):
        np.testing.assert_array_equal(new, old)
