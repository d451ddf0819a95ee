import functools
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import KoopmanMonitor, TrajectoryRecorder
from keras_koopman.trajectory.store import TrajectoryStore
from tests.callbacks.tiny import Broken, Hook, fit, flat, model_of, snapshots, trainable

pytestmark = pytest.mark.uncounted
pytest.importorskip("zarr")
ROOT = Path(__file__).parents[2]
KINDS = {
    "epoch": {},
    "mean": {"average": True},
    "batches": {"record_freq": 4},
    "batches-mean": {"record_freq": 3, "average": True},
}
EPOCHS = 5


def in_order(model, *callbacks, **options):
    """`fit` with the batches in the same order in each epoch."""
    return fit(model, *callbacks, **{"shuffle": False, "epochs": EPOCHS, **options})


@functools.cache
def whole():
    """The trajectory of each kind in a run that nothing stops."""
    recorders = {kind: TrajectoryRecorder(**options) for kind, options in KINDS.items()}
    in_order(model_of(), *recorders.values())
    return {kind: recorder.trajectory for kind, recorder in recorders.items()}


def same_as_whole(path, kind, trajectory=None):
    expected = whole()[kind]
    for found in [kk.Trajectory.load(path), *([trajectory] if trajectory is not None else [])]:
        assert found.times.tolist() == expected.times.tolist()
        got, want = snapshots(found), snapshots(expected)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(
            np.sort_complex(found.increments().decompose(rank=2).eigenvalues),
            np.sort_complex(expected.increments().decompose(rank=2).eigenvalues),
            atol=1e-5 if kind.endswith("mean") else 3e-6,  # a mean is rounded when it is stored
        )


def stored_bytes(path):
    """The numbers in a store as they stand there."""
    store = TrajectoryStore.open(path)
    return [flat(store.read(i)).tobytes() for i in range(len(store.times))]


def raising(epoch, hook="on_epoch_end", batch=None):
    def call(callback, index, logs):
        if hook == "on_epoch_end" and index == epoch:
            raise Broken
        if hook == "on_train_batch_end":
            callback.seen = getattr(callback, "seen", 0) + 1
            if callback.seen == epoch * 6 + batch:
                raise Broken

    return Hook(**{hook: call})


# --- one run ---


def test_snapshot_is_there_before_the_hook_returns(tmp_path):
    counts = {kind: [] for kind in KINDS}

    def look(callback, index, logs):
        for kind, recorder in recorders.items():
            store = TrajectoryStore.open(tmp_path / f"{kind}.zarr")
            assert store.times.tolist() == recorder.trajectory.times.tolist()
            if len(store.times) > len(counts[kind]):
                counts[kind].append(index)
                if not recorder.average:
                    latest = flat(store.read(-1 + len(store.times)))
                    np.testing.assert_array_equal(latest, trainable(callback.model))

    recorders = stored(tmp_path, KINDS)
    start = trainable(model := model_of())
    in_order(model, *recorders.values(), Hook(on_train_batch_end=look, on_epoch_end=look), epochs=2)
    assert counts == {
        "epoch": [0, 1], "mean": [0, 1], "batches": [3, 1, 5], "batches-mean": [2, 5, 2, 5]
    }  # fmt: skip
    for kind in KINDS:
        values, time = TrajectoryStore.open(tmp_path / f"{kind}.zarr").origin()
        assert time == 0
        np.testing.assert_array_equal(flat(values), start)


def test_logs_and_figures_are_stored(tmp_path):
    monitor = KoopmanMonitor(store=tmp_path / "run.zarr")
    history = in_order(model_of(metrics=["mae"]), monitor, epochs=10).history
    records = TrajectoryStore.open(tmp_path / "run.zarr").records()
    assert [r.logs["mae"] for r in records] == history["mae"]
    assert [r.logs["koopman_speed"] for r in records[8:]] == history["koopman_speed"]
    assert [r.epoch for r in records] == list(range(10))


def test_store_keeps_what_leaves_the_window(tmp_path):
    recorder = TrajectoryRecorder(window=2, store=tmp_path / "run.zarr")
    in_order(model_of(), recorder)
    assert recorder.trajectory.times.tolist() == [4, 5]
    same_as_whole(tmp_path / "run.zarr", "epoch")
    again = TrajectoryRecorder(window=2, store=tmp_path / "run.zarr")
    in_order(model_of(seed=2), again, epochs=1)
    assert again.trajectory.times.tolist() == [5, 6]


def test_origin_time_is_the_first_epoch(tmp_path):
    in_order(model_of(), TrajectoryRecorder(store=tmp_path / "run.zarr"), initial_epoch=3)
    loaded = kk.Trajectory.load(tmp_path / "run.zarr")
    assert (loaded.origin_time, loaded.times.tolist()) == (3, [4, 5])


def test_loop_of_ones_own_resumes(tmp_path):
    for run in 1, 2:
        recorder = TrajectoryRecorder(record_freq=2, store=tmp_path / "run.zarr")
        recorder.set_model(model_of(seed=run))
        recorder.on_train_begin()
        for batch in range(6):
            recorder.on_train_batch_end(batch)
    assert recorder.trajectory.times.tolist() == [2, 4, 6, 8, 10, 12]
    assert kk.Trajectory.load(tmp_path / "run.zarr").times.tolist() == [2, 4, 6, 8, 10, 12]


# --- several runs on one store ---


def test_a_second_run_goes_on(tmp_path):
    model = model_of()
    in_order(model, *stored(tmp_path, KINDS).values(), epochs=3)
    second = stored(tmp_path, KINDS)
    in_order(model, *second.values(), epochs=2)  # which counts its epochs from 0
    all_as_whole(tmp_path, second)


def test_a_run_from_the_same_start_replaces_the_old_one(tmp_path):
    for epochs in 5, 3:
        recorder = TrajectoryRecorder(store=tmp_path / "run.zarr")
        in_order(model_of(), recorder, epochs=epochs)
    assert recorder.trajectory.times.tolist() == [1, 2, 3]
    assert len(kk.Trajectory.load(tmp_path / "run.zarr")) == 3


def test_other_model_is_refused(tmp_path):
    in_order(model_of(), TrajectoryRecorder(store=tmp_path / "run.zarr"), epochs=1)
    other = model_of(
        lambda: keras.Input((3,)),
        lambda: keras.layers.Dense(5, name="hidden"),
        lambda: keras.layers.Dense(1, name="out"),
    )
    before = stored_bytes(tmp_path / "run.zarr")
    with pytest.raises(
        ValueError,
        match=r"store='.*run.zarr' holds another model's .*hidden/kernel has shape \(3, 5\), not \(3, 2\)",
    ):
        in_order(other, TrajectoryRecorder(store=tmp_path / "run.zarr"))
    assert stored_bytes(tmp_path / "run.zarr") == before


def test_other_unit_is_refused(tmp_path):
    in_order(model_of(), TrajectoryRecorder(store=tmp_path / "run.zarr"), epochs=1)
    with pytest.raises(ValueError, match=r"one snapshot per epoch, this recorder one per batch.*record_freq"):
        in_order(model_of(), TrajectoryRecorder(record_freq=2, store=tmp_path / "run.zarr"))


def test_other_model_in_a_second_fit_is_not_stored(tmp_path):
    recorder = TrajectoryRecorder(store=tmp_path / "run.zarr")
    in_order(model_of(), recorder, epochs=2)
    with pytest.warns(UserWarning, match="keeps the old trajectory; the new one is not stored"):
        in_order(model_of(), recorder, epochs=3)
    assert recorder.trajectory.times.tolist() == [1, 2, 3]
    assert kk.Trajectory.load(tmp_path / "run.zarr").times.tolist() == [1, 2]


# --- disks that refuse ---


@pytest.mark.parametrize("store", ["file/run.zarr", "file"])
def test_store_that_cannot_be_made(store, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((OSError, ValueError), match=r"(store|path)='.*file") as caught:
        in_order(model_of(), TrajectoryRecorder(store=tmp_path / store))
    if store == "file/run.zarr":
        assert isinstance(caught.value, OSError)
        assert "store=" in str(caught.value)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("where", ["append", "mark_epoch"])
def test_disk_that_fills_up(where, tmp_path, monkeypatch):
    recorder = TrajectoryRecorder(store=tmp_path / "run.zarr", record_freq=3)
    write, calls = getattr(TrajectoryStore, where), []

    def full(self, *args, **kwargs):
        calls.append(1)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        write(self, *args, **kwargs)

    monkeypatch.setattr(TrajectoryStore, where, full)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = model_of()
        history = in_order(model, recorder)
    (text,) = [str(w.message) for w in caught if "TrajectoryRecorder" in str(w.message)]
    assert "run.zarr' is given up, the training goes on: [Errno 28] No space left" in text
    assert len(history.epoch) == EPOCHS
    assert len(calls) == 3
    assert len(recorder.trajectory) == 10
    assert len(kk.Trajectory.load(tmp_path / "run.zarr")) == (2 if where == "append" else 6)
    with pytest.warns(UserWarning, match="starts anew"):  # and the store is not looked at again
        in_order(model_of(), recorder, epochs=1)


# Runs that end otherwise than a test can. One process imports everything and is then forked for each of
# them, in a folder that is named after it: to import takes longer than all the rest.
PROCESSES = """
import os, resource, signal, sys, traceback
import keras
from tests.callbacks.tiny import *
from keras_koopman.callbacks import TrajectoryRecorder

def full(folder):
    def small(callback, epoch, logs):
        if epoch == 2:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))
    recorder = TrajectoryRecorder(store=folder + "/run.zarr")
    history = fit(model_of(jit_compile=False), Hook(on_epoch_begin=small), recorder, epochs=5)
    print("epochs", len(history.epoch), "records", len(recorder.trajectory), flush=True)

def killed(folder, kill_at):
    seen = []
    def kill(callback, batch, logs):
        seen.append(batch)
        if len(seen) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    recorder = TrajectoryRecorder(store=folder + "/run.zarr")
    backup = keras.callbacks.BackupAndRestore(folder + "/backup")
    model = model_of(jit_compile=False)
    fit(model, recorder, backup, Hook(on_train_batch_end=kill), epochs=5, shuffle=False)

os.chdir(sys.argv[1])
for folder, run in [("full", full), *[(k, lambda f: killed(f, int(f))) for k in sys.argv[2:]]]:
    child = os.fork()
    if child:
        print("exit", folder, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    try:
        run(folder)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)
"""
KILLED_AT = [3, 21]


@pytest.fixture(scope="module")
def processes(once):
    """The folder of all of them, and what they printed."""

    def fill(folder):
        done = subprocess.run(
            [sys.executable, "-c", PROCESSES, folder, *map(str, KILLED_AT)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        (folder / "printed").write_text(done.stdout)
        (folder / "said").write_text(done.stderr)

    folder = once("processes", fill)
    return folder, (folder / "printed").read_text(), (folder / "said").read_text()


def test_disk_that_is_really_full(processes):
    folder, printed, said = processes
    assert "exit full 0\n" in printed, said[-2000:]
    assert "epochs 5 records 5" in printed
    assert said.count("is given up, the training goes on") == 1
    store = folder / "full" / "run.zarr"
    assert kk.Trajectory.load(store).times.tolist() == [1, 2]
    again = TrajectoryRecorder(store=store)  # there is room again
    in_order(model_of(seed=3), again, epochs=1)
    assert again.trajectory.times.tolist() == [1, 2, 3]


# --- runs that break off, with a backup ---


def test_keras_resumes_to_the_bit(tmp_path):
    """What the tests below stand on."""
    once, twice = model_of(), model_of()
    in_order(once)
    backup = functools.partial(keras.callbacks.BackupAndRestore, tmp_path / "backup")
    with pytest.raises(Broken):
        in_order(twice, backup(), raising(2))
    twice = model_of(seed=7)
    in_order(twice, backup())
    np.testing.assert_array_equal(trainable(once), trainable(twice))


ORDERS = {
    # a fit raises in epoch 2 between, before or after these, which are called in this order
    "after-both": ["recorder", "backup", "raise"],
    "after-recorder": ["recorder", "raise", "backup"],
    "before-both": ["raise", "recorder", "backup"],
    "backup-first": ["backup", "recorder", "raise"],
    "backup-then-raise": ["backup", "raise", "recorder"],
}


def stored(tmp_path, kinds):
    """A recorder of each kind, with a store of its own."""
    return {kind: TrajectoryRecorder(store=tmp_path / f"{kind}.zarr", **KINDS[kind]) for kind in kinds}


def broken_and_resumed(tmp_path, kinds, order, stop, same_recorders=False):
    """A run that `stop` breaks off, and a second one that goes on from its backup; its recorders by kind."""
    recorders = stored(tmp_path, kinds)
    for run in 1, 2:
        recorders = recorders if run == 1 or same_recorders else stored(tmp_path, kinds)
        parts = {
            "recorder": recorders.values(),
            "backup": [keras.callbacks.BackupAndRestore(tmp_path / "backup")],
            "raise": [stop if run == 1 else Hook()],
        }
        if run == 1 or not same_recorders:
            model = model_of()
        callbacks = [callback for name in order for callback in parts[name]]
        if run == 1:
            with pytest.raises(Broken):
                in_order(model, *callbacks)
        else:
            in_order(model, *callbacks)
    return recorders


def all_as_whole(tmp_path, recorders):
    for kind, recorder in recorders.items():
        same_as_whole(tmp_path / f"{kind}.zarr", kind, recorder.trajectory)


@pytest.mark.parametrize("order", ORDERS)
def test_broken_off_between_hooks(tmp_path, order):
    kinds = [kind for kind in KINDS if (kind, order) != ("mean", "backup-then-raise")]  # which follows
    all_as_whole(tmp_path, broken_and_resumed(tmp_path, kinds, ORDERS[order], raising(2)))


def test_mean_that_is_lost_is_told(tmp_path):
    with pytest.warns(UserWarning, match="the mean of epoch 2 was not stored.*before BackupAndRestore"):
        recorders = broken_and_resumed(tmp_path, ["mean"], ORDERS["backup-then-raise"], raising(2))
    assert recorders["mean"].trajectory.times.tolist() == [1, 2, 4, 5]


@pytest.mark.parametrize("epoch", [0, 3])
def test_broken_off_within_an_epoch(tmp_path, epoch):
    stop = raising(epoch, "on_train_batch_end", batch=5)
    all_as_whole(tmp_path, broken_and_resumed(tmp_path, KINDS, ORDERS["after-both"], stop))


def test_stored_snapshots_are_equal_to_the_bit(tmp_path):
    in_order(model_of(), TrajectoryRecorder(store=tmp_path / "whole.zarr"))
    broken_and_resumed(tmp_path, ["epoch"], ORDERS["after-recorder"], raising(2))
    assert stored_bytes(tmp_path / "epoch.zarr") == stored_bytes(tmp_path / "whole.zarr")


@pytest.mark.parametrize("done", [False, True])  # with all epochs in the backup nothing is left to run
def test_second_fit_of_a_run_is_broken_off(tmp_path, done):
    """What an earlier fit recorded stays, though its epochs bear the same numbers."""
    make = functools.partial(TrajectoryRecorder, store=tmp_path / "run.zarr")
    backup = functools.partial(keras.callbacks.BackupAndRestore, tmp_path / "backup")
    model, recorder = model_of(), make()
    in_order(model, recorder, epochs=2)
    model.save_weights(tmp_path / "first.weights.h5")
    with pytest.raises(Broken):
        in_order(model, recorder, *([backup(), raising(2)] if done else [raising(1), backup()]), epochs=3)
    resumed = make()
    model = model_of()
    model.load_weights(tmp_path / "first.weights.h5")
    in_order(model, resumed, backup(), epochs=3)
    same_as_whole(tmp_path / "run.zarr", "epoch", resumed.trajectory)


def test_the_same_recorder_after_a_broken_fit(tmp_path):
    """As in a notebook, where recorder and model are at hand still."""
    order = ORDERS["after-recorder"]
    all_as_whole(tmp_path, broken_and_resumed(tmp_path, KINDS, order, raising(2), same_recorders=True))


@pytest.mark.parametrize("kill_at", KILLED_AT)
def test_killed(processes, kill_at):
    folder, printed, said = processes
    assert f"exit {kill_at} {-signal.SIGKILL}\n" in printed, said[-2000:]
    store = folder / str(kill_at) / "run.zarr"
    assert TrajectoryStore.open(store).times.tolist() == list(range(1, kill_at // 6 + 1))
    recorder = TrajectoryRecorder(store=store)
    backup = keras.callbacks.BackupAndRestore(folder / str(kill_at) / "backup")
    in_order(model_of(), recorder, backup)
    same_as_whole(store, "epoch", recorder.trajectory)
