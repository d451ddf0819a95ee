import json
import re

import pytest

from keras_koopman.export import ExportReport, ExportRow
from keras_koopman.export.report import notes_of

MODEL = ExportRow("model", None, 4_000_000, 1_250_000, 0.75, 0.0005, 1.5)
SAVED = ExportRow("tf_saved_model", "/a", 4_100_000, 1_260_000, 0.75, 4e-6, 0.02, 1e-6, 2e-7)
BARE = ExportRow("onnx", "/a.onnx", 999, 1000, None)


def test_table():
    lines = str(ExportReport((MODEL, SAVED, BARE), 32, ("A note.",))).splitlines()
    cells = [line.split("  ") for line in lines]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in cells]
    assert cells[1] == ["what", "bytes", "zipped", "zeros", "1 row", "32 rows", "difference"]
    assert cells[3] == ["model", "4 MB", "1.25 MB", "75.0%", "0.5 ms", "1.5 s", "-"]
    assert cells[4] == ["tf_saved_model", "4.1 MB", "1.26 MB", "75.0%", "0.004 ms", "20 ms", "1.0e-06"]
    assert cells[5] == ["onnx", "999 B", "1 kB", "-", "-", "-", "-"]
    assert lines[-1] == "A note."
    assert max(map(len, lines)) <= 120


def test_one_row_has_one_column_of_times():
    table = ExportReport((MODEL,), 1, ()).summary()
    assert table.count("row") == 1
    assert "1.5 s" not in table


def test_plain_values():
    report = ExportReport((MODEL, BARE), None, ("A note.",))
    found = json.loads(json.dumps(report.to_dict()))
    assert found["rows"][0]["zipped_bytes"] == 1_250_000
    assert found["rows"][1]["latency_1"] is None
    assert (found["sample_size"], found["notes"]) == (None, ["A note."])


@pytest.mark.parametrize(
    ("size", "made_up", "rows", "wanted"),
    [
        (
            None,
            True,
            (MODEL, SAVED),
            ["were not run.*Pass sample=", "75.0% of the kernels' weights are zero"],
        ),
        (8, True, (MODEL, SAVED), ["made-up inputs.*2.0e-07.*Pass sample=", "medians", "faster.*shrink"]),
        (1, False, (MODEL, SAVED), ["on 1 row of the sample: .*output.$", "medians", "zero"]),
        (2, False, (BARE, BARE), ["on 2 rows of the sample", "medians"]),
    ],
)
def test_notes(size, made_up, rows, wanted):
    notes = notes_of(rows, size, made_up)
    assert len(notes) == len(wanted)
    for note, pattern in zip(notes, wanted, strict=True):
        assert re.search(pattern, note), note
