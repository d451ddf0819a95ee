"""What is read from a store, and the reason for what is not."""

import numpy as np
import pytest

from keras_koopman.plotting.names import run_names
from keras_koopman.plotting.run import read_run
from keras_koopman.plotting.words import headline
from keras_koopman.trajectory.store import TrajectoryStore
from tests.plotting.stores import make_store, save_path


def test_reads_figures_and_layers(tmp_path):
    run = read_run(make_store(tmp_path / "run.zarr"))
    assert run.name == "run"
    assert run.size == 12
    assert run.metrics == ["loss", "val_loss", "accuracy"]
    np.testing.assert_array_equal(run.times, np.arange(1, 13))
    assert np.isnan(run.logs["koopman_rho"][:8]).all()
    found = run.figures
    assert (found.records, found.unit, found.rho, found.speed) == (12, "epoch", 0.9, 0.6)
    assert found.leading == pytest.approx(0.9, rel=1e-3)
    assert found.half_life == pytest.approx(-np.log(2) / np.log(0.9), rel=1e-2)
    assert [layer.name for layer in run.layers] == ["first", "second"]
    assert sum(layer.share for layer in run.layers) == pytest.approx(1)
    assert abs(run.layers[1].spectrum.eigenvalues[0]) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("records", [1, 2, 3])
def test_too_few_records(tmp_path, records):
    run = read_run(make_store(tmp_path / "run.zarr", records=records))
    assert run.spectrum is None
    assert f"needs 4 records and there {'is' if records == 1 else 'are'} {records} so far" in (
        run.figures.no_spectrum
    )
    assert headline(run.figures) == "It is too early to say how this run moves."


def test_a_figure_of_an_earlier_record_is_not_the_last_one(tmp_path):
    path = make_store(tmp_path / "run.zarr")
    store = TrajectoryStore.open(path, read_only=False)
    store.append(store.read(11), 13.0, 12, {"loss": 1.0})
    found = read_run(path).figures
    assert (found.rho, found.speed, found.monitored) == (None, None, True)


def test_without_logs(tmp_path):
    run = read_run(make_store(tmp_path / "run.zarr", logs=False))
    assert run.logs == {}
    assert not run.figures.monitored
    assert run.figures.leading == pytest.approx(0.9, rel=1e-3)  # the spectrum needs no logs


def test_weights_that_stand_still(tmp_path):
    run = read_run(save_path(tmp_path / "run.zarr", np.ones((3, 6))))
    assert run.figures.no_spectrum == "the weights stand still"
    assert headline(run.figures) == "The weights stand still."


def test_motion_that_does_not_fade_has_no_half_life(tmp_path):
    found = read_run(save_path(tmp_path / "run.zarr", 1.2 ** np.arange(8)[None])).figures
    assert found.leading == pytest.approx(1.2)
    assert found.half_life is None


def test_uneven_times_are_noted(tmp_path, recwarn):
    path = make_store(tmp_path / "run.zarr")
    store = TrajectoryStore.open(path, read_only=False)
    store.append(store.read(11), 20.0)
    assert "not evenly spaced in time (from 1 to 8)" in read_run(path).notes[0]
    assert len(recwarn) == 0


def test_half_lives_are_in_units_of_time(tmp_path):
    found = read_run(make_store(tmp_path / "run.zarr", unit="batch", step=10.0)).figures
    assert found.half_life == pytest.approx(-10 * np.log(2) / np.log(0.9), rel=1e-2)


def test_window(tmp_path):
    run = read_run(make_store(tmp_path / "run.zarr"), window=6)
    assert (run.used, len(run.times), run.figures.span) == (6, 12, 5.0)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["run.zarr"], ["run"]),
        (["a.1"], ["a.1"]),
        (["a/run.zarr", "b/run.zarr"], ["a/run", "b/run"]),
        (["run.zarr", "run.zarr"], ["run (1)", "run (2)"]),
    ],
)
def test_names_tell_runs_apart(paths, names):
    assert run_names(paths) == names
