import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_koopman.export import export_pruned
from keras_koopman.export.formats import FORMATS
from tests.export.models import IDS, MODELS, OnDict, X, called, pruned

module = sys.modules["keras_koopman.export.export_pruned"]
ALL = tuple(FORMATS)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Three calls of each are enough where times are not looked at."""
    monkeypatch.setattr(module, "SECONDS_PER_SIZE", 0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"


def needs(name):
    for package in FORMATS[name].packages:
        pytest.importorskip(package)


def contents(folder):
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


# Known answers.


@pytest.mark.parametrize("name", ALL)
def test_numbers_of_a_small_model(path, name):
    needs(name)
    report = export_pruned(pruned(zero_rows=3), path, (name,), X)
    model, artefact = report.rows
    place = Path(f"{path}{FORMATS[name].suffix}")
    assert (model.name, model.path, artefact.name, artefact.path) == ("model", None, name, str(place))
    # 4 x 5 + 5 x 3 weights in kernels, 8 biases; three of four rows of the first kernel are zero.
    assert (model.bytes, model.zeros, artefact.zeros) == (4 * 43, 15 / 35, 15 / 35)
    files = [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file()]
    assert artefact.bytes == sum(f.stat().st_size for f in files) > model.bytes
    assert 0 < artefact.zipped_bytes < artefact.bytes
    assert artefact.relative_difference <= 1e-6
    assert (model.max_difference, model.relative_difference) == (None, None)
    assert min(model.latency_1, model.latency_n, artefact.latency_1, artefact.latency_n) > 0
    assert report.sample_size == len(X)
    # Nothing else was written.
    assert list(path.parent.iterdir()) == [place]


# TensorFlow imports Keras itself, if it finds it. So Keras is thrown out before anything is loaded.
FAR = """
import sys
import numpy as np
import tensorflow as tf

def ours(name):
    return name.partition(".")[0] in ("keras", "tf_keras", "keras_koopman")

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if ours(name):
            raise ModuleNotFoundError(name, name=name)

assert "keras_koopman" not in sys.modules
for name in list(filter(ours, sys.modules)):
    del sys.modules[name]
sys.meta_path.insert(0, Refusal())
inputs = {name: tf.constant(array) for name, array in np.load(sys.argv[2]).items()}
model = tf.saved_model.load(sys.argv[1])
outputs = model.serve(inputs)
np.savez(sys.argv[3], **{name: output.numpy() for name, output in outputs.items()})
assert not list(filter(ours, sys.modules))
"""


def test_a_process_without_keras_runs_it(path, tmp_path):
    sample = {"x": X, "ids": IDS}
    model = called(OnDict(), sample)
    export_pruned(model, path, sample=sample)
    np.savez(tmp_path / "in.npz", **sample)
    command = [sys.executable, "-I", "-c", FAR, path, tmp_path / "in.npz", tmp_path / "out.npz"]
    far = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert far.returncode == 0, far.stderr
    for name, output in model(sample).items():
        np.testing.assert_allclose(np.load(tmp_path / "out.npz")[name], output, rtol=1e-6)


class MaskedAdam(keras.optimizers.Adam):
    """Holds a mask for each weight, as a pruning optimizer does."""

    def build(self, variables):
        super().build(variables)
        self.masks = [self.add_variable(v.shape, initializer="ones", name="mask") for v in variables]


@pytest.mark.parametrize("optimizer", [MaskedAdam, lambda: keras.optimizers.SGD(0.01, momentum=0.9)])
def test_no_trace_of_training(path, optimizer):
    import tensorflow as tf

    model = pruned()
    model.compile(optimizer(), "mse", metrics=["mae"])
    model.fit(X, np.zeros((6, 3)), verbose=0)
    assert any(word in v.path for v in model.optimizer.variables for word in ("mask", "momentum"))
    state = [v.numpy() for v in model.optimizer.variables]
    export_pruned(model, path, sample=X)
    stored = tf.train.load_checkpoint(str(path / "variables/variables"))
    weights = model.get_weights()
    names = [name for name, _ in tf.train.list_variables(str(path / "variables/variables"))]
    names.remove("_CHECKPOINTABLE_OBJECT_GRAPH")
    assert len(names) >= len(weights)
    for name in names:
        assert any(np.array_equal(stored.get_tensor(name), weight) for weight in weights), name
    for file in ("saved_model.pb", "variables/variables.index"):
        found = (path / file).read_bytes().lower()
        assert [w for w in (b"mask", b"optimizer", b"momentum", b"adam", b"velocity") if w in found] == []
    # The model trains on as if nothing had happened.
    for before, after in zip(state, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(before, after.numpy())
    model.fit(X, np.zeros((6, 3)), verbose=0)


# Every kind of model, every format.

UNABLE = {
    ("recurrent", "litert"): "TensorListReserve.*unroll=True",
    ("float16", "litert"): "MatMul.*Flex delegate.*float32",
    ("bfloat16", "litert"): "MatMul.*Flex delegate.*float32",
    ("bfloat16", "onnx"): "bfloat16",
}


@pytest.mark.uncounted
@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_model(path, kind):
    """The formats that can carry a model give its outputs; of the others the error says why."""
    make, sample = MODELS[kind]
    model = make()
    able = tuple(name for name in ALL if (kind, name) not in UNABLE)
    for name in able:
        needs(name)
    report = export_pruned(model, path, able, sample)
    assert [row.name for row in report.rows] == ["model", *able]
    limit = 1e-2 if "16" in kind else 2e-6
    assert all(row.relative_difference <= limit for row in report.rows[1:])
    for name in set(ALL) - set(able):
        needs(name)
        with pytest.raises(RuntimeError, match=f"(?s){name!r}.*not good: .*{UNABLE[kind, name]}"):
            export_pruned(model, path, (name,), sample)


@pytest.mark.contract
@pytest.mark.parametrize("kind", ["subclass on ids", "recurrent"])
def test_saved_model_on_every_engine(path, kind):
    if keras.backend.backend() == "torch":
        pytest.skip("torch writes no SavedModel")
    make, sample = MODELS[kind]
    row = export_pruned(make(), str(path), "tf_saved_model", sample).rows[1]
    assert row.relative_difference <= 1e-6
    assert row.zeros is not None


def test_a_sample_may_be_a_tensor_of_another_dtype(path):
    sample = keras.ops.convert_to_tensor(X.astype("float64"))
    assert export_pruned(pruned(), path, sample=sample).rows[1].max_difference <= 1e-6


def test_one_row_is_timed_once(path):
    for row in export_pruned(pruned(), path, sample=X[:1]).rows:
        assert row.latency_1 == row.latency_n > 0


# Without a sample.


def test_made_up_inputs(path):
    report = export_pruned(MODELS["list"][0](), path)
    assert report.sample_size == 8
    assert report.rows[1].max_difference <= 1e-6
    assert "8 rows of made-up inputs" in report.notes[0]
    assert "Pass sample=" in report.notes[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.Sequential([keras.Input((None, 2)), keras.layers.GlobalMaxPooling1D()]),
        lambda: keras.Sequential(
            [keras.Input((), dtype="string"), keras.layers.StringLookup(vocabulary=["a", "b"])]
        ),
    ],
    ids=["open axis", "texts"],
)
def test_nothing_to_make_up(path, make):
    report = export_pruned(make(), path)
    assert report.sample_size is None
    assert all(row.latency_1 is row.latency_n is row.max_difference is None for row in report.rows)
    assert "not run" in report.notes[0]
    assert (path / "saved_model.pb").exists()


def test_texts_as_a_sample(path):
    model = keras.Sequential([keras.Input((), dtype="string"), keras.layers.StringLookup(vocabulary=["a"])])
    report = export_pruned(model, path, sample=["a", "x", "a"])
    assert report.rows[1].max_difference == 0
    assert report.rows[0].zeros is None


def test_nan_equals_nan(path):
    model = pruned()
    model.layers[1].bias.assign([np.nan, np.inf, 0])
    assert export_pruned(model, path, ALL[:1], X).rows[1].max_difference == 0


# What is refused leaves nothing behind.


def unbuilt():
    return keras.Sequential([keras.layers.Dense(2)])


class Uncalled(keras.Model):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2))

    def call(self, inputs):
        return inputs @ self.kernel


def uncalled():
    model = Uncalled(name="uncalled")
    model.build((None, 4))
    return model


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda: "model", {}, TypeError, "model must be a keras.Model, got 'model' of type str"),
        (unbuilt, {}, ValueError, "is not built: it has no weights. Call it on data"),
        (uncalled, {}, ValueError, "'uncalled' was never called.*Call it once on data"),
        (pruned, {"formats": ()}, ValueError, "formats is empty. Name at least one of 'tf_saved_model'"),
        (pruned, {"formats": ("h5",)}, ValueError, "formats must be some of 'tf_saved_model'.*got 'h5'"),
        (pruned, {"formats": ("onnx", "onnx")}, ValueError, "names one twice.*Name each once"),
        (pruned, {"formats": 3}, TypeError, "formats must be a list or tuple of names, got 3"),
        (pruned, {"path": ""}, ValueError, "path must end in a name for the artefact, got ''"),
        (pruned, {"path": "/"}, ValueError, "path must end in a name.*got '/'"),
        (pruned, {"path": "a/.."}, ValueError, "path must end in a name"),
        (pruned, {"path": "gs://bucket/model"}, ValueError, "path must be on this machine's disk"),
        (pruned, {"path": 3}, TypeError, "path must be a string or a path, got 3 of type int"),
        (pruned, {"sample": X[:, :3]}, ValueError, r"sample has shape \(6, 3\), the model takes \(n, 4\)"),
        (pruned, {"sample": X[:0]}, ValueError, r"sample must have one number of rows, at least 1, got"),
    ],
)  # fmt: skip
def test_refused(tmp_path, monkeypatch, make, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        export_pruned(make(), **{"path": tmp_path / "model", **options})
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_fails_is_noted(path):
    class Broken(keras.layers.Layer):
        def call(self, inputs):
            return keras.ops.reshape(inputs, (3,))

        def compute_output_shape(self, shape):
            return (3,)

    model = keras.Sequential([keras.Input((4,)), Broken()])
    with pytest.raises(Exception, match="reshape") as caught:
        export_pruned(model, path, sample=X)
    assert any("failed on the sample, nothing was written" in note for note in caught.value.__notes__)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("separator", ["/", "//", "/."])
def test_a_path_may_end_in_a_separator(path, separator):
    needs("litert")
    export_pruned(pruned(), f"{path}{separator}", ("tf_saved_model", "litert"), X)
    assert {f.name for f in path.parent.iterdir()} == {"model", "model.tflite"}


def test_folders_are_made(tmp_path):
    export_pruned(pruned(), tmp_path / "a/b.c/model.v2", sample=X)
    assert [f.name for f in (tmp_path / "a/b.c").iterdir()] == ["model.v2"]


# What stands there already.


def test_earlier_artefacts_are_replaced(path):
    for name in ALL:
        needs(name)
    path.mkdir()
    export_pruned(pruned(zero_rows=0), path, ALL, X)
    old = contents(path.parent)
    rows = export_pruned(pruned(zero_rows=4), path, ALL, X).rows
    assert [row.zeros for row in rows] == [20 / 35] * 4
    new = contents(path.parent)
    assert new.keys() == old.keys()
    for file in ("model.tflite", "model.onnx", "model/variables/variables.data-00000-of-00001"):
        assert new[Path(file)] != old[Path(file)]


@pytest.mark.parametrize(
    ("failing", "error"), [("tf_saved_model", KeyboardInterrupt), ("litert", OSError), ("onnx", OSError)]
)
def test_a_failed_export_leaves_the_earlier_ones(path, monkeypatch, failing, error):
    for name in ALL[: ALL.index(failing) + 1]:
        needs(name)
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"old")
    (path.parent / "model.tflite").write_bytes(b"1234TFL3 old")
    (path.parent / "model.onnx").write_bytes(b"\x08 old")
    old = contents(path.parent)
    export = keras.Model.export

    def fail(self, draft, format, **options):
        if format == failing:
            Path(draft).write_bytes(b"half")
            raise error("half way")
        export(self, draft, format=format, **options)

    monkeypatch.setattr(keras.Model, "export", fail)
    with pytest.raises(error, match="half way"):
        export_pruned(pruned(), path, ALL, X)
    assert contents(path.parent) == old
    assert len(list(path.parent.iterdir())) == 3


def test_an_artefact_that_differs_is_set_aside(path, monkeypatch):
    model = pruned()
    export_pruned(model, path, sample=X)
    old, export = contents(path), keras.Model.export

    def wrong(self, *args, **options):
        weights = self.get_weights()
        self.set_weights([1.001 * w for w in weights])
        export(self, *args, **options)
        self.set_weights(weights)

    monkeypatch.setattr(keras.Model, "export", wrong)
    with pytest.raises(
        RuntimeError, match=r"differ from the model's by \d.*more than the 0.0001 that float32"
    ):
        export_pruned(model, path, sample=X)
    assert contents(path) == old
    (aside,) = set(path.parent.iterdir()) - {path}
    assert (aside / "saved_model.pb").exists()
    # A gap that float16 would explain.
    monkeypatch.setattr(module, "_precision", lambda model: "float16")
    assert 1e-4 < export_pruned(model, path, sample=X).rows[1].relative_difference < 1e-2


def test_precision_is_that_of_the_coarsest_layer():
    layers = [keras.layers.Dense(2, dtype=dtype) for dtype in ("float32", "mixed_bfloat16", "mixed_float16")]
    for count, want in ((1, "float32"), (2, "bfloat16"), (3, "bfloat16")):
        nested = keras.Sequential([keras.Input((4,)), *layers[:count]])
        assert module._precision(keras.Sequential([keras.Input((4,)), nested])) == want


# The report.


def test_report(path, capsys):
    report = export_pruned(pruned(), path, sample=X)
    found = json.loads(json.dumps(report.to_dict()))
    assert found["rows"][1]["zeros"] == 15 / 35
    assert found["notes"] == list(report.notes)
    assert "kk.pruning.shrink" in str(report)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.notes = ()
    assert capsys.readouterr().out == ""
