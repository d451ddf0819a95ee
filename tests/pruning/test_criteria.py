"""What every criterion must keep, and the closed form of each."""

import json

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.pruning import criteria
from keras_koopman.pruning.criteria import (
    Criterion,
    FunctionCriterion,
    KoopmanForecast,
    KoopmanMode,
    Magnitude,
    MagnitudeDisplacement,
    Movement,
    Random,
    TrajectoryCriterion,
)

contract = pytest.mark.contract


@keras.saving.register_keras_serializable("tests_criteria")
def squares(weights, state):
    """A user's function."""
    return weights**2


@keras.saving.register_keras_serializable("tests_criteria")
class GradientSize(Criterion):
    """A user's own, with a slot and an argument."""

    slots = ("squares",)

    def __init__(self, power=1.0):
        self.power = power

    def update(self, slots, weight, gradient, step):
        return {"squares": slots["squares"] + gradient**2}

    def scores(self, weight, slots):
        return slots["squares"] ** self.power

    def get_config(self):
        return {"power": self.power}


CRITERIA = {
    "magnitude": Magnitude,
    "displacement": MagnitudeDisplacement,
    "movement": Movement,
    "random": lambda: Random(seed=3),
    "mode": lambda: KoopmanMode(None, rank=2),
    "mode-by-default": lambda: KoopmanMode(None),
    "forecast": lambda: KoopmanForecast(None, horizon=2.5, rank=None),
    "function": lambda: FunctionCriterion(squares),
    "user": lambda: GradientSize(0.5),
}


def host(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def tensor(values, dtype="float32"):
    return keras.ops.cast(np.asarray(values, "float32"), dtype)


@pytest.fixture(params=CRITERIA)
def criterion(request):
    return CRITERIA[request.param]()


def slots_of(criterion, shape):
    return {name: keras.ops.zeros(shape, "float32") for name in criterion.slots}


RNG = np.random.default_rng(0)
WEIGHTS = [RNG.normal(size=(4, 3)).astype("float32") for _ in range(4)]
GRADIENTS = [RNG.normal(size=(4, 3)).astype("float32") for _ in range(3)]


def after_three_steps(criterion):
    slots = slots_of(criterion, (4, 3))
    for step, (weight, gradient) in enumerate(zip(WEIGHTS[:3], GRADIENTS, strict=True)):
        now = keras.ops.convert_to_tensor(step, "int32")
        slots = criterion.update(slots, tensor(weight), tensor(gradient), now)
    return slots


# --- the contract ---


def test_every_criterion_of_the_package_is_in_the_table():
    kinds = {type(make()) for make in CRITERIA.values()}
    exported = {getattr(criteria, name) for name in criteria.__all__ if name != "get"}
    assert exported - {Criterion, TrajectoryCriterion} <= kinds
    assert set(criteria.BY_NAME.values()) <= kinds


def test_round_trip_through_keras_saving(criterion):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(criterion)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(criterion)
    assert again.get_config() == criterion.get_config()
    assert repr(again) == repr(criterion)
    assert again.slots == criterion.slots


@contract
def test_slots_are_updated_without_a_change_to_what_is_given(criterion):
    slots = {name: tensor(RNG.normal(size=(4, 3))) for name in criterion.slots}
    given = {name: host(value).copy() for name, value in slots.items()}
    weight, gradient, step = tensor(WEIGHTS[0]), tensor(GRADIENTS[0]), keras.ops.convert_to_tensor(2, "int32")
    first = criterion.update(slots, weight, gradient, step)
    second = criterion.update(slots, weight, gradient, step)
    assert set(first) == set(criterion.slots)
    for name, value in first.items():
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert tuple(value.shape) == (4, 3)
        np.testing.assert_array_equal(host(value), host(second[name]))
        np.testing.assert_array_equal(host(slots[name]), given[name])
    np.testing.assert_array_equal(host(weight), WEIGHTS[0])


@contract
def test_scores_are_finite_and_of_the_shape_of_the_weights(criterion):
    slots = after_three_steps(criterion)
    mask = keras.ops.ones((4, 3), "bool")
    scores = criterion.scores(tensor(WEIGHTS[3]), {**slots, "mask": mask, "number": 0})
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    assert tuple(scores.shape) == (4, 3)
    assert np.isfinite(host(scores)).all()


@contract
def test_weights_of_any_precision_are_pruned():
    """The optimizer hands float32 to the criterion and leaves the weights in their own precision."""
    dtypes = ["float16", "bfloat16", "float32"]
    variables = [keras.Variable(tensor(WEIGHTS[0]), dtype=dtype, name=f"k_{dtype}") for dtype in dtypes]
    optimizer = kk.optimizers.PruningOptimizer(
        keras.optimizers.SGD(0.25),
        kk.schedules.OneShot(0.5, step=2),
        MagnitudeDisplacement(),
        share="uniform",
    )
    optimizer.build(variables)
    for gradient in GRADIENTS[:2]:
        optimizer.apply([tensor(gradient, dtype) for dtype in dtypes], variables)
    for variable, dtype in zip(variables, dtypes, strict=True):
        assert variable.dtype == dtype
        assert np.sum(host(keras.ops.cast(variable.value, "float32")) == 0) == 6
    slots = [slot for kept in optimizer.pruned.slots for slot in kept.values()]
    assert all(slot.dtype == "float32" for slot in slots)
    assert len(slots) == 3


# --- closed forms ---


def test_magnitude():
    np.testing.assert_array_equal(host(Magnitude().scores(tensor([-2, 0, 0.5]), {})), [2, 0, 0.5])


@contract
def test_magnitude_displacement_is_from_the_weights_before_the_first_step():
    criterion = MagnitudeDisplacement()
    slots = after_three_steps(criterion)
    np.testing.assert_array_equal(host(slots["origin"]), WEIGHTS[0])
    w = WEIGHTS[3]
    np.testing.assert_allclose(
        host(criterion.scores(tensor(w), slots)), abs(w) * abs(w - WEIGHTS[0]), rtol=1e-6
    )


@contract
def test_movement_adds_up_minus_weight_times_gradient():
    slots = after_three_steps(Movement())
    wanted = -sum(w * g for w, g in zip(WEIGHTS[:3], GRADIENTS, strict=True))
    np.testing.assert_allclose(
        host(Movement().scores(tensor(WEIGHTS[3]), slots)), wanted, rtol=1e-5, atol=1e-6
    )
    assert wanted.min() < 0 < wanted.max()


def test_movement_ranks_what_descent_drives_to_zero_below_what_it_drives_away():
    towards, away = Movement().update({"moved": np.zeros(2)}, np.array([1.0, -1.0]), np.array([1.0, 1.0]), 0)[
        "moved"
    ]
    assert towards < away  # descent takes from both: the first comes nearer to 0


def random_scores(shape=(50, 40), seed=0, number=0, weight=1.0):
    state = {"number": number, "mask": keras.ops.ones(shape, "bool")}
    return host(Random(seed).scores(keras.ops.full(shape, weight, "float32"), state))


@contract
def test_random_is_the_same_at_each_update_whatever_the_weights():
    np.testing.assert_array_equal(random_scores(), random_scores(weight=-3.0))


@contract
def test_random_differs_between_tensors_of_one_shape_and_between_seeds():
    found = [
        random_scores(),
        random_scores(number=1),
        random_scores(seed=1),
        random_scores(seed=2**32 - 1, number=2),
    ]
    for i, one in enumerate(found):
        for other in found[:i]:
            assert np.mean(one == other) < 0.01
            assert abs(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1]) < 0.1  # 4.5 standard errors


@contract
def test_random_is_uniform():
    found = np.sort(random_scores().reshape(-1))
    assert 0 <= found[0] <= found[-1] < 1
    assert np.max(np.abs(found - np.linspace(0, 1, found.size))) < 0.04  # Kolmogorov-Smirnov at 0.3 %


# --- a user's function ---


@contract
def test_function_sees_the_weights_the_mask_and_the_number_of_the_tensor():
    seen = []

    def scores(weights, state):
        seen.append(state)
        return weights**2 + state["number"]

    criterion = criteria.get("criterion", scores)
    state = {"mask": np.ones(2, bool), "number": 5}
    np.testing.assert_array_equal(host(criterion.scores(tensor([1, -2]), state)), [6, 9])
    assert seen == [state]
    assert repr(criterion) == "scores"
    assert criterion.slots == ()


def test_function_that_is_not_registered_cannot_be_loaded_without_a_word():
    def unknown(weights, state):
        return weights

    config = keras.saving.serialize_keras_object(FunctionCriterion(unknown))
    with pytest.raises((TypeError, ValueError), match="unknown"):
        keras.saving.deserialize_keras_object(config)
    again = keras.saving.deserialize_keras_object(config, custom_objects={"unknown": unknown})
    assert again.function is unknown


# --- get ---


def test_get_by_name_and_by_object():
    for name, kind in criteria.BY_NAME.items():
        assert type(criteria.get("criterion", name)) is kind
    movement = Movement()
    assert criteria.get("share", movement) is movement
    assert isinstance(criteria.get("criterion", lambda weights, state: weights), FunctionCriterion)


BAD = {
    "unknown": (
        lambda: criteria.get("criterion", "size"), ValueError,
        "criterion must be one of 'magnitude',.*got 'size'",
    ),
    "argument": (lambda: criteria.get("share", "size"), ValueError, "^share must be one of"),
    "mode": (
        lambda: criteria.get("criterion", "koopman_mode"), ValueError,
        r"criterion='koopman_mode' needs the recorder.*Pass kk\.pruning\.KoopmanMode\(recorder\)",
    ),
    "forecast": (
        lambda: criteria.get("criterion", "koopman_forecast"), ValueError, r"KoopmanForecast\(recorder\)",
    ),
    "none": (
        lambda: criteria.get("criterion", None), TypeError,
        "criterion must be a name.*got None of type NoneType",
    ),
    "number": (lambda: criteria.get("criterion", 3), TypeError, "got 3 of type int"),
    "class": (lambda: criteria.get("criterion", Magnitude), TypeError, "got <class.*Magnitude"),
    "seed": (lambda: Random(-1), ValueError, "seed must be at least 0, got -1"),
    "seed-broken": (lambda: Random(0.5), TypeError, "seed must be a whole number, got 0.5"),
    "recorder": (
        lambda: KoopmanMode("recorder"), TypeError,
        r"KoopmanMode needs the recorder.*got 'recorder' of type str\. Pass a kk\.callbacks",
    ),
    "recorder-forecast": (lambda: KoopmanForecast(3), TypeError, "^KoopmanForecast needs the recorder"),
    "rank": (lambda: KoopmanMode(None, rank=0), ValueError, "rank must be at least 1, got 0"),
    "rank-name": (lambda: KoopmanMode(None, rank="all"), ValueError, "rank must be one of 'svht', got 'all'"),
    "rank-forecast": (lambda: KoopmanForecast(None, rank=1.5), TypeError, "a whole number, got 1.5"),
    "horizon": (lambda: KoopmanForecast(None, horizon=0), ValueError, "horizon must be above 0.*got 0"),
    "horizon-text": (lambda: KoopmanForecast(None, horizon="far"), TypeError, "a real number, got 'far'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    make, error, message = BAD[case]
    with pytest.raises(error, match=message):
        make()


# --- Koopman: trajectories whose fixed point and rates are known ---


class Recorder:
    """As much of a recorder as a criterion looks at."""

    def __init__(self, path=(), model=None, observables=None):
        self.observables = observables or kk.observables.TrainableWeights()
        self.trajectory = kk.Trajectory(32)
        for time, values in enumerate(path):
            for variable, value in zip(model.trainable_variables, values, strict=True):
                variable.assign(value)
            self.trajectory.append(self.observables(model), float(time))

    def subscribe(self, function):
        """Nothing is told."""


def model_of():
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="first"), keras.layers.Dense(2, name="second")]
    )


@pytest.fixture(scope="module")
def model():
    return model_of()


def like(model, seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=tuple(v.shape)) for v in model.trainable_variables]


def relaxing(model, rates, count=8):
    """`w_t = w* + a rate^t` for each rate: the path, `w*`, and `t -> w_t`."""
    fixed, parts = like(model, 0), [like(model, seed + 1) for seed in range(len(rates))]

    def at(time):
        return [
            w + sum(part[i] * rate**time for part, rate in zip(parts, rates, strict=True))
            for i, w in enumerate(fixed)
        ]

    return [at(time) for time in range(count)], fixed, at


def measured(criterion, model, variables=None):
    return [host(s) for s in criterion.measure(model, variables or model.trainable_variables)]


def close(found, wanted, tolerance=2e-4):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, np.abs(other), rtol=tolerance, atol=tolerance)


def unit(values):
    """The same, all weights together of length 1: what ranks is not changed by that."""
    length = np.sqrt(sum(np.sum(v**2) for v in values))
    return [v / length for v in values]


@contract
@pytest.mark.parametrize("rates", [(0.7,), (0.8, -0.4), (1.1,)])
@pytest.mark.parametrize("rank", [None, "svht"])
def test_mode_is_the_fixed_point(model, rates, rank):
    path, fixed, _ = relaxing(model, rates)
    close(measured(KoopmanMode(Recorder(path, model), rank), model), unit(fixed))


def test_mode_is_not_where_the_weights_are(model):
    """Or the test above says nothing."""
    path, fixed, _ = relaxing(model, (0.8, -0.4))
    assert max(np.abs(a - b).max() for a, b in zip(path[-1], fixed, strict=True)) > 0.2


def test_mode_of_a_path_that_has_stopped_is_the_weights(model):
    path, fixed, _ = relaxing(model, (0.0,), count=6)
    close(measured(KoopmanMode(Recorder(path[1:], model)), model), unit(fixed))


@pytest.mark.parametrize("horizon", [1, 5, 40])
@pytest.mark.parametrize("rates", [(0.7,), (0.9, -0.4)])
def test_forecast_is_the_path_at_the_horizon(model, rates, horizon):
    path, _, at = relaxing(model, rates)
    criterion = KoopmanForecast(Recorder(path, model), horizon, rank=len(rates))
    close(measured(criterion, model), at(len(path) - 1 + horizon), tolerance=1e-3)


@contract
def test_forecast_by_default_rank(model):
    path, _, at = relaxing(model, (0.9,))
    close(measured(KoopmanForecast(Recorder(path, model)), model), at(len(path) - 1 + 10), tolerance=1e-3)


def test_forecast_holds_growth_at_its_size(model):
    path, _, _ = relaxing(model, (1.2,))
    wanted = [b + 6 * (b - a) for a, b in zip(path[-2], path[-1], strict=True)]
    close(measured(KoopmanForecast(Recorder(path, model), 6, rank=1), model), wanted, tolerance=1e-3)


@contract
def test_scores_are_those_of_the_variables_asked_for(model):
    path, fixed, _ = relaxing(model, (0.7,))
    second, first = (model.get_layer(name).kernel for name in ("second", "first"))
    fixed = unit(fixed)
    close(measured(KoopmanMode(Recorder(path, model)), model, [second, first]), [fixed[2], fixed[0]])


@pytest.mark.parametrize(("kind", "least"), [(KoopmanMode, 3), (KoopmanForecast, 4)])
@pytest.mark.parametrize("rank", [None, "svht", 20])
def test_too_few_records_give_no_scores(model, kind, least, rank):
    path, _, _ = relaxing(model, (0.7,), count=least)
    for count in range(least):
        criterion = kind(Recorder(path[:count], model), rank=rank)
        assert criterion.measure(model, model.trainable_variables) is None
    criterion = kind(Recorder(path, model), rank=rank)  # the rank is what there is
    assert all(np.isfinite(s).all() for s in measured(criterion, model))


def test_forecast_of_what_does_not_move_gives_no_scores(model):
    criterion = KoopmanForecast(Recorder([like(model, 0)] * 6, model))
    assert criterion.measure(model, model.trainable_variables) is None


def test_weights_that_the_recorder_does_not_watch(model):
    watched = kk.observables.TrainableWeights(layers="first")
    path, _, _ = relaxing(model, (0.7,))
    recorder = Recorder(path, model)
    recorder.observables = watched
    with pytest.raises(
        ValueError, match=r"KoopmanMode prunes '.*second/kernel', which its recorder does not watch.*exclude"
    ):
        KoopmanMode(recorder).measure(
            model, [model.get_layer("first").kernel, model.get_layer("second").kernel]
        )


def test_layers_that_no_longer_match():
    """A layer frozen since, or another model."""
    model = model_of()
    path, _, _ = relaxing(model, (0.7,))
    criterion = KoopmanMode(Recorder(path, model))
    kernel = model.get_layer("second").kernel
    assert len(criterion.measure(model, [kernel])) == 1
    model.get_layer("second").trainable = False
    with pytest.raises(ValueError, match="second/kernel', which its recorder does not watch"):
        criterion.measure(model, [kernel])
    with pytest.raises(ValueError, match="does not watch"):
        criterion.measure(model_of(), [model.get_layer("first").kernel])


def test_recorder_of_something_else(model):
    recorder = Recorder(observables=kk.observables.RandomProjection(dim=8))
    with pytest.raises(
        ValueError, match=r"KoopmanForecast needs a recorder of the weights themselves.*Give it none"
    ):
        KoopmanForecast(recorder).measure(model, model.trainable_variables)
