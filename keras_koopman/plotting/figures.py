"""The report's charts, each 320 units wide so that it can be read on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .names import shorten
from .run import PREFIX, Layer, Run, Trust
from .svg import GRID, INK, MUTED, PAPER, SERIES, chart
from .words import NOISE_RHO, SLOW_SPEED, duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from ..spectrum.decomposition import KoopmanDecomposition

MARKS: dict[Trust, dict[str, Any]] = {
    Trust.NOISE: {"marker": "o", "facecolors": PAPER, "edgecolors": MUTED},
    Trust.DOUBTFUL: {"marker": "D", "facecolors": SERIES[1], "edgecolors": PAPER},
    Trust.CLEAR: {"marker": "o", "facecolors": SERIES[0], "edgecolors": PAPER},
}
BARS = {Trust.NOISE: MUTED, Trust.DOUBTFUL: SERIES[1], Trust.CLEAR: SERIES[0]}
MOST_LAYERS = 16
MOST_BARS = 10
PANEL = 94


class Panel(NamedTuple):
    """One pair of axes over time."""

    title: str
    names: tuple[str, ...]  # what to draw: solid, then dashed
    share: float = 1.0
    limit: float | None = None
    whole: bool = False


def spectrum_chart(run: Run, salt: str) -> str:
    """Eigenvalues in the complex plane."""
    d = run.spectrum
    assert d is not None

    def draw(figure: Figure) -> None:
        from matplotlib.patches import Circle

        ax = figure.subplots()
        ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor=MUTED, linewidth=1))
        ax.axhline(0, color=GRID, linewidth=0.7, zorder=0)
        ax.axvline(0, color=GRID, linewidth=0.7, zorder=0)
        size = _area(d.importance)
        kinds = _trusts(d)
        for trust, mark in MARKS.items():  # the clear ones come last, on top
            chosen = np.array([kind is trust for kind in kinds])
            values = d.eigenvalues[chosen]
            ax.scatter(values.real, values.imag, s=size[chosen], linewidths=0.8, zorder=3, **mark)
        reach = max(1.12, float(np.abs(d.eigenvalues).max()) * 1.08)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.set(xlabel="real part", ylabel="imaginary part")
        ax.locator_params(nbins=5)

    return chart(draw, 305, f"Koopman eigenvalues of {run.name} in the complex plane", salt)


def half_life_chart(run: Run, salt: str) -> str:
    """Half-lives of the slowest modes as bars."""
    d = run.spectrum
    assert d is not None
    lives, kinds = d.half_lives, _trusts(d)
    # One of each conjugate pair; the slowest on top.
    modes = [i for i in np.argsort(-np.abs(d.eigenvalues), kind="stable") if d.eigenvalues[i].imag >= 0]
    modes = modes[:MOST_BARS]
    finite = [float(lives[i]) for i in modes if np.isfinite(lives[i]) and lives[i] > 0]
    end = max(finite, default=1.0) * 1.3
    start = min(min(finite, default=1.0) / 2, end / 20)

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        ax.set_xscale("log")
        _plain_decades(ax.xaxis)
        for row, i in enumerate(modes):
            life = float(lives[i])
            shown = min(max(life, start), end)
            hollow = kinds[i] is Trust.NOISE
            ax.barh(
                row,
                shown - start,
                left=start,
                height=0.62,
                color=PAPER if hollow else BARS[kinds[i]],
                edgecolor=BARS[kinds[i]],
                linewidth=0.8,
            )
            text = duration(life, run.unit) if np.isfinite(life) else "does not fall"
            ax.annotate(text, (shown, row), (4, 0), textcoords="offset points", va="center", fontsize=10)
        ax.set_yticks(range(len(modes)), [f"mode {i}" for i in modes], color=INK)
        ax.tick_params(axis="y", length=0)
        # Room for the words behind the longest bar.
        ax.set(xlim=(start, end * (end / start) ** 0.45), ylim=(len(modes) - 0.4, -0.6))
        ax.set_xlabel(f"half-life in {run.unit}s, logarithmic")
        ax.spines["left"].set_visible(False)

    return chart(draw, 70 + 24 * len(modes), f"Half-lives of the slowest modes of {run.name}", salt)


def layers_shown(run: Run) -> list[Layer]:
    """The layers that have a spectrum; of many those that move the most."""
    found = [layer for layer in run.layers if layer.spectrum is not None]
    least = sorted((layer.share for layer in found), reverse=True)[:MOST_LAYERS]
    return [layer for layer in found if layer.share >= least[-1]][:MOST_LAYERS] if found else []


def layer_chart(run: Run, salt: str) -> str:
    """`|lambda|` of each mode of each layer, a row a layer."""
    layers = layers_shown(run)

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        ax.axvline(1, color=MUTED, linewidth=1, zorder=1)
        reach = 1.05
        for row, layer in enumerate(layers):
            d = layer.spectrum
            assert d is not None
            modulus, size, kinds = np.abs(d.eigenvalues), 0.6 * _area(d.importance), _trusts(d)
            reach = max(reach, float(modulus.max()) * 1.05)
            ax.axhline(row, color=GRID, linewidth=0.7, zorder=0)
            for trust, mark in MARKS.items():
                chosen = np.array([kind is trust for kind in kinds])
                heights = np.full(int(chosen.sum()), row)
                ax.scatter(modulus[chosen], heights, s=size[chosen], linewidths=0.8, zorder=3, **mark)
        ax.set_yticks(range(len(layers)), [shorten(layer.name, 16) for layer in layers], color=INK)
        ax.tick_params(axis="y", length=0)
        ax.set(xlim=(0, reach), ylim=(len(layers) - 0.4, -0.6), xlabel="|λ|, growth per record")
        ax.spines["left"].set_visible(False)

    return chart(draw, 60 + 30 * len(layers), f"Spectrum of each layer of {run.name}", salt)


def panels(runs: Sequence[Run]) -> list[Panel]:
    """What there is to draw over time: loss and a metric, then the spectral figures."""
    names = list(dict.fromkeys(name for run in runs for name in run.logs))
    metrics = [n for n in names if not n.startswith((PREFIX, "val_")) and n not in ("loss", "learning_rate")]
    first = [
        Panel(name, tuple(n for n in (name, f"val_{name}") if n in names), 1.7 if name == "loss" else 1.0)
        for name in ("loss", *metrics[:1])
        if name in names
    ]
    figures = [
        Panel("koopman_rho, drift (dotted: 1/3)", (f"{PREFIX}rho",), limit=NOISE_RHO),
        Panel("koopman_speed (dotted: 1/2)", (f"{PREFIX}speed",), limit=SLOW_SPEED),
        Panel("koopman_leading, dashed: koopman_residual", (f"{PREFIX}leading", f"{PREFIX}residual")),
        Panel("koopman_half_life", (f"{PREFIX}half_life",)),
        Panel("koopman_near_one", (f"{PREFIX}near_one",), whole=True),
    ]
    return first + [panel for panel in figures if panel.names[0] in names]


def time_chart(runs: Sequence[Run], salt: str) -> str:
    """Loss curves with the spectral figures beneath on one time axis; a colour for each run."""
    shown = panels(runs)
    shares = [panel.share for panel in shown]

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        rows = figure.subplots(len(shown), 1, sharex=True, squeeze=False, height_ratios=shares)[:, 0]
        for ax, panel in zip(rows, shown, strict=True):
            ax.grid(axis="y")
            ax.set_title(shorten(panel.title, 42))
            if panel.limit is not None:
                ax.axhline(panel.limit, color=INK, linewidth=1, linestyle=":")
            drawn = [_lines(ax, run, panel.names, SERIES[i % len(SERIES)]) for i, run in enumerate(runs)]
            _scale(ax, np.concatenate([v for values in drawn for v in values]), panel)
        rows[-1].set_xlabel(runs[0].unit)
        rows[-1].xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))

    return chart(draw, 30 + PANEL * sum(shares), "Loss and spectral figures over time", salt)


def _lines(ax: Axes, run: Run, names: tuple[str, ...], colour: str) -> list[NDArray[np.float64]]:
    found = [run.logs[name] for name in names if name in run.logs]
    for name, style in zip(names, ("-", "--"), strict=False):
        if name in run.logs:
            # A value between two missing ones is no line: so points as well.
            marker = "." if len(run.times) <= 200 else ""
            ax.plot(run.times, run.logs[name], style, color=colour, marker=marker, markersize=3)
    return found


def _scale(ax: Axes, values: NDArray[np.float64], panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    finite = values[np.isfinite(values)]
    if panel.names[0] == "loss" and len(finite) and finite.min() > 0 and finite.max() > 20 * finite.min():
        ax.set_yscale("log")
        _plain_decades(ax.yaxis)
        return
    ax.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=panel.whole))
    if panel.limit is not None or panel.whole or panel.names[0].endswith(("leading", "half_life")):
        ax.set_ylim(bottom=min(0.0, float(finite.min(initial=0.0))))


def _plain_decades(axis: Axis) -> None:
    """Powers of ten in digits: the page has no formulas."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(numticks=5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _trusts(d: KoopmanDecomposition) -> list[Trust]:
    return [Trust.of(value, residual) for value, residual in zip(d.eigenvalues, d.residuals, strict=True)]


def _area(importance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of a mark, by decades of importance."""
    share = importance / max(float(importance.max()), np.finfo(float).tiny)
    return np.asarray(28 + 28 * np.clip(np.log10(np.maximum(share, 1e-3)) + 3, 0, 3), np.float64)
