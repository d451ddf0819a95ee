"""Figures in plain words: one place, so that the report and the demo say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .run import RECORDS_FOR_DRIFT, Figures, Layer, Run, Trust

NOISE_RHO = 1 / 3
SLOW_SPEED = 0.5

CAUTION = (
    "The spectrum tells how the weights move, not whether the model is any good: read it beside the loss. "
    "The limits 1/3 and 1/2 come from small networks on image data; there they failed where the learning "
    "rate was too high from the start."
)


class Meaning(NamedTuple):
    """What a figure is."""

    name: str
    label: str
    text: str


MEANINGS = (
    Meaning(
        "rho",
        "Drift",
        "How much of each step is left in the next, over the last 8 increments of the weights averaged over "
        "each interval: 1 is a steady drift, 1/4 is what pure noise gives, below 1/3 the drift is drowned in "
        "noise.",
    ),
    Meaning(
        "speed",
        "Speed",
        "How fast the weights moved over the last 8 increments, as a share of their mean speed since the "
        "start: below 0.5 the steps have died down.",
    ),
    Meaning(
        "leading",
        "Leading |λ|",
        "By what factor the slowest part of the motion changes from one record to the next: below 1 it "
        "fades, above 1 it grows.",
    ),
    Meaning(
        "residual",
        "Residual",
        "How far that part is from a true mode of the motion: near 0 it can be trusted, near |λ| it is "
        "noise. A random walk gives 0.2 to 0.5 of |λ|.",
    ),
    Meaning("half_life", "Half-life", "The time in which that part of the motion falls to half."),
    Meaning(
        "near_one",
        "Near 1",
        "How many eigenvalues lie within 0.1 of 1: directions in which the weights may still drift steadily.",
    ),
)


def number(value: float | None) -> str:
    """A number for reading, three digits; a dash for None."""
    if value is None or not np.isfinite(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:.1e}"


def count(value: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def duration(value: float, unit: str) -> str:
    """`12.3 epochs`."""
    text = number(value)
    return f"{text} {unit}{'' if text == '1' else 's'}"


def headline(figures: Figures) -> str:
    """What the run does, in one sentence."""
    rho, speed = figures.rho, figures.speed
    if rho is not None and rho < NOISE_RHO:
        slow = " and its steps have died down" if speed is not None and speed < SLOW_SPEED else ""
        return f"The drift of this run is drowned in noise{slow}."
    if speed is not None and speed < SLOW_SPEED:
        going = "The weights keep their direction, but their" if rho is not None else "The"
        return f"{going} steps have died down."
    if rho is not None:
        return "The weights are still drifting."
    if speed is not None:
        return "The weights are still moving."
    if figures.no_spectrum == "the weights stand still":
        return "The weights stand still."
    if figures.records < RECORDS_FOR_DRIFT:
        return "It is too early to say how this run moves."
    return "Whether this run still drifts cannot be told from what was recorded."


def sentences(figures: Figures) -> list[str]:
    """What each figure says of the run, and what cannot be told and why."""
    return [*_drift(figures), *_spectrum(figures)]


def layer_sentence(layers: Sequence[Layer], unit: str) -> str | None:
    """Which layer moves the most and which is the slowest; None with a single layer."""
    if len(layers) < 2 or not any(layer.share for layer in layers):
        return None
    most = max(layers, key=lambda layer: layer.share)
    text = f"Most of the motion, {most.share:.0%} of its squared length, is in {most.name}."
    lives = [(life, layer.name) for layer in layers if (life := layer.clear_half_life) is not None]
    if len(lives) < 2:
        return text
    (short, quick), (long, slow) = min(lives), max(lives)
    if slow == quick:
        return text
    return (
        f"{text} By the leading modes that can be trusted, {slow} settles the slowest "
        f"(half-life {duration(long, unit)}) and {quick} the quickest ({duration(short, unit)})."
    )


def comparison(runs: Sequence[Run]) -> str:
    """What distances between spectra mean, or why there are none."""
    if sum(run.spectrum is not None for run in runs) < 2:
        return "The spectra cannot be compared yet: fewer than two of the runs have one."
    if not comparable(runs):
        return (
            "The spectra are not compared: the runs were recorded at different intervals, and an eigenvalue "
            "is growth per record."
        )
    return (
        "Mean distance of the eigenvalues under the best matching: 0 for equal spectra. One run of each "
        "kind cannot tell whether a distance is more than chance: to know, repeat the runs with other seeds "
        "and pass lists of spectra to kk.spectrum_distance."
    )


def comparable(runs: Sequence[Run]) -> bool:
    """Whether all runs that have a spectrum have equal intervals."""
    steps = [(run.unit, run.spectrum.dt) for run in runs if run.spectrum is not None]
    return all(unit == steps[0][0] and abs(dt / steps[0][1] - 1) < 0.01 for unit, dt in steps)


def _drift(figures: Figures) -> list[str]:
    rho, speed, unit = figures.rho, figures.speed, figures.unit
    if rho is None and speed is None:
        if figures.records < RECORDS_FOR_DRIFT:
            why = f"they need {RECORDS_FOR_DRIFT} records and there {_are(figures.records)} so far"
        elif not figures.monitored:
            why = "they were not logged; record with KoopmanMonitor"
        else:
            why = (
                "they are defined on means over intervals (KoopmanMonitor(average=True)) of weights that move"
            )
        return [f"Drift and speed cannot be told: {why}."]
    found = []
    if rho is None:
        found.append("Drift cannot be told: the last steps are too small beside the rounding of the weights.")
    elif rho < NOISE_RHO:
        found.append(
            f"Drift {number(rho)}: from one record to the next the weights hardly keep their direction; "
            "below 1/3, noise moves them more than any drift."
        )
    else:
        strong = "steady" if rho >= 0.8 else "clear" if rho >= 0.5 else "weak"
        found.append(
            f"Drift {number(rho)}: there is a {strong} drift above the noise (pure noise gives 1/4)."
        )
    if speed is not None:
        end = "the steps have died down" if speed < SLOW_SPEED else "the steps have not died down"
        found.append(
            f"Speed {number(speed)}: over the last 8 {unit if unit != 'batch' else 'record'}s the weights "
            f"moved at {number(speed)} times their mean speed since the start; {end}."
        )
    return found


def _spectrum(figures: Figures) -> list[str]:
    if figures.no_spectrum is not None:
        return [f"There is no spectrum yet: {figures.no_spectrum}."]
    if figures.leading is None or figures.residual is None:
        found = [
            "No mode of the motion stands out from the noise (all residuals are above half of |λ|), "
            "so there is no half-life to tell."
        ]
    else:
        found = [_leading(figures, figures.leading, figures.residual)]
    if figures.near_one:
        clear = figures.near_one_clear or 0
        if clear:
            trusted = f"; {'all' if clear == figures.near_one else clear} of them can be trusted"
            trusted = "; it can be trusted" if figures.near_one == 1 else trusted
        else:
            trusted = ", but with a residual that noise alone could give"
        verb = "lies" if figures.near_one == 1 else "lie"
        found.append(f"{count(figures.near_one, 'eigenvalue')} {verb} within 0.1 of 1{trusted}.")
    else:
        found.append("No eigenvalue lies within 0.1 of 1.")
    return found


def _leading(figures: Figures, modulus: float, residual: float) -> str:
    life = figures.half_life
    if life is None:
        motion = f"The slowest part of the motion does not fade (|λ| = {number(modulus)} per record)"
    else:
        motion = (
            f"The slowest part of the motion fades to half in {duration(life, figures.unit)} "
            f"(|λ| = {number(modulus)} per record)"
        )
    if Trust.of(modulus, residual) is not Trust.CLEAR:
        return f"{motion}; but do not rely on it: noise alone could give its residual, {number(residual)}."
    if life is not None and life > figures.span:
        return f"{motion}; longer than what was recorded, so take it as a rough guess."
    return f"{motion}; its residual, {number(residual)}, says it can be trusted."


def _are(records: int) -> str:
    return f"is {records}" if records == 1 else f"are {records}"
