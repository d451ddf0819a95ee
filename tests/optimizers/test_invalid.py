"""Bad input: a clear error that names the argument, what it was and the mend; or a named skip."""

import keras
import numpy as np
import pytest

import keras_koopman as kk
from tests.optimizers.tiny import L, compiled, fit, network, pruning, ramp, zeros

contract = pytest.mark.contract

# What is passed in place of good arguments; the error; words in it.
BAD = [
    ({"inner": 3}, (TypeError, ValueError), "3"),
    ({"inner": "nothing"}, ValueError, "nothing"),
    ({"inner": None}, TypeError, "inner must be an optimizer or its name, got None"),
    ({"schedule": 0.5}, TypeError, r"schedule must be one of kk.schedules, got 0.5 of type float"),
    ({"schedule": None}, TypeError, "schedule must be"),
    ({"criterion": "size"}, ValueError, "criterion must be one of 'magnitude'.*got 'size'"),
    ({"criterion": "koopman_mode"}, ValueError, r"needs the recorder.*kk.pruning.KoopmanMode\(recorder\)"),
    ({"criterion": 3}, TypeError, "criterion must be a name.*got 3 of type int"),
    ({"criterion": None}, TypeError, "criterion must be a name"),
    ({"criterion": kk.pruning.Magnitude}, TypeError, "criterion must be a name"),
    (
        {"share": "equal"},
        ValueError,
        "share must be one of 'global', 'uniform', 'erk'.*got 'equal'",
    ),
    ({"share": 0.5}, TypeError, "share must be a name.*got 0.5"),
    ({"include": 3}, TypeError, "include must be a name or several, got 3"),
    ({"include": []}, TypeError, "include must be a name or several"),
    ({"exclude": ["a", 3]}, TypeError, "exclude must be a name or several"),
    ({"structure": "units"}, ValueError, "structure must be None, 'unit', a pattern like '2:4'.*got 'units'"),
    ({"structure": "4:2"}, ValueError, "structure='4:2' keeps 4 of each 2"),
    ({"structure": "0:4"}, ValueError, "structure='0:4'"),
    ({"structure": 4}, TypeError, "structure must be.*got 4 of type int"),
    ({"structure": (4,)}, TypeError, "structure must be"),
    ({"structure": (0, 4)}, ValueError, "structure: rows must be at least 1, got 0"),
    ({"structure": (4, 2.5)}, TypeError, "structure: columns must be a whole number, got 2.5"),
    (
        {"structure": "1:4"},
        ValueError,
        "ends at a sparsity of 0.75, the schedule at 0.5",
    ),
    ({"update_freq": 0}, ValueError, "update_freq must be at least 1, got 0"),
    ({"update_freq": 2.5}, TypeError, "update_freq must be a whole number"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), BAD)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        kk.optimizers.PruningOptimizer(**{"inner": "sgd", "schedule": ramp(0.5), **arguments})


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_sparsity_outside_its_range(sparsity):
    for make in (
        lambda: kk.schedules.ConstantSparsity(sparsity),
        lambda: kk.schedules.OneShot(sparsity, 3),
        lambda: kk.schedules.PolynomialSparsity(0.0, sparsity, 0, 3),
    ):
        with pytest.raises(ValueError, match=r"must be at least 0\.0 and below 1.0, got"):
            make()


def test_optimizer_that_is_wrapped_already():
    with pytest.raises(ValueError, match="inner is pruned already: one PruningOptimizer is enough"):
        pruning(pruning())
    with pytest.raises(ValueError, match="inner is pruned already"):
        pruning(keras.optimizers.LossScaleOptimizer(pruning()))


def test_nothing_to_prune():
    for options, words in [
        ({"include": "encoder/*"}, r"include=\['encoder/\*'\] with exclude=\[\] leaves no weight to prune"),
        (
            {"exclude": "*"},
            r"the choice of weights with exclude=\['\*'\].*Trainable weights are 'hidden/kernel'",
        ),
        (
            {"include": ["*bias"], "structure": "2:4"},
            "fits no weight: 'hidden/bias': .* needs a matrix",
        ),
        ({"structure": "3:5", "schedule": ramp(0.4)}, r"'hidden/kernel': .*5 does not divide its 8 inputs"),
        ({"exclude": "hidden*", "structure": "unit"}, "structure='unit' fits no weight"),
    ]:
        with pytest.raises(ValueError, match=words):
            pruning(**options).build_for(network())


@contract
def test_nothing_to_prune_is_said_by_fit():
    with pytest.raises(ValueError, match="leaves no weight to prune"):
        fit(compiled(pruning(include="encoder/*")))


def test_units_need_the_model():
    with pytest.raises(ValueError, match=r"structure='unit' must know.*optimizer.build_for\(model\)"):
        pruning(structure="unit").build(network().trainable_variables)


def test_pattern_that_does_not_divide_is_a_named_skip():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, L.Dense(4, name="even")(L.Dense(8, name="odd")(inputs)))
    optimizer = pruning("sgd", kk.schedules.ConstantSparsity(0.5, 0, 9), structure="2:4")
    compiled(optimizer, model)
    optimizer.build_for(model)
    optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])
    rows = {row.path: row for row in kk.pruning.report(model).rows}
    assert rows["odd/kernel"].reason == "structure '2:4': 4 does not divide its 6 inputs"
    assert (rows["odd/kernel"].asked, rows["odd/kernel"].reached) == (None, 0.0)
    assert (rows["even/kernel"].asked, rows["even/kernel"].reached) == (0.5, 0.5)
    assert "4 does not divide its 6 inputs" in str(kk.pruning.report(model))


def test_scores_of_the_wrong_shape():
    model = network()
    optimizer = pruning(criterion=lambda weights, state: keras.ops.sum(weights, axis=0))
    optimizer.build_for(model)
    with pytest.raises(ValueError, match=r"gave scores of shape \(8,\) for weights of shape \(8, 8\)"):
        optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])


@pytest.mark.parametrize("scores", [lambda w, s: None, lambda w, s: keras.ops.cast(w, "complex64")])
def test_scores_that_are_no_real_numbers(scores):
    model = network()
    optimizer = pruning(criterion=scores)
    optimizer.build_for(model)
    with pytest.raises(TypeError, match=r"must give a tensor of real scores, got (None|.*complex64)"):
        optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(kk.schedules.ConstantSparsity(0.5), marks=contract),
        kk.schedules.OneShot(0.5, 0),
        kk.schedules.ConstantSparsity(0.5, 0, 9),
    ],
)
def test_schedules_that_begin_before_the_first_step_are_met_by_it(schedule):
    model = compiled(pruning("sgd", schedule))
    model.optimizer.build_for(model)
    model.optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])
    assert zeros(model) == kk.pruning.report(model).asked == 0.5


def test_no_sparsity_prunes_nothing():
    model = compiled(pruning("sgd", kk.schedules.OneShot(0.0, 1)))
    model.optimizer.build_for(model)
    model.optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])
    assert zeros(model) == 0
    assert all(np.all(keras.ops.convert_to_numpy(mask)) for mask in model.optimizer.pruned.masks)
