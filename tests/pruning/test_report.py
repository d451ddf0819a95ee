"""The report of a model that is not, half, and wholly pruned, in numbers worked out by hand."""

import json
import zlib

import keras
import numpy as np
import pytest
from keras import layers

import keras_koopman as kk
from keras_koopman.pruning import report

contract = pytest.mark.contract  # on tests that are quick wherever each operation is compiled

X = np.random.default_rng(0).normal(size=(40, 8)).astype("float32")
Y = np.random.default_rng(1).normal(size=(40, 4)).astype("float32")
RAMP = kk.schedules.PolynomialSparsity(0.0, 0.75, begin_step=0, end_step=10)


def model_of(*parts, shape=(8,)):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(shape), *parts], name="m")


def fit(model, epochs):
    """Five steps an epoch."""
    model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0)
    return model


def host(variable):
    return np.asarray(keras.ops.convert_to_numpy(variable.value))


def rows(found):
    return {row.path.removeprefix("m/"): row for row in found.rows}


def zipped(variable):
    return len(zlib.compress(host(variable).tobytes()))


class Stages:
    """One training, looked at before, half-way, at its end, and loaded."""

    def __init__(self, folder):
        kernel = keras.initializers.RandomNormal(seed=1)
        model = model_of(layers.Dense(4, kernel_initializer=kernel, bias_initializer="ones", name="a"))
        optimizer = kk.optimizers.PruningOptimizer(keras.optimizers.SGD(0.01), RAMP, update_freq=1)
        model.compile(optimizer, "mse")
        self.before = report(model)
        optimizer.build_for(model)
        self.built = report(model)
        with pytest.warns(UserWarning, match="end_step=10 of the schedule lies past the 5 steps"):
            fit(model, epochs=1)
        self.half = report(model)
        fit(model, epochs=1)
        self.finished = report(model)
        self.kernel, self.bias = model.trainable_variables
        model.save(folder / "m.keras")
        self.loaded = report(keras.models.load_model(folder / "m.keras"))


@pytest.fixture(scope="module")
def stages(tmp_path_factory, no_own_compile):
    return Stages(tmp_path_factory.mktemp("report"))


# --- stages ---


@contract
def test_before_it_is_built(stages):
    found = stages.before
    assert (found.asked, found.reached, found.unit) == (None, 0.0, "weights")
    assert [(row.asked, row.reached, row.reason) for row in found.rows] == [(None, 0.0, "not built yet")] * 2
    assert "No PruningOptimizer, or none that is built yet; 0.0% of all weights are zero." in str(found)


@contract
def test_before_the_first_step(stages):
    found = stages.built
    assert (found.asked, found.reached) == (0.0, 0.0)
    assert rows(found)["a/kernel"].asked == 0.0
    bias = rows(found)["a/bias"]
    assert (bias.asked, bias.reason) == (None, "a bias: include it to prune it")


@contract
def test_half_way(stages):
    asked = 0.75 - 0.75 * 0.5**3
    assert stages.half.asked == pytest.approx(asked, rel=1e-6)
    assert stages.half.reached == round(asked * 32) / 32
    assert rows(stages.half)["a/kernel"].reached == stages.half.reached


@contract
def test_finished(stages):
    found = stages.finished
    assert (found.asked, found.reached, found.unit) == (0.75, 0.75, "weights")
    kernel, bias = found.rows
    assert (kernel.shape, kernel.asked, kernel.reached, kernel.reason) == ((8, 4), 0.75, 0.75, "")
    assert (bias.shape, bias.asked, bias.reached) == ((4,), None, 0.0)
    assert np.sum(host(stages.kernel) == 0) == 24


@contract
def test_bytes(stages):
    kernel, bias = stages.finished.rows
    assert (kernel.bytes, bias.bytes, stages.finished.bytes) == (32 * 4, 4 * 4, 144)
    assert (kernel.compressed, bias.compressed) == (zipped(stages.kernel), zipped(stages.bias))
    assert stages.finished.compressed == kernel.compressed + bias.compressed
    # 24 of 32 numbers are zeros: the rest, a little for where it stands.
    assert 8 * 3 < kernel.compressed < 128 - 24


@contract
def test_loaded_model_says_the_same(stages):
    found, wanted = stages.loaded.to_dict(), stages.finished.to_dict()
    for row in found["weights"] + wanted["weights"]:
        row["path"] = row["path"].removeprefix("m/")  # which Keras may leave out of what it loads
    assert found == wanted


# --- what it is made into ---


@contract
def test_to_dict_is_json(stages):
    found = json.loads(json.dumps(stages.finished.to_dict()))
    assert set(found) == {"asked", "reached", "unit", "bytes", "compressed", "weights"}
    assert (found["asked"], found["reached"], found["bytes"]) == (0.75, 0.75, 144)
    assert [w["path"] for w in found["weights"]] == ["m/a/kernel", "m/a/bias"]
    assert found["weights"][0] == {
        "path": "m/a/kernel",
        "shape": [8, 4],
        "asked": 0.75,
        "reached": 0.75,
        "reason": "",
        "bytes": 128,
        "compressed": zipped(stages.kernel),
    }
    assert json.dumps(stages.before.to_dict()) != json.dumps(stages.built.to_dict())


@contract
def test_table_shows_each_row_and_the_total(stages):
    text = str(stages.finished)
    lines = text.splitlines()
    (kernel,) = (line for line in lines if "a/kernel" in line)
    assert kernel.split() == ["m/a/kernel", "8x4", "75.0%", "75.0%", "128", str(zipped(stages.kernel))]
    (bias,) = (line for line in lines if "a/bias" in line)
    assert bias.split()[:5] == ["m/a/bias", "4", "-", "0.0%", "16"]
    assert bias.endswith("a bias: include it to prune it")
    assert "75.0% of the pruned weights are zero; the schedule asks for 75.0% of the weights." in text
    share = stages.finished.compressed / 144
    assert f"Zipped, the weights take {share:.0%} of their 144 bytes." in text


# --- without training ---


def test_model_without_a_pruning_optimizer():
    model = model_of(layers.Dense(4, bias_initializer="ones", name="a"))
    model.get_layer("a").kernel.assign(np.repeat(np.arange(8.0) < 2, 4).reshape(8, 4))
    for found in (report(model), report(fit_with_plain_sgd(model))):
        assert (found.asked, found.reached, found.unit) == (None, 24 / 36, "weights")
        assert [(row.reached, row.reason) for row in found.rows] == [(0.75, ""), (0.0, "")]
    assert "66.7% of all weights are zero" in str(report(model))


def fit_with_plain_sgd(model):
    model.compile("sgd", "mse")
    return model


def test_compressed_bytes_of_zeros():
    model = model_of(layers.Dense(1000, use_bias=False, kernel_initializer="zeros", name="a"), shape=(100,))
    (row,) = report(model).rows
    assert (row.bytes, row.reached) == (400_000, 1.0)
    assert row.compressed < 1000  # zlib shortens runs up to 1,032 times


@contract
@pytest.mark.parametrize(("dtype", "size"), [("float16", 2), ("bfloat16", 2), ("float64", 8)])
def test_bytes_are_those_of_the_precision(dtype, size):
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX holds float32")
    model = model_of(layers.Dense(4, use_bias=False, dtype=dtype, kernel_initializer="ones"))
    model.layers[0].kernel.assign(np.triu(np.ones((8, 4))))  # 10 of 32
    (row,) = report(model).rows
    assert (row.bytes, row.reached) == (32 * size, 22 / 32)


def test_numbers_that_are_no_weights_are_left_out():
    model = model_of(layers.Dropout(0.5), layers.Dense(4), layers.BatchNormalization())
    paths = [row.path.rsplit("/", 1)[-1] for row in report(model).rows]
    assert paths == ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]


@pytest.mark.usefixtures("no_own_compile")
def test_quantized_weights_are_named_skips():
    model = model_of(layers.Dense(4, use_bias=False, name="a"), layers.Dense(4, use_bias=False, name="b"))
    model.get_layer("a").quantize("int8")
    for found in (report(model), report(fit(compiled_with_pruning(model), epochs=2))):
        row = rows(found)["a/kernel"]
        assert (row.shape, row.asked, row.reason) == ((8, 4), None, "quantized: its dtype is int8")
        assert row.bytes == 32
        assert "quantized: its dtype is int8" in str(found)
    assert found.reached == rows(found)["b/kernel"].reached == 0.75  # it is not among what is pruned


def compiled_with_pruning(model):
    model.compile(kk.optimizers.PruningOptimizer("sgd", RAMP, update_freq=1), "mse")
    return model


def built(model, structure=None, schedule=RAMP, **options):
    optimizer = kk.optimizers.PruningOptimizer("sgd", schedule, structure=structure, **options)
    optimizer.build_for(model)
    model.compile(optimizer, "mse")
    return optimizer


def test_reasons_for_what_is_skipped():
    frozen = layers.Dense(6, name="frozen", trainable=False)
    model = model_of(
        frozen, layers.BatchNormalization(name="norm"), layers.Dense(4, name="a"), layers.Dense(4, name="out")
    )
    built(model, "2:4", kk.schedules.OneShot(0.5, 3), exclude="*gamma")
    found = {path: (row.asked, row.reason) for path, row in rows(report(model)).items()}
    bias = "a bias: include it to prune it"
    assert found == {
        "frozen/kernel": (None, "not trained"),
        "frozen/bias": (None, "not trained"),
        "norm/gamma": (None, "excluded"),
        "norm/beta": (None, "an offset: include it to prune it"),
        "norm/moving_mean": (None, "not trained"),
        "norm/moving_variance": (None, "not trained"),
        "a/kernel": (None, "structure '2:4': 4 does not divide its 6 inputs"),
        "a/bias": (None, bias),
        "out/kernel": (0.0, ""),
        "out/bias": (None, bias),
    }
    text = str(report(model))
    assert all(reason in text for _, reason in found.values())


def test_units_take_their_bias_along():
    model = model_of(layers.Dense(6, name="hidden"), layers.Dense(4, name="out"))
    optimizer = built(model, "unit")
    found = report(model)
    assert found.unit == "units"
    asked = {path: (row.asked, row.reason) for path, row in rows(found).items()}
    assert asked == {
        "hidden/kernel": (0.0, ""),
        "hidden/bias": (0.0, ""),
        "out/kernel": (None, "'out' is an output of the model"),
        "out/bias": (None, "a bias: include it to prune it"),
    }
    assert optimizer.pruned.targets[0].name == "hidden"
    assert "of the units." in str(found)


@pytest.mark.parametrize(
    ("structure", "schedule", "unit"),
    [("2:4", kk.schedules.OneShot(0.5, 3), "weights"), ((2, 2), RAMP, "blocks"), (None, RAMP, "weights")],
)
def test_unit_in_which_the_schedule_counts(structure, schedule, unit):
    model = model_of(layers.Dense(4, name="a"))
    built(model, structure, schedule)
    assert report(model).unit == unit


def test_notes_of_what_came_in_between():
    model = model_of(layers.Dense(4, name="a"), layers.Dense(4, name="b"), layers.Dense(4, name="c"))
    state = built(model).pruned
    state.floored.assign([0, 2, 1])
    state.failed.assign([0, 0, 3])
    notes = {path: row.reason for path, row in rows(report(model)).items() if path.endswith("kernel")}
    held = "held up by the floor: it would have lost nearly all"
    assert notes == {
        "a/kernel": "",
        "b/kernel": held,
        "c/kernel": f"{held}; scores were not finite at 3 updates, which were skipped",
    }
    assert held in str(report(model))


@contract
def test_total_weighs_layers_by_their_size():
    model = model_of(layers.Dense(2, name="a"), layers.Dense(8, name="b"))
    built(model)
    model.get_layer("a").kernel.assign(np.zeros((8, 2)))
    model.get_layer("b").kernel.assign(np.arange(16).reshape(2, 8) % 4)  # 4 of 16
    found = report(model)
    assert found.reached == (16 + 4) / 32
    assert [row.reached for row in found.rows] == [
        1.0,
        1.0,
        0.25,
        1.0,
    ]  # biases begin at zero, and do not count


def test_optimizer_within_a_loss_scale():
    model = model_of(layers.Dense(4, name="a"))
    optimizer = built(model)
    model.compile(keras.optimizers.LossScaleOptimizer(optimizer), "mse")
    assert rows(report(model))["a/kernel"].asked == 0.0


def test_two_weights_of_one_path_are_told_apart():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__(name="m")
            self.a = layers.Dense(4, name="twin", use_bias=False)
            self.b = layers.Dense(4, name="twin", use_bias=False, trainable=False)

        def call(self, inputs):
            return self.b(self.a(inputs))

    model = Twins()
    model(X)
    built(model)
    assert [(row.path, row.asked) for row in report(model).rows] == [
        ("m/twin/kernel", 0.0),
        ("m/twin/kernel", None),
    ]


@pytest.mark.parametrize("value", [None, "model.keras", layers.Dense(2)])
def test_what_is_no_model(value):
    with pytest.raises(TypeError, match=r"model must be a keras\.Model, got .* of type"):
        report(value)


def test_model_that_is_not_built():
    with pytest.raises(
        ValueError, match=r"model .m. is not built: it has no weights. Call it on data, or build it"
    ):
        report(keras.Sequential([layers.Dense(2)], name="m"))
