"""What `KoopmanMonitor` says of the time that is left."""

import numpy as np
import pytest

from keras_koopman.callbacks import KoopmanMonitor
from keras_koopman.callbacks import monitor as module
from keras_koopman.relaxation import Relaxation
from tests.callbacks.test_monitor import quadratic
from tests.callbacks.tiny import fit, model_of

NAME = "koopman_time_left"


def test_a_decay_is_foretold(capsys):
    model, options = quadratic(0.9)
    monitor = KoopmanMonitor(verbose=1)
    history = fit(model, monitor, epochs=24, **options).history
    wanted = np.log(0.01) / np.log(0.9)  # 43.7 epochs
    assert history[NAME] == pytest.approx([wanted] * 8, rel=0.02)
    lines = capsys.readouterr().out.splitlines()
    assert "left" not in lines[15]
    assert "relaxing" not in lines[15]
    assert lines[16].endswith("about 44 epochs left (41-46)")
    assert monitor.isostable.trusted
    assert monitor.isostable.half_life == pytest.approx(monitor.figures["koopman_half_life"], rel=0.01)


def test_growth_is_said_and_not_logged(capsys):
    model, options = quadratic(-1.1)
    monitor = KoopmanMonitor(verbose=1)
    history = fit(model, monitor, epochs=18, **options).history
    assert NAME not in history
    assert monitor.isostable.status is Relaxation.GROWING
    assert (
        capsys.readouterr().out.splitlines()[-1].endswith("not relaxing: a mode of the motion does not decay")
    )


def test_batches_do_not_wait_for_it(monkeypatch):
    """It is looked for once an epoch, though a record is made at each batch."""
    calls = []
    look = module.isostable
    monkeypatch.setattr(module, "isostable", lambda run: calls.append(len(run)) or look(run))
    model, options = quadratic(0.97, batches=6)
    history = fit(model, KoopmanMonitor(record_freq=1), epochs=5, **options).history
    assert calls == [6, 12, 18, 24, 30]
    assert history[NAME][-1] == pytest.approx(np.log(0.01) / np.log(0.97), rel=0.02)  # in batches
    calls.clear()
    fit(model, KoopmanMonitor(), epochs=3, **options)
    assert calls == [1, 2, 3]


def test_another_model_forgets_it():
    monitor = KoopmanMonitor()
    model, options = quadratic(0.9)
    fit(model, monitor, epochs=20, **options)
    assert monitor.isostable.trusted
    with pytest.warns(UserWarning, match="starts anew"):
        fit(model_of(), monitor, epochs=1)
    assert monitor.isostable.status is Relaxation.TOO_SHORT
