"""Experiment 1, the rules: what would each rule have cost and kept, on the curves that `stopping.py` wrote?

    python benchmarks/verdicts/stopping_rules.py

Prints one table: mean epochs of 60; points of accuracy lost against the last epoch; share of runs that keep
all but a point of that. `koopman` is `KoopmanEarlyStopping` with its defaults, with each `restore`;
`left out` the same with thresholds chosen, for each configuration, on all others; `early stopping` Keras's
on the validation loss with patience 5, with the last weights, the best, and the same mean of weights;
`oracle` the first epoch whose accuracy is within a point of the last one's, which nobody can know.
"""

import itertools
import math

from _table import RESULTS, Table

from keras_koopman.verdicts.path import RHO, SPEED, WINDOW, StopReason, stopping_rule

EPOCHS, PATIENCE, POINT, WANTED = 60, 5, 0.01, 0.9
RHOS, SPEEDS = (0.2, 0.25, 0.3, 1 / 3, 0.4, 0.45, 0.5), (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def runs():
    """`{(configuration, seed): [row, ...]}` of the runs that are complete."""
    found = {}
    for row in Table("stopping", ("configuration", "seed", "epoch"), ()).rows():
        values = {k: float(v) if v else None for k, v in row.items() if k != "configuration"}
        found.setdefault((row["configuration"], row["seed"]), []).append(values)
    return {run: rows for run, rows in found.items() if len(rows) == EPOCHS}


def koopman(rows, rho=RHO, speed=SPEED):
    """Epoch at which `KoopmanEarlyStopping` stops."""
    drifted, losses = False, []
    for row in rows:
        losses.append(row["loss"])
        drifted = drifted or (row["rho"] is not None and row["rho"] >= rho)
        reason = stopping_rule(row["rho"], row["speed"], rho, speed)
        if reason is StopReason.DRIFT_IS_NOISE and not drifted:
            before, last = losses[:-WINDOW], losses[-WINDOW:]
            reason = reason if before and min(last) >= min(before) else None
        if reason is not None:
            return int(row["epoch"])
    return EPOCHS


def early_stopping(rows):
    """Epoch at which Keras's callback stops, and the epoch of its best weights."""
    best, at = math.inf, 0
    for row in rows:
        if row["val_loss"] < best:
            best, at = row["val_loss"], int(row["epoch"])
        elif row["epoch"] - at >= PATIENCE:
            return int(row["epoch"]), at
    return EPOCHS, at


def oracle(rows):
    """First epoch that is within a point of the last."""
    return next(int(row["epoch"]) for row in rows if row["accuracy"] >= rows[-1]["accuracy"] - POINT)


def outcome(rows, epoch, column="accuracy", at=None):
    """Epochs, points lost, and whether at most one is."""
    kept = rows[(at or epoch) - 1][column]
    lost = rows[-1]["accuracy"] - (rows[epoch - 1]["accuracy"] if kept is None else kept)
    return epoch, 100 * lost, lost <= POINT + 1e-9


def left_out(every, name):
    """Thresholds that keep nine in ten runs of all configurations but one within a point, with the mean of
    the weights; of those the fewest epochs."""
    others = [rows for (configuration, _), rows in every.items() if configuration != name]

    def quality(pair):
        found = [outcome(rows, koopman(rows, *pair), "average_accuracy") for rows in others]
        return min(WANTED, sum(o[2] for o in found) / len(found)), -sum(o[0] for o in found)

    return max(itertools.product(RHOS, SPEEDS), key=quality)


def best_loss(rows, epoch):
    """Epoch of the lowest training loss until then."""
    return min(rows[:epoch], key=lambda row: row["loss"])["epoch"]


def all_rules(every):
    """By its name, what each rule makes of a configuration's run."""
    names = list(dict.fromkeys(name for name, _ in every))
    pairs = {name: left_out(every, name) for name in names} if len(names) > 1 else {}
    return {
        "full budget": lambda n, rows: outcome(rows, EPOCHS),
        "full budget, average": lambda n, rows: outcome(rows, EPOCHS, "average_accuracy"),
        "early stopping, last weights": lambda n, rows: outcome(rows, early_stopping(rows)[0]),
        "early stopping, best weights": lambda n, rows: outcome(
            rows, early_stopping(rows)[0], at=early_stopping(rows)[1]
        ),
        "early stopping, average": lambda n, rows: outcome(rows, early_stopping(rows)[0], "average_accuracy"),
        "koopman": lambda n, rows: outcome(rows, koopman(rows)),
        "koopman, best loss": lambda n, rows: outcome(
            rows, koopman(rows), at=int(best_loss(rows, koopman(rows)))
        ),
        "koopman, average": lambda n, rows: outcome(rows, koopman(rows), "average_accuracy"),
        "koopman, average, left out": lambda n, rows: outcome(
            rows, koopman(rows, *pairs.get(n, (RHO, SPEED))), "average_accuracy"
        ),
        "oracle": lambda n, rows: outcome(rows, oracle(rows)),
    }


def main():
    """Print the table."""
    every = runs()
    names = list(dict.fromkeys(name for name, _ in every))
    rules = all_rules(every)
    print(f"{len(every)} runs of {len(names)} configurations; table {RESULTS.name}/stopping.csv\n")
    print("| rule | epochs | points lost | within a point |\n|---|---|---|---|")
    for rule, applied in rules.items():
        found = [applied(name, rows) for (name, _), rows in every.items()]
        epochs, lost, kept = (sum(o[i] for o in found) / len(found) for i in range(3))
        print(f"| {rule} | {epochs:.1f} | {lost:.2f} | {100 * kept:.0f} % |")
    print("\n| configuration | accuracy at the end |", " | ".join(list(rules)[1:]), "|")
    print("|---" * (len(rules) + 1) + "|")
    for name in names:
        own = [rows for (configuration, _), rows in every.items() if configuration == name]
        last = sum(rows[-1]["accuracy"] for rows in own) / len(own)
        cells = []
        for applied in list(rules.values())[1:]:
            found = [applied(name, rows) for rows in own]
            cells.append("{:.0f}: {:+.1f}".format(*(sum(o[i] for o in found) / len(found) for i in (0, 1))))
        print(f"| {name} | {100 * last:.1f} |", " | ".join(cells), "|")
    print("\nEach cell: epochs, and points lost.")


if __name__ == "__main__":
    main()
