"""Draw and print what the tables of this folder say, for `docs/pruning.md`.

    python benchmarks/pruning/figures.py

Writes docs/figures/pruning_reference.svg and docs/figures/pruning_rankings.svg.
"""

from collections import defaultdict
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure
from summarise_rankings import EARLY, mean_and_error, over_fractions, points, read, tables

RESULTS = Path(__file__).parents[1] / "results" / "pruning"
FIGURES = Path(__file__).parents[2] / "docs" / "figures"
ARMS = {
    "tensorflow-model-optimization": "Keras 2 library (uniform)",
    "keras_koopman uniform": "uniform",
    "keras_koopman global": "global (default)",
    "keras_koopman erk": "erk",
}
SHOWN = {
    ("magnitude", "erk"): ("magnitude, erk", "C0", "--"),
    ("koopman_mode_means", "own"): ("Koopman mode, global", "C1", "-"),
    ("koopman_mode_means", "erk"): ("Koopman mode, erk", "C1", "--"),
    ("magnitude_displacement", "own"): ("|w| |w - w0|, global", "C2", "-"),
    ("magnitude_displacement", "erk"): ("|w| |w - w0|, erk", "C2", "--"),
    ("movement", "own"): ("movement, global", "C3", "-"),
    ("hindsight", "own"): ("oracle, global", "C7", "-"),
}
HEADS = {"lenet": "LeNet-300-100", "convnet": "convnet", "sgd": "SGD", "adam": "Adam"}


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
    pooled = over_fractions(points(read(tables("fashion"))), EARLY)
    sparsities = sorted({sparsity for _, _, sparsity in pooled})
    figure = Figure((9, 6), layout="constrained")
    for row, network in zip(
        figure.subplots(2, 2, sharex=True, sharey=True), ("lenet", "convnet"), strict=True
    ):
        for axis, optimizer in zip(row, ("sgd", "adam"), strict=True):
            for pair, (label, color, style) in SHOWN.items():
                cells = [mean_and_error(pooled[network, optimizer, s][pair].values()) for s in sparsities]
                axis.errorbar(
                    range(len(sparsities)),
                    *zip(*cells, strict=True),
                    color=color,
                    linestyle=style,
                    marker="o",
                    markersize=3,
                    capsize=2,
                    label=label,
                )
            axis.axhline(0, color="black", linewidth=0.8)
            axis.set_title(f"{HEADS[network]}, {HEADS[optimizer]}")
            axis.set_xticks(range(len(sparsities)), [f"{s:g}" for s in sparsities])
            axis.set_ylim(-3, 4)
        row[0].set_ylabel("points over magnitude, global")
    for axis in row:
        axis.set_xlabel("sparsity")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", frameon=False, ncols=4)
    save(figure, "pruning_rankings")


def save(figure, name):
    """Write an SVG that does not change from run to run."""
    rcParams["svg.hashsalt"] = "keras_koopman"
    FIGURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    reference()
    rankings()
