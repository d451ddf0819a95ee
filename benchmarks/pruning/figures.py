"""Draw and print what the tables of this folder say, for `docs/pruning.md`.

    python benchmarks/pruning/figures.py

Writes docs/figures/pruning_reference.svg, and docs/figures/pruning_rankings.svg once `rankings.csv` has rows.
"""

from collections import defaultdict
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure
from summarise_rankings import mean_and_error, points, read

RESULTS = Path(__file__).parents[1] / "results" / "pruning"
FIGURES = Path(__file__).parents[2] / "docs" / "figures"
ARMS = {
    "tensorflow-model-optimization": "Keras 2 library (uniform)",
    "keras_koopman uniform": "uniform",
    "keras_koopman global": "global (default)",
    "keras_koopman erk": "erk",
}
SHOWN = (
    *(("magnitude", "erk"), ("koopman_mode_means", "own"), ("koopman_mode_means", "erk")),
    *(("magnitude_displacement", "own"), ("magnitude_displacement", "erk"), ("movement", "erk")),
    ("hindsight", "erk"),
)

NAMES = {
    "magnitude": "magnitude",
    "koopman_mode_means": "Koopman mode",
    "magnitude_displacement": "|w| |w - w0|",
    "movement": "movement",
    "hindsight": "oracle",
}


def reference():
    """Accuracy against sparsity of both libraries."""
    rows = read([RESULTS / "reference_tfmot.csv", RESULTS / "reference_ours.csv"])
    found = defaultdict(list)
    for row in rows:
        key = row["optimizer"], row["library"], float(row["sparsity_asked"])
        found[key].append(100 * float(row["accuracy"]))
    sparsities = sorted({key[2] for key in found if key[2]})
    figure = Figure((9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, optimizer in zip(axes, ("sgd", "adam"), strict=True):
        print(f"\n| {optimizer} |", " | ".join(f"{s:g}" for s in sparsities), "|")
        print("|---" * (len(sparsities) + 1) + "|")
        for library, label in ARMS.items():
            cells = [mean_and_error(found[optimizer, library, s]) for s in sparsities]
            print(f"| {label} |", " | ".join(f"{mean:.2f} ± {error:.2f}" for mean, error in cells), "|")
            places = range(len(sparsities))
            axis.errorbar(places, *zip(*cells, strict=True), marker="o", markersize=3, capsize=2, label=label)
        axis.set_xticks(range(len(sparsities)), [f"{s:g}" for s in sparsities])
        axis.set_xlabel("sparsity")
        axis.set_title(f"{optimizer}, 5 seeds")
    axes[0].set_ylabel("test accuracy, %")
    axes[0].legend(frameon=False)
    save(figure, "pruning_reference")


def rankings():
    """Points over magnitude of some rankings and shares, pruned early."""
    table = RESULTS / "rankings.csv"
    if not table.exists():
        return
    gained = points(read([table]))
    runs = sorted(
        (run for run in gained if run[2] <= 0.3 and run[3] == 0.95), key=lambda r: (r[1] != "sgd", r)
    )
    figure = Figure((9, 4.2), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(SHOWN)
    for number, pair in enumerate(SHOWN):
        known = [(place, gained[run][pair]) for place, run in enumerate(runs) if gained[run].get(pair)]
        cells = [mean_and_error(list(values.values())) for _, values in known]
        axis.bar(
            [place + (number - len(SHOWN) / 2) * width for place, _ in known],
            [mean for mean, _ in cells],
            width,
            yerr=[error for _, error in cells],
            label=f"{NAMES[pair[0]]}, {'global' if pair[1] == 'own' else pair[1]}",
        )
    axis.axhline(0, color="black", linewidth=0.8)
    labels = [f"{'SGD' if run[1] == 'sgd' else 'Adam'}\nat {100 * run[2]:g} %" for run in runs]
    axis.set_xticks(range(len(runs)), labels)
    axis.set_ylabel("points over magnitude, global")
    figure.legend(loc="outside upper center", frameon=False, ncols=4)
    save(figure, "pruning_rankings")


def save(figure, name):
    """Write an SVG that does not change from run to run."""
    rcParams["svg.hashsalt"] = "keras_koopman"
    FIGURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    reference()
    rankings()
