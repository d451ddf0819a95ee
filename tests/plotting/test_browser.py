"""The page in a real browser: figures, no console error, no sideways scrolling on a phone."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from keras_koopman.plotting import write_report
from tests.plotting.stores import HOSTILE, make_store

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--dump-dom",
]
# A browser's window cannot be as narrow as a phone; a frame can. What is told: the width of its page, the
# size of the smallest text in a chart, and how many texts leave their chart.
PHONE = """<!DOCTYPE html><title></title><iframe width="375" height="800" style="border: 0"></iframe><script>
const frame = document.querySelector("iframe"), box = e => e.getBoundingClientRect();
frame.onload = () => {
  const page = frame.contentDocument, texts = [...page.querySelectorAll("svg text")];
  const scale = m => Math.hypot(m.a, m.b);
  const size = t => parseFloat(frame.contentWindow.getComputedStyle(t).fontSize) * scale(t.getScreenCTM());
  const leaves = t => {
    const outer = box(t.ownerSVGElement), inner = box(t);
    return inner.left < outer.left - 1 || inner.right > outer.right + 1;
  };
  document.title = JSON.stringify([
    frame.contentWindow.innerWidth,
    page.documentElement.scrollWidth,
    Math.min(...texts.map(size)),
    texts.filter(leaves).length,
  ]);
};
frame.srcdoc = SOURCE;
</script>"""

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")


def browse(page, profile):
    """The DOM after loading, and what the browser logged."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report on one run, and one on two with names that are long and hostile."""
    folder = tmp_path_factory.mktemp("pages")
    plain = make_store(folder / "run.zarr")
    long = make_store(folder / f"{'a_long_name_' * 8}.zarr", layers=(HOSTILE * 2, "x" * 90), metric=HOSTILE)
    return [
        write_report(plain, folder / "one.html"),
        write_report([plain, long], folder / "two.html"),
    ]


@pytest.mark.parametrize("index", [0, 1])
def test_opens_without_an_error(pages, tmp_path, index):
    dom, log = browse(pages[index], tmp_path)
    assert dom.count("<svg") == (4, 7)[index]
    assert dom.count("<path") > 20
    assert "6.58 epochs" in dom
    assert "<script" not in dom
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []


@pytest.mark.parametrize("index", [0, 1])
def test_fits_a_phone(pages, tmp_path, index):
    source = json.dumps(pages[index].read_text("utf-8")).replace("</", "<\\/")
    phone = tmp_path / "phone.html"
    phone.write_text(PHONE.replace("SOURCE", source), encoding="utf-8")
    dom, log = browse(phone, tmp_path / "profile")
    assert "CONSOLE" not in log
    inner, wide, smallest, clipped = map(float, re.search(r"<title>\[(.*?)\]</title>", dom)[1].split(","))
    assert inner == 375
    assert wide <= 375
    assert smallest >= 9
    assert clipped == 0
