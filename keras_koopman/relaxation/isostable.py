"""`isostable`: how far a training run is from its end."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from ..linalg import factor_gram
from ..trajectory import Trajectory
from .decay import Decay

Real = NDArray[np.float64]

LEAST_INCREMENTS = 16
# Rounding of the inner products may make up so much of a figure at the most.
ALLOWED_ERROR = 0.05
UNEVEN = 0.01
# A mode that does not decay matters if it carries such a share of the last increment.
MATTERS = 0.1
# Earlier parts of the window, as shares of its increments, that foretell the same time.
EARLIER = (2 / 3, 0.8)
DELAYS = 2
# The interval reaches `LEAST_WIDTH + WIDENING * spread` to either side in logarithms, where the spread is
# that of the times foretold by the parts. Beyond a factor of `WIDEST` to either side nothing is told. Chosen
# on the runs marked "tuning" in benchmarks/relaxation/time_left.py.
LEAST_WIDTH, WIDENING, WIDEST = 0.05, 2.0, 3.0
# The ends that they foretell may lie apart by such a share of the motion left: at most 0.22 in the tuning
# runs that are told right, at least 0.4 in random walks.
RECEDES = 0.3
FRACTION = 0.01
# A factor so near to 1 is that of a steady drift.
STEADY = 1e-3


class Relaxation(enum.Enum):
    """Whether a run relaxes, and if not, why nothing is said about its end.

    Example:
    >>> import keras_koopman as kk
    >>> kk.relaxation.isostable(kk.Trajectory()).status
    <Relaxation.TOO_SHORT: 'there are too few snapshots'>
    """

    RELAXING = "the run relaxes to a point that can be foretold"
    TOO_SHORT = "there are too few snapshots"
    UNEVEN = "the snapshots are not evenly spaced in time"
    STILL = "the weights move less than rounding shows"
    GROWING = "a mode of the motion does not decay"
    NOISE = "no mode stands out of the noise"
    UNSETTLED = "the end that is foretold recedes while the run goes on"


class TimeLeft(NamedTuple):
    """A time, in units of the trajectory's times, and the interval meant to hold it in nine cases of ten.

    Attributes:
        estimate: from all increments.
        low: lower end.
        high: upper end.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> run = kk.Trajectory()
    >>> for t in range(40):
    ...     run.append(np.array([1 + 0.9**t]), time=10 * t)
    >>> left = kk.relaxation.isostable(run).time_left(0.5)  # one half-life of 6.58 records
    >>> round(left.estimate), left.low < 66 < left.high
    (66, True)
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class Isostable:
    """The slowest decaying Koopman eigenfunction of a run, or the reason why there is none to trust.

    Made by `kk.relaxation.isostable`. Figures are None unless `trusted`: there is no number without trust.

    Attributes:
        status: A `Relaxation`.
        reason: It in words, with the figures that decided.
        eigenvalue: factor per record of the slowest mode, complex; None unless trusted.
        half_life: time in which it falls to half.
        amplitude: distance that is left along this mode, in the units of the weights.
        remaining: distance that is left in all: from the last snapshot to the end that is foretold.
        share_left: `remaining` as a share of that and the distance from the origin.
        residual: of the mode, `|A z - lambda z|`; None if there is no mode at all.
        explained: share of the squared increments that follow from those before; None likewise.
        spread: factor by which the times to 1 % of the motion left differ that earlier parts of the window
            foretell; None if it did not come to that.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> run = kk.Trajectory()
    >>> for t in range(40):
    ...     run.append(np.array([1 + 0.9**t, 2 + 0.5**t]))
    >>> found = kk.relaxation.isostable(run)
    >>> found.status.name, found.half_life.__round__(2), found.time_left(0.01).estimate.__round__(1)
    ('RELAXING', 6.58, 43.7)
    """

    status: Relaxation
    reason: str
    eigenvalue: complex | None = None
    half_life: float | None = None
    amplitude: float | None = None
    remaining: float | None = None
    share_left: float | None = None
    residual: float | None = None
    explained: float | None = None
    spread: float | None = None
    _fits: tuple[tuple[Decay, float], ...] = field(default=(), repr=False)
    _dt: float = field(default=1.0, repr=False)
    _increments: Any = field(default=None, repr=False)

    @property
    def trusted(self) -> bool:
        """Whether the run relaxes, so that its figures can be used."""
        return self.status is Relaxation.RELAXING

    def time_left(self, fraction: float = 0.01) -> TimeLeft | None:
        """Time until no more than a fraction of the motion that is left now remains.

        Args:
            fraction: Of the distance to the end. Defaults to 0.01.

        Returns:
            Estimate and interval in units of the trajectory's times, epochs as a rule; None unless trusted.

        Raises:
            TypeError: If `fraction` is no real number.
            ValueError: If it is not between 0 and 1.
        """
        fraction = _checks.real_number("fraction", fraction, 0, 1)
        if not self.trusted:
            return None
        return self._spread([fit.records_left(fraction, since) for fit, since in self._fits])

    def half_life_interval(self, level: float = 0.9) -> tuple[float, float] | None:
        """Credible interval of the half-life.

        The hull of two: the half-lives that parts of the window give, and, where it can be trusted, the
        posterior of `kk.spectrum.posterior`, which loads TensorFlow Probability at its first use.

        Args:
            level: Of the posterior. Defaults to 0.9.

        Returns:
            Lower and upper end in units of the trajectory's times; None unless trusted.

        Raises:
            ImportError: If TensorFlow Probability cannot be imported.
            TypeError: If `level` is no real number.
            ValueError: If it is not between 0 and 1.
        """
        level = _checks.real_number("level", level, 0, 1)
        if not self.trusted:
            return None
        assert self.eigenvalue is not None
        lives = [_half_life(fit.eigenvalues[i]) for fit, _ in self._fits if (i := fit.leading) is not None]
        _, low, high = self._spread(lives)
        from ..spectrum.posterior import posterior

        found = posterior(self._increments, dt=self._dt)
        if found.trusted:
            nearest = int(np.argmin(np.abs(found.eigenvalues - self.eigenvalue)))
            ends = found.half_life_interval(level)[nearest]
            low, high = min(low, float(ends[0])), max(high, float(ends[1]))
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """Numbers and words for JSON."""
        left = self.time_left()
        return {
            "status": self.status.name,
            "reason": self.reason,
            "eigenvalue": None if self.eigenvalue is None else [self.eigenvalue.real, self.eigenvalue.imag],
            "half_life": self.half_life,
            "amplitude": self.amplitude,
            "remaining": self.remaining,
            "share_left": self.share_left,
            "residual": self.residual,
            "explained": self.explained,
            "spread": self.spread,
            "time_left": None if left is None else list(left),
        }

    def __str__(self) -> str:
        return f"{'Relaxing' if self.trusted else 'Not relaxing'}: {self.reason}"

    def __repr__(self) -> str:
        return f"<Isostable: {self.status.name}, {self.reason}>"

    def _spread(self, records: list[float]) -> TimeLeft:
        """Of times in records, the first of which is the estimate."""
        width = float(np.exp(_width(records)))
        low, high = records[0] / width - 0.5, records[0] * width + 0.5
        return TimeLeft(records[0] * self._dt, max(low, 0.0) * self._dt, high * self._dt)


def isostable(trajectory: Trajectory) -> Isostable:
    """The slowest decaying Koopman eigenfunction of a training run: how far is it from done?

    Near its end a run relaxes: the weights go to a point along a few modes, each of which falls by its own
    factor. The slowest of them is the last that is left; its level sets are the isostables. The modes are
    those of pairs of increments in the window, as the next step follows from the last and the momentum. They
    foretell when the run is done. The first two thirds and the first four fifths of the window foretell it
    too: the less they agree, the wider the interval, and beyond a factor of three nothing is claimed. That
    happens where slower modes hide behind faster ones, and where the steps are noise.

    The window should reach back over several half-lives; with the default of 64 records a run whose half-life
    is above a hundred epochs wants a record every few epochs.

    Args:
        trajectory: Of the weights, best as means over equal intervals: that of a recorder or monitor.

    Returns:
        An `Isostable`.

    Raises:
        TypeError: If `trajectory` is no `Trajectory`.

    Reference:
        Mauroy, Mezić and Moehlis, 2013, Isostables, isochrons, and Koopman spectrum for the action-angle
        representation of stable fixed point dynamics.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> run, weights = kk.Trajectory(), np.random.default_rng(0).normal(size=(40, 100)).cumsum(axis=0)
    >>> for values in weights:  # a random walk
    ...     run.append(values)
    >>> kk.relaxation.isostable(run).status.name
    'NOISE'
    """
    if not isinstance(trajectory, Trajectory):
        raise TypeError(
            f"trajectory must be a kk.Trajectory, got {type(trajectory).__name__}. "
            "Pass the trajectory of a recorder: recorder.trajectory."
        )
    count = len(trajectory) - 1
    if count < LEAST_INCREMENTS:
        return Isostable(
            Relaxation.TOO_SHORT,
            f"{len(trajectory)} snapshots are too few: it takes {LEAST_INCREMENTS + 1}.",
        )
    spacing = np.diff(trajectory.times)
    dt = float(spacing.mean())
    if np.max(np.abs(spacing - dt)) > UNEVEN * dt:
        return Isostable(
            Relaxation.UNEVEN,
            f"the snapshots lie {spacing.min():g} to {spacing.max():g} apart in time: record at equal times.",
        )
    increments = trajectory.increments()
    gram, error = increments.measured()
    if not np.all(np.isfinite(gram)):
        return Isostable(Relaxation.GROWING, "the weights are so large that their inner products overflow.")
    if not np.any(gram) or error > ALLOWED_ERROR:
        return Isostable(Relaxation.STILL, f"{Relaxation.STILL.value}: it has come to its end, or is stuck.")
    return _judge(factor_gram(gram), trajectory, increments, dt, error)


def _judge(factor: Real, trajectory: Trajectory, increments: Any, dt: float, error: float) -> Isostable:
    size, count = trajectory.size, factor.shape[1]
    # With fewer directions none is of noise alone, and the threshold cannot tell how large that is.
    rank = "svht" if size > count else None

    def part(end: int) -> Decay | None:
        columns = factor[:, :end]
        moves = np.any(columns[:, :-DELAYS]) and np.any(columns[:, DELAYS:])
        return Decay.of(columns, rank, size, error, DELAYS) if moves else None

    whole = part(count)
    if whole is None:
        return Isostable(Relaxation.STILL, f"{Relaxation.STILL.value} but for one step.")
    figures: dict[str, Any] = {"explained": whole.explained}
    lead = whole.leading
    if lead is not None:
        figures["residual"] = float(whole.residuals[lead])
    found = _without_an_end(whole, count, dt)
    if found is not None:
        return replace(found, **figures)
    assert lead is not None
    ends = [count, *(round(share * count) for share in EARLIER)]
    fits = [(fit, float(count - end)) for end in ends if (fit := part(end)) is not None]
    times = [fit.records_left(FRACTION, since) for fit, since in fits]
    found = _parts_disagree(fits, times, factor)
    if found is not None:
        return replace(found, **figures)
    remaining = float(np.linalg.norm(whole.rest()))
    value = complex(whole.eigenvalues[lead])
    along = float(np.linalg.norm(whole.ahead()[:, lead]))
    found = Isostable(
        Relaxation.RELAXING,
        "",
        eigenvalue=value,
        half_life=_half_life(value) * dt,
        amplitude=along,
        remaining=remaining,
        share_left=remaining / (remaining + float(trajectory.displacements[-1])),
        spread=float(np.exp(_log_spread(times))),
        _fits=tuple(fits),
        _dt=dt,
        _increments=increments,
        **figures,
    )
    return replace(found, reason=_words(found))


def _without_an_end(whole: Decay, count: int, dt: float) -> Isostable | None:
    """What is said if the modes of the whole window have no end to foretell; None if they have."""
    lead = whole.leading
    if lead is None:
        least = float(np.min(whole.residuals / np.maximum(np.abs(whole.eigenvalues), 1e-3)))
        return Isostable(
            Relaxation.NOISE,
            f"{Relaxation.NOISE.value}: the clearest has a residual of {least:.2g} of its factor.",
        )
    growing = lead if abs(whole.eigenvalues[lead]) >= 1 else _not_decaying(whole)
    if growing is not None:
        factor_of = abs(whole.eigenvalues[growing])
        how = "grows" if factor_of > 1 + STEADY else "goes on without an end in sight"
        return Isostable(
            Relaxation.GROWING,
            f"a mode with {_share(whole, growing):.0%} of the motion {how}: it is multiplied by "
            f"{factor_of:.4g} at each record.",
        )
    life = _half_life(complex(whole.eigenvalues[lead]))
    if life > count:
        return Isostable(
            Relaxation.UNSETTLED,
            f"the slowest mode seen has a half-life of {life * dt:.3g}, longer than the window of "
            f"{count * dt:.3g}: any smooth path looks so. Record less often, or go on.",
        )
    return None


def _parts_disagree(fits: list[tuple[Decay, float]], times: list[float], factor: Real) -> Isostable | None:
    """What is said if parts of the window foretell different ends, or none; None if they agree."""
    rest = fits[0][0].rest()
    remaining = float(np.linalg.norm(rest))
    if remaining == 0 or min(times) == 0:
        return Isostable(Relaxation.STILL, f"{Relaxation.STILL.value}: it has come to its end.")
    count = factor.shape[1]
    foretold = [fit.rest() - factor[:, count - round(since) :].sum(axis=1) for fit, since in fits]
    apart = max(float(np.linalg.norm(end - rest)) for end in foretold) / remaining
    if apart > RECEDES:
        return Isostable(
            Relaxation.UNSETTLED,
            f"from parts of the window the end lies elsewhere by {apart:.2g} of the motion left, more than "
            f"{RECEDES:g}: slower modes are still hidden, or noise hides them.",
        )
    spread = float(np.exp(_log_spread(times)))
    if _width(times) > np.log(WIDEST):
        return Isostable(
            Relaxation.UNSETTLED,
            f"parts of the window foretell times that differ by a factor of {spread:.2g}: slower modes are "
            "still hidden, or noise hides them.",
            spread=spread,
        )
    return None


def _words(found: Isostable) -> str:
    left = found.time_left()
    assert left is not None
    return (
        f"half-life {found.half_life:.3g}, to 1 % of the motion left about {left.estimate:.3g} "
        f"({left.low:.3g} to {left.high:.3g}); parts of the window agree on it to a "
        f"factor of {found.spread:.3g}."
    )


def _half_life(value: complex) -> float:
    """In records; infinite if the factor does not decay."""
    modulus = abs(value)
    if modulus >= 1:
        return np.inf
    return 0.0 if modulus == 0 else float(-np.log(2) / np.log(modulus))


def _share(fit: Decay, mode: int) -> float:
    """Of the last increment, that a mode carries."""
    carried = float(np.linalg.norm(fit.modes[:, mode] * fit.last[mode]))
    return min(1.0, carried / max(float(np.linalg.norm(fit.step)), 1e-300))


def _log_spread(times: list[float]) -> float:
    """Greatest distance of the logarithm of a time from that of the first."""
    logs = np.log(np.maximum(times, 1e-9))
    return float(np.max(np.abs(logs - logs[0]))) if np.all(np.isfinite(logs)) else np.inf


def _width(times: list[float]) -> float:
    """How far the interval reaches from the first time, in logarithms."""
    return LEAST_WIDTH + WIDENING * _log_spread(times)


def _not_decaying(fit: Decay) -> int | None:
    """A trusted mode that matters and does not decay."""
    for mode in np.flatnonzero(fit.trusted & (np.abs(fit.eigenvalues) >= 1)):
        if _share(fit, int(mode)) >= MATTERS:
            return int(mode)
    return None
