import csv

import keras
import pytest

from keras_koopman.callbacks import KoopmanCSVLogger, KoopmanMonitor
from tests.callbacks.tiny import X, Y, fit, model_of

NAMES = ("rho", "speed", "leading", "near_one", "residual", "half_life", "time_left")
FIGURES = [f"koopman_{name}" for name in NAMES]


def read(path, **options):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, **options))


def test_figures_that_come_late_have_their_columns(tmp_path):
    logger = KoopmanCSVLogger(tmp_path / "log.csv")
    history = fit(model_of(), KoopmanMonitor(), logger, epochs=11, batch_size=24).history
    rows = read(tmp_path / "log.csv")
    assert list(rows[0]) == ["epoch", "loss", "val_loss", *FIGURES]
    for name in FIGURES:
        found = [float(row[name]) for row in rows if row[name] != "NA"]
        assert found == pytest.approx(history.get(name, []))
        assert [row[name] for row in rows[:3]] == ["NA"] * 3
    assert rows[8]["koopman_speed"] != "NA"
    assert {row["val_loss"] for row in rows} == {"NA"}


def test_validation_has_one_column(tmp_path):
    logger = KoopmanCSVLogger(tmp_path / "log.csv", separator=";")
    fit(model_of(metrics=["mae"]), KoopmanMonitor(), logger, epochs=2, validation_data=(X, Y))
    row = read(tmp_path / "log.csv", delimiter=";")[1]
    assert list(row) == ["epoch", "loss", "mae", "val_loss", "val_mae", *FIGURES]
    assert float(row["val_loss"]) > 0


def test_appends_without_a_second_header(tmp_path):
    model, monitor = model_of(), KoopmanMonitor()
    for _ in range(2):
        fit(model, monitor, KoopmanCSVLogger(tmp_path / "log.csv", append=True), epochs=6)
    rows = read(tmp_path / "log.csv")
    assert [row["epoch"] for row in rows] == [*"012345"] * 2
    assert rows[5]["koopman_speed"] == "NA"
    assert float(rows[8]["koopman_speed"]) > 0


def test_works_without_a_monitor_and_one_logger_in_two_fits(tmp_path):
    logger = KoopmanCSVLogger(tmp_path / "log.csv")
    model = model_of()
    fit(model, logger)
    fit(model, logger, epochs=3)
    rows = read(tmp_path / "log.csv")
    assert [row["koopman_rho"] for row in rows] == ["NA"] * 3


def test_logger_of_keras_on_a_second_fit(tmp_path):
    model, monitor = model_of(), KoopmanMonitor()
    fit(model, monitor, epochs=9)
    fit(model, monitor, keras.callbacks.CSVLogger(str(tmp_path / "log.csv")), epochs=2)
    assert all(float(row["koopman_speed"]) > 0 for row in read(tmp_path / "log.csv"))
