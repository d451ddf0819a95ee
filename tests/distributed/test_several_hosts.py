"""Two processes on 127.0.0.1, each with two devices, and kernels divided between them."""

import json
import shutil

import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.trajectory.store import TrajectoryStore
from tests.distributed.test_one_host import check_stays, check_training, close

pytest.importorskip("zarr")
pytestmark = pytest.mark.uncounted


@pytest.fixture
def folder(hosts):
    return hosts[0]


@pytest.fixture
def seen(hosts):
    return hosts[1]


@pytest.fixture
def copy(folder, tmp_path):
    """A store to spoil."""
    return shutil.copytree(folder / "saved.zarr", tmp_path / "copy.zarr")


def test_processes_see_the_same(seen):
    assert seen[0]["training"] == seen[1]["training"]
    assert seen[0]["eigenvalues"] == seen[1]["eigenvalues"]


def test_training(seen):
    check_training(seen[0]["training"])
    check_stays(seen[0]["training"], 4)


def test_one_process_alone_can_ask(seen):
    count = len(seen[0]["training"]["times"])
    assert seen[0]["alone"]["gram"] == [count, count]
    assert seen[0]["alone"]["eigenvalues"] == seen[1]["eigenvalues"]


def test_each_process_gets_its_own_part_of_a_mode(seen):
    for s in seen:
        assert "model" in s["mode"]["spec"]
        assert s["mode"]["held"] == [16, 16]


def test_gram_matrix_is_that_of_one_device(folder, seen):
    loaded = kk.Trajectory.load(folder / "run.zarr")
    count = len(seen[0]["training"]["times"])
    assert close(seen[0]["training"]["gram"], loaded.gram[:count, :count])
    assert close(seen[0]["training"]["gram of out"], loaded.gram_of("out")[:count, :count])


def test_what_is_saved_is_what_was_recorded(folder):
    saved, run = kk.Trajectory.load(folder / "saved.zarr"), kk.Trajectory.load(folder / "run.zarr")
    assert saved.times.tolist() == run.times[: len(saved)].tolist()
    assert close(saved.gram, run.gram[: len(saved), : len(saved)])


def test_run_goes_on_from_its_store(folder, seen):
    loaded = kk.Trajectory.load(folder / "run.zarr")
    count = len(seen[0]["training"]["times"]) + 2
    for s in seen:
        assert s["resumed"]["times"] == loaded.times.tolist() == list(range(1, count + 1))
        assert close(s["resumed"]["gram"], loaded.gram)
        assert set(s["resumed"]["share"]) == {1 / 4}
    epochs = [record.epoch for record in TrajectoryStore.open(folder / "run.zarr").records()]
    assert epochs == list(range(count))


def test_each_process_writes_its_own_part(folder):
    plain = json.loads((folder / "saved.zarr" / "zarr.json").read_text())["attributes"]
    assert plain["version"] == 2
    sizes = [sum(np.prod([j - i for i, j in box]) for _, *box in pieces) for pieces in plain["writers"]]
    assert sum(sizes) == 16 * 32 + 32 + 32 * 8 + 8
    assert min(sizes) > 0.3 * sum(sizes)
    for number, size in enumerate(sizes):
        assert (
            folder / "saved.zarr" / "snapshots" / str(number) / "c" / "0" / "0"
        ).stat().st_size == 4 * size + 4


def test_disk_that_refuses_in_one_process(folder, seen):
    """All give the store up, the training goes on, and what was finished can be read."""
    for s in seen:
        assert s["broken"]["times"] == [1, 2, 3, 4]
        assert len(s["broken"]["warnings"]) == 1
    assert "process 1 could not do the same" in seen[0]["broken"]["warnings"][0]
    assert "no space left" in seen[1]["broken"]["warnings"][0]
    assert kk.Trajectory.load(folder / "broken.zarr").times.tolist() == [1]


def test_mistake_is_told_in_all_processes(seen):
    assert all("exists already" in s["exists"] for s in seen)


def test_nothing_unfinished_is_left(folder):
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        "run.zarr",
        "saved.zarr",
        "broken.zarr",
    }


# --- stores of several, spoilt ---


def test_snapshot_that_one_process_did_not_write(copy):
    shutil.rmtree(copy / "snapshots" / "1" / "c" / "2")
    with pytest.raises(ValueError, match=r"snapshot 2 is broken.*snapshots/1/c/2/0 is missing"):
        kk.Trajectory.load(copy)


def test_flipped_byte(copy):
    chunk = copy / "snapshots" / "1" / "c" / "1" / "0"
    chunk.write_bytes(bytes([chunk.read_bytes()[0] ^ 1]) + chunk.read_bytes()[1:])
    with pytest.raises(ValueError, match=r"snapshot 1 is broken"):
        kk.Trajectory.load(copy)


def spoil(path, change):
    file = path / "zarr.json"
    plain = json.loads(file.read_text())
    change(plain["attributes"]["writers"])
    file.write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w[0][0].__setitem__(0, 99), "lies outside of its tensor"),
        (lambda w: w[0][0].__setitem__(0, -1), "lies outside of its tensor"),
        (lambda w: w[0][0].__setitem__(1, [0, 10**12]), "lies outside of its tensor"),
        (lambda w: w[0].pop(), "do not make up a snapshot"),
        (lambda w: w.clear(), "do not make up a snapshot"),
        (lambda w: w.__setitem__(0, "abc"), "cannot be read"),
    ],
)
def test_pieces_that_cannot_be(copy, change, told):
    spoil(copy, change)
    with pytest.raises(ValueError, match=told):
        kk.Trajectory.load(copy)


def test_pieces_that_overlap(copy):
    """As many numbers as there should be, but some of them twice and others never."""

    def shift(writers):
        kernels = [next(p for p in pieces if len(p) == 3 and p[2][1] - p[2][0] == 16) for pieces in writers]
        kernels[1][2] = kernels[0][2]

    spoil(copy, shift)
    with pytest.raises(ValueError, match="its pieces do not cover it"):
        kk.Trajectory.load(copy)


def test_one_process_can_go_on_with_a_store_of_several(copy):
    store = TrajectoryStore.open(copy, read_only=False)
    count, first = len(store.times), store.read(0)
    store.append(first, 100.0)
    again = TrajectoryStore.open(copy)
    assert again.times[-1] == 100
    for a, b in zip(again.layout.tensors(again.read(count)), again.layout.tensors(first), strict=True):
        np.testing.assert_array_equal(a, b)
    store.take_back(2)
    assert len(kk.Trajectory.load(copy)) == 2
