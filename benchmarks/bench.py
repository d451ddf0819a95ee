"""All benchmarks on one page, and a guard against getting slower.

`run` measures what prints one line of JSON, fills the tables that can go on where they stood, and writes
`docs/benchmarks.md` from what is kept in `benchmarks/results/`. `check` measures the ratios of
`benchmarks/baseline.json` anew and fails when one is a quarter worse; `--accept` takes the new ones.
Ratios are within one run on one machine, so that they hold on another.

    python benchmarks/bench.py run [--only gram_vs_pydmd ...]
    python benchmarks/bench.py page
    python benchmarks/bench.py check [--accept]
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from _page import RESULTS, write_page

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
WORSE = 1.25  # times

# Where the line of each script is kept, and the script with its arguments and environment.
REPORTS = {
    "gram_vs_pydmd": ["gram_vs_pydmd.py"],
    "dgedmd_agreement": ["dgedmd_agreement.py"],
    "append_cost": ["append_cost.py"],
    "fit_overhead": ["fit_overhead.py", "--rounds", "7"],
    "fit_overhead_jax": ["KERAS_BACKEND=jax", "fit_overhead.py", "--rounds", "7"],
    "pruning/step_time": ["pruning/step_time.py"],
    "endurance/soak": ["endurance/soak.py"],
    "endurance/store_faults": ["endurance/store_faults.py"],
    "endurance/memory": ["endurance/memory.py"],
    "endurance/memory_store": ["endurance/memory.py", "--store", "--window", "8", "--limit", "1.65GB"],
    "gpu/operators_jax": ["KERAS_BACKEND=jax", "gpu/operators.py"],
    "gpu/operators_torch": ["KERAS_BACKEND=torch", "gpu/operators.py"],
}
TABLES = {"spectra/growth": ["spectra/growth.py"]}
# Ratios that are guarded: the report, the way to the figure, and whether more is better.
GUARDED = (
    ("gram_vs_pydmd", ("times_faster",), True),
    ("append_cost", ("ratio", "asked once"), False),
    ("fit_overhead", ("ratio", "recorder, each epoch"), False),
    ("fit_overhead", ("ratio", "recorder, each 10 batches, window 32"), False),
    ("pruning/step_time", ("masks / bare",), False),
)


def ran(command):
    """What a script printed last, as JSON if it is; its other lines are passed on."""
    settings = dict(word.split("=") for word in command if word.startswith("KERAS_BACKEND="))
    script, *arguments = [word for word in command if "=" not in word]
    done = subprocess.run(
        [sys.executable, HERE / script, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **settings},
    )
    *others, last = done.stdout.strip().splitlines() or [""]
    print(*others, sep="\n")
    return json.loads(last) if last.startswith("{") else None


def run(only):
    """Measure and keep."""
    for name, command in {**REPORTS, **TABLES}.items():
        if only and name not in only:
            continue
        print(f"{name}: {' '.join(command)}", flush=True)
        line = ran(command)
        if name.startswith("gpu/") and not (line and line["figures"]["gpu"]):
            print(f"{name}: there is no GPU here, so what is kept stays.")
        elif line is not None:
            # Without the folders of this machine.
            line["command"] = "python benchmarks/" + " ".join(w for w in command if "=" not in w)
            path = RESULTS / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(line) + "\n")
    write_page()


def guarded(lines):
    """Each guarded ratio by its name."""
    found = {}
    for report, way, more in GUARDED:
        value = lines[report]["figures"]
        for step in way:
            value = value[step]
        found[" / ".join((report, *way))] = {"value": value, "better": "more" if more else "less"}
    return found


def times_worse(name, now, before):
    """How many times worse a ratio is; below 1 it is better."""
    if now["better"] != before["better"]:
        raise SystemExit(f"{BASELINE.name}: {name} was better as {before['better']}. Accept a new baseline.")
    worse = now["value"] / before["value"]
    return 1 / worse if now["better"] == "more" else worse


def check(accept):
    """Compare with the baseline; the exit status says whether all is well."""
    if not accept and not BASELINE.exists():
        print("There is no benchmarks/baseline.json yet. On a quiet machine: bench.py check --accept")
        return 1
    found = guarded({name: ran(REPORTS[name]) for name in dict.fromkeys(g[0] for g in GUARDED)})
    if accept:
        BASELINE.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{BASELINE.name} holds {len(found)} ratios.")
        return 0
    baseline, failed = json.loads(BASELINE.read_text()), 0
    for name, now in found.items():
        if name not in baseline:
            print(f"{name}: {now['value']:.3g}, not in the baseline. Accept a new one.")
            failed += 1
            continue
        worse = times_worse(name, now, baseline[name])
        bad = worse > WORSE
        failed += bad
        print(
            f"{name}: {now['value']:.3g}, baseline {baseline[name]['value']:.3g}, "
            f"{worse:.2f} times worse{': too much' if bad else ''}"
        )
    return int(failed > 0)


def main():
    """Choose."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "page", "check"))
    parser.add_argument("--only", nargs="+", choices=[*REPORTS, *TABLES], default=())
    parser.add_argument("--accept", action="store_true")
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.only)
    elif arguments.what == "page":
        write_page()
    else:
        raise SystemExit(check(arguments.accept))


if __name__ == "__main__":
    main()
