"""What every criterion and every structure must keep, on every engine. A new one is a line in a table."""

import functools
import itertools

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks import TrajectoryRecorder
from keras_koopman.pruning import KoopmanForecast, KoopmanMode, MagnitudeDisplacement, Movement
from tests.optimizers.tiny import (
    Look,
    Steps,
    compiled,
    exact,
    fit,
    host,
    kernels,
    pruning,
    ramp,
    weights,
)

pytestmark = [
    pytest.mark.contract,
    pytest.mark.uncounted,
    pytest.mark.usefixtures("no_own_compile"),
    pytest.mark.filterwarnings("ignore:.*had too few records"),
]


@keras.saving.register_keras_serializable("tests_optimizers")
def largest_first(weights, state):
    """A user's own: the largest go first."""
    return -keras.ops.abs(weights)


# Each makes a criterion, given a recorder that it may follow.
CRITERIA = {
    "magnitude": lambda recorder: "magnitude",
    "displacement": lambda recorder: MagnitudeDisplacement(),
    "movement": lambda recorder: Movement(),
    "random": lambda recorder: "random",
    "mode": KoopmanMode,
    "forecast": functools.partial(KoopmanForecast, horizon=5, rank=2),
    "function": lambda recorder: largest_first,
}
STRUCTURES = {"weights": None, "2:4": "2:4", "blocks": (3, 2), "units": "unit"}
SHARES = ["global", "uniform", "erk", "movement"]
PAIRS = [
    (criterion, structure, SHARES[(i + j) % len(SHARES)])
    for (i, criterion), (j, structure) in itertools.product(enumerate(CRITERIA), enumerate(STRUCTURES))
]


def one_of_each(turn):
    """Each criterion once, with every structure and every share among them."""
    return [pair for n, pair in enumerate(PAIRS) if n % 4 == ((n // 4) * (n // 4 - 1) // 2 + turn) % 4]


# Only these are compiled: a graph takes seconds, and what it does to a step does not depend on the pair.
COMPILED = one_of_each(0)
CASES = COMPILED if keras.backend.backend() == "jax" else COMPILED + one_of_each(2)
RATE = 0.1


# --- oracles in NumPy ---


def mean_of_blocks(scores):
    """Of three rows and two columns; fewer at the edge."""
    down = range(0, scores.shape[0], 3)
    return np.array(
        [[scores[i : i + 3, j : j + 2].mean() for j in range(0, scores.shape[1], 2)] for i in down]
    )


def lost_in_fours(scores):
    """What each group of four along the inputs loses with its lowest two."""
    return np.sort(scores.reshape(-1, 4, scores.shape[1]), axis=1)[:, :2].sum(1)


GROUPED = {
    "weights": lambda scores: scores,
    "2:4": lost_in_fours,
    "blocks": mean_of_blocks,
    "units": lambda scores: scores.mean(0),
}
COUNTED = {"weights": "weights", "2:4": "weights", "blocks": "blocks", "units": "units"}


def gone_groups(structure, kernel):
    """Which groups of a kernel are gone."""
    if structure == "2:4":
        return np.sum(kernel.reshape(-1, 4, kernel.shape[1]) == 0, axis=1) > 0
    return GROUPED[structure](kernel == 0) == 1


class Formula:
    """Scores by the formula of each criterion, step by step beside the optimizer."""

    def __init__(self, criterion, start, optimizer):
        self.criterion, self.start, self.optimizer = criterion, start, optimizer
        self.moved = [np.zeros_like(kernel) for kernel in start]

    def __call__(self, before, grads):
        """Kernels after a step of SGD and their scores, before any are zeroed."""
        alive = [kernel != 0 for kernel in before]
        self.moved = [m - w * g * a for m, w, g, a in zip(self.moved, before, grads, alive, strict=True)]
        after = [w - np.float32(RATE) * g * a for w, g, a in zip(before, grads, alive, strict=True)]
        state = self.optimizer.pruned
        scores = {
            "magnitude": lambda i, w: abs(w),
            "displacement": lambda i, w: abs(w) * abs(w - self.start[i]),
            "movement": lambda i, w: self.moved[i],
            "random": lambda i, w: host(self.optimizer.criterion.scores(w, {"number": i})),
            "function": lambda i, w: -abs(w),
        }.get(self.criterion, lambda i, w: host(state.slots[i]["score"]) if host(state.ready) else abs(w))
        return [scores(i, w) for i, w in enumerate(after)]


def how_many(share, sparsity, sizes):
    """How many groups are gone from each kernel, or from all; and by how much that may be missed."""
    if share == "uniform":
        return [np.round(np.float32(sparsity) * n) for n in sizes], 0
    return [np.round(np.float32(sparsity) * sum(sizes))], len(sizes) if share == "erk" else 0


# --- steps ---


@pytest.mark.parametrize(
    ("criterion", "structure", "share"),
    COMPILED if keras.backend.backend() == "jax" else COMPILED + one_of_each(2),
)
def test_prunes_what_its_formula_says(criterion, structure, share):
    recorder = TrajectoryRecorder(record_freq=1)
    schedule = ramp(begin=2, end=8)
    optimizer = pruning(
        keras.optimizers.SGD(RATE), schedule, CRITERIA[criterion](recorder), share,
        structure=STRUCTURES[structure], update_freq=3,
    )  # fmt: skip
    model = compiled(optimizer)
    step = Steps(model, compiled=(criterion, structure, share) in COMPILED)
    recorder.set_model(model)
    first = weights(model)
    count = 1 if structure == "units" else 2  # the outputs are no units
    formula = Formula(criterion, kernels(model)[:count], optimizer)
    generator = np.random.default_rng(5)
    # In units that sparsity asks for.
    most = 0.5 if structure == "2:4" else 1.0
    gone = [gone_groups(structure, kernel) for kernel in kernels(model)[:count]]
    for done in range(1, 11):
        grads = [generator.normal(size=v.shape).astype("float32") for v in model.trainable_variables]
        scores = formula(kernels(model)[:count], [g for g in grads if g.ndim == 2][:count])
        step(grads)
        recorder.record()
        assert exact(optimizer)
        now = [gone_groups(structure, kernel) for kernel in kernels(model)[:count]]
        for old, new, score in zip(gone, now, scores, strict=True):
            assert np.all(new[old])  # gone stays gone
            if done not in (2, 5, 8):
                np.testing.assert_array_equal(new, old)
            elif np.any(new & ~old) and not np.all(new):
                grouped = GROUPED[structure](score)
                assert grouped[new & ~old].max() <= grouped[~new].min() + 1e-6
        if done in (2, 5, 8):
            sizes = [groups.size for groups in now]
            wanted, missed = how_many(share, schedule(done) / most, sizes)
            found = [groups.sum() for groups in now]
            np.testing.assert_allclose(found if share == "uniform" else [sum(found)], wanted, atol=missed)
        gone = now
    if structure == "2:4":
        fours = [np.sum(k.reshape(-1, 4, k.shape[1]) == 0, axis=1) for k in kernels(model)]
        assert all(np.all(zero == 2) for zero in fours)
    hidden, hidden_bias, out, out_bias = weights(model)
    if structure == "units":
        dead = np.all(hidden == 0, axis=0)
        np.testing.assert_array_equal(hidden_bias == 0, dead)
        assert np.all(hidden[:, ~dead] != 0)
        assert np.all(out != 0)
    else:
        assert np.all(hidden_bias != 0)
    assert np.all(out_bias != 0)
    assert all(np.all(new[new != 0] != old[new != 0]) for new, old in zip(weights(model), first, strict=True))
    report = kk.pruning.report(model)
    assert report.asked == 0.5
    assert report.unit == COUNTED[structure]
    pruned = [w for w in ([hidden, hidden_bias] if structure == "units" else [hidden, out])]
    assert report.reached == pytest.approx(sum((w == 0).sum() for w in pruned) / sum(w.size for w in pruned))
    for row, values in zip(report.rows, weights(model), strict=True):
        assert (row.shape, row.reached) == (values.shape, pytest.approx(np.mean(values == 0)))
        in_part = any(values is w for w in pruned)
        assert (row.asked, bool(row.reason)) == (0.5, False) if in_part else (row.asked, row.reason != "")
    if criterion in ("mode", "forecast"):
        assert host(optimizer.pruned.ready) == 1
        assert host(optimizer.pruned.early) == 1  # at step 2


# --- fit, save, load, fit ---

FITS = {
    # criterion: structure, share, include, exclude
    "magnitude": (None, "global", ["*kernel", "*hidden/bias"], None),
    "displacement": ("2:4", "erk", None, "out*"),
    "movement": ((3, 2), "uniform", "*hidden/*", ["*bias"]),
    "random": ("unit", "global", None, None),
    "mode": ((2, 2), "displacement", None, None),
    "forecast": ("unit", "magnitude", None, None),
    "function": ("2:4", "random", None, None),
}


# One of each way to keep what is followed: a variable a weight, and a recorder.
ON_JAX = ["movement", "mode"]


@pytest.mark.parametrize("criterion", ON_JAX if keras.backend.backend() == "jax" else FITS)
def test_fit_save_load_and_fit(criterion, tmp_path):
    structure, share, include, exclude = FITS[criterion]
    recorder = TrajectoryRecorder(record_freq=1)
    share = {"displacement": MagnitudeDisplacement()}.get(share, share)
    inner, schedule = keras.optimizers.SGD(0.05, momentum=0.9), ramp(0.5, 1, 16, power=1)
    scores = CRITERIA[criterion](recorder)
    optimizer = pruning(inner, schedule, scores, share, include, exclude, structure, update_freq=5)
    model, look = compiled(optimizer), Look()
    follows = [recorder] if criterion in ("mode", "forecast") else []
    fit(model, look, *follows)
    assert look.faults == []
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded.optimizer
    assert again.get_config() == optimizer.get_config()
    for new, old in zip(
        [*loaded.weights, *again.variables], [*model.weights, *optimizer.variables], strict=True
    ):
        np.testing.assert_array_equal(host(new.value), host(old.value))
    assert again.pruned.skipped == optimizer.pruned.skipped
    assert kk.pruning.report(loaded) == kk.pruning.report(model)
    if follows:
        with pytest.raises(ValueError, match=r"has no recorder: it is not saved with the model. Set its"):
            fit(loaded)
        if (
            keras.backend.backend() == "jax"
        ):  # there Keras loses the weights of a model whose first step fails
            loaded = keras.models.load_model(tmp_path / "model.keras")
            again = loaded.optimizer
        recorder = again.criterion.recorder = TrajectoryRecorder(record_freq=1)
    look_again = Look()
    fit(loaded, look_again, *([recorder] if follows else []))
    assert look_again.faults == []
    # Updates after 1, 6, 11 and 16 steps.
    shares = [*look.zeros, *look_again.zeros]
    assert shares[0] == 0 < shares[5] < shares[10] < shares[15]
    assert np.all(np.isin(np.flatnonzero(np.diff(shares)), [4, 9, 14]))
    report = kk.pruning.report(loaded)
    assert report.asked == 0.5
    tolerance = 0.1 if structure == "unit" else 0.07  # equal for units of all layers, not for their weights
    assert report.reached == pytest.approx(0.5, abs=tolerance)
    pruned = {row.path for row in report.rows if row.asked is not None}
    assert pruned == {
        "magnitude": {"hidden/kernel", "hidden/bias", "out/kernel"},
        "displacement": {"hidden/kernel"},
        "movement": {"hidden/kernel"},
        "random": {"hidden/kernel", "hidden/bias"},
        "forecast": {"hidden/kernel", "hidden/bias"},
    }.get(criterion, {"hidden/kernel", "out/kernel"})
    for row in report.rows:
        if row.path not in pruned:
            assert row.reached == 0
            assert row.reason
