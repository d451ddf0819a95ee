"""A recorder under a limit of memory keeps the window where there is room, and says so."""

import warnings

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import recorder as module
from keras_koopman.trajectory import offload

pytestmark = pytest.mark.contract
WEIGHTS = 300 * 40 + 40


def trained(limit, store=None, observables=None, make=kk.callbacks.TrajectoryRecorder, epochs=5, window=4):
    """A recorder after a training, and what it warned of."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(40, name="dense")])
    model.compile("sgd", "mse")
    recorder = make(window=window, memory_limit=limit, store=store, observables=observables)
    x = np.random.default_rng(0).normal(size=(16, 300)).astype("float32")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(x, x[:, :40], epochs=epochs, verbose=0, callbacks=[recorder])
    texts = [str(w.message) for w in said]
    return recorder, model, [text for text in texts if "memory_limit" in text or "no snapshot" in text]


@pytest.fixture(scope="module")
def whole():
    return trained(None)[0].trajectory


def test_room_enough(whole):
    recorder, _, said = trained("10MB")
    assert not said
    np.testing.assert_array_equal(recorder.trajectory.gram, whole.gram)


def test_spills_beside_the_store(tmp_path, whole, monkeypatch):
    pytest.importorskip("zarr")
    monkeypatch.setattr(module, "has_own_memory", lambda: False)
    recorder, model, said = trained(4 * 4 * WEIGHTS, store=tmp_path / "new" / "run.zarr")
    assert len(said) == 1
    assert "scratch files beside the store" in said[0]
    np.testing.assert_allclose(recorder.trajectory.gram, whole.gram, rtol=1e-6)
    assert len(list(tmp_path.glob("new/.window-*/*.row"))) == 4
    kernel = keras.ops.convert_to_numpy(recorder.trajectory.latest()["dense"]["kernel"])
    np.testing.assert_allclose(kernel, model.layers[0].get_weights()[0], atol=1e-6)
    # It is resumed like any other.
    again, _, _ = trained(4 * 4 * WEIGHTS, store=tmp_path / "new" / "run.zarr", epochs=2)
    assert len(again.trajectory) == 2


def test_host_memory_beside_a_device_of_its_own(monkeypatch, whole):
    monkeypatch.setattr(module, "has_own_memory", lambda: True)
    recorder, _, said = trained(4 * 4 * WEIGHTS)
    assert "the host's memory" in said[0]
    np.testing.assert_allclose(recorder.trajectory.gram, whole.gram, rtol=1e-6)


def test_projects_where_nothing_else_fits():
    recorder, _, said = trained(40_000)
    assert "random projection to" in said[0]
    assert recorder.trajectory.groups == ("projection",)
    assert recorder.trajectory.size < WEIGHTS / 4


def test_the_monitor_too():
    monitor, _, said = trained(40_000, make=kk.callbacks.KoopmanMonitor)
    assert said
    assert monitor.trajectory.groups == ("projection",)


def test_too_little():
    with pytest.raises(ValueError, match="memory_limit=1 kB is too little"):
        trained("1kB")
    with pytest.raises(ValueError, match="cannot be projected"):
        trained(40_000, observables=lambda model: {"all": [w.value for w in model.trainable_weights]})
    with pytest.raises(ValueError, match="memory_limit must be"):
        kk.callbacks.TrajectoryRecorder(memory_limit="lots")


def test_disk_that_is_full_for_a_while(tmp_path, monkeypatch):
    """Snapshots are missing, and told once; the training and the window go on."""
    pytest.importorskip("zarr")
    monkeypatch.setattr(module, "has_own_memory", lambda: False)
    whole, count = offload.FileRows.append, iter(range(99))

    def append(rows, row):
        if next(count) in (4, 5):
            raise OSError("No space left on device")
        whole(rows, row)

    monkeypatch.setattr(offload.FileRows, "append", append)
    recorder, _, said = trained(4 * 4 * WEIGHTS, store=tmp_path / "run.zarr", epochs=9)
    assert "no snapshot at epoch 5: No space left on device" in said[1]
    assert len(said) == 2
    assert recorder.trajectory.times.tolist() == [4, 7, 8, 9]
    assert recorder.trajectory.gram.shape == (4, 4)
    whole_run, _, _ = trained(None, epochs=9, window=6)
    kept = [0, 3, 4, 5]
    expected = whole_run.trajectory.gram[np.ix_(kept, kept)]
    np.testing.assert_allclose(recorder.trajectory.gram, expected, rtol=1e-5)
