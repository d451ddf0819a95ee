"""A trajectory kept on the host or on the disk is the one on the device."""

import gc

import numpy as np
import pytest
from keras import ops

import keras_koopman as kk
from keras_koopman.trajectory import offload

pytestmark = pytest.mark.contract


def path(count, seed=0, dtype="float32"):
    """Snapshots of two groups, far from zero."""
    rng = np.random.default_rng(seed)
    at = {"a": rng.normal(size=(40, 20)) + 5, "b": rng.normal(size=7)}
    for _ in range(count):
        at = {name: 0.9 * part + 0.1 * rng.normal(size=part.shape) for name, part in at.items()}
        yield {name: part.astype(dtype) for name, part in at.items()}


@pytest.fixture(params=["host", "disk"])
def keep(request, tmp_path, monkeypatch):
    """Where to keep snapshots; slices are so short that each group takes several."""
    monkeypatch.setattr(offload, "SLICE", 100)
    return "host" if request.param == "host" else tmp_path


@pytest.mark.parametrize(("count", "dtype"), [(1, "float64"), (5, "float32"), (20, "float64")])
def test_agrees_with_the_device(keep, count, dtype):
    here, there = kk.Trajectory(8), kk.Trajectory(8, keep=keep)
    origin = next(path(1, seed=1, dtype=dtype))
    for trajectory in (here, there):
        trajectory.set_origin(origin)
        for snapshot in path(count, dtype=dtype):
            trajectory.append(snapshot)
    np.testing.assert_array_equal(there.times, here.times)
    size = np.abs(here.gram).max()
    for group in ("a", "b"):
        np.testing.assert_allclose(there.gram_of(group), here.gram_of(group), atol=1e-7 * size)
    np.testing.assert_allclose(there.displacements, here.displacements, rtol=1e-6)
    coefficients = np.linspace(-1, 1, len(here))
    for name, part in there.combine(coefficients).items():
        theirs = ops.convert_to_numpy(here.combine(coefficients)[name])
        np.testing.assert_allclose(ops.convert_to_numpy(part), theirs, atol=1e-5)
    last = list(path(count, dtype=dtype))[-1]
    for name, part in there.latest().items():
        np.testing.assert_allclose(ops.convert_to_numpy(part), last[name], atol=1e-6)
    if count > 2:
        for center in (False, True):
            found = there.decompose(rank=2, center=center).eigenvalues
            np.testing.assert_allclose(found, here.decompose(rank=2, center=center).eigenvalues, atol=1e-5)
        found = there.increments().decompose(rank=1)
        np.testing.assert_allclose(
            found.eigenvalues, here.increments().decompose(rank=1).eigenvalues, atol=1e-4
        )


def test_means(keep):
    here, there = kk.Trajectory(4), kk.Trajectory(4, keep=keep)
    for trajectory in (here, there):
        for number, snapshot in enumerate(path(9)):
            trajectory.accumulate(snapshot)
            if number % 3 == 2:
                trajectory.append_mean()
    np.testing.assert_allclose(there.gram, here.gram, rtol=1e-5)


def test_saved_and_loaded(keep, tmp_path):
    pytest.importorskip("zarr")
    trajectory = kk.Trajectory(4, keep=keep)
    for snapshot in path(6):
        trajectory.append(snapshot)
    trajectory.save(tmp_path / "run.zarr")
    loaded = kk.Trajectory.load(tmp_path / "run.zarr")
    np.testing.assert_allclose(loaded.gram, trajectory.gram, rtol=1e-5)


def test_scratch_files_go_with_the_trajectory(tmp_path):
    trajectory = kk.Trajectory(3, keep=tmp_path)
    for snapshot in path(10):
        trajectory.append(snapshot)
    assert len(list(tmp_path.glob(".window-*/*.row"))) == 3
    del trajectory
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        kk.Trajectory(4, keep=tmp_path / "nowhere")
    with pytest.raises(TypeError, match="keep must be"):
        kk.Trajectory(4, keep=3)
