"""What is promised for a compressed model, in words."""

from __future__ import annotations

from .choice import WITH_REPLACEMENT
from .sample import Sample


def guarantee(method: str, error: tuple[float, float] | None, delta: float, rows: Sample) -> str:
    """What holds, for which inputs and with what chance.

    Args:
        method: by which the coresets were made.
        error: the promise that was asked for; None with a budget.
        delta: chance that the bound of a half fails, with a budget.
        rows: the sample.
    """
    further = "certify(region) proves a bound on the outputs for all inputs of a region."
    if method == "fitted":
        held = rows.divided()[1]
        if held is rows:
            return f"The bound is what was found on the sample, too few rows for a promise. {further}"
        return (
            f"The bound is the greatest error on {len(held)} rows that were held out, in the compressed "
            "model as it runs: an input drawn like the sample is beyond that of a neuron with a probability "
            f"of at most 1/{len(held) + 1}, whatever the distribution. {further}"
        )
    halves = "what the positive and what the negative weights of a neuron add up to"
    given = "given the inputs of its layer in the original model"
    if method == "deterministic":
        size = "its bound" if error is None else f"{error[0]:g}"
        holds = f"On every row of the sample, for certain, {halves} is within {size} of itself, {given}."
    elif error is None:
        holds = f"On any one row of the sample, with probability {1 - delta:g} for each, {halves} is within "
        holds += f"its bound of itself, {given}."
        if method in WITH_REPLACEMENT:
            holds += " The bound is that of so many draws, though draws went on until the budget was met."
    else:
        holds = f"On any one row of the sample, with probability {1 - error[1]:g} for all at once, {halves} "
        holds += f"is within {error[0]:g} of itself, {given}."
    return (
        f"{holds} That carries over to inputs on which no weight has a greater share than on the {len(rows)} "
        f"rows; {further}"
    )
