"""The page holds what it should, escaped, and says what cannot be told."""

import re
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

from keras_koopman.plotting import write_report
from tests.plotting.stores import HOSTILE, make_store, save_path

VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """Tags, ids and text of a page; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.attributes, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def report(stores, tmp_path, **options):
    path = write_report(stores, tmp_path / "report.html", **options)
    return Page(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    return report(make_store(folder / "run.zarr"), folder)


def test_holds_the_figures(one):
    assert one.tags.count("svg") == 4  # over time, plane, half-lives, layers
    for text in (
        "The weights are still drifting.",
        "6.58 epochs",
        "koopman_rho",
        "Keras ",
        "first",
        "second",
    ):
        assert text in one.text


def test_half_life_of_each_layer(one):
    rows = re.findall(r"(first|second)6(\S+)", one.text)  # name, 6 weights, the rest of the row
    assert [name for name, _ in rows] == ["first", "second"]
    assert ".96.58" in rows[0][1]
    assert ".51" in rows[1][1]


def test_page_stands_alone(one):
    assert not {"script", "img", "iframe", "object", "base"} & set(one.tags)
    links = [value for name, value in one.attributes if name in ("src", "href", "xlink:href")]
    assert links
    assert all(link.startswith("#") for link in links)


def test_ids_are_unique_and_found(one):
    assert len(one.ids) == len(set(one.ids))
    used = {u for _, value in one.attributes for u in re.findall(r"url\(#([^)]*)\)", value or "")}
    used |= {value[1:] for name, value in one.attributes if name == "href"}
    assert used == set(one.ids)


def test_colours_follow_the_scheme(one):
    styles = " ".join(value for name, value in one.attributes if name == "style")
    assert "var(--series-1)" in styles
    assert "var(--ink)" in styles
    assert not re.search(r"#[0-9a-f]{6}", styles)  # a fixed colour is lost in one of the schemes
    assert "DejaVu" not in styles


def test_hostile_names_arrive_escaped(tmp_path):
    store = make_store(tmp_path / f"{HOSTILE.replace('/', '')}.zarr", layers=(HOSTILE, "b"), metric=HOSTILE)
    path = write_report(store, tmp_path / "report.html")
    text = path.read_text("utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert "onerror" not in dict(page.attributes)
    shown = HOSTILE.replace("\N{RIGHT-TO-LEFT OVERRIDE}", "\N{REPLACEMENT CHARACTER}")
    assert escape(shown) in text
    assert shown in page.text
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text


def test_names_with_lone_surrogates_and_control_characters(tmp_path):
    page = report(make_store(tmp_path / "run.zarr", layers=("a\ud800", "b\x00\n")), tmp_path)
    assert "a\N{REPLACEMENT CHARACTER}" in page.text


def test_several_runs(tmp_path):
    growing = save_path(tmp_path / "c.zarr", np.array([0.8, 1.2])[:, None] ** np.arange(9))
    page = report([make_store(tmp_path / "a.zarr"), growing], tmp_path)
    assert "2 training runs" in page.text
    # Two units, so two charts over time are possible, but the last run logged nothing.
    assert page.tags.count("svg") == 1 + 2 * 3
    assert "does not fall" in page.text
    assert "were recorded at different intervals" in page.text
    assert len(page.ids) == len(set(page.ids))


def test_distances_between_runs(tmp_path):
    stores = [make_store(tmp_path / f"{name}.zarr") for name in ("a", "b")]
    page = report(stores, tmp_path)
    assert "Mean distance of the eigenvalues" in page.text
    assert re.search(r"a00\s+b00", page.text)  # equal runs: all distances are 0


def test_without_logs_and_with_two_records(tmp_path):
    page = report(make_store(tmp_path / "run.zarr", logs=False, records=2), tmp_path)
    assert page.tags.count("svg") == 0
    for text in (
        "It is too early to say how this run moves.",
        "Nothing was logged",
        "Drift and speed cannot be told: they need 9 records and there are 2 so far.",
        "There is no spectrum yet: it needs 4 records and there are 2 so far.",
    ):
        assert text in page.text


def test_some_runs_without_a_spectrum(tmp_path):
    stores = [make_store(tmp_path / "a.zarr", records=2), make_store(tmp_path / "b.zarr")]
    page = report(stores, tmp_path)
    assert "a has no spectrum yet" in page.text
    assert "fewer than two of the runs have one" in page.text


def test_same_page_whatever_matplotlib_is_set_to(tmp_path):
    mpl = pytest.importorskip("matplotlib")
    store = make_store(tmp_path / "run.zarr")

    def page(stores):
        # Names of clip paths are hashes of coordinates, which may differ in the last digit.
        text = write_report(stores, tmp_path / "page.html").read_text("utf-8")
        return re.sub(r"\bp[0-9a-f]{10}\b", "clip", text)

    first = page(store)
    with mpl.rc_context({"font.size": 23.0, "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        assert page([store]) == first
        assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("stores", "options", "error", "message"),
    [
        ([], {}, ValueError, "stores is empty"),
        (["nowhere.zarr"], {}, FileNotFoundError, "no such store"),
        (["nowhere.zarr"], {"window": 1}, ValueError, "window must be at least 2"),
    ],
)
def test_errors(tmp_path, monkeypatch, stores, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        write_report(stores, "report.html", **options)


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    store = make_store(tmp_path / "run.zarr")
    with pytest.raises(ImportError, match=r"keras-koopman\[plot\]"):
        write_report(store, tmp_path / "report.html")
