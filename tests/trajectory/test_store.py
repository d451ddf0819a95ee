import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_koopman as kk
from keras_koopman.trajectory.layout import Layout
from keras_koopman.trajectory.store import TrajectoryStore

pytest.importorskip("zarr")

ODD = "ünï \n\"'\\"
FORMS = {
    "array": lambda x: x,
    "matrix": lambda x: x.reshape(2, 3),
    "scalar": lambda x: x[0],
    "list": lambda x: [x[:2], x[2:].reshape(2, 2)],
    "dict": lambda x: {"a": x[:2], "b": x[2:].reshape(4, 1)},
    "dict of dicts": lambda x: {"a": {"k": x[:2], "b": x[2]}, "c": {"k": x[3:]}},
    "dict of lists": lambda x: {"a": [x[:2], x[2:3]], "b": [x[3:]]},
    "dict of variables": lambda x: {"a": [keras.Variable(x[:3], name="k"), keras.Variable(x[3:], name="k")]},
    "odd names": lambda x: {"a/b": x[:1], "../..": {ODD: x[1:3], "": x[3:4]}, "": x[4:], "\0": x[:0]},
}


def row(i, dtype="float32"):
    """Snapshot `i`."""
    return (np.arange(6) + 10 * i).astype(dtype)


def host(tensor):
    return np.asarray(ops.convert_to_numpy(tensor), np.float64)


def recorded(count=5, form=lambda x: x, window=64, dtype="float32"):
    trajectory = kk.Trajectory(window)
    trajectory.set_origin(form(row(0, dtype)), time=0.5)
    for i in range(1, count + 1):
        trajectory.append(form(row(i, dtype)), time=2.0 * i)
    return trajectory


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.zarr"


@pytest.fixture
def saved(path):
    """A store with five snapshots at times 2, 4, ..., 10."""
    recorded().save(path)
    return path


def opened(path, count=0):
    """A new store to append to, with some snapshots at times 1, 2, ..."""
    store = TrajectoryStore.create(path, Layout.of(row(0)), "epoch", row(0), 0.0)
    for i in range(1, count + 1):
        store.append(row(i), float(i), epoch=i - 1, logs={"loss": 1 / i})
    return store


def check(path, count):
    """The store holds the first `count` snapshots, whole, and goes on."""
    store = TrajectoryStore.open(path, read_only=False)
    assert store.times.tolist() == list(range(1, count + 1))
    for i in range(count):
        np.testing.assert_array_equal(store.read(i), row(i + 1))
    assert [r.epoch for r in store.records()] == list(range(count))
    store.append(row(count + 1), count + 1.0, epoch=count)
    np.testing.assert_array_equal(TrajectoryStore.open(path).read(count), row(count + 1))
    assert len(kk.Trajectory.load(path)) == count + 1


def edit(file, change):
    plain = json.loads(file.read_text())
    change(plain)
    file.write_text(json.dumps(plain))


# Round trips.


ON_EVERY_ENGINE = {"matrix", "dict of dicts", "dict of variables"}


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[pytest.mark.contract] * (form in ON_EVERY_ENGINE)) for form in FORMS]
)
def test_save_and_load(form, path):
    before = recorded(form=FORMS[form])
    before.save(path)
    after = kk.Trajectory.load(path)
    assert after.groups == before.groups
    assert after.times.tolist() == [2, 4, 6, 8, 10]
    assert after.origin_time == 0.5
    np.testing.assert_array_equal(after.gram, before.gram)
    np.testing.assert_allclose(after.displacements, before.displacements)
    for name in after.groups:
        np.testing.assert_array_equal(after.gram_of(name), before.gram_of(name))
    keras.tree.assert_same_structure(after.latest(), before.latest())
    for a, b in zip(keras.tree.flatten(after.latest()), keras.tree.flatten(before.latest()), strict=True):
        np.testing.assert_array_equal(host(a), host(b))


@pytest.mark.contract
def test_float64_keeps_its_digits(path):
    before = kk.Trajectory()
    for i in range(4):
        before.append(1 + 1e-12 * row(i, "float64"))
    before.save(path)
    after = kk.Trajectory.load(path)
    np.testing.assert_array_equal(host(after.latest()), 1 + 1e-12 * row(3, "float64"))
    np.testing.assert_allclose(after.increments().gram, before.increments().gram, rtol=1e-3)


def test_a_full_window_is_saved_and_goes_on(path):
    before = recorded(9, window=4)
    before.save(path)
    after = kk.Trajectory.load(path, window=5)
    assert after.times.tolist() == [12, 14, 16, 18]
    np.testing.assert_array_equal(after.gram, before.gram)
    np.testing.assert_allclose(after.displacements, before.displacements, rtol=1e-6)
    after.append(row(10))
    assert after.times.tolist() == [12, 14, 16, 18, 19]
    assert after.gram[-1, -1] == np.sum(row(10, "float64") ** 2)


@pytest.mark.parametrize(
    ("window", "times"), [(None, [2, 4, 6, 8, 10]), (2, [8, 10]), (50, [2, 4, 6, 8, 10])]
)
def test_window_of_what_is_loaded(saved, window, times):
    found = kk.Trajectory.load(saved, window=window)
    assert found.times.tolist() == times
    assert found.window == (window or 5)
    np.testing.assert_allclose(found.displacements, np.array(times) * 5 * 6**0.5)


def test_one_snapshot(path):
    recorded(1).save(path)
    assert kk.Trajectory.load(path).times.tolist() == [2]


@pytest.mark.parametrize("name", ["a b", "ü.zarr", "a#b?c%20d", "run.zip", "new/folder/run", "file:x"])
def test_names_of_folders(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for path in (name, str(tmp_path / "absolute" / name)):
        recorded().save(path)
        assert len(kk.Trajectory.load(path)) == 5
        assert (Path(path) / "zarr.json").is_file()
        assert [f.name for f in Path(path).parent.iterdir() if f.name.endswith("partial")] == []


def test_refuses_to_overwrite(saved, tmp_path):
    with pytest.raises(FileExistsError, match=r"exists already. Remove it or give another name"):
        recorded().save(saved)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        recorded().save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_nothing_to_save(path):
    with pytest.raises(ValueError, match="no snapshot to save"):
        kk.Trajectory().save(path)
    assert not path.exists()


# What is no store, or no longer.


def no_folder(path):
    shutil.rmtree(path)


def a_file(path):
    shutil.rmtree(path)
    path.write_text("no folder")


def empty_folder(path):
    shutil.rmtree(path)
    path.mkdir()


def newer(path):
    edit(path / "zarr.json", lambda d: d["attributes"].update(version=3))


def foreign(path):
    edit(path / "zarr.json", lambda d: d["attributes"].update(format="another"))


def torn_description(path):
    whole = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(whole[: len(whole) // 2])


def no_layout(path):
    edit(path / "zarr.json", lambda d: d["attributes"].pop("layout"))


def other_layout(path):
    edit(path / "zarr.json", lambda d: d["attributes"]["layout"]["groups"][0]["parts"][0].update(shape=[7]))


def no_snapshots(path):
    shutil.rmtree(path / "snapshots")


def no_time(path):
    (path / "times/c/2").unlink()


def broken_time(path):
    flip(path / "times/c/2")


def no_origin(path):
    (path / "origin/c/0").unlink()


def broken_origin(path):
    flip(path / "origin/c/0")


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (no_folder, FileNotFoundError, "there is no such store. Record one with store="),
        (a_file, ValueError, "is damaged: it is no zarr group"),
        (empty_folder, ValueError, "is damaged: it is no zarr group"),
        (torn_description, ValueError, "is damaged: it is no zarr group"),
        (newer, ValueError, "format version 3; this keras_koopman reads versions 1 and 2. Update"),
        (foreign, ValueError, "is no trajectory of keras_koopman"),
        (no_layout, ValueError, "damaged: its description cannot be read"),
        (other_layout, ValueError, "6 numbers, the layout 7"),
        (no_snapshots, ValueError, "damaged: its description cannot be read"),
        (no_time, ValueError, "damaged.*times/c/2 is missing"),
        (broken_time, ValueError, "damaged.*checksum"),
        (no_origin, ValueError, "damaged: origin is broken.*origin/c/0 is missing"),
        (broken_origin, ValueError, "damaged: origin is broken.*checksum"),
    ],
)
def test_refuses_to_load(saved, harm, error, message):
    harm(saved)
    with pytest.raises(error, match=f"(?si)path=.*run.zarr.*{message}"):
        kk.Trajectory.load(saved)


def test_an_empty_store(path):
    opened(path)
    with pytest.raises(ValueError, match=r"no finished snapshot yet. Record at least one"):
        kk.Trajectory.load(path)


def test_a_window_of_one_is_refused(saved):
    with pytest.raises(ValueError, match="window=1 leaves no motion"):
        kk.Trajectory.load(saved, window=1)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (Path.unlink, "missing or cut off"),
        (lambda file: file.write_bytes(file.read_bytes()[:5]), "missing or cut off"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "ValueError"),
        (flip, "checksum"),
    ],
)
def test_a_broken_snapshot_is_named_and_those_after_it_load(saved, harm, why):
    harm(saved / "snapshots/c/2/0")
    with pytest.raises(ValueError, match=f"{why}.*Restore") as caught:
        kk.Trajectory.load(saved)
    assert "snapshot 2 is broken; Trajectory.load(path, window=2) reads those after it" in str(caught.value)
    assert kk.Trajectory.load(saved, window=2).times.tolist() == [8, 10]
    assert TrajectoryStore.open(saved).times.tolist() == [2, 4, 6, 8, 10]


def test_declared_sizes_take_no_memory(saved):
    kk.Trajectory.load(saved)
    huge = 10**13
    edit(saved / "times/zarr.json", lambda d: d.update(shape=[huge]))
    edit(saved / "snapshots/zarr.json", lambda d: d.update(shape=[huge, 6]))
    tracemalloc.start()
    assert len(kk.Trajectory.load(saved)) == 5
    edit(saved / "snapshots/zarr.json", lambda d: d.update(shape=[5, huge]))
    edit(saved / "origin/zarr.json", lambda d: d.update(shape=[huge]))
    edit(
        saved / "zarr.json", lambda d: d["attributes"]["layout"]["groups"][0]["parts"][0].update(shape=[huge])
    )
    with pytest.raises(ValueError, match="cut off"):
        kk.Trajectory.load(saved)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


# Killed at any moment.


@pytest.mark.parametrize("count", [0, 2])
def test_an_unfinished_snapshot_does_not_count(path, tmp_path, count):
    """A kill between any two of the files that an append writes, and in the midst of one."""
    store = opened(path, count)
    state = shutil.copytree(path, tmp_path / "state")
    before = {f: f.read_bytes() for f in path.rglob("*") if f.is_file()}
    store.append(row(count + 1), count + 1.0, epoch=count)
    written = {f for f in path.rglob("*") if f.is_file() and f.read_bytes() != before.get(f)}
    order = [
        "snapshots/zarr.json",
        f"snapshots/c/{count}/0",
        "logs.jsonl",
        "times/zarr.json",
        f"times/c/{count}",
    ]
    assert written == {path / name for name in order}
    times = [(path / name).stat().st_mtime_ns for name in order]
    assert times == sorted(times)
    for i, name in enumerate(order):
        check(shutil.copytree(state, tmp_path / f"after {i} files"), count)
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).with_suffix(".0123.partial").write_bytes(b"half")
        check(shutil.copytree(state, tmp_path / f"amid file {i}"), count)
        shutil.copyfile(path / name, state / name)
    check(state, count + 1)


@pytest.mark.parametrize("gone", range(6))
@pytest.mark.parametrize("told", [False, True])
def test_take_back_cut_short(path, gone, told):
    """Times go from the end, each its file first."""
    store = opened(path, 5)
    whole = (path / "times/zarr.json").read_text()
    store.take_back(5 - gone)
    if not told and gone:
        (path / "times/zarr.json").write_text(whole.replace("5", str(6 - gone), 1))
    check(path, 5 - gone)


def test_times_are_taken_back_one_by_one(path, monkeypatch):
    """A kill amid several could leave a hole: zarr removes chunks in any order."""
    store, sizes = opened(path, 5), []
    resize = type(store._times).resize
    monkeypatch.setattr(
        type(store._times), "resize", lambda self, shape: (sizes.append(shape), resize(self, shape))
    )
    store.take_back(2)
    assert sizes == [(4,), (3,), (2,), (2, 6)]


def test_take_back(path):
    store = opened(path, 5)
    store.take_back(2)
    assert store.times.tolist() == [1, 2]
    store.append(row(3), 2.5, epoch=7)
    assert store.times.tolist() == TrajectoryStore.open(path).times.tolist() == [1, 2, 2.5]
    assert [r.epoch for r in store.records()] == [0, 1, 7]
    store.take_back(0)
    assert len(store.times) == 0
    store.take_back(3)
    assert len(TrajectoryStore.open(path).times) == 0


@pytest.mark.parametrize("where", ["draft", "rename"])
def test_a_store_that_cannot_be_made_leaves_nothing(path, monkeypatch, where):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((Path, "rename") if where == "rename" else (np, "concatenate")), refuse)
    with pytest.raises(OSError, match="No space left"):
        opened(path)
    assert list(path.parent.iterdir()) == []
    monkeypatch.undo()
    opened(path)
    check(path, 0)


@pytest.fixture
def small_disk():
    """No file may be longer than 2 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(limit=2000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(path, small_disk):
    long = np.ones(5000, np.float32)
    store = TrajectoryStore.create(path, Layout.of(long), "epoch", long, 0.0)
    store.append(long, 1.0)
    small_disk()
    for _ in range(2):
        with pytest.raises(OSError, match="File too large"):
            store.append(2 * long, 2.0)
    with pytest.raises(OSError, match="File too large"):
        kk.trajectory.store.TrajectoryStore.create(path.with_name("b"), Layout.of(long), "epoch", long, 0.0)
    small_disk(resource.RLIM_INFINITY)
    assert not path.with_name("b").exists()
    assert store.times.tolist() == TrajectoryStore.open(path).times.tolist() == [1.0]
    assert list(path.rglob("*.partial")) == []
    store.append(3 * long, 2.0)
    np.testing.assert_array_equal(TrajectoryStore.open(path).read(1), 3 * long)


@pytest.fixture
def ordinary_user():
    """What root may do tells nothing."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


def test_a_folder_that_is_read_only(request):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.zarr"
        opened(path, 2)
        store = TrajectoryStore.open(path, read_only=False)
        places = [path.parent, *(f for f in path.parent.rglob("*") if f.is_dir())]
        for place in places:
            place.chmod(0o555)
        request.getfixturevalue("ordinary_user")
        assert len(kk.Trajectory.load(path)) == 2
        with pytest.raises(OSError, match="Permission denied"):
            store.append(row(3), 3.0)
        with pytest.raises(OSError, match="Permission denied"):
            recorded().save(path.with_name("other"))
        if os.getuid() == 0:
            os.seteuid(0)
        for place in places:
            place.chmod(0o755)
        check(path, 2)


def test_loading_changes_nothing(saved):
    def contents():
        return {f: f.read_bytes() for f in saved.rglob("*") if f.is_file()}

    before = contents()
    kk.Trajectory.load(saved).append(row(9))
    assert contents() == before


KILLED = """
import os, random, signal, sys, time
import numpy as np
import zarr
from keras_koopman.trajectory.store import TrajectoryStore

def value(time):
    return np.random.default_rng(int(time)).standard_normal(20_000).astype("float32")

chance = random.Random(0)
for _ in range(6):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        store = TrajectoryStore.open(sys.argv[1], read_only=False)
        for i in range(len(store.times) + 1, 10_000):
            store.append(value(i), float(i), epoch=i, logs={"loss": i})
            os.write(write, b"%d\\n" % i)
        os._exit(1)
    os.close(write)
    with os.fdopen(read) as lines:
        for _ in range(chance.randint(2, 5)):
            print(lines.readline().strip())
        time.sleep(chance.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(lines.read().strip(), "killed")
"""


def test_sigkill(path):
    """Every snapshot whose append has returned is there, whole."""

    def value(time):
        return np.random.default_rng(int(time)).standard_normal(20_000).astype("float32")

    TrajectoryStore.create(path, Layout.of(value(0)), "epoch", value(0), 0.0)
    printed = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)],
        capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "KERAS_BACKEND": "numpy"},
    ).stdout.split()  # fmt: skip
    assert printed.count("killed") == 6
    finished = [int(line) for line in printed if line != "killed"]
    assert len(finished) >= 12
    store = TrajectoryStore.open(path)
    count = len(store.times)
    assert store.times.tolist() == list(range(1, count + 1))
    # At each kill one may have been finished that was not yet printed.
    assert set(finished) <= set(range(1, count + 1))
    assert count - len(set(finished)) <= 6
    for i in range(count):
        np.testing.assert_array_equal(store.read(i), value(i + 1))
    assert [record.epoch for record in store.records()] == list(range(1, count + 1))


# What stands beside the snapshots.


def test_records(path):
    store = opened(path)
    logs = {"loss": np.float32(0.5), "nan": np.nan, "inf": -np.inf, "t": ops.convert_to_tensor(2.0), "n": 3,
            "none": None, "text": "?", "many": np.ones(2), "ragged": [1, [2]]}  # fmt: skip
    store.append(row(1), 1.0, epoch=4, logs=logs)
    store.append(row(2), 1 / 3)
    first, second = TrajectoryStore.open(path).records()
    assert first == (1.0, 4, {"loss": 0.5, "t": 2.0, "n": 3.0})
    assert second == (1 / 3, None, {})


def test_every_line_of_the_log_is_json(path):
    opened(path, 3)
    lines = [line for line in (path / "logs.jsonl").read_text().splitlines() if line]
    assert [json.loads(line)["time"] for line in lines] == [1, 2, 3]


@pytest.mark.parametrize(
    "tail", ['{"time": 3.0, "epo', '{"time": 3.0, "epoch": 2', "[1, 2]", "17", "\xff\x00", '{"time": [3]}']
)
def test_a_torn_line_is_passed_over(path, tail):
    store = opened(path, 2)
    with (path / "logs.jsonl").open("a", encoding="latin-1") as file:
        file.write("\n" + tail)
    assert [r.epoch for r in store.records()] == [0, 1]
    store.append(row(3), 3.0, epoch=2, logs={"loss": 7.0})
    assert TrajectoryStore.open(path).records()[-1] == (3.0, 2, {"loss": 7.0})


def test_without_a_log_the_snapshots_are_there(path):
    opened(path, 2)
    (path / "logs.jsonl").unlink()
    assert [tuple(r) for r in TrajectoryStore.open(path).records()] == [(1.0, None, {}), (2.0, None, {})]


def test_steps_at(path):
    store = opened(path)
    for epoch, step in ((0, 10), (1, 20), (1, 21)):
        store.mark_epoch(epoch, step)
    found = TrajectoryStore.open(path)
    assert [found.steps_at(e) for e in (0, 1, 2)] == [10, 21, None]
    assert found.records() == []


def test_values_must_have_the_layout(path):
    store = opened(path, 1)
    with pytest.raises(ValueError, match=r"values has shape \(5,\), not \(6,\)"):
        store.append(np.ones(5), 2.0)
    check(path, 1)
