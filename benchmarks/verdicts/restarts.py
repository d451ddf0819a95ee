"""What do restarts earn: how many bad starts does `kk.fit_with_restarts` rescue, and for how many epochs?

Every run of the grid of `calibration.py` that ended badly with its first seed is trained again as a user
would, with the defaults: 40 epochs, at most three restarts. Rescued is a run whose training loss ends below a
tenth of that of chance, the grid's own mark of a good one. Epochs wasted are those of attempts that were
given up. Waiting to the end wastes all 40 and rescues nothing.

    python benchmarks/verdicts/restarts.py [--networks mlp transformer ...]

One thread. Runs that the table holds already are skipped; a summary for each network and cause follows.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"  # Keras on TensorFlow shuffles each epoch alike

import argparse
import functools

import keras
from _table import Table
from _thresholds import GOOD_LOSS, with_causes
from calibration import BATCH, EPOCHS, FIGURES, KEYS, NETWORKS, build, digits

import keras_koopman as kk

OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "momentum": functools.partial(keras.optimizers.SGD, momentum=0.9),
    "adam": keras.optimizers.Adam,
}
OUTCOME = "cause", "rescued", "loss", "attempts", "wasted", "diagnoses"


def compiled(network, start, rate):
    """A network of the grid, from the seed that `fit_with_restarts` has set."""
    model = build(network, start, None)
    optimizer = OPTIMIZERS[NETWORKS[network][1]](rate)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    networks = parser.parse_args().networks
    rows = [r for r in Table("calibration", KEYS, FIGURES).rows() if r["seed"] == "0"]
    table = Table("restarts", ("network", "start", "rate"), OUTCOME)
    (x, y), _ = digits()
    for run in with_causes(rows):
        if not run.bad or run.network not in networks or not table.lacks(run.network, run.start, run.rate):
            continue
        keras.backend.clear_session()
        report = kk.fit_with_restarts(
            functools.partial(compiled, run.network, run.start, run.rate),
            {"x": x, "y": y, "epochs": EPOCHS, "batch_size": BATCH, "verbose": 0},
        )
        loss = float(report.history["loss"][-1])
        given_up = [a for i, a in enumerate(report.attempts) if i != report.chosen]
        table.append(
            *(run.network, run.start, run.rate, run.cause.name if run.cause else "UNKNOWN"),
            *(loss <= GOOD_LOSS, loss, len(report.attempts), sum(a.epochs for a in given_up)),
            " ".join(a.diagnosis for a in report.attempts),
        )
        print(run.network, run.start, run.rate, run.cause, loss <= GOOD_LOSS, f"{loss:.3g}", flush=True)
    summarise(table.rows())


def summarise(rows):
    """A line for each network and cause."""
    print("| network | cause | bad runs | rescued | epochs wasted |\n|---|---|---|---|---|")
    for key in sorted({(row["network"], row["cause"]) for row in rows}):
        own = [row for row in rows if (row["network"], row["cause"]) == key]
        rescued = sum(row["rescued"] == "True" for row in own)
        wasted = sum(int(row["wasted"]) for row in own) / len(own)
        print(f"| {key[0]} | {key[1]} | {len(own)} | {rescued} | {wasted:.0f} |")


if __name__ == "__main__":
    main()
