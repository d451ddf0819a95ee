"""The published algorithm of DeepGO: a saw-tooth below a Lipschitz function, nested over the inputs."""

from __future__ import annotations

import math
import time

import numpy as np

from .branch import Found
from .problem import Problem
from .program import Real
from .walks import Walks

# Points in a call of the compiled walk.
BATCH = 64


class _Late(Exception):
    """The clock has run out."""


class Nested:
    """Minimum and maximum by saw-teeth.

    The minimum over the first input of the minimum over the others is itself a Lipschitz function of the
    first
    input, known to within the error of the inner search. Errors add up, so each level gets its
    share of the tolerance.

    Args:
        problem: with one output, on a box.
        tol: how near the bounds must come.
        steep: Lipschitz constant by each input, over the box.
    """

    def __init__(self, problem: Problem, tol: float, steep: Real) -> None:
        self.domain, self.steep = problem.domain, steep
        self.walks = Walks(problem.program)
        self.share = tol / len(steep)
        self.points = 0
        self.deadline = math.inf

    def run(self, deadline: float = math.inf) -> Found:
        """Both searches, one after the other."""
        self.deadline = deadline
        ends: list[tuple[float, float, Real, bool]] = []
        for sign in (1.0, -1.0):
            try:
                bound, value, point = self._search(np.zeros(0), sign)
                ends.append((sign * bound, sign * value, point, True))
            except _Late:
                # The steepest way from the middle is all that is known then.
                middle = 0.5 * self.domain.low + 0.5 * self.domain.high
                self.deadline = math.inf
                least, most = self._values(middle[None], sign)
                self.deadline = deadline
                reach = float(self.steep @ (self.domain.high - self.domain.low)) * (0.5 + 1e-12)
                bound, value = float(least[0]) - reach, float(most[0])
                ends.append((sign * bound, sign * value, middle, False))
        (low, low_at, first, done), (top, top_at, second, also) = ends
        return Found(low, top, low_at, top_at, first, second, self.points, done and also)

    def _values(self, points: Real, sign: float) -> tuple[Real, Real]:
        """Bounds on `sign * f` at points."""
        if time.monotonic() > self.deadline:
            raise _Late
        lows, highs = [], []
        for start in range(0, len(points), BATCH):
            chunk = points[start : start + BATCH]
            padded = np.concatenate([chunk, np.repeat(chunk[-1:], BATCH - len(chunk), 0)])
            low, high = (end[: len(chunk), 0] for end in self.walks.enclose(padded))
            lows.append(low if sign > 0 else -high)
            highs.append(high if sign > 0 else -low)
        self.points += len(points)
        return np.concatenate(lows), np.concatenate(highs)

    def _inner(self, prefix: Real, at: Real, sign: float) -> tuple[Real, Real, Real]:
        """Lower bounds, values and points of the best that the other inputs can do, at places of this one."""
        level = len(prefix)
        if level + 1 == len(self.steep):
            points = np.concatenate([np.tile(prefix, (len(at), 1)), at[:, None]], axis=1)
            return *self._values(points, sign), points
        found = [self._search(np.append(prefix, x), sign) for x in at]
        return (
            np.array([f[0] for f in found]),
            np.array([f[1] for f in found]),
            np.array([f[2] for f in found]),
        )

    def _search(self, prefix: Real, sign: float) -> tuple[float, float, Real]:
        """Least of `sign * f` over the inputs that the prefix does not fix: bound, value, point."""
        level = len(prefix)
        steep = float(self.steep[level]) * (1 + 1e-12)
        places = np.array([self.domain.low[level], self.domain.high[level]])
        lows, highs, points = self._inner(prefix, places, sign)
        order = np.argsort(places)
        while True:
            best = int(np.argmin(highs))
            a, b = order[:-1], order[1:]
            width = places[b] - places[a]
            # Where the two slopes from the ends meet.
            teeth = 0.5 * (lows[a] + lows[b] - steep * width)
            teeth = np.minimum(teeth, np.minimum(lows[a], lows[b])) - 1e-15 * np.abs(teeth)
            errors = float((highs - lows).max())
            cut = (teeth < highs[best] - errors - self.share) & (width > 4e-16 * np.abs(places).max())
            if not cut.any():
                return float(min(teeth.min(), lows.min())), float(highs[best]), points[best]
            # Half of those that promise most: the published algorithm takes one at a time.
            worst = np.flatnonzero(cut)
            worst = worst[np.argsort(teeth[worst])][: max(1, len(worst) // 2)]
            lean = np.clip((lows[a] - lows[b])[worst] / max(steep, 1e-300), -width[worst], width[worst])
            fresh = 0.5 * (places[a] + places[b])[worst] + 0.5 * lean
            middle = 0.5 * (places[a] + places[b])[worst]
            inside = (fresh > places[a][worst]) & (fresh < places[b][worst])
            more = self._inner(prefix, np.where(inside, fresh, middle), sign)
            places = np.concatenate([places, np.where(inside, fresh, middle)])
            lows, highs = np.concatenate([lows, more[0]]), np.concatenate([highs, more[1]])
            points = np.concatenate([points, more[2]])
            order = np.argsort(places, kind="stable")
