"""The parts of the report, each from the runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..spectrum.distance import spectrum_distance
from ..spectrum.table import HEADINGS, spectrum_rows
from . import words
from .figures import half_life_chart, layer_chart, layers_shown, panels, spectrum_chart, time_chart
from .html import Html, figure, items, run_legend, section, table, tag, tile, trust_legend
from .run import Layer, Run
from .svg import SERIES

MOST_MODES = 24
EIGENVALUES = (
    "On the circle a mode neither grows nor fades; towards the centre it fades. The larger the mark, the "
    "more of the first step lies in that mode."
)
HALF_LIVES = "The slowest modes, numbered as in the table below; of a pair that turns, one is shown."


def in_words(runs: Sequence[Run]) -> Html:
    """What each figure says."""
    said = []
    for run in runs:
        layers = words.layer_sentence(run.layers, run.unit)
        found = items([*words.sentences(run.figures), *([layers] if layers else []), *run.notes])
        said.append(found if len(runs) == 1 else tag("div", tag("h3", run.name), found, classes="card"))
    told = said[0] if len(runs) == 1 else tag("div", *said, classes="charts")
    return section("What the spectrum says", told, tag("p", words.CAUTION, classes="caution"))


def figures(runs: Sequence[Run]) -> Html:
    """The figures after the last record, with their meaning."""
    units = [run.unit for run in runs]
    tiles = []
    for meaning in words.MEANINGS:
        value, unit = "", ""
        if len(runs) == 1:
            value = words.number(getattr(runs[0].figures, meaning.name))
            unit = f"{units[0]}s" if meaning.name == "half_life" and value != "–" else ""
        tiles.append(tile(meaning.label, f"koopman_{meaning.name}", value, unit, meaning.text))
    parts = [tag("dl", *tiles, classes="tiles")]
    if len(runs) > 1:
        metrics = [m for m in ("loss", "val_loss") if any(m in run.logs for run in runs)]
        headings = ["run", "records", *metrics, *(meaning.label for meaning in words.MEANINGS)]
        rows = []
        for run in runs:
            last = [words.number(float(run.logs[m][-1])) if m in run.logs else "–" for m in metrics]
            values = [getattr(run.figures, meaning.name) for meaning in words.MEANINGS]
            shown = [words.number(v) for v in values]
            if run.figures.half_life is not None:
                shown[-2] = words.duration(run.figures.half_life, run.unit)
            rows.append([run.name, str(len(run.times)), *last, *shown])
        parts.insert(0, table("Figures of each run", headings, rows))
    return section("The figures, after the last record", *parts)


def over_time(runs: Sequence[Run]) -> Html:
    """Loss curves and spectral figures; one chart for each unit of time."""
    groups = {unit: [run for run in runs if run.unit == unit] for unit in dict.fromkeys(r.unit for r in runs)}
    cards = []
    for number, group in enumerate(groups.values()):
        if not panels(group):
            continue
        legend = run_legend([run.name for run in group], len(SERIES)) if len(runs) > 1 else Html("")
        caption = Html(
            f"{legend}Solid: training; dashed: validation, where there is one. "
            "A figure that could not be told at a record is left out there."
            f"{' Colours repeat.' if len(group) > len(SERIES) else ''}"
        )
        cards.append(figure(time_chart(group, f"time{number}"), caption))
    if not cards:
        return section(
            "Over time", tag("p", "Nothing was logged beside the records: there is no curve to draw.")
        )
    return section("Over time", tag("div", *cards, classes="charts"))


def spectra(runs: Sequence[Run]) -> Html:
    """Eigenvalues in the complex plane, and half-lives."""
    known = [(number, run) for number, run in enumerate(runs) if run.spectrum is not None]
    missing = [
        f"{run.name} has no spectrum yet: {run.figures.no_spectrum}." for run in runs if run.spectrum is None
    ]
    parts: list[Html] = [items(missing)] if missing else []
    if known:
        planes = [
            figure(spectrum_chart(run, f"plane{number}"), EIGENVALUES, _title(runs, run, "eigenvalues"))
            for number, run in known
        ]
        lives = [
            figure(half_life_chart(run, f"lives{number}"), HALF_LIVES, _title(runs, run, "half-lives"))
            for number, run in known
        ]
        grids = [[*planes, *lives]] if len(runs) == 1 else [planes, lives]
        parts += [trust_legend(), *(tag("div", *grid, classes="charts") for grid in grids)]
    return section("The spectrum of the motion", *parts)


def _title(runs: Sequence[Run], run: Run, what: str) -> str:
    return what if len(runs) == 1 else f"{run.name}: {what}"


def layers(runs: Sequence[Run]) -> Html:
    """The spectrum of each layer, drawn and in a table."""
    cards, tables = [], []
    for number, run in enumerate(runs):
        shown = layers_shown(run)
        if shown:
            left_out = len(run.layers) - len(shown)
            caption = "A row for each layer, a mark for each mode of its own motion."
            if left_out:
                caption += f" {words.count(left_out, 'layer')} that move less, or not at all, are left out."
            cards.append(figure(layer_chart(run, f"layers{number}"), caption, _title(runs, run, "layers")))
        if len(runs) > 1:
            tables.append(tag("h3", run.name))
        headings = (
            "layer",
            "weights",
            "share of motion",
            "leading |λ|",
            f"half-life, {run.unit}s",
            "residual",
            "",
        )
        tables.append(table(f"Layers of {run.name}", headings, [_layer_row(layer) for layer in run.layers]))
    charts = [trust_legend(), tag("div", *cards, classes="charts")] if cards else []
    return section("Layer by layer", *charts, *tables)


def _layer_row(layer: Layer) -> list[str]:
    found = layer.leading
    start = [layer.name, f"{layer.size:,}", f"{layer.share:.1%}"]
    if found is None:
        why = "does not move" if not layer.share else "no mode stands out" if layer.spectrum else "too early"
        return [*start, "–", "–", "–", why]
    life = words.number(found.half_life) if np.isfinite(found.half_life) else "does not fall"
    return [*start, words.number(found.modulus), life, words.number(found.residual), found.trust.value]


def distances(runs: Sequence[Run]) -> Html:
    """Distances between the spectra of several runs."""
    known = [run for run in runs if run.spectrum is not None]
    parts: list[Html] = [tag("p", words.comparison(runs))]
    if len(known) > 1 and words.comparable(runs):
        rows = [
            [
                a.name,
                *(
                    "0" if a is b else words.number(float(spectrum_distance(a.spectrum, b.spectrum)))
                    for b in known
                ),
            ]
            for a in known
        ]
        parts.append(table("Distances between spectra", ["", *(run.name for run in known)], rows))
    return section("Between the runs", *parts)


def tables(runs: Sequence[Run]) -> Html:
    """All modes of each run."""
    parts: list[Html] = []
    for run in runs:
        if run.spectrum is None:
            continue
        if len(runs) > 1:
            parts.append(tag("h3", run.name))
        modes = run.spectrum.order("residual")[:MOST_MODES]
        parts.append(table(f"Modes of {run.name}", HEADINGS, spectrum_rows(run.spectrum, modes)))
        if run.spectrum.rank > MOST_MODES:
            parts.append(tag("p", f"… and {run.spectrum.rank - MOST_MODES} more.", classes="muted"))
    if not parts:
        return section("All modes", tag("p", "There is no spectrum yet."))
    units = " or ".join(dict.fromkeys(f"{run.unit}s" for run in runs))
    note = f"Half-life and period in {units}. The most important modes come first."
    return section("All modes", *parts, tag("p", note, classes="muted"))
