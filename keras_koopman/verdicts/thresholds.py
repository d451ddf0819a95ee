"""Where one verdict ends and another begins, and where each number comes from."""

from __future__ import annotations

import dataclasses
import math

from .. import _checks
from .path import RHO, SPEED

GRID = "benchmarks/verdicts/calibration.py: {} (four small networks on digits)"


def _value(default: float, source: str) -> float:
    field: float = dataclasses.field(default=default, metadata={"source": source})
    return field


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Thresholds of `kk.verdicts.assess`; `source` tells where the default of each comes from.

    How far they carry: on four small networks, with thresholds taken from the other three, good and bad runs
    were told apart after a quarter of the epochs with a balanced accuracy of .99, .94, .92 and .91, and the
    cause of bad ones named with .67, .78, .36 and .71 (tanh network, MLP, convnet, transformer; bad runs that
    were not noticed count as wrong).

    Args:
        rho: Below it the drift of epoch means is drowned in noise. Defaults to 1/3.
        speed: Below it the steps have died out. Defaults to 1/2.
        loss_left: A run is bad if its loss is above this share of the baseline. Defaults to 0.5.
        hardly_fallen: Without a baseline, a loss above this share of the first says that nothing was learned
            since. Defaults to 0.9.
        growth: A loss that rises is diverging from this multiple of its lowest, or of where it began, on.
            Defaults to 2.
        low_rate_rho: A bad run whose weights drift on in every layer with at least this rho has too low a
            learning rate. Defaults to 0.6.
        high_rate_displacement: A bad run whose weights went at least this far, in units of `|w_0|`, has too
            high a rate. Defaults to 1.

    Raises:
        TypeError: If a threshold is no number.
        ValueError: If it is not positive.

    Example:
    >>> import keras_koopman as kk
    >>> kk.verdicts.Thresholds(speed=0.4).source("speed")
    'given by the user'
    """

    rho: float = _value(
        RHO, "means of a pure random walk give 1/4, a steady drift gives 1; 12 configurations"
    )
    speed: float = _value(SPEED, "12 configurations of optimizer and rate on Fashion-MNIST and digits")
    loss_left: float = _value(0.5, GRID.format("tells runs that end well from others"))
    hardly_fallen: float = _value(0.9, "a convention: one tenth is more than minibatch noise")
    growth: float = _value(2.0, "a convention: a doubling is more than minibatch noise")
    low_rate_rho: float = _value(0.6, GRID.format("least rho of a layer, among bad runs"))
    high_rate_displacement: float = _value(1.0, GRID.format("relative displacement, among bad runs"))

    def __post_init__(self) -> None:
        for name in self.names():
            _checks.real_number(name, getattr(self, name), 0, math.inf)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all thresholds."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @property
    def default(self) -> bool:
        """Whether none was changed: what was calibrated holds for these alone."""
        return self == type(self)()

    def source(self, name: str) -> str:
        """Where the value of a threshold comes from.

        Raises:
            ValueError: If there is none of that name.
        """
        _checks.one_of("name", name, self.names())
        field = next(field for field in dataclasses.fields(self) if field.name == name)
        if getattr(self, name) != field.default:
            return "given by the user"
        return str(field.metadata["source"])
