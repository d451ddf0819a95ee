"""What it warns of, and that it is silent otherwise."""

import warnings

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import TrajectoryRecorder
from tests.optimizers.tiny import L, Look, compiled, exact, fit, kernels, masks, network, pruning, ramp, zeros

pytestmark = pytest.mark.usefixtures("no_own_compile")


def told(call):
    """What the optimizer warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught if str(w.message).startswith("PruningOptimizer: ")]


def test_end_beyond_the_planned_steps():
    model = compiled(pruning("sgd", ramp(0.5, 1, 21)))
    (text,) = told(lambda: fit(model, epochs=2))
    assert "end_step=21 of the schedule lies past the 20 steps" in text
    reached = kk.schedules.PolynomialSparsity(0.0, 0.5, 1, 21)(20)
    assert "ends at a sparsity of 0.499, not 0.5" in text  # rounded down: "0.5, not 0.5" would say nothing
    assert zeros(model) == pytest.approx(reached, abs=0.01)


@pytest.mark.parametrize(("end", "options"), [(20, {"epochs": 2}), (10, {"steps_per_epoch": 10}), (4, {})])
def test_silent_when_the_end_is_within(end, options):
    model = compiled(pruning("sgd", ramp(0.5, 1, end)))
    assert told(lambda: fit(model, **options)) == []
    assert zeros(model) == 0.5


def test_end_beyond_what_is_left_after_an_initial_epoch():
    model = compiled(pruning("sgd", ramp(0.5, 1, 15)))
    (text,) = told(lambda: fit(model, epochs=5, initial_epoch=4))
    assert "end_step=15 of the schedule lies past the 10 steps that this fit reaches" in text


def test_silent_in_a_loop_of_ones_own_and_when_the_steps_are_not_known():
    model = compiled(pruning("sgd", ramp(0.5, 1, 1000)))
    assert told(lambda: model.train_on_batch(np.ones((4, 8)), np.ones((4, 4)))) == []

    import tensorflow as tf

    data = tf.data.Dataset.from_tensors((np.ones((4, 8)), np.ones((4, 4)))).repeat(3).filter(lambda *_: True)
    model = compiled(pruning("sgd", ramp(0.5, 1, 1000)))
    assert told(lambda: fit(model, x=data, y=None, batch_size=None)) == []


def test_layer_that_would_lose_nearly_all_is_held_and_named():
    model = network()
    small = model.get_layer("out").kernel
    small.assign(small * 1e-4)
    compiled(pruning(keras.optimizers.SGD(1e-6), ramp(0.5, 1, 4)), model)
    (text,) = told(lambda: fit(model))
    assert text.startswith("PruningOptimizer: 'out/kernel' would have lost nearly all its weights")
    _, out = kernels(model)
    assert np.sum(out != 0) == np.ceil(0.2 * 0.5 * 32)
    assert zeros(model) == 0.5  # of all; the others make up for it
    notes = {row.path: row.reason for row in kk.pruning.report(model).rows}
    assert notes["out/kernel"].startswith("held up by the floor")
    assert notes["hidden/kernel"] == ""
    assert told(lambda: fit(model)) == []  # it was said


def test_uniform_share_holds_nothing():
    model = network()
    small = model.get_layer("out").kernel
    small.assign(small * 1e-4)
    compiled(pruning(keras.optimizers.SGD(1e-6), ramp(0.5, 1, 4), share="uniform"), model)
    assert told(lambda: fit(model)) == []
    assert [np.mean(k == 0) for k in kernels(model)] == [0.5, 0.5]


@pytest.mark.contract
def test_scores_that_are_not_finite_change_no_mask():
    def spoilt(weights, state):
        bad = keras.ops.where(keras.ops.any(weights == 0), float("nan"), 1.0)  # once some are gone
        return keras.ops.abs(weights) * bad

    model = compiled(pruning("sgd", ramp(0.5, 0, 6), spoilt, exclude="out*", update_freq=2))
    kernel = model.get_layer("hidden").kernel
    texts = told(lambda: fit(model))
    assert len(texts) == 2
    assert "scores of 'hidden/kernel' were not finite at" in texts[0]
    assert "the sparsity asked for is not reached" in texts[1]
    assert exact(model.optimizer)
    first = kk.schedules.PolynomialSparsity(0.0, 0.5, 0, 6)
    gone = np.sum(~masks(model.optimizer)[0])
    assert gone in [round(64 * first(step)) for step in (1, 2)]
    assert np.sum(keras.ops.convert_to_numpy(kernel) == 0) == gone
    rows = {row.path: row.reason for row in kk.pruning.report(model).rows}
    assert "scores were not finite" in rows["hidden/kernel"]


class NotFinite(kk.pruning.Criterion):
    """`|w|`, but for some steps."""

    slots = ("done",)

    def __init__(self, first, last):
        self.first, self.last = first, last

    def update(self, slots, weight, gradient, step):
        return {"done": keras.ops.zeros_like(weight) + keras.ops.cast(step + 1, "float32")}

    def scores(self, weight, slots):
        done = slots["done"]
        bad = keras.ops.logical_and(done >= self.first, done <= self.last)
        return keras.ops.where(bad, float("nan"), keras.ops.abs(weight))


@pytest.mark.parametrize(
    ("schedule", "update_freq", "bad", "reached"),
    [
        (ramp(0.5, 1, 4), 1, (4, 5), 6),
        (ramp(0.5, 1, 4), 3, (4, 4), 7),
        pytest.param(ramp(0.5, 2, 5), 2, (5, 7), 8, marks=pytest.mark.contract),
        (kk.schedules.OneShot(0.5, 3), None, (3, 3), 4),
    ],
)
def test_last_update_that_scores_have_spoilt_is_made_up_for(schedule, update_freq, bad, reached):
    model, look = compiled(pruning("sgd", schedule, NotFinite(*bad), update_freq=update_freq)), Look()
    texts = told(lambda: fit(model, look))
    assert look.faults == []
    assert all(share < 0.5 for share in look.zeros[: reached - 1])
    assert all(share == 0.5 for share in look.zeros[reached - 1 :])
    assert len(texts) == 2  # one a kernel
    assert all("were not finite at" in text for text in texts)
    notes = {row.path: row.reason for row in kk.pruning.report(model).rows}
    assert notes["hidden/kernel"].endswith("updates, which were skipped")


def test_target_that_is_still_missed_is_told_and_made_up_for_in_a_later_fit():
    model = compiled(pruning("sgd", kk.schedules.OneShot(0.5, 10), NotFinite(10, 10)))
    texts = told(lambda: fit(model))
    assert zeros(model) == 0
    assert "the sparsity asked for is not reached. Train on: it is tried again once in 1 steps" in texts[-1]
    found = kk.pruning.report(model)
    assert (found.asked, found.reached) == (0.5, 0)
    skipped = "scores were not finite at 1 updates, which were skipped"
    late = f"{skipped}; the latest too: what is asked is not reached yet"
    assert {row.reason for row in found.rows if row.asked} == {late}
    assert told(lambda: fit(model)) == []
    assert zeros(model) == 0.5
    assert {row.reason for row in kk.pruning.report(model).rows if row.asked} == {skipped}


@pytest.mark.contract
def test_scores_of_weights_that_are_gone_do_not_matter():
    """`log |w|` is not finite there."""
    model, look = compiled(pruning("sgd", ramp(), lambda w, state: keras.ops.log(abs(w)))), Look()
    assert told(lambda: fit(model, look)) == []
    assert look.faults == []
    assert zeros(model) == 0.5


def test_koopman_mode_that_must_begin_too_early():
    recorder = TrajectoryRecorder(record_freq=4)
    model = compiled(pruning("sgd", ramp(0.5, 1, 8), kk.pruning.KoopmanMode(recorder), update_freq=4))
    (text,) = told(lambda: fit(model, recorder))
    assert "KoopmanMode had too few records at 3 updates of the masks: |w| stood in" in text
    recorder = TrajectoryRecorder(record_freq=1)
    model = compiled(pruning("sgd", ramp(0.5, 5, 9), kk.pruning.KoopmanMode(recorder)))
    assert told(lambda: fit(model, recorder)) == []


def test_names_of_layers_that_are_the_same_twice():
    """Two layers may bear one name in a subclassed model: the report must not mix them up."""

    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = L.Dense(8, name="same"), L.Dense(4, name="same")

        def call(self, x):
            return self.b(self.a(x))

    model = compiled(pruning("sgd", ramp(), exclude="nothing"), Twins())
    fit(model)
    rows = [row for row in kk.pruning.report(model).rows if len(row.shape) == 2]
    assert [row.shape for row in rows] == [(8, 8), (8, 4)]
    assert sum(row.reached * np.prod(row.shape) for row in rows) == 48
