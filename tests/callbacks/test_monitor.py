import importlib.util
import warnings

import keras
import numpy as np
import pytest

from keras_koopman.callbacks import KoopmanMonitor
from tests.callbacks.tiny import Hook, X, Y, fit, model_of, weights

FIGURES = [f"koopman_{n}" for n in ("rho", "speed", "leading", "near_one", "residual", "half_life")]
RATE = 0.1


def quadratic(*factors, batches=1, **compile_options):
    """A linear model and what `fit` is given: each batch multiplies the error of weight i by factor i."""
    model = model_of(
        lambda: keras.Input((len(factors),)),
        lambda: keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        optimizer=keras.optimizers.SGD(RATE),
        **compile_options,
    )
    n = len(factors)
    curvature = (1 - np.array(factors)) / RATE  # the Hessian of the mean of squares is 2 X'X / n
    x = np.diag(np.sqrt(np.maximum(curvature, 0) * n / 2)).astype("float32")
    return model, {"x": np.tile(x, (batches, 1)), "y": np.zeros((batches * n, 1)), "batch_size": n}


@pytest.mark.parametrize("factor", [0.95, 0.7, -0.8])
def test_figures_of_one_decay(factor):
    model, options = quadratic(factor)
    history = fit(model, KoopmanMonitor(), epochs=14, **options).history
    assert history["koopman_leading"] == pytest.approx([abs(factor)] * 11, rel=1e-4)
    assert history["koopman_half_life"] == pytest.approx([-np.log(2) / np.log(abs(factor))] * 11, rel=1e-3)
    assert history["koopman_residual"] == pytest.approx([0] * 11, abs=1e-3)
    assert history["koopman_near_one"] == [abs(1 - factor) < 0.1] * 11
    assert history["koopman_rho"] == pytest.approx([factor] * 6, rel=1e-4)
    t = np.arange(9, 15)
    speed = np.abs(factor ** (t - 8.0) - factor**t) / 8 / (np.abs(1 - factor**t) / t)
    assert history["koopman_speed"] == pytest.approx(speed, rel=1e-4)


@pytest.mark.parametrize("factors", [(0.95, 0.5), (0.97, 0.88, 0.6, 0.3)])
def test_the_slowest_of_several_leads(factors):
    model, options = quadratic(*factors)
    history = fit(model, KoopmanMonitor(), epochs=20, **options).history
    assert history["koopman_leading"][-1] == pytest.approx(factors[0], rel=1e-3)
    assert history["koopman_near_one"][-1] == sum(factor > 0.9 for factor in factors)


@pytest.mark.parametrize("average", [True, False])
def test_growth_is_per_record_and_half_lives_per_epoch(average):
    model, options = quadratic(0.9, batches=3)
    history = fit(model, KoopmanMonitor(average=average), epochs=10, **options).history
    assert history["koopman_leading"][-1] == pytest.approx(0.9**3, rel=1e-4)
    assert history["koopman_half_life"][-1] == pytest.approx(np.log(2) / -np.log(0.9) / 3, rel=1e-3)


@pytest.mark.parametrize("average", [True, False])
def test_half_lives_per_batch(average):
    model, options = quadratic(0.9, batches=4)
    monitor = KoopmanMonitor(record_freq=2, average=average)
    history = fit(model, monitor, epochs=4, **options).history
    assert history["koopman_leading"][-1] == pytest.approx(0.9**2, rel=1e-4)
    assert history["koopman_half_life"][-1] == pytest.approx(np.log(2) / -np.log(0.9), rel=1e-3)


def test_what_grows_has_no_half_life():
    model, options = quadratic(-1.2)
    history = fit(model, KoopmanMonitor(), epochs=10, **options).history
    assert history["koopman_leading"][-1] == pytest.approx(1.2, rel=1e-4)
    assert "koopman_half_life" not in history


def test_figures_come_when_they_can_be_computed():
    seen = []
    model = model_of()
    history = fit(
        model,
        KoopmanMonitor(),
        Hook(on_epoch_end=lambda _, epoch, logs: seen.append({n for n in FIGURES if n in logs})),
        epochs=10,
    ).history
    assert seen[:3] == [set()] * 3
    assert "koopman_near_one" in seen[3]
    assert not {"koopman_rho", "koopman_speed"} & set().union(*seen[:8])
    assert {"koopman_rho", "koopman_speed"} <= seen[8]
    assert len(history["koopman_rho"]) == len(history["koopman_speed"]) == 2


def test_weights_at_the_end_of_an_epoch_have_no_rho():
    history = fit(model_of(), KoopmanMonitor(average=False), epochs=11).history
    assert "koopman_near_one" in history
    assert not {"koopman_rho", "koopman_speed"} & set(history)


@pytest.mark.parametrize("record_freq", ["epoch", 1])
def test_constant_weights_have_no_figures(record_freq):
    model = model_of(optimizer=keras.optimizers.SGD(0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(model, KoopmanMonitor(record_freq=record_freq), epochs=11).history
    assert list(history) == ["loss"]


def test_weights_that_come_to_rest():
    model = model_of()
    stop = Hook(
        on_epoch_begin=lambda hook, epoch, _: epoch == 5 and setattr(hook.model.optimizer, "learning_rate", 0)
    )
    history = fit(model, KoopmanMonitor(), stop, epochs=18).history
    assert history["koopman_speed"][-1] == pytest.approx(0, abs=1e-6)
    assert len(history["koopman_speed"]) == 10
    assert len(history["koopman_rho"]) < 10  # at last none of the eight steps moved
    assert all(np.isfinite(v).all() for v in history.values())


def test_figures_of_weights_that_are_no_longer_finite():
    def spoil(hook, epoch, _):
        if epoch == 10:
            hook.model.get_layer("out").bias.assign([np.nan])

    monitor = KoopmanMonitor()
    with pytest.warns(UserWarning, match="KoopmanMonitor: a sample .* was left out"):
        history = fit(model_of(), Hook(on_epoch_begin=spoil), monitor, epochs=14).history
    assert len(history["loss"]) == 14
    assert len(history["koopman_speed"]) == 2  # not repeated from epoch 10
    assert monitor.figures == {}


def test_figures_begin_again_with_another_model():
    monitor = KoopmanMonitor()
    fit(model_of(), monitor, epochs=9)
    assert "koopman_speed" in monitor.figures
    with pytest.warns(UserWarning, match="starts anew"):
        history = fit(model_of(), monitor, epochs=2).history
    assert list(history) == ["loss"]


def test_early_stopping():
    model, options = quadratic(0.8)
    stopping = keras.callbacks.EarlyStopping("koopman_speed", mode="max", patience=3, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras says for eight epochs that it has no speed yet
        history = fit(model, KoopmanMonitor(), stopping, epochs=30, **options)
    assert len(history.epoch) == 9 + 3


def test_best_speed_is_counted_from_the_start_of_each_fit():
    model, monitor = model_of(), KoopmanMonitor()
    stopping = keras.callbacks.EarlyStopping("koopman_speed", mode="max", patience=2, verbose=0)
    fit(model, monitor, epochs=9)
    lengths = [len(fit(model, monitor, stopping, epochs=30).epoch) for _ in range(2)]
    assert min(lengths) >= 3


def test_one_line_a_record(capsys):
    model, options = quadratic(0.9)
    fit(model, KoopmanMonitor(verbose=1), epochs=9, **options)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert lines[0] == "epoch 1: too few records yet"
    assert lines[8].startswith("epoch 9: rho 0.9  speed 0.941")
    fit(model, KoopmanMonitor(record_freq=2, verbose=1), epochs=4, **options)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["batch 2", "batch 4"]
    fit(model, KoopmanMonitor(), epochs=1, **options)
    assert not capsys.readouterr().out


def test_figures_at_batches_reach_later_callbacks():
    seen = []
    watch = Hook(on_train_batch_end=lambda _, i, logs: seen.append(logs.get("koopman_speed")))
    history = fit(model_of(), KoopmanMonitor(record_freq=2), watch, epochs=4).history
    assert [i for i, value in enumerate(seen) if value is not None] == [17, 19, 21, 23]
    assert history["koopman_speed"] == [seen[17], seen[23]]  # the latest, at the end of an epoch


def test_trajectory_and_decomposition_are_at_hand():
    monitor = KoopmanMonitor()
    assert monitor.decomposition is None
    model, options = quadratic(0.9, 0.5)
    fit(model, monitor, epochs=6, **options)
    assert monitor.trajectory.times.tolist() == [1, 2, 3, 4, 5, 6]
    assert monitor.decomposition.eigenvalues.real.max() == pytest.approx(monitor.figures["koopman_leading"])


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    model, options = quadratic(0.9)
    history = fit(model, KoopmanMonitor(log_dir=tmp_path / "logs"), epochs=10, **options).history
    events = EventAccumulator(str(tmp_path / "logs"), size_guidance={"tensors": 0}).Reload()
    tags = events.Tags()["tensors"]
    assert set(FIGURES) <= set(tags)
    rho = events.Tensors("koopman_rho")
    assert [event.step for event in rho] == [9, 10]
    values = [float(tensor_util.make_ndarray(event.tensor_proto)) for event in rho]
    assert values == pytest.approx(history["koopman_rho"], rel=1e-6)
    if importlib.util.find_spec("matplotlib") is not None:
        pictures = events.Tensors("koopman_spectrum")
        assert len(pictures) == 7
        width, height, png, *_ = pictures[-1].tensor_proto.string_val
        assert int(width) > 100
        assert int(height) > 100
        assert png.startswith(b"\x89PNG")


def test_needs_tensorboard_for_log_dir(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"log_dir='there' needs TensorBoard.*pip install tensorboard"):
        KoopmanMonitor(log_dir="there")


def test_weights_are_not_changed_by_pictures(tmp_path):
    found = []
    for callbacks in [], [KoopmanMonitor(log_dir=tmp_path, record_freq=2, store=tmp_path / "s.zarr")]:
        model = model_of()
        fit(model, *callbacks, x=X, y=Y)
        found.append(weights(model))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
