"""Tables from what `rankings.py` wrote: points over magnitude, and overlaps of masks.

    python benchmarks/pruning/summarise_rankings.py
    python benchmarks/pruning/summarise_rankings.py --data digits
    python benchmarks/pruning/summarise_rankings.py --network lenet --cells

Points are accuracy in per cent less that of ranking `magnitude` with share `own` of the same optimizer, seed,
fraction and sparsity: mean and standard error over the seeds. `--cells` prints each fraction by itself, too.
"""

import argparse
import csv
import itertools
import math
import statistics
from collections import defaultdict
from pathlib import Path

TABLES = Path(__file__).parents[1] / "results" / "pruning"
RUN = ("network", "optimizer", "fraction", "sparsity")
TEXTS = {"data", "network", "optimizer", "ranking", "share", "library", "version"}
EARLY, LATE = (0.05, 0.1, 0.3), (0.6, 1.0)
KOOPMAN = ("koopman_mode", "koopman_mode_means", "koopman_forecast")


def read(paths):
    """Rows of the tables, with numbers where there are some."""
    rows = []
    for path in paths:
        with path.open() as file:
            rows += csv.DictReader(line for line in file if not line.startswith("#"))
    return [{k: v if k in TEXTS or not v else float(v) for k, v in row.items()} for row in rows]


def tables(data, network="*"):
    """Where `rankings.py` puts the tables of some data."""
    return sorted(TABLES.glob(f"rankings_{data}_{network}_*.csv"))


def points(rows):
    """`{run: {(ranking, share): {seed: points over magnitude}}}`, a run a tuple as `RUN`."""
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


def over_fractions(gained, fractions):
    """`{(network, optimizer, sparsity): {pair: {seed: mean}}}` of the seeds that have all these fractions."""
    found = defaultdict(dict)
    for network, optimizer, sparsity in dict.fromkeys((n, o, s) for n, o, _, s in gained):
        runs = [gained[network, optimizer, f, sparsity] for f in fractions]
        for pair in runs[0]:
            seeds = set.intersection(*(set(run.get(pair, ())) for run in runs))
            if seeds:
                found[network, optimizer, sparsity][pair] = {
                    seed: sum(run[pair][seed] for run in runs) / len(runs) for seed in sorted(seeds)
                }
    return found


def mean_and_error(values):
    """Mean of some numbers and its standard error, nan of one number."""
    values = list(values)
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    spread = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(spread / len(values))


def shown(values):
    """A mean and its error, as text."""
    mean, error = mean_and_error(values)
    return f"{mean:+.2f} ± {error:.2f}".replace("+0.", "+.").replace("-0.", "-.").replace(" 0.", " .")


def show(title, head, lines):
    """Print a Markdown table.

    Args:
        title: above it.
        head: of each column.
        lines: `{name of a line: cells}`.
    """
    print(f"\n### {title}\n")
    print("| share | ranking |", " | ".join(head), "|")
    print("|---" * (len(head) + 2) + "|")
    for name, cells in lines.items():
        print(f"| {name[1]} | {name[0]} |", " | ".join(cells), "|")


def show_points(title, columns):
    """A table of points, a line for each pair that a column has.

    Args:
        title: above it.
        columns: `{head: {pair: {seed: points}}}`.
    """
    pairs = list(dict.fromkeys(pair for column in columns.values() for pair in column))
    pairs = sorted(pairs, key=lambda pair: (pair[1] != "own", pair[1] != "erk", pair[1]))
    lines = {
        pair: [shown(column[pair].values()) if pair in column else "" for column in columns.values()]
        for pair in pairs
    }
    lines["seeds", ""] = [
        f"{min(map(len, column.values()))} to {max(map(len, column.values()))}" for column in columns.values()
    ]
    show(title, columns, lines)


def show_accuracies(rows, network):
    """Accuracy of magnitude with share `own`, and of the dense network."""
    found = defaultdict(list)
    for row in rows:
        if (row["network"], row["ranking"], row["share"]) == (network, "magnitude", "own"):
            found[row["optimizer"], row["fraction"], row["sparsity"]].append(100 * row["accuracy"])
            found[row["optimizer"], "dense", 0.0].append(100 * row["dense_accuracy"])
    print(f"\n### {network}: accuracy of magnitude, own\n")
    for key, values in sorted(found.items(), key=lambda item: tuple(map(str, item[0]))):
        print(
            "- {} at {} of the training, sparsity {}: {:.2f} ± {:.2f}".format(*key, *mean_and_error(values))
        )


def show_overlaps(rows, network, sparsity):
    """Jaccard overlaps of the masks with share `own`, and what they keep of each kernel."""
    found = defaultdict(list)
    kernels = [name for name in rows[0] if name.startswith("kept_")]
    for row in rows:
        if (row["network"], row["sparsity"], row["share"]) == (network, sparsity, "own"):
            kept = [100 * row[name] for name in kernels if row[name] != ""]
            figures = [row["jaccard_magnitude"], row["jaccard_hindsight"], *kept]
            found[row["ranking"], row["optimizer"], row["fraction"]].append(figures)
    heads = sorted({key[1:] for key in found}, key=lambda head: (head[0] != "sgd", head))
    lines = {}
    for ranking in dict.fromkeys(key[0] for key in found):
        cells = []
        for head in heads:
            means = [sum(column) / len(column) for column in zip(*found[ranking, *head], strict=True)]
            kept = " ".join(f"{part:.1f}" for part in means[2:])
            cells.append(f"{means[0]:.2f} / {means[1]:.2f} ({kept})")
        lines[ranking, "own"] = cells
    title = f"{network}, {sparsity}: overlap with the masks of magnitude / hindsight (per cent kept of each)"
    show(title, [f"{optimizer} {100 * f:g} %" for optimizer, f in heads], lines)


def show_equal_shares(gained, network, rival):
    """How often a Koopman score is ahead of a rival by more than two standard errors, at equal shares."""
    print(f"\n### {network}: Koopman scores against {rival}, at equal shares\n")
    for optimizer, (name, fractions), ranking in itertools.product(
        ("sgd", "adam"), {"early": EARLY, "late": LATE}.items(), KOOPMAN
    ):
        ahead, behind, count, means = 0, 0, 0, []
        for run, by_pair in gained.items():
            if run[:2] != (network, optimizer) or run[2] not in fractions:
                continue
            for share in {share for _, share in by_pair} - {"own"}:
                ours, theirs = by_pair.get((ranking, share), {}), by_pair.get((rival, share), {})
                seeds = set(ours) & set(theirs)
                if len(seeds) > 1:
                    mean, error = mean_and_error(ours[seed] - theirs[seed] for seed in seeds)
                    ahead, behind, count = ahead + (mean > 2 * error), behind + (mean < -2 * error), count + 1
                    means.append(mean)
        if count:
            counts = f"ahead in {ahead}, behind in {behind} of {count}"
            print(f"- {optimizer}, {name}, {ranking}: median {statistics.median(means):+.2f}; {counts}")


def show_gap(gained, network, sparsity):
    """What part of the oracle's lead the best pair reaches that can be had."""
    print(f"\n### {network}, {sparsity}: part of the lead of hindsight, own, over magnitude, own\n")
    for run, by_pair in sorted(gained.items()):
        if (run[0], run[3]) != (network, sparsity) or run[2] > max(EARLY):
            continue
        lead = by_pair["hindsight", "own"]
        parts = {
            pair: sum(values.values()) / sum(lead[seed] for seed in values)
            for pair, values in by_pair.items()
            if "hindsight" not in pair
        }
        best = max(parts, key=parts.get)
        print(f"- {run[1]} at {run[2]}: {', '.join(best)}: {parts[best]:.0%} ({len(by_pair[best])} seeds)")


def main():
    """Read and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="fashion")
    parser.add_argument("--network", help="one alone")
    parser.add_argument("--cells", action="store_true", help="each fraction by itself, too")
    args = parser.parse_args()
    rows = read(tables(args.data, args.network or "*"))
    if not rows:
        parser.error(f"no tables of --data {args.data} --network {args.network}: rankings.py makes them.")
    gained = points(rows)
    fractions = sorted({run[2] for run in gained})
    for network in sorted({run[0] for run in gained}, reverse=True):
        show_accuracies(rows, network)
        for name, some in (("early", EARLY), ("late", LATE)):
            if set(some) <= set(fractions):
                pooled = over_fractions(gained, some)
                keys = sorted((k for k in pooled if k[0] == network), key=lambda k: (k[1] != "sgd", k))
                title = f"{network}, {name}: mean of the cuts at {', '.join(f'{100 * f:g} %' for f in some)}"
                show_points(title, {f"{o} {s:g}": pooled[n, o, s] for n, o, s in keys})
        for sparsity in sorted({run[3] for run in gained}):
            if args.cells:
                runs = sorted(r for r in gained if (r[0], r[3]) == (network, sparsity))
                runs = sorted(runs, key=lambda r: r[1] != "sgd")
                columns = {f"{r[1]} {100 * r[2]:g} %": gained[r] for r in runs}
                show_points(f"{network}, sparsity {sparsity}", columns)
                show_overlaps(rows, network, sparsity)
        show_gap(gained, network, 0.95)
        for rival in ("magnitude", "magnitude_displacement"):
            show_equal_shares(gained, network, rival)


if __name__ == "__main__":
    main()
