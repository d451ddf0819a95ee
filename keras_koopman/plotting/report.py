"""`write_report`: one self-contained page on one recorded run or several."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import os
import string
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from .. import _checks
from . import sections, words
from .html import Html, esc, section, table, tag
from .names import run_names
from .run import Run, read_run

Store = str | os.PathLike[str]


def write_report(stores: Store | Sequence[Store], output: Store, window: int = 64) -> Path:
    """Write a page that shows what one or several recorded runs did, in pictures and plain words.

    The page holds all it needs: no script, no network. It shows the spectrum of the increments with its
    half-lives, the whole model's and each layer's, the loss with the spectral figures beneath, and the
    distances between the spectra of several runs. What cannot be told yet is said, with the reason.

    Args:
        stores: Folder of a store, as `KoopmanMonitor(store=...)` or `Trajectory.save` writes it, or several.
        output: The HTML file to write; replaced if it exists.
        window: The spectrum looks at the last so many records, at least 2. Defaults to 64.

    Returns:
        The path of the page.

    Raises:
        ImportError: If Matplotlib or zarr is not installed.
        FileNotFoundError: If there is no store, or no folder for the page.
        ValueError: If no store is given, or one is damaged, empty, or of a newer format.

    Example:
    >>> import pathlib
    >>> import tempfile
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> from keras_koopman import plotting
    >>> trajectory = kk.Trajectory()
    >>> for t in range(8):
    ...     trajectory.append(np.array([0.9**t, 2 * 0.9**t]))
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> trajectory.save(folder / "run.zarr")
    >>> page = plotting.write_report(folder / "run.zarr", folder / "report.html")
    >>> "6.58 snapshots" in page.read_text("utf-8")  # the half-life of 0.9
    True
    """
    paths = [stores] if isinstance(stores, str | os.PathLike) else list(stores)
    if not paths:
        raise ValueError("stores is empty: pass the folder of one store at least.")
    window = _checks.whole_number("window", window, least=2)
    runs = [read_run(path, name, window) for path, name in zip(paths, run_names(paths), strict=True)]
    output = Path(output)
    output.write_text(page(runs), encoding="utf-8")
    return output


def page(runs: Sequence[Run]) -> str:
    """The HTML of a report."""
    files = importlib.resources.files(__package__)
    title = "One training run" if len(runs) == 1 else f"{len(runs)} training runs"
    body = [
        sections.in_words(runs),
        sections.figures(runs),
        sections.over_time(runs),
        sections.spectra(runs),
        sections.layers(runs),
        *([sections.distances(runs)] if len(runs) > 1 else []),
        sections.tables(runs),
        _method(runs),
    ]
    return string.Template(files.joinpath("report.html").read_text("utf-8")).substitute(
        title=esc(title if len(runs) > 1 else f"{title}: {runs[0].name}"),
        css=files.joinpath("report.css").read_text("utf-8"),
        lead="\n".join(_lead(run, several=len(runs) > 1) for run in runs),
        body="\n".join(body),
    )


def _lead(run: Run, several: bool) -> Html:
    said = words.headline(run.figures)
    if several:
        return tag("p", tag("strong", run.name), f": {said}")
    records = f"{words.count(len(run.times), 'record')}, up to {run.unit} {run.times[-1]:g}"
    return tag("p", said, tag("small", records), classes="lead")


def _method(runs: Sequence[Run]) -> Html:
    rows = []
    for run in runs:
        looked = f"{run.figures.unit}s {run.times[-run.used]:g} to {run.times[-1]:g}"
        rank = str(run.spectrum.rank) if run.spectrum is not None else "–"
        rows.append(
            [run.name, run.path, f"{run.size:,}", str(len(run.times)), f"{run.used} ({looked})", rank]
        )
    headings = ("run", "store", "weights", "records", "in the spectrum", "rank")
    text = (
        "Dynamic mode decomposition of the increments, the differences of successive records, so that the "
        "point at which the training settles is out of the spectrum. Inner products in double precision; "
        "the rank is chosen by the optimal hard threshold of Gavish and Donoho (2014). Drift and speed are "
        "those that were logged during the training, over the last 8 increments."
    )
    return section(
        "How it was computed",
        tag("p", text),
        table("Stores", headings, rows),
        tag(
            "p",
            f"keras_koopman {_version('keras-koopman')}, Keras {keras.__version__} on "
            f"{keras.backend.backend()}, NumPy {np.__version__}.",
            classes="muted",
        ),
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
