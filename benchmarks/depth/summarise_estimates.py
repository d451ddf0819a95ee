"""What `estimates.py` found: how often each rule comes within one layer of the need, and at what cost.

The need is the least depth whose error, trained in full, is within a tenth or a hundredth of the best one:
the thresholds of the rule, fixed before. A spectral rule has one threshold, chosen on the old tasks.

python benchmarks/depth/summarise_estimates.py
"""

import collections

import numpy as np
from _rows import Table
from _tasks import GROUPS

DEPTHS = range(1, 9)


def needs():
    errors = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in Table("sweep", ("task", "architecture", "depth", "seed"), ("error",)).rows():
        errors[row["task"], row["architecture"]][int(row["depth"])].append(float(row["error"]))
    found = {}
    for key, by_depth in errors.items():
        if len(by_depth) == len(DEPTHS):
            means = {depth: np.mean(values) for depth, values in by_depth.items()}
            best = min(means.values())
            found[key] = min(d for d, e in means.items() if e <= best + max(0.1 * best, 0.01))
    return found


def first_below(values, threshold):
    return next((d for d, value in zip(DEPTHS, values, strict=True) if value < threshold), DEPTHS[-1])


RULES = {
    "residual of projecting to fewer nodes": (
        lambda row, t: first_below([float(row[f"nodes_{k}"]) for k in DEPTHS], t),
        np.linspace(0.02, 1, 50),
    ),
    "way of the state left": (
        lambda row, t: first_below([float(row[f"moved_{k}"]) for k in DEPTHS], t),
        np.linspace(0.02, 1, 50),
    ),
    "half-life of the slowest decay": (
        lambda row, t: int(np.clip(np.ceil(t * float(row["half_life"])), 1, 8)),
        np.geomspace(0.01, 10, 50),
    ),
}


def near(depths, true, keys):
    """Share within one layer, among all pairs and among those that need three or more."""
    hits = {key: abs(depths[key] - true[key]) <= 1 for key in keys}
    deep = [hits[key] for key in keys if true[key] >= 3]
    return np.mean(list(hits.values())), np.mean(deep) if deep else np.nan, len(deep)


def main():
    true = needs()
    rows = Table("estimates", ("task", "architecture"), ()).rows()
    rows = {(r["task"], r["architecture"]): r for r in rows if (r["task"], r["architecture"]) in true}
    groups = {name: [key for key, row in rows.items() if row["group"] == name] for name in GROUPS}
    statistics = {row["task"]: row for row in Table("statistics", ("task",), ()).rows()}
    print(f"{len(rows)} pairs; needs {sorted(true[key] for key in rows)}")
    answers = {
        "estimate_depth": {key: int(row["depth"]) for key, row in rows.items()},
        "two layers": dict.fromkeys(rows, 2),
    }
    for name, (rule, thresholds) in RULES.items():
        guesses = [{key: rule(statistics[key[0]], t) for key in rows} for t in thresholds]
        answers[name] = max(guesses, key=lambda guess: near(guess, true, groups["old"])[0])
    print(f"estimate_depth costs {np.mean([float(row['cost']) for row in rows.values()]):.3f} of a sweep")
    print("within one layer, of those that need three or more: all tasks", *groups, sep="; ")
    for name, depths in answers.items():
        shares = [near(depths, true, keys) for keys in (list(rows), *groups.values())]
        print(f"{name:40s}", "; ".join(f"{a:.2f}, {b:.2f} of {n}" for a, b, n in shares))


if __name__ == "__main__":
    main()
