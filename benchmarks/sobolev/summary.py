"""What `fields.py` found, as a table and a figure; and `images.py`, as a table.

python benchmarks/sobolev/summary.py [--snr -10] [--figure docs/figures/sobolev_fields.png]
"""

import argparse
import collections
from pathlib import Path

import numpy as np
from _data import NOISES
from _rows import RESULTS, rows_of

# Arms of the figure: a name for the reader, the arms it may choose from, and how it is stopped.
SHOWN = {
    "MSE, all steps": (("mse",), "end"),
    "MSE, stopped": (("mse",), "stopped"),
    "MSE, small last layer, stopped": (("mse small",), "stopped"),
    "order -1, small, stopped": (("order -1.0 small",), "stopped"),
    "by noise, overfits, small, stopped": (("by noise overfits small",), "stopped"),
    "order -8, best knee, small, stopped": (
        tuple(f"order -8 knee {k} small" for k in (8, 13, 16)),
        "stopped",
    ),
    "best low-pass, small, stopped": (tuple(f"low-pass {k} small" for k in (4, 8, 13, 16)), "stopped"),
    "Wiener, small, stopped": (("wiener small",), "stopped"),
    "best wavelet, small, stopped": (
        ("wavelet BayesShrink small", "wavelet VisuShrink small"),
        "stopped",
    ),
}
COLOURS = ["#999999", "#666666", "#333333", "#56b4e9", "#0072b2", "#003f66", "#e69f00", "#d55e00", "#cc79a7"]


def by_arm(rows, snr):
    """`{(noise, arm): {column: values over the seeds}}`."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in rows:
        if int(row["snr"]) == snr:
            for column in ("end", "stopped", "stopped_mse", "best"):
                found[row["noise"], row["arm"]][column].append(float(row[column]))
    return found


def figure_of(found, noise, arms, column):
    """Mean and standard error over the seeds of the best of some arms, chosen by its mean."""
    sets = [found[noise, arm][column] for arm in arms if (noise, arm) in found]
    if not sets:
        return np.nan, np.nan
    best = max(sets, key=np.mean)
    return float(np.mean(best)), float(np.std(best, ddof=1) / np.sqrt(len(best))) if len(best) > 1 else np.nan


def main():
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snr", type=int, default=-10)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--folder", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = by_arm(rows_of(arguments.folder / "fields.csv"), arguments.snr)
    for noise in NOISES:
        for (other, arm), columns in sorted(found.items()):
            if other == noise:
                cells = [
                    f"{column} {np.mean(values):6.2f} ± {np.std(values) / max(1, len(values) - 1) ** 0.5:.2f}"
                    for column, values in columns.items()
                ]
                print(f"{noise:7}{arm:34}{len(columns['end'])} seeds  {'  '.join(cells)}")
    images(rows_of(arguments.folder / "images.csv"), arguments.snr)
    if arguments.figure:
        draw(found, arguments.snr, arguments.figure)


def images(rows, snr):
    """Print, for the signal and the photographs, each network and arm, the means over seeds and subjects."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in rows:
        if int(row["snr"]) == snr:
            subject = "signal" if row["subject"] == "signal" else "photographs"
            for column in ("end", "stopped"):
                found[subject, row["network"], row["arm"]][row["noise"], column].append(float(row[column]))
    for (subject, network, arm), cells in found.items():
        texts = [
            f"{noise} {column} {np.mean(values):6.2f} ± {np.std(values) / max(1, len(values) - 1) ** 0.5:.2f}"
            for (noise, column), values in cells.items()
            if network != "filter" or column == "end"
        ]
        print(f"{subject:12}{network:12}{arm:26}{'  '.join(texts)}")


def draw(found, snr, path):
    """Bars of the arms in `SHOWN`, a group for each noise."""
    import matplotlib.pyplot as plt

    noises = [noise for noise in NOISES if any(key[0] == noise for key in found)]
    figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    for number, (label, (arms, column)) in enumerate(SHOWN.items()):
        means, errors = zip(*(figure_of(found, noise, arms, column) for noise in noises), strict=True)
        places = np.arange(len(noises)) + (number - len(SHOWN) / 2 + 0.5) * 0.1
        ax.bar(places, means, 0.09, yerr=errors, color=COLOURS[number], label=label, error_kw={"lw": 0.8})
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(noises)), [f"{noise} noise" for noise in noises])
    ax.set_ylabel("signal to error on new inputs, dB")
    ax.set_title(f"Targets at {snr} dB: mean and standard error over the seeds", loc="left", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
