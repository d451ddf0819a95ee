"""Tables from what `rankings.py` wrote: points over magnitude, and overlaps of masks.

    python benchmarks/pruning/summarise_rankings.py
    python benchmarks/pruning/summarise_rankings.py benchmarks/results/pruning/rankings_digits.csv

Points are accuracy in per cent less that of ranking `magnitude` with share `own` of the same optimizer, seed,
fraction and sparsity: mean and standard error over the seeds. A column is missing until it has a row.
"""

import argparse
import csv
import math
from collections import defaultdict
from pathlib import Path

TABLE = Path(__file__).parents[1] / "results" / "pruning" / "rankings.csv"
RUN = ("network", "optimizer", "fraction", "sparsity")


def read(paths):
    """Rows of the tables, with numbers where there are some."""
    rows = []
    for path in paths:
        with path.open() as file:
            rows += csv.DictReader(line for line in file if not line.startswith("#"))
    texts = {"network", "optimizer", "ranking", "share", "library", "version"}
    return [{name: v if name in texts else float(v) for name, v in row.items()} for row in rows]


def points(rows):
    """`{run: {(ranking, share): {seed: points over magnitude}}}`."""
    base = {
        tuple(row[name] for name in (*RUN, "seed")): row["accuracy"]
        for row in rows
        if (row["ranking"], row["share"]) == ("magnitude", "own")
    }
    found = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        run = tuple(row[name] for name in RUN)
        if (*run, row["seed"]) in base:
            difference = 100 * (row["accuracy"] - base[*run, row["seed"]])
            found[run][row["ranking"], row["share"]][row["seed"]] = difference
    return found


def mean_and_error(values):
    """Mean of some numbers and its standard error, nan of one number."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    spread = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(spread / len(values))


def average(rows, name):
    """`{run: {(ranking, share): mean of a column}}`."""
    found = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[tuple(row[key] for key in RUN)][row["ranking"], row["share"]].append(row[name])
    return {run: {pair: sum(v) / len(v) for pair, v in by_pair.items()} for run, by_pair in found.items()}


def show(title, runs, lines):
    """Print a Markdown table.

    Args:
        runs: of each column.
        lines: `{name of a line: cells}`.
    """
    print(f"\n### {title}\n")
    print("| ranking, share |", " | ".join(f"{optimizer} {100 * f:g} %" for _, optimizer, f, _ in runs), "|")
    print("|---" * (len(runs) + 1) + "|")
    for name, cells in lines.items():
        print(f"| {name} |", " | ".join(cells), "|")


def tables(rows):
    """Print all tables."""
    gained = points(rows)
    accuracy, dense = average(rows, "accuracy"), average(rows, "dense_accuracy")
    overlaps = {name: average(rows, f"jaccard_{name}") for name in ("magnitude", "hindsight")}
    kept = [average(rows, f"kept_{name}") for name in ("first", "second", "third")]
    for network, sparsity in sorted({(run[0], run[3]) for run in gained}):
        runs = sorted(
            (run for run in gained if (run[0], run[3]) == (network, sparsity)),
            key=lambda r: (r[1] != "sgd", r),
        )
        pairs = list(dict.fromkeys((row["share"], row["ranking"]) for row in rows))
        pairs = [(ranking, share) for share, ranking in sorted(pairs, key=lambda p: (p[0] != "own", p[0]))]
        pairs = [pair for pair in pairs if any(pair in gained[run] for run in runs)]

        def line(pair, cell, runs=runs):
            return [cell(run) if pair in gained[run] else "" for run in runs]

        lines = {
            "dense, accuracy": [f"{100 * dense[run]['magnitude', 'own']:.2f}" for run in runs],
            "magnitude, own: accuracy": [f"{100 * accuracy[run]['magnitude', 'own']:.2f}" for run in runs],
            "seeds": [str(len(gained[run]["magnitude", "own"])) for run in runs],
        }
        for pair in pairs:
            if pair == ("magnitude", "own"):
                continue
            lines[", ".join(pair)] = line(
                pair,
                lambda run, pair=pair: "{:+.2f} ± {:.2f}".format(
                    *mean_and_error(list(gained[run][pair].values()))
                ),
            )
        show(f"{network}, sparsity {sparsity}: points over magnitude", runs, lines)
        lines = {
            ", ".join(pair): line(
                pair,
                lambda run, pair=pair: (
                    " / ".join(f"{overlaps[name][run][pair]:.2f}" for name in overlaps)
                    + " ("
                    + " ".join(f"{100 * part[run][pair]:.1f}" for part in kept)
                    + ")"
                ),
            )
            for pair in pairs
            if pair[1] == "own"
        }
        show(
            f"{network}, sparsity {sparsity}: Jaccard overlap with the masks of magnitude / hindsight "
            "(per cent kept in each kernel)",
            runs,
            lines,
        )
        overall(gained, runs, pairs)


def overall(gained, runs, pairs):
    """Print the mean over the runs with a cut at .3 or before, of the seeds that have them all."""
    early = [run for run in runs if run[2] <= 0.3]
    lines = []
    for pair in pairs:
        if not all(pair in gained[run] for run in early):
            continue
        seeds = set.intersection(*(set(gained[run][pair]) for run in early))
        if seeds:
            means = [sum(gained[run][pair][seed] for run in early) / len(early) for seed in seeds]
            lines.append((*mean_and_error(means), ", ".join(pair), len(seeds)))
    print(f"\nMean over these {len(early)} cuts at .3 or before, best first; error over the seeds:\n")
    for mean, error, name, seeds in sorted(lines, reverse=True):
        print(f"- {name}: {mean:+.2f} ± {error:.2f} ({seeds} seeds)")


def main():
    """Read and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", type=Path, default=[TABLE])
    tables(read(parser.parse_args().tables))


if __name__ == "__main__":
    main()
