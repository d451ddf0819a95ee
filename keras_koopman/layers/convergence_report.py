"""What a convergence test found."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

import numpy as np

from .._table import text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Distinct for colour-blind readers too, in this order.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


class Represents(enum.Enum):
    """What the trained blocks of a model are: an equation, or the steps that they were trained with.

    Example:
    >>> import keras_koopman as kk
    >>> kk.layers.Represents.ODE.value
    'an ordinary differential equation'
    """

    ODE = "an ordinary differential equation"
    DISCRETISATION = "its own discretisation"
    UNDECIDED = "undecided"


@dataclasses.dataclass(frozen=True)
class ConvergenceRow:
    """Outputs with one scheme and one number of steps.

    Attributes:
        scheme: name of it.
        steps: of each block.
        difference: of the outputs to the limit, as a share of the norm of the limit; infinite if they are not
            finite.
        order: observed, from the row with the fewer steps before; None for the first.
        score: of the metric; None without targets.

    Example:
    >>> import keras_koopman as kk
    >>> kk.layers.ConvergenceRow("heun", 8, 0.01, 2.0, None).steps
    8
    """

    scheme: str
    steps: int
    difference: float
    order: float | None
    score: float | None


@dataclasses.dataclass(frozen=True)
class ConvergenceReport:
    """What `kk.layers.convergence_test` found; print it for a table.

    Attributes:
        rows: one for each scheme and number of steps.
        trained: the outputs with the scheme and steps that the model has; `order` is None.
        represents: a `Represents`.
        reason: the verdict in words.
        limit_error: estimated difference of the limit itself to the true one.
        limit_score: score of the limit; None without targets.
        metric: name of the score; None without targets.

    Example:
    >>> import keras_koopman as kk
    >>> row = kk.layers.ConvergenceRow("rk4", 4, 1e-5, None, None)
    >>> report = kk.layers.ConvergenceReport(
    ...     (row,), row, kk.layers.Represents.ODE, "It is.", 1e-7, None, None
    ... )
    >>> print(str(report).splitlines()[-1])
    It is.
    """

    rows: tuple[ConvergenceRow, ...]
    trained: ConvergenceRow
    represents: Represents
    reason: str
    limit_error: float
    limit_score: float | None
    metric: str | None

    def orders(self) -> dict[str, float]:
        """Scheme -> observed order, the median over its rows; schemes with no order are absent."""
        found: dict[str, list[float]] = {}
        for row in self.rows:
            if row.order is not None:
                found.setdefault(row.scheme, []).append(row.order)
        return {scheme: float(np.median(orders)) for scheme, orders in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """Numbers, texts and lists for JSON."""
        return {**dataclasses.asdict(self), "represents": self.represents.name}

    def __str__(self) -> str:
        def cells(row: ConvergenceRow, mark: str = "") -> list[str]:
            score = [] if self.metric is None else [_shown(row.score, ".4f")]
            return [
                row.scheme + mark,
                str(row.steps),
                f"{row.difference:.2e}",
                _shown(row.order, ".2f"),
                *score,
            ]

        headings = ["scheme", "steps", "difference", "order", *([self.metric] if self.metric else [])]
        limit = ["limit", "", f"{self.limit_error:.1e}", ""]
        limit += [_shown(self.limit_score, ".4f")] if self.metric else []
        rows = [*map(cells, self.rows), cells(self.trained, " (trained)"), limit]
        return "\n".join([*text_table(headings, rows, left=("scheme",)), self.reason])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the difference to the limit against the steps, a line for each scheme.

        Args:
            ax: Matplotlib axes to draw on. Defaults to None: a new figure.

        Returns:
            The axes.

        Raises:
            ImportError: If Matplotlib is not installed.
        """
        ax = _new_axes() if ax is None else ax
        for i, scheme in enumerate(dict.fromkeys(row.scheme for row in self.rows)):
            own = [r for r in self.rows if r.scheme == scheme and 0 < r.difference < np.inf]
            order = self.orders().get(scheme)
            label = scheme if order is None else f"{scheme}, order {order:.1f}"
            points = [r.steps for r in own], [r.difference for r in own]
            ax.plot(*points, "o-", color=COLOURS[i % len(COLOURS)], markersize=4, label=label)
        if 0 < self.trained.difference < np.inf:
            place = [self.trained.steps], [self.trained.difference]
            ax.plot(*place, "k*", markersize=11, label="as trained", linestyle="none")
        if self.limit_error > 0:
            ax.axhline(
                self.limit_error, color="#767676", linewidth=1, linestyle=":", label="error of the limit"
            )
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        steps = sorted({row.steps for row in (*self.rows, self.trained)})
        ax.set_xticks(steps, [str(n) for n in steps])
        ax.set_xlabel("steps")
        ax.set_ylabel("relative difference to the limit")
        ax.spines[["top", "right"]].set_visible(False)
        # Beside the lines, which may fill the axes.
        ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return ax


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _new_axes() -> Axes:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "A plot needs Matplotlib, which is not installed: pip install 'keras-koopman[plot]'."
        ) from error
    # Through pyplot, so that plt.show() shows it.
    return plt.subplots(figsize=(6, 3.6), layout="constrained")[1]
