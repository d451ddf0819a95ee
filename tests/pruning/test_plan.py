"""Which weights are pruned, and why others are not."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_koopman as kk
from keras_koopman.pruning.plan import checked_structure, group_sparsity, plan
from keras_koopman.pruning.targets import BlockTarget, PatternTarget, Target, UnitTarget

contract = pytest.mark.contract  # on tests that are quick wherever each operation is compiled


def sequential(*parts, shape=(8,), dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts], name="m")


def planned(model, structure=None, include=None, exclude=(), knows_model=True):
    return plan(model.trainable_variables, structure, include, exclude, model if knows_model else None)


def names(found):
    """Targets without the name of the model."""
    return [target.name.removeprefix("m/") for target in found.targets]


def reasons(found):
    return {path.removeprefix("m/"): reason for path, reason in found.skipped.items()}


def accounted_for(found, model):
    """Every trainable weight is in a target or has a reason, and none is in two."""
    variables = model.trainable_variables
    pruned = [variables[index].path for target in found.targets for index in target.members]
    assert sorted([*pruned, *found.skipped]) == sorted(v.path for v in variables)


def text_model():
    return sequential(
        layers.Embedding(10, 6, name="words"),
        layers.LayerNormalization(name="norm"),
        layers.Conv1D(4, 3, name="conv"),
        layers.BatchNormalization(name="batch"),
        layers.PReLU(name="slopes"),
        layers.LSTM(4, name="lstm"),
        layers.Dense(3, name="out"),
        shape=(7,),
        dtype="int32",
    )


# --- what is left alone ---


def test_kernels_are_pruned_and_the_rest_is_left_alone():
    model = text_model()
    found = planned(model)
    assert names(found) == [
        "conv/kernel",
        "lstm/lstm_cell/kernel",
        "lstm/lstm_cell/recurrent_kernel",
        "out/kernel",
    ]
    assert all(type(target) is Target for target in found.targets)
    kinds = {
        "words/embeddings": "an embedding",
        "norm/gamma": "a scale",
        "norm/beta": "an offset",
        "conv/bias": "a bias",
        "batch/gamma": "a scale",
        "batch/beta": "an offset",
        "slopes/alpha": "a slope",
        "lstm/lstm_cell/bias": "a bias",
        "out/bias": "a bias",
    }
    assert reasons(found) == {path: f"{kind}: include it to prune it" for path, kind in kinds.items()}
    accounted_for(found, model)


def test_target_knows_its_variable():
    model = text_model()
    for target in planned(model).targets:
        (index,) = target.members
        assert model.trainable_variables[index].path == target.name
        assert tuple(model.trainable_variables[index].shape) == target.shape


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("kernel", (5,), "a vector"),  # one-dimensional
        ("temperature", (), "a vector"),
        ("bias_1", (5,), "a bias"),
        ("position_embedding", (4, 3), "an embedding"),
        ("gamma", (4, 3), "a scale"),
        ("forget_bias", (2, 3), "a bias"),
        ("kernel", (5, 2), None),
        ("kernel_2", (5, 2), None),
        ("basis", (5, 2), None),
    ],
)
def test_names_and_ranks(name, shape, reason):
    variables = [
        keras.Variable(np.ones(shape, "float32"), name=name),
        keras.Variable(np.ones((2, 2)), name="w"),
    ]
    found = plan(variables, None, None, (), None)
    assert len(found.targets) == (2 if reason is None else 1)
    assert list(found.skipped.values()) == ([] if reason is None else [f"{reason}: include it to prune it"])


def test_whole_numbers_and_states_of_quantized_training_are_left_alone():
    number = keras.Variable(np.ones((2, 2), "int32"), dtype="int32", name="table")
    scale = keras.Variable(np.ones((2, 2), "float32"), name="scale_history")
    scale.overwrite_with_gradient = True
    found = plan([number, scale, keras.Variable(np.ones((2, 2)), name="w")], None, "*", (), None)
    assert [t.name for t in found.targets] == ["w"]
    assert found.skipped == {
        "table": "its dtype is int32",
        "scale_history": "it is a state of quantized training",
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_any_float_is_pruned(dtype):
    found = plan([keras.Variable(np.ones((2, 2)), dtype="float32", name="a")], None, None, (), None)
    half = plan([keras.Variable(np.ones((2, 2)), dtype=dtype, name="a")], None, None, (), None)
    assert len(found.targets) == len(half.targets) == 1


def test_weight_tied_between_layers_is_one_target():
    tied = layers.Dense(8, name="tied")
    x = keras.Input((8,))
    model = keras.Model(x, layers.Dense(2, name="out")(tied(tied(x))), name="m")
    found = planned(model)
    assert names(found) == ["tied/kernel", "out/kernel"]
    accounted_for(found, model)
    # Its units cannot go: what one use makes the other one reads.
    with pytest.raises(ValueError, match=r"fits no weight.*'tied' is used more than once"):
        planned(model, "unit")


# --- include and exclude ---


def test_include_and_exclude():
    model = text_model()
    assert names(planned(model, include=("*embeddings", "*/out/*"))) == [
        "words/embeddings",
        "out/kernel",
        "out/bias",
    ]
    found = planned(model, include=("*",), exclude=("*bias", "m/lstm/*", "*norm*", "*batch*", "*alpha"))
    assert names(found) == ["words/embeddings", "conv/kernel", "out/kernel"]
    assert reasons(found)["conv/bias"] == "excluded"
    accounted_for(found, model)
    found = planned(model, exclude=("*kernel",), include=("*out*",))
    assert names(found) == ["out/bias"]
    assert reasons(found)["out/kernel"] == "excluded"
    assert reasons(found)["conv/kernel"] == "excluded"
    assert reasons(found)["conv/bias"] == "not included"


@pytest.mark.parametrize("prefix", ["", "m/"])
def test_patterns_may_name_the_model_or_not(prefix):
    found = planned(
        text_model(), include=(f"{prefix}conv/*", f"{prefix}out/*"), exclude=(f"{prefix}out/kernel",)
    )
    assert names(found) == ["conv/kernel", "conv/bias", "out/bias"]


def test_patterns_mean_the_same_once_the_model_is_loaded(tmp_path):
    """Keras gives a Sequential model that it loads other paths: without the name of the model."""
    model = sequential(layers.Dense(4, name="a"), layers.Dense(4, name="b"))
    optimizer = kk.optimizers.PruningOptimizer(
        "sgd", kk.schedules.OneShot(0.5, 2), include=["m/a/*", "m/b/*"], exclude="m/b/bias"
    )
    optimizer.build_for(model)
    model.compile(optimizer, "mse")
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras").optimizer
    members = [target.members for target in optimizer.pruned.targets]
    assert members == [(0,), (1,), (2,)]
    assert [target.members for target in loaded.pruned.targets] == members


@pytest.mark.parametrize(
    ("include", "exclude", "message"),
    [
        (
            ("encoder/*",),
            (),
            r"include=\['encoder/\*'\] with exclude=\[\] leaves no weight to prune.*'m/out/kernel'",
        ),
        (None, ("*",), r"the choice of weights with exclude=\['\*'\] leaves no weight to prune"),
        (("*out*",), ("*out*",), "leaves no weight to prune. Trainable weights are"),
    ],
)
def test_nothing_left_to_prune(include, exclude, message):
    with pytest.raises(ValueError, match=message):
        planned(text_model(), include=include, exclude=exclude)


# --- structures ---


@contract
def test_pattern_must_divide_the_inputs():
    model = sequential(layers.Dense(6, name="a"), layers.Dense(4, name="b"), layers.Dense(8, name="c"))
    found = planned(model, "2:4")
    assert names(found) == ["a/kernel", "c/kernel"]
    assert all(isinstance(target, PatternTarget) for target in found.targets)
    assert reasons(found)["b/kernel"] == "structure '2:4': 4 does not divide its 6 inputs"
    assert names(planned(model, "1:2")) == ["a/kernel", "b/kernel", "c/kernel"]
    accounted_for(found, model)


def test_pattern_of_convolutions_runs_along_the_input_channels():
    model = sequential(
        layers.Conv2D(8, 3, name="conv"),
        layers.DepthwiseConv2D(2, name="each"),
        layers.SeparableConv2D(4, 2, name="separable"),
        layers.Conv2D(8, 2, groups=2, name="grouped"),
        shape=(9, 9, 4),
    )
    found = planned(model, "2:4")
    assert names(found) == ["conv/kernel", "separable/pointwise_kernel"]
    one = "structure '2:4' runs along the last axis but one, which here holds no inputs"
    assert reasons(found)["each/kernel"] == one
    assert reasons(found)["separable/depthwise_kernel"] == one
    assert reasons(found)["grouped/kernel"] == "structure '2:4': 4 does not divide its 2 inputs"
    # Weight by weight they are pruned as others.
    assert "each/kernel" in names(planned(model))


def test_pattern_leaves_kernels_alone_whose_inputs_lie_elsewhere():
    model = sequential(
        layers.Conv2DTranspose(4, 3, name="up"), layers.Conv2D(8, 3, name="conv"), shape=(9, 9, 4)
    )
    found = planned(model, "2:4")
    assert names(found) == ["conv/kernel"]
    assert "which here holds no inputs" in reasons(found)["up/kernel"]

    x = keras.Input((5, 8))
    attention = layers.MultiHeadAttention(4, 4, name="attention")
    model = keras.Model(x, layers.EinsumDense("abc,cd->abd", (None, 8), name="einsum")(attention(x, x)))
    found = planned(model, "2:4")
    assert names(found) == ["attention/attention_output/kernel", "einsum/kernel"]
    assert "which here holds no inputs" in reasons(found)["attention/query/kernel"]


@pytest.mark.parametrize("structure", ["2:4", (2, 2)])
def test_vectors_have_no_structure(structure):
    model = sequential(layers.Dense(4, name="a"))
    found = planned(model, structure, include=("*",))
    assert names(found) == ["a/kernel"]
    assert reasons(found) == {"a/bias": f"structure {structure!r} needs a matrix, this has 1 axis"}


def test_blocks():
    found = planned(text_model(), (4, 2))
    assert names(found) == [
        "conv/kernel",
        "lstm/lstm_cell/kernel",
        "lstm/lstm_cell/recurrent_kernel",
        "out/kernel",
    ]
    assert all(isinstance(target, BlockTarget) for target in found.targets)
    assert [target.size for target in found.targets] == [5 * 2, 1 * 8, 1 * 8, 1 * 2]  # the first is 18 x 4


def test_no_weight_fits():
    with pytest.raises(
        ValueError, match=r"structure='3:7' fits no weight: 'm/a/kernel': .*7 does not divide"
    ):
        planned(sequential(layers.Dense(4, name="a")), "3:7")


# --- units ---


def test_units_leave_the_output_alone_and_take_along_what_is_theirs():
    model = sequential(
        layers.Conv2D(6, 3, use_bias=False, name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(5, "relu", name="hidden"),
        layers.Dense(1, name="narrow"),
        layers.Dense(3, name="out"),
        shape=(5, 5, 2),
    )
    found = planned(model, "unit")
    assert names(found) == ["conv", "hidden"]
    assert all(isinstance(target, UnitTarget) for target in found.targets)
    assert [target.size for target in found.targets] == [6, 5]
    variables = [v.path.removeprefix("m/") for v in model.trainable_variables]
    members = [[variables[index] for index in target.members] for target in found.targets]
    assert members == [["conv/kernel", "norm/gamma", "norm/beta"], ["hidden/kernel", "hidden/bias"]]
    assert reasons(found)["out/kernel"] == "'out' is an output of the model"
    assert reasons(found)["narrow/kernel"] == "it has one unit"
    accounted_for(found, model)


@contract
def test_units_tied_by_an_addition_are_one_target():
    x = keras.Input((8,))
    a, b = layers.Dense(4, name="a")(x), layers.Dense(4, name="b")(x)
    model = keras.Model(x, layers.Dense(2, name="out")(layers.Add()([a, b])), name="m")
    found = planned(model, "unit")
    assert names(found) == ["a + b"]
    assert len(found.targets[0].scored) == 2


def test_units_that_are_excluded_or_frozen():
    model = sequential(*(layers.Dense(4, name=name) for name in "abc"), layers.Dense(2, name="out"))
    model.get_layer("b").trainable = False
    found = planned(model, "unit", exclude=("*/a/*",))
    assert names(found) == ["c"]
    assert reasons(found)["a/kernel"] == "not among the weights chosen"
    # A layer that is not trained at all is no business of the optimizer, but it says why.
    assert reasons(found)["b/kernel"] == "some of its weights are frozen, and a unit goes as a whole"


@pytest.mark.parametrize(
    ("exclude", "left"), [("*bias", ["a/bias"]), ("norm/*", ["norm/gamma", "norm/beta"])]
)
def test_vectors_of_a_unit_that_are_excluded_are_left_alone(exclude, left):
    model = sequential(
        layers.Dense(6, name="a"), layers.BatchNormalization(name="norm"), layers.Dense(4, name="out")
    )
    found = planned(model, "unit", exclude=(exclude,))
    (target,) = found.targets
    members = {model.trainable_variables[index].path.removeprefix("m/") for index in target.members}
    assert members == {"a/kernel", "a/bias", "norm/gamma", "norm/beta"} - set(left)
    assert [reasons(found)[path] for path in left] == ["excluded"] * len(left)
    accounted_for(found, model)


def test_tensors_too_long_to_be_ranked_are_named():
    class Long:
        """A kernel that no machine for tests could hold."""

        shape, dtype = (2**16, 2**15), "float32"

        def __init__(self, path):
            self.path = path

    variables = [Long("a/kernel"), *sequential(layers.Dense(4, name="b")).trainable_variables]
    found = plan(variables, None, None, (), None)
    assert names(found) == ["b/kernel"]
    assert found.skipped["a/kernel"] == (
        "it has 2,147,483,648 weights, more than the 2,147,483,647 that are ranked"
    )
    blocks = plan(variables, (1024, 1024), None, (), None)
    assert names(blocks) == ["a/kernel", "b/kernel"]


def test_weights_that_make_no_units():
    x = keras.Input((4, 8))
    y = layers.Dense(4, name="hidden")(layers.LSTM(4, name="lstm")(x))
    found = planned(keras.Model(x, layers.Dense(2, name="out")(y), name="m"), "unit")
    assert names(found) == ["hidden"]
    reason = "its layer makes no units that can be followed"
    assert reasons(found)["lstm/lstm_cell/kernel"] == reason


def test_units_need_the_model():
    with pytest.raises(
        ValueError, match=r"must know which layers follow which. Use kk.prune.*build_for\(model\)"
    ):
        planned(text_model(), "unit", knows_model=False)


def test_model_without_a_graph_has_no_units():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = layers.Dense(3)

        def call(self, inputs):
            return self.a(inputs)

    model = Subclassed()
    model(np.ones((1, 2), "float32"))
    assert len(planned(model).targets) == 1
    with pytest.raises(ValueError, match="is a subclassed model, whose graph is not known"):
        planned(model, "unit")


def test_network_of_one_layer_has_no_units_to_give():
    with pytest.raises(ValueError, match=r"structure='unit' fits no weight: .*is an output of the model"):
        planned(sequential(layers.Dense(4, name="a")), "unit")


# --- checked_structure ---


def test_structures_that_are_good():
    for value in (None, "unit", "2:4", "1:16", (4, 1)):
        assert checked_structure(value) == value
    assert checked_structure([4, 2]) == (4, 2)  # as JSON brings it back
    assert checked_structure((np.int64(4), 2)) == (4, 2)
    assert [group_sparsity(s) for s in (None, "unit", (2, 2), "2:4", "1:4")] == [1.0, 1.0, 1.0, 0.5, 0.75]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            "units",
            ValueError,
            r"structure must be None, 'unit', a pattern like '2:4' or a block.*got 'units'",
        ),
        ("2of4", ValueError, "got '2of4'"),
        ("2:4:8", ValueError, "got '2:4:8'"),
        ("-2:4", ValueError, "got '-2:4'"),
        ("", ValueError, "got ''"),
        ("4:4", ValueError, "structure='4:4' keeps 4 of each 4: it must keep 1 to 3"),
        ("0:4", ValueError, "structure='0:4' keeps 0 of each 4: it must keep 1 to 3"),
        ("5:4", ValueError, "it must keep 1 to 3"),
        ((0, 4), ValueError, "structure: rows must be at least 1, got 0"),
        ((4, -1), ValueError, "structure: columns must be at least 1, got -1"),
        ((2.0, 4), TypeError, r"structure: rows must be a whole number, got 2\.0"),
        ((2, True), TypeError, "structure: columns must be a whole number, got True"),
        ((2, 2, 2), TypeError, r"got \(2, 2, 2\) of type tuple"),
        (4, TypeError, "got 4 of type int"),
        (np.array([2, 4]), TypeError, "of type ndarray"),
    ],
)
def test_bad_structures(value, error, message):
    with pytest.raises(error, match=message):
        checked_structure(value)
