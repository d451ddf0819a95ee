import io
import math
import time
import zipfile

import ml_dtypes
import numpy as np
import pytest

from keras_koopman.export import measure


def test_sizes_are_those_of_zip(tmp_path):
    """A deflated zip holds the same bytes, and some of its own for each file."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    pieces = {"saved_model.pb": bytes(5000), "variables/data": rng.bytes(3000), "empty": b""}
    for name, content in pieces.items():
        (folder / name).write_bytes(content)
    plain, zipped = measure.disk_sizes(folder)
    assert plain == 8000
    with zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pieces.items():
            archive.writestr(name, content)
        want = sum(info.compress_size for info in archive.infolist())
    # zlib adds six bytes to each.
    assert want <= zipped <= want + 6 * len(pieces)
    assert measure.disk_sizes(folder / "empty")[0] == 0


def test_zeros_counts_kernels():
    kernel = np.array([[0.0, -0.0, 1e-40], [np.nan, 2, 0]], np.float32)
    assert measure.zeros([kernel, np.zeros(100), np.zeros((3, 3), np.int32)]) == 0.5
    assert measure.zeros([kernel.astype(ml_dtypes.bfloat16), np.ones((2, 3), np.int8)]) in (3 / 12, 4 / 12)
    assert measure.zeros([np.zeros(4)]) is None


@pytest.mark.parametrize(
    ("before", "after", "want"),
    [
        ([1.0, -4.0], [1.0, -4.5], (0.5, 0.125)),
        ([np.nan, 2.0], [np.nan, 2.0], (0, 0)),
        ([np.inf, 2.0], [np.inf, 1.0], (1, 0.5)),
        ([np.nan, 2.0], [1.0, 2.0], (math.inf, math.inf)),
        ([1.0, 2.0], [np.nan, 2.0], (math.inf, math.inf)),
        ([np.inf], [-np.inf], (math.inf, math.inf)),
        ([0.0], [0.0], (0, 0)),
        ([0.0], [1e-12], (1e-12, 1e-6)),
        ([], [], (0, 0)),
        ([1.0], [1.0, 1.0], (math.inf, math.inf)),
        ([3], [1], (2, 2 / 3)),
        (["a", "b"], ["a", "b"], (0, 0)),
        (["a", "b"], ["a", "c"], (math.inf, math.inf)),
    ],
)
def test_difference(before, after, want):
    assert measure.difference([np.array(before)], [np.array(after)]) == pytest.approx(want)


def test_difference_is_relative_to_each_output():
    """A wrong small output does not hide behind a large one."""
    before = [np.array([1e6]), np.array([1e-3])]
    assert measure.difference(before, [before[0], np.array([2e-3])]) == pytest.approx((1e-3, 1.0))
    assert measure.difference(before, before[:1]) == (math.inf, math.inf)


def test_latency_is_the_median():
    waits = iter([0.0] * measure.WARM_UP + [0.001, 0.03, 0.001, 0.001, 0.03])
    last = []

    def run():
        last.append(next(waits))
        time.sleep(last[-1])

    least = measure.LEAST_ROUNDS
    (median,) = measure.latencies([run], 0)
    assert len(last) == measure.WARM_UP + least
    assert 0.001 <= median < 0.03


def test_calls_take_turns():
    calls = []
    times = measure.latencies([lambda k=k: calls.append(k) for k in "abc"], 0)
    assert "".join(calls) == "abc" * measure.WARM_UP + "abcbcacab"
    assert len(times) == 3


def test_time_is_limited():
    begin = time.perf_counter()
    measure.latencies([lambda: time.sleep(0.01)] * 2, 0.1)
    assert 0.1 <= time.perf_counter() - begin < 1
