import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_koopman as kk
from keras_koopman.observables import RandomProjection, TrainableWeights


def dense(units, name, **options):
    return keras.layers.Dense(units, name=name, **options)


def sequential():
    return keras.Sequential([keras.Input((4,)), dense(3, "first"), dense(2, "second")], name="net")


def functional():
    x = keras.Input((4,))
    return keras.Model(x, dense(2, "second")(dense(3, "first")(x)), name="net")


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.first, self.second = dense(3, "first"), dense(2, "second")

    def call(self, x):
        return self.second(self.first(x))


def subclassed():
    model = Subclassed()
    model(np.ones((1, 4), np.float32))
    return model


def nested():
    inner = keras.Sequential([keras.Input((4,)), dense(3, "first")], name="encoder")
    return keras.Sequential([keras.Input((4,)), inner, dense(2, "second")], name="net")


def host(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def names(groups):
    return {group: list(tensors) for group, tensors in groups.items()}


def paths(model, **options):
    return [v.path.removeprefix("net/") for v in TrainableWeights(**options).variables(model)]


# The trainable weights.


@pytest.mark.contract
@pytest.mark.parametrize("build", [sequential, functional, subclassed])
def test_a_group_for_each_layer(build):
    model = build()
    found = TrainableWeights()(model)
    assert names(found) == {"first": ["kernel", "bias"], "second": ["kernel", "bias"]}
    np.testing.assert_array_equal(host(found["second"]["kernel"]), host(model.layers[-1].kernel))


def test_nested_models():
    found = TrainableWeights()(nested())
    assert names(found) == {"encoder/first": ["kernel", "bias"], "second": ["kernel", "bias"]}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"include": "*kernel"}, ["encoder/first/kernel", "second/kernel"]),
        ({"include": "*encoder/*"}, ["encoder/first/kernel", "encoder/first/bias"]),
        ({"include": ["*first/bias", "*second/bias"]}, ["encoder/first/bias", "second/bias"]),
        ({"exclude": "*bias"}, ["encoder/first/kernel", "second/kernel"]),
        ({"include": "*first*", "exclude": ["*kernel"]}, ["encoder/first/bias"]),
        ({"layers": "second"}, ["second/kernel", "second/bias"]),
        ({"layers": ["encoder"]}, ["encoder/first/kernel", "encoder/first/bias"]),
        ({"layers": ["first", "second"], "include": "*bias"}, ["encoder/first/bias", "second/bias"]),
    ],
)
def test_choice(options, wanted):
    assert paths(nested(), **options) == wanted
    groups = TrainableWeights(**options)(nested())
    assert [f"{group}/{name}" for group, tensors in groups.items() for name in tensors] == wanted


@pytest.mark.parametrize(
    "options", [{"include": "*gamma"}, {"layers": "third"}, {"exclude": "*"}, {"layers": "kernel"}]
)
def test_a_choice_of_none_lists_what_there_is(options):
    (argument, value), *_ = options.items()
    start = re.escape(f"{argument}=['{value}'] leaves no weight of model 'net'. Its weights are ")
    with pytest.raises(ValueError, match=start + "'.*first/kernel', .*, '.*second/bias'"):
        TrainableWeights(**options)(sequential())


@pytest.mark.parametrize("value", [[], (), [1], 3])
@pytest.mark.parametrize("argument", ["include", "exclude", "layers"])
def test_refuses_what_is_no_name(argument, value):
    with pytest.raises(TypeError):
        TrainableWeights(**{argument: value})


def test_frozen_weights_do_not_count():
    model = sequential()
    model.get_layer("first").trainable = False
    assert paths(model) == ["second/kernel", "second/bias"]


def test_batch_statistics_do_not_count():
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(name="norm")], name="net")
    assert names(TrainableWeights()(model)) == {"norm": ["gamma", "beta"]}


@pytest.mark.contract
def test_tied_weights_count_once():
    x, shared = keras.Input((4,)), dense(4, "shared")
    assert paths(keras.Model(x, shared(shared(x)), name="net")) == ["shared/kernel", "shared/bias"]


def test_weights_of_one_name_are_all_there():
    """Keras lets two layers of a model, or two weights of a layer, bear one name."""

    class Twins(keras.layers.Layer):
        def build(self, shape):
            self.all = [
                self.add_weight(shape=(i + 1,), name=n) for i, n in enumerate(["w", "w_2", "w", "w", "w_2"])
            ]

        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((4,)), Twins(name="twins")], name="net")
    found = TrainableWeights()(model)["twins"]
    assert sorted(int(v.shape[0]) for v in found.values()) == [1, 2, 3, 4, 5]


@pytest.mark.contract
def test_a_model_that_is_not_built():
    for model in (Subclassed(), keras.Sequential([dense(2, "first")])):
        for observable in (TrainableWeights(), RandomProjection(dim=8)):
            with pytest.raises(
                ValueError, match=r"is not built: it has no weights. Call it on data, or build it"
            ):
                observable(model)


def test_a_model_without_trainable_weights():
    frozen = sequential()
    frozen.trainable = False
    for model in (frozen, keras.Sequential([keras.Input((4,)), keras.layers.ReLU()])):
        with pytest.raises(ValueError, match=r"has no trainable weights. Set trainable=True on a layer"):
            TrainableWeights()(model)


@pytest.mark.contract
def test_what_is_observed_follows_the_training():
    model, trajectory = sequential(), kk.Trajectory()
    for i in range(4):
        model.get_layer("first").bias.assign(np.full(3, 0.5**i, np.float32))
        trajectory.append(TrainableWeights(include="*first/bias")(model))
    np.testing.assert_allclose(trajectory.gram[0], 3 * 0.5 ** np.arange(4))


# The random projection.


@pytest.fixture(scope="module")
def training():
    """Weights of a small network after each epoch on digits."""
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            dense(64, "a", activation="relu"),
            dense(32, "b", activation="relu"),
            dense(10, "c"),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    weights = []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: weights.append(model.get_weights()))
    model.fit(x / np.float32(16), y, batch_size=64, epochs=10, verbose=0, callbacks=[keep])
    return model, weights


def projected(observable, model, weights):
    """`(dim, m)` projections and `(n, m)` weights."""
    columns = []
    for w in weights:
        model.set_weights(w)
        columns.append(host(observable(model)["projection"]))
    raw = np.stack([np.concatenate([part.reshape(-1) for part in w]) for w in weights], axis=1)
    return np.stack(columns, axis=1).astype(np.float64), raw.astype(np.float64)


@pytest.mark.parametrize("seed", [0, 1, 1234, 2**40])
def test_distortion_of_a_training(training, seed):
    observable = RandomProjection(dim=1024, seed=seed)
    few, many = projected(observable, *training)
    bound = observable.distortion(many.shape[1])
    assert bound < 0.25
    for change in (np.eye(10), np.diff(np.eye(10), axis=1)):
        a, b = few @ change, many @ change
        ratio = np.linalg.svd(a, compute_uv=False) / np.linalg.svd(b, compute_uv=False)
        assert np.all(np.abs(ratio - 1) <= bound)
        assert np.any(ratio != 1)
        size = np.linalg.norm(b, axis=0)
        assert np.all(np.abs(a.T @ a - b.T @ b) <= ((1 + bound) ** 2 - 1) * np.outer(size, size))


@pytest.mark.contract
def test_the_projection_is_linear_and_stays_the_same():
    model, rng = sequential(), np.random.default_rng(0)
    observable, again = RandomProjection(dim=64), RandomProjection(dim=64)
    a, b = ([c * rng.normal(size=part.shape) for part in model.get_weights()] for c in (1, -2))
    both = [x + y for x, y in zip(a, b, strict=True)]
    few, _ = projected(observable, model, [a, b, both, a])
    np.testing.assert_allclose(few[:, 2], few[:, 0] + few[:, 1], atol=1e-4)
    np.testing.assert_array_equal(few[:, 3], few[:, 0])
    np.testing.assert_array_equal(few, projected(again, model, [a, b, both, a])[0])
    # A draw of random numbers by someone else changes nothing.
    keras.random.normal((3,))
    np.testing.assert_array_equal(few[:, :1], projected(observable, model, [a])[0])


def test_seeds_differ(training):
    model, weights = training
    found = [projected(RandomProjection(dim=64, seed=s), model, weights[:1])[0] for s in (0, 1, 2**31, 2**33)]
    size = np.linalg.norm(found[0])
    for i in range(4):
        for j in range(i):
            assert np.linalg.norm(found[i] - found[j]) > 0.5 * size


def test_every_weight_goes_to_four_numbers():
    model = sequential()
    zeros = [np.zeros(w.shape) for w in model.get_weights()]
    for i, weights in enumerate(zeros):
        one = np.eye(1, weights.size, weights.size - 1).reshape(weights.shape)
        model.set_weights([*zeros[:i], one, *zeros[i + 1 :]])
        found = host(RandomProjection(dim=32)(model)["projection"])
        assert [np.abs(part[part != 0]).tolist() for part in np.split(found, 4)] == [[0.5]] * 4


@pytest.mark.parametrize("units", [1, 300])
def test_size_does_not_depend_on_the_model(units):
    model = keras.Sequential([keras.Input((4,)), dense(units, "a")])
    trajectory = kk.Trajectory()
    for _ in range(2):
        trajectory.append(RandomProjection(dim=16)(model))
    assert trajectory.size == 16
    assert trajectory.groups == ("projection",)


def test_projection_of_chosen_weights():
    model = sequential()
    model.get_layer("first").bias.assign(np.ones(3))
    chosen = RandomProjection(dim=64, weights=TrainableWeights(include="*first/bias"))
    assert np.linalg.norm(host(chosen(model)["projection"])) == pytest.approx(3**0.5, rel=0.8)
    model.get_layer("first").kernel.assign(np.full((4, 3), 1e3))
    assert np.linalg.norm(host(chosen(model)["projection"])) < 10


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_precisions(dtype):
    model = keras.Sequential([keras.Input((4,)), dense(3, "a", dtype=keras.DTypePolicy(dtype))])
    found = RandomProjection(dim=8)(model)["projection"]
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert np.all(np.isfinite(host(found)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dim": 30}, ValueError, r"dim must be a multiple of 4, got 30. Take 28"),
        ({"dim": 3}, ValueError, "dim must be at least 4, got 3"),
        ({"dim": 0}, ValueError, "dim must be at least 4"),
        ({"dim": 64.0}, TypeError, "dim must be a whole number, got 64.0"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": None}, TypeError, "seed must be a whole number"),
    ],
)
def test_refuses_a_projection(options, error, message):
    with pytest.raises(error, match=message):
        RandomProjection(**options)


def test_distortion():
    observable = RandomProjection(dim=400)
    assert observable.distortion(100) == pytest.approx((10 + (2 * np.log(200)) ** 0.5) / 20)
    assert observable.distortion(16, probability=0.5) < observable.distortion(16) < observable.distortion(17)
    assert RandomProjection(dim=1600).distortion(16) == pytest.approx(observable.distortion(16) / 2)
    for columns, probability in ((0, 0.5), (1, 0), (1, 1)):
        with pytest.raises(ValueError, match="must be"):
            observable.distortion(columns, probability)
