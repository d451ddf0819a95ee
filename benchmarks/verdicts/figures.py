"""Draw what the tables of this folder say, for `docs/verdicts.md`.

    python benchmarks/verdicts/figures.py

Writes docs/figures/verdicts_{stopping,cause,jumps}.svg.
"""

import csv
from pathlib import Path

import numpy as np
from _thresholds import CAUSES, Run, Thresholds, choose, named, with_causes
from matplotlib import rcParams
from matplotlib.figure import Figure
from stopping_rules import all_rules, runs

RESULTS = Path(__file__).parents[1] / "results" / "verdicts"
FIGURES = Path(__file__).parents[2] / "docs" / "figures"
SHOWN = {
    "full budget": "full budget",
    "full budget, average": "full budget, mean of weights",
    "early stopping, last weights": "EarlyStopping, last",
    "early stopping, best weights": "EarlyStopping, best",
    "early stopping, average": "EarlyStopping, mean of weights",
    "koopman": "KoopmanEarlyStopping, last",
    "koopman, best loss": 'restore="best"',
    "koopman, average": 'restore="average"',
    "koopman, average, left out": "the same, thresholds from the others",
    "oracle": "oracle",
}
ARMS = {"koopman": "KoopmanJump", "linear": "straight line, same guard", "average": "mean of weights"}


def read(name):
    """Rows of a table."""
    with (RESULTS / f"{name}.csv").open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def stopping():
    """Epochs against the share of runs within a point, with its standard error over configurations."""
    every = runs()
    names = list(dict.fromkeys(name for name, _ in every))
    figure = Figure((7.2, 4.4), layout="constrained")
    axis = figure.subplots()
    for number, (rule, applied) in enumerate(all_rules(every).items()):
        found = {name: [] for name in names}
        for (name, _), rows in every.items():
            found[name].append(applied(name, rows))
        means = np.array([np.mean(np.array(f, float), axis=0) for f in found.values()])
        epochs, _, kept = means.mean(axis=0)
        error = 100 * means[:, 2].std(ddof=1) / np.sqrt(len(names))
        marker = "s" if rule.startswith("koopman") else "o"
        axis.errorbar(epochs, 100 * kept, error, fmt=marker, color=f"C{number}", label=SHOWN[rule], capsize=2)
    axis.set(xlabel="epochs of 60", ylabel="runs within a point of the full budget, %")
    axis.set_title(f"{len(every)} runs of {len(names)} configurations", fontsize=10)
    axis.legend(frameon=False, fontsize=8, loc="center right")
    save(figure, "verdicts_stopping")


def cause():
    """What was told of bad runs of each cause, with thresholds from the other networks."""
    every = with_causes(read("calibration"))
    networks = sorted({run.network for run in every})
    told = [*CAUSES, None]
    figure = Figure((9, 3), layout="constrained")
    axes = figure.subplots(1, len(networks), sharey=True)
    for axis, network in zip(axes, networks, strict=True):
        thresholds = choose([run for run in every if run.network != network], "chance")
        bad = [run for run in every if run.network == network and run.cause]
        shares = np.array([_row(bad, true, told, thresholds) for true in CAUSES])
        axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.6 else "black"
            axis.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=8, color=colour)
        axis.set_xticks(range(4), ["low", "high", "start", "none"])
        counts = [sum(run.cause is true for run in bad) for true in CAUSES]
        axis.set_yticks(range(3), ["rate too low", "rate too high", "start"])
        axis.set_title(f"{network}: {counts[0]}, {counts[1]}, {counts[2]} runs", fontsize=9)
        axis.set_xlabel("told")
    axes[0].set_ylabel("true cause")
    save(figure, "verdicts_cause")


def _row(bad: list[Run], true, told, thresholds: Thresholds):
    """Shares of the runs of one cause that were told each thing."""
    guesses = [named(run.judged(thresholds)) for run in bad if run.cause is true]
    guesses = [guess if guess in CAUSES else None for guess in guesses]
    return [np.mean([guess is what for guess in guesses]) if guesses else np.nan for what in told]


def jumps():
    """How many times fewer epochs to the plain run's final loss; a run that never comes there counts as 0."""
    rows = read("jumps")
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    plain = {(r["task"], r["seed"]): float(r["epochs_to_goal"]) for r in rows if r["arm"] == "plain"}
    figure = Figure((8, 4), layout="constrained")
    axis = figure.subplots()
    for number, (arm, label) in enumerate(ARMS.items()):
        for place, task in enumerate(tasks):
            ours = [r for r in rows if r["task"] == task and r["arm"] == arm]
            gains = [
                plain[task, r["seed"]] / float(r["epochs_to_goal"]) if r["epochs_to_goal"] else 0.0
                for r in ours
            ]
            at = [place + 0.22 * (number - 1)] * len(gains)
            axis.plot(at, gains, "o", color=f"C{number}", markersize=4, label="" if place else label)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_xticks(range(len(tasks)), tasks, rotation=30, ha="right", fontsize=8)
    axis.set_ylabel("times fewer epochs (0: never there)")
    axis.set_yscale("symlog", linthresh=1)
    axis.set_yticks([0, 1, 2, 5, 10, 20], ["0", "1", "2", "5", "10", "20"])
    axis.legend(frameon=False)
    save(figure, "verdicts_jumps")


def save(figure, name):
    """Write a picture without a date, so that it changes only with what it shows."""
    rcParams["svg.hashsalt"] = name
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})
    print(f"Wrote docs/figures/{name}.svg.")


if __name__ == "__main__":
    stopping()
    cause()
    jumps()
