"""Matplotlib figures as small SVG that follows the page's colours, fonts and width."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Drawn in stand-in colours; each becomes a variable of report.css, so that one picture serves both schemes.
INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES = tuple(f"#0101{i:02x}" for i in range(0x11, 0x19))
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "card"} | {
    colour: f"series-{i}" for i, colour in enumerate(SERIES, 1)
}

WIDTH = 320
POINTS_PER_INCH = 72

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["sans-serif"],
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


def chart(draw: Callable[[Figure], None], height: float, label: str, salt: str) -> str:
    """An inline SVG.

    Args:
        draw: fills the figure.
        height: in the units of which the width has 320.
        label: what is to be seen, for those who cannot see it.
        salt: another one for each chart of a page: no two of them share an id.

    Raises:
        ImportError: If Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "A report needs Matplotlib, which is not installed: pip install 'keras-koopman[plot]'."
        ) from error
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**STYLE, "svg.hashsalt": salt})
        figure = Figure(figsize=(WIDTH / POINTS_PER_INCH, height / POINTS_PER_INCH), layout="constrained")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return inline(text.getvalue(), label)


def inline(svg: str, label: str) -> str:
    """Matplotlib's SVG file as an element of a page: no fixed size, no ids but those in use."""
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    elements = list(root.iter())
    for element in elements:
        element.tag = _local(element.tag)
        element.attrib = {_local(name): value for name, value in element.attrib.items()}
    values = [value for element in elements for value in element.attrib.values()]
    used = {name for value in values for name in re.findall(r"#([\w-]+)", value)}
    for element in elements:
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        if "style" in element.attrib:
            element.attrib["style"] = _restyle(element.attrib["style"])
    root.attrib = {"viewBox": root.attrib["viewBox"], "class": "chart", "role": "img", "aria-label": label}
    return ET.tostring(root, encoding="unicode")


def _restyle(style: str) -> str:
    for colour, name in VARIABLES.items():
        style = style.replace(colour, f"var(--{name})")
    # The page chooses the font; its size stays. Before Matplotlib 3.11 both stood in one property.
    style = re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", style)
    return re.sub(r"font-family: [^;]*(; )?", "", style)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
