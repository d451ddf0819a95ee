"""Where a window is kept under a limit of memory."""

import pytest

from keras_koopman.trajectory.memory import in_words, number_of_bytes, on_device, place

ROW = 400_000_000


@pytest.mark.parametrize(
    ("text", "count"),
    [(100, 100), (1e3, 1000), ("1.5GB", 1.5e9), ("500 mb", 5e8), ("2GiB", 2**31), ("12", 12), ("1e3kB", 1e6)],
)
def test_sizes(text, count):
    assert number_of_bytes("memory_limit", text) == count


@pytest.mark.parametrize("value", [0, -1, "much", "3 XB", float("inf"), "0GB"])
def test_sizes_that_are_none(value):
    with pytest.raises(ValueError, match="memory_limit must be"):
        number_of_bytes("memory_limit", value)


@pytest.mark.parametrize("value", [None, True, [1]])
def test_types_that_are_none(value):
    with pytest.raises(TypeError, match=r"500MB"):
        number_of_bytes("memory_limit", value)


def test_words():
    assert [in_words(n) for n in (1.5e9, 2e6, 3e3, 12)] == ["1.5 GB", "2 MB", "3 kB", "12 bytes"]


def test_what_fits_stays():
    assert place(ROW, 32, on_device(ROW, 32), disk=False) == place(ROW, 32, 10**12, disk=True, host=10**12)
    assert place(ROW, 32, on_device(ROW, 32), disk=False).where == "device"
    assert place(ROW, 32, on_device(ROW, 32) - 1, disk=False).where != "device"


def test_host_before_disk_before_projection():
    assert place(ROW, 32, 2 * 10**9, disk=True, host=10**11).where == "host"
    assert place(ROW, 32, 2 * 10**9, disk=True, host=10**10).where == "disk"
    assert place(ROW, 32, 2 * 10**9, disk=True).where == "disk"
    assert place(ROW, 32, 2 * 10**9, disk=False).where == "projection"
    # Where not even the snapshots in passing fit, only the projection is left.
    assert place(ROW, 32, 10**9, disk=True, host=10**11).where == "projection"


def test_the_projection_fits_and_is_told():
    found = place(ROW, 32, 10**6, disk=False)
    assert found.dimensions % 4 == 0
    assert on_device(4 * found.dimensions, 32) <= 10**6
    assert f"to {found.dimensions} numbers" in found.reason
    assert "1 MB" in found.reason


@pytest.mark.parametrize(("limit", "project"), [(10**4, True), (10**9, False)])
def test_too_little(limit, project):
    with pytest.raises(ValueError, match="Raise it to"):
        place(ROW, 32, limit, disk=False, project=project)


def test_what_is_divided_over_devices_is_projected_or_refused():
    found = place(ROW, 32, 2 * 10**9, disk=True, host=10**12, stays=True)
    assert found.where == "projection"
    assert "store" not in found.reason
    with pytest.raises(ValueError, match=r"Raise it, or lower window\."):
        place(ROW, 32, 10**9, disk=True, project=False, stays=True)
