"""`docs/benchmarks.md`, written from the results that are kept."""

import csv
import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

INTRODUCTION = """# Benchmarks

Every figure comes from a script under `benchmarks/` that anybody can run; beside it stand the command and the
versions that made it. This page is written by `make bench` from `benchmarks/results/`; `make bench-check`
measures the ratios of `benchmarks/baseline.json` anew and fails when one is a quarter worse. Ratios are taken
within one run on one machine. A goal that was missed says so.
"""

STEPS = ("weights_read", "recorder", "recorder_and_products", "pruning")
GPU = """Snapshots of 1e8 numbers, window 32. `append`, with its row of the Gram matrix, and `combine` beside
the bandwidth of a copy, counting each number that must be read or written once; goal 60 %. Then one step of a
transformer of 1e8 weights (8,192 tokens, float32) as a ratio to the bare one: with a callback that only reads
the weights at each step, with a recorder at each step (goal 1.03), with one whose products are asked for each
time, and with a pruning optimizer whose mask changes at every second step, 100 times as often as in a usual
ramp; the same callback and recorder at a step of 32,768 tokens. Then the step of a convnet on 256 x 256
images with a Sobolev loss. On JAX Keras keeps the state of training to itself and hands it out, variable by
variable, to any callback that reads a weight, and waits for the device at each step once a callback wants its
end: that takes 4 to 7 ms of the host, which the recorder cannot avoid. Each tenth step costs a tenth of it.
"""


def table(header, rows):
    """A Markdown table."""
    rows = [[cell.replace("|", "\\|") for cell in cells] for cells in (header, ["---"] * len(header), *rows)]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join(lines)


def shown(value):
    """A figure in three digits, a dict of them in words."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(part)}" for name, part in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def reports():
    """The kept lines of JSON by name."""
    found = {}
    for path in sorted(RESULTS.rglob("*.json")):
        line = json.loads(path.read_text())
        if isinstance(line, dict) and {"figures", "goals", "command"} <= set(line):
            found[str(path.relative_to(RESULTS).with_suffix(""))] = line
    return found


def csv_rows(name):
    """First line, and rows, of a table; nothing if it is not there."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return "", []
    with path.open() as file:
        lines = file.readlines()
    head = lines[0].removeprefix("#").strip() if lines[0].startswith("#") else ""
    return head, list(csv.DictReader(line for line in lines if not line.startswith("#")))


def growth():
    """Spectra: seconds, memory and error by size and library."""
    head, rows = csv_rows("spectra/growth")
    if not rows:
        return ""
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    cells = {}
    for row in rows:
        text = row["outcome"]
        if text == "done":
            text = f"{float(row['seconds']):.3g} s, {float(row['memory']):.2f}x, {float(row['error']):.0e}"
        cells[int(row["rows"]), int(row["snapshots"]), row["library"]] = text
    sizes = sorted({key[:2] for key in cells})
    body = [
        [f"{n:.0e}".replace("e+0", "e"), str(m), *(cells.get((n, m, name), "") for name in libraries)]
        for n, m in sizes
    ]
    names = ["kk.decompose" if name == "decompose" else name for name in libraries]
    return f"""
## Spectra beside peers

Seconds, memory at the peak beside the snapshots as a share of them, and the largest error of an eigenvalue
against the same estimator in float64, at rank 12 of a path of 12 modes with noise. Snapshots are float32, and
each library gets them as they are. A library stops after ten minutes; an empty cell has not been run.

{table(["weights", "snapshots", *names], body)}

`{head}`
"""


def pruning():
    """Ours and the Keras 2 library on the same network, data and schedule."""
    ours_head, ours = csv_rows("pruning/reference_ours")
    theirs_head, theirs = csv_rows("pruning/reference_tfmot")
    if not ours or not theirs:
        return ""
    mean = {}
    for row in [*ours, *theirs]:
        key = (row["library"], row["optimizer"], float(row["sparsity_asked"]))
        mean.setdefault(key, []).append((100 * float(row["accuracy"]), float(row["seconds"])))
    libraries = list(dict.fromkeys(row["library"] for row in [*ours, *theirs]))
    body = []
    for optimizer in ("sgd", "adam"):
        for sparsity in sorted({key[2] for key in mean if key[1] == optimizer}):
            found = [mean.get((name, optimizer, sparsity)) for name in libraries]
            cells = [
                f"{sum(a for a, _ in c) / len(c):.2f} %, {sum(s for _, s in c) / len(c):.0f} s" if c else ""
                for c in found
            ]
            body.append([optimizer, f"{sparsity:g}", *cells])
    return f"""
## Pruning beside the Keras 2 library

Test accuracy and seconds of a whole training, LeNet-300-100 on Fashion-MNIST, magnitude on a cubic ramp,
means over the seeds, one thread. Seconds are those of a machine that did other work beside, and no claim.

{table(["optimizer", "sparsity", *libraries], body)}

`{ours_head}`
`{theirs_head}`
"""


def bounds():
    """CROWN bounds beside decomon's."""
    head, rows = csv_rows("reachability/peers")
    if not rows:
        return ""
    body = [
        [row["network"], row["peer"], row["width_ours"], row["width_peer"], row["worst_ratio"],
         row["seconds_ours"], row["seconds_peer"]]
        for row in rows
    ]  # fmt: skip
    header = ["network", "peer", "width, ours", "width, peer", "worst ratio", "s, ours", "s, peer"]
    return f"""
## Bounds beside peers

{table(header, body)}

`{head}`
"""


def gpu(lines):
    """The operators on a GPU, if one was had."""
    found = [line for name, line in lines.items() if name.startswith("gpu/") and line["figures"]["gpu"]]
    body = []
    for line in found:
        figures = line["figures"]
        step = figures["transformer_step"]
        body.append([
            line["settings"]["backend"],
            *(
                f"{figures[name]['ms']:.3g} ms, {figures[name]['share_of_bandwidth']:.0%}"
                for name in ("append", "combine")
            ),
            f"{figures['spectrum']['ms']:.2g} ms",
            shown(figures["gram_error"]),
            *(f"{step[name]:.3g}" for name in STEPS),
            *(f"{figures['transformer_step_of_more_tokens'][name]:.3g}" for name in STEPS[:2]),
            f"{figures['sobolev_step']['sobolev']:.3g}",
        ])  # fmt: skip
    header = ["engine", "append", "combine", "spectrum from G", "error of G"]
    header += [*(name.replace("_", " ") for name in STEPS)]
    header += [*(f"{name.replace('_', ' ')}, 32,768" for name in STEPS[:2]), "Sobolev step"]
    notes = []
    for line in found:
        backend, figures = line["settings"]["backend"], line["figures"]
        versions = ", ".join(f"{name} {version}" for name, version in line["versions"].items())
        goals = (f"{goal}: {'met' if met else '**missed**'}" for goal, met in line["goals"].items())
        notes.append(
            f"{figures['device'].removeprefix('gpu: ')}, {backend}: a copy moves "
            f"{figures['copy_gb_per_s']:.0f} GB/s. `KERAS_BACKEND={backend} {line['command']}`; {versions}. "
            f"{'; '.join(goals)}."
        )
    return f"""
## On a GPU

{GPU}
{table(header, body)}

""" + "\n\n".join(notes or ["No GPU has been had for these yet."])


def summary(lines):
    """Every report: figures, goals, command."""
    parts = ["\n## What it costs\n"]
    for name, line in lines.items():
        figures, on_gpu = line["figures"], name.startswith("gpu/")
        if on_gpu:
            continue
        goals = [f"{goal}: {'met' if met else '**missed**'}" for goal, met in line["goals"].items()]
        versions = ", ".join(f"{package} {version}" for package, version in line["versions"].items())
        parts.append(f"**{line['benchmark'].replace('_', ' ')}**\n")
        parts.append(table(["figure", "value"], [[key, shown(value)] for key, value in figures.items()]))
        parts.append(
            f"\n{'; '.join(goals)}.\n\n`{line['command']}`; {versions}; {line['machine']['processor']}, "
        )
        parts[-1] += f"{line['machine']['cores']} cores.\n"
    return "\n".join(parts)


def write_page():
    """Write the page anew."""
    lines = reports()
    parts = (INTRODUCTION, growth(), pruning(), bounds(), summary(lines), gpu(lines))
    PAGE.write_text("".join(part.rstrip() + "\n" for part in parts if part))
    print(f"Wrote docs/{PAGE.name}.")
