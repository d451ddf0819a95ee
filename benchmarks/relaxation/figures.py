"""Draw what the tables of this folder say, for `docs/relaxation.md`.

    python benchmarks/relaxation/figures.py

Writes docs/figures/relaxation_time_left.svg and docs/figures/relaxation_equations.svg.
"""

import csv
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[1] / "results" / "relaxation"
FIGURES = Path(__file__).parents[2] / "docs" / "figures"
NAMES = {"diffusion": "diffusion", "burgers": "Burgers", "phase": "phase diffusion"}


def read(name):
    """Rows of a table."""
    with (RESULTS / f"{name}.csv").open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def time_left():
    """Interval against truth, of each judged run that it spoke of; and the loss curve's answer."""
    rows = [row for row in read("time_left") if row["set"] == "judged" and row["truth"]]
    figure = Figure((6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    spoke = [row for row in rows if row["estimate"]]
    truth = [float(row["truth"]) for row in spoke]
    estimate = [float(row["estimate"]) for row in spoke]
    below = [e - float(row["low"]) for e, row in zip(estimate, spoke, strict=True)]
    above = [float(row["high"]) - e for e, row in zip(estimate, spoke, strict=True)]
    silent = len(rows) - len(spoke)
    axis.errorbar(truth, estimate, [below, above], fmt="o", capsize=3, label="isostable, with its interval")
    axis.plot(
        [float(row["truth"]) for row in rows if row["from_loss"]],
        [float(row["from_loss"]) for row in rows if row["from_loss"]],
        "x",
        label="exponential fitted to the loss",
    )
    ends = min(float(row["truth"]) for row in rows), max(float(row["truth"]) for row in rows)
    axis.plot(ends, ends, "black", linewidth=0.8, label="truth")
    axis.set(xscale="log", yscale="log", xlabel="true epochs left", ylabel="epochs left, as told")
    axis.set_title(
        f"{len(rows)} runs asked at a third of the way; isostable is silent in {silent}", fontsize=10
    )
    axis.legend(frameon=False)
    save(figure, "relaxation_time_left")


def equations():
    """Errors of the first five decay rates and of the field at t = 1 against the number of nodes."""
    rows = read("accuracy")
    figure = Figure((8, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    titles = {"rates_1_to_5": "decay rates 1 to 5, relative", "field_at_1": "field at t = 1"}
    for axis, (column, title) in zip(axes, titles.items(), strict=True):
        for key, name in NAMES.items():
            own = [row for row in rows if row["equation"] == key]
            axis.loglog(
                [int(row["nodes"]) for row in own], [float(row[column]) for row in own], "o-", label=name
            )
        first = max(float(row[column]) for row in rows if row["nodes"] == "26")
        axis.loglog([26, 801], [first, first * (25 / 800) ** 4], "k:", label="order 4")
        axis.set(title=title, xlabel="nodes")
        nodes = sorted({int(row["nodes"]) for row in rows})
        axis.set_xticks(nodes, nodes)
        axis.minorticks_off()
    axes[0].set_ylabel("largest difference")
    axes[0].legend(frameon=False)
    save(figure, "relaxation_equations")


def save(figure, name):
    """Write an SVG that does not change from run to run."""
    rcParams["svg.hashsalt"] = "keras_koopman"
    FIGURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    time_left()
    equations()
