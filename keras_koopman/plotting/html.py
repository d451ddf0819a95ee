"""Pieces of a page. Text goes in as it is and comes out escaped; only `Html` is taken as it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .run import Trust


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def esc(text: str) -> Html:
    """Escaped, unless it is HTML already."""
    return text if isinstance(text, Html) else Html(escape(text, quote=True))


def tag(name: str, *children: str, classes: str = "") -> Html:
    """An element around its children."""
    attribute = f' class="{classes}"' if classes else ""
    return Html(f"<{name}{attribute}>{''.join(map(esc, children))}</{name}>")


def section(title: str, *children: str) -> Html:
    """A part of the page under a heading."""
    return Html("<section>" + "\n".join(map(esc, (tag("h2", title), *children))) + "</section>")


def items(texts: Iterable[str]) -> Html:
    """A list."""
    return tag("ul", *(tag("li", text) for text in texts))


def table(label: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table that scrolls in its own box; the first cell of a row names it."""
    head = "".join(f'<th scope="col">{esc(h)}</th>' for h in headings)
    body = "".join(
        f'<tr><th scope="row"><div class="name">{esc(row[0])}</div></th>'
        + "".join(f"<td>{esc(cell)}</td>" for cell in row[1:])
        + "</tr>\n"
        for row in rows
    )
    # A box that scrolls must be reachable by keyboard.
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(label)}">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def figure(svg: str, caption: str, title: str = "") -> Html:
    """A chart in its card."""
    heading = tag("h3", title) if title else Html("")
    return Html(f'<figure class="card">{heading}{svg}{tag("figcaption", caption)}</figure>')


def tile(label: str, name: str, value: str, unit: str, text: str) -> Html:
    """One figure with what it means."""
    shown = Html(f"{esc(value)}{f' <small>{esc(unit)}</small>' if unit else ''}")
    return tag(
        "div",
        tag("dt", label, Html(" "), tag("code", name)),
        tag("dd", shown, classes="value"),
        tag("dd", text),
    )


def run_legend(names: Sequence[str], colours: int) -> Html:
    """Which colour is which run."""
    return Html(
        '<ul class="legend">'
        + "".join(
            f'<li><i class="line" style="--mark: var(--series-{i % colours + 1})"></i>{esc(name)}</li>'
            for i, name in enumerate(names)
        )
        + "</ul>"
    )


def trust_legend() -> Html:
    """Which mark can be trusted."""
    marks = {
        Trust.CLEAR: ("", "--mark: var(--series-1)", "can be trusted: residual up to 0.2 |λ|"),
        Trust.DOUBTFUL: ("diamond", "--mark: var(--series-2)", "doubtful: noise alone gives as much"),
        Trust.NOISE: ("hollow", "", "noise: residual above half of |λ|"),
    }
    return Html(
        '<ul class="legend">'
        + "".join(
            f'<li><i class="{kind}" style="{style}"></i>{esc(text)}</li>'
            for kind, style, text in marks.values()
        )
        + "</ul>"
    )
