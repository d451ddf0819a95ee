"""What the table of `calibration.py` says of the thresholds of `kk.verdicts.assess`."""

import itertools
import math

import numpy as np

from keras_koopman.verdicts import Diagnosis, Thresholds
from keras_koopman.verdicts.judge import judge
from keras_koopman.verdicts.losses import LossFigures
from keras_koopman.verdicts.path import PathFigures

CHANCE = math.log(10)
GOOD_LOSS = 0.1 * CHANCE
NEAR_END = 0.01  # of accuracy
SNAPSHOTS, WINDOW = 10, 8
CAUSES = (
    Diagnosis.LEARNING_RATE_TOO_LOW,
    Diagnosis.LEARNING_RATE_TOO_HIGH,
    Diagnosis.BAD_INITIALIZATION,
)
RHOS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
DISPLACEMENTS = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Run:
    """A row of the table, with what is true of it."""

    def __init__(self, row):
        def number(name):
            return float(row[name]) if row[name] not in ("", "nan") else math.nan

        self.network, self.start, self.rate = row["network"], row["start"], float(row["rate"])
        self.end, self.accuracy = number("loss_end"), number("accuracy_end")
        self.stop_reason, self.accuracy_stop = row["stop_reason"], number("accuracy_stop")
        self.bad = not self.end <= GOOD_LOSS
        self.cause = None
        losses = [number(f"loss_{name}") for name in ("1", "2", "judged")]
        broken = next((i for i, v in enumerate(losses, start=1) if not math.isfinite(v)), None)
        self.loss = LossFigures(SNAPSHOTS, losses[0], losses[-1], min(losses), broken=broken)
        self.loss_start = number("loss_start")
        rho = number("rho")
        self.path = PathFigures(
            SNAPSHOTS,
            WINDOW,
            None if math.isnan(rho) else rho,
            None if math.isnan(rho) else number("speed"),
            displacement=None if math.isnan(rho) else number("displacement"),
            layer_rho={} if math.isnan(rho) else {"least": number("least_layer_rho")},
        )

    def judged(self, thresholds, baseline="chance"):
        """What `assess` would say after the tenth epoch."""
        level = CHANCE if baseline == "chance" else self.loss_start
        loss = LossFigures(*(getattr(self.loss, n) for n in ("count", "first", "last", "lowest")), level)
        if self.loss.broken:
            return Diagnosis.DIVERGED
        return judge(self.path, loss, thresholds)[0]


def with_causes(rows):
    """Runs with the cause that the grid proves; bad ones between good ones have none."""
    runs = [Run(row) for row in rows]
    for _, group in itertools.groupby(runs, key=lambda run: (run.network, run.start)):
        group = list(group)
        good = [run.rate for run in group if not run.bad]
        for run in group:
            if not run.bad:
                continue
            if not good:
                run.cause = Diagnosis.BAD_INITIALIZATION
            elif run.rate < min(good):
                run.cause = Diagnosis.LEARNING_RATE_TOO_LOW
            elif run.rate > max(good):
                run.cause = Diagnosis.LEARNING_RATE_TOO_HIGH
    return runs


def balanced(truth, guess, classes):
    """Mean over classes of the share that was found."""
    shares = [
        np.mean([g == t for g, t in zip(guess, truth, strict=True) if t == c]) for c in classes if c in truth
    ]
    return float(np.mean(shares)) if shares else math.nan


def named(diagnosis):
    """A stalled or diverged run is laid to one of the three causes too."""
    if diagnosis is Diagnosis.DIVERGED:
        return Diagnosis.LEARNING_RATE_TOO_HIGH
    return Diagnosis.BAD_INITIALIZATION if diagnosis is Diagnosis.STALLED else diagnosis


def cause_score(runs, thresholds, baseline):
    """Balanced accuracy over causes, of bad runs; those called good count as missed."""
    bad = [run for run in runs if run.cause]
    guess = [named(run.judged(thresholds, baseline)) for run in bad]
    return balanced([run.cause for run in bad], guess, CAUSES)


def whether_score(runs, share, baseline):
    """Balanced accuracy of good and bad."""
    guess = [run.judged(Thresholds(loss_left=share), baseline).bad for run in runs]
    return balanced([run.bad for run in runs], guess, (False, True))


def choose(runs, baseline):
    """Thresholds that do best on some runs."""
    share = max(SHARES, key=lambda s: whether_score(runs, s, baseline))
    pairs = itertools.product(RHOS, DISPLACEMENTS)
    rho, displacement = max(
        pairs,
        key=lambda p: cause_score(
            runs, Thresholds(loss_left=share, low_rate_rho=p[0], high_rate_displacement=p[1]), baseline
        ),
    )
    return Thresholds(loss_left=share, low_rate_rho=rho, high_rate_displacement=displacement)


def summarise(rows):
    """Print what was found."""
    runs = with_causes(rows)
    networks = sorted({run.network for run in runs})
    print(f"{len(runs)} runs, {sum(run.bad for run in runs)} bad")
    for cause in CAUSES:
        print(f"  {cause.name}: {sum(run.cause is cause for run in runs)}")
    for baseline in ("chance", "before training"):
        print(f"\nbaseline: {baseline}")
        for network in networks:
            inside = [run for run in runs if run.network == network]
            outside = [run for run in runs if run.network != network]
            found = choose(outside, baseline)
            print(
                f"  {network}: from the others loss_left {found.loss_left}, rho {found.low_rate_rho}, "
                f"displacement {found.high_rate_displacement}: good or bad "
                f"{whether_score(inside, found.loss_left, baseline):.2f}, "
                f"cause {cause_score(inside, found, baseline):.2f}; defaults "
                f"{whether_score(inside, Thresholds().loss_left, baseline):.2f}, "
                f"{cause_score(inside, Thresholds(), baseline):.2f}"
            )
        best = choose(runs, baseline)
        print(f"  all: {best.loss_left}, {best.low_rate_rho}, {best.high_rate_displacement}, ", end="")
        print(f"{cause_score(runs, best, baseline):.2f}; ", end="")
        print(f"defaults {cause_score(runs, Thresholds(), baseline):.2f}")
        print("  right, runs, by diagnosis:", scores(runs, baseline))


def scores(runs, baseline):
    """Diagnosis -> how often it was right, with the default thresholds.

    A good run that the rule would have stopped, at whatever epoch, counts as stopped rightly if going on to
    the end earned at most 1 % of accuracy.
    """
    found = {}

    def count(name, right):
        before, runs_before = found.get(name, (0, 0))
        found[name] = (before + bool(right), runs_before + 1)

    for run in runs:
        diagnosis = run.judged(Thresholds(), baseline)
        if diagnosis in CAUSES:
            count(diagnosis.name, run.cause is diagnosis)
        elif diagnosis.bad or diagnosis is Diagnosis.HEALTHY:
            count(diagnosis.name, run.bad == diagnosis.bad)
        if not run.bad and run.stop_reason:
            name = "NOISE_LIMITED" if run.stop_reason == "DRIFT_IS_NOISE" else "CONVERGED"
            count(name, run.accuracy - run.accuracy_stop <= NEAR_END)
    return found
