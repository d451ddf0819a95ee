"""`KoopmanMode` and `KoopmanForecast`: scores from where the weights are going."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras
import numpy as np
from keras import ops

from ... import _checks
from ..._recorder import checked_recorder
from ...observables import TrainableWeights
from ...trajectory import Trajectory
from .criterion import Criterion


class TrajectoryCriterion(Criterion):
    """Scores that a recorder's callback works out, record by record, and writes into a slot.

    Until there are enough records `|w|` stands in.

    Args:
        recorder: `kk.callbacks.TrajectoryRecorder` that is also among the callbacks of `fit`.
    """

    slots = ("score",)
    LEAST = 3  # snapshots

    def __init__(self, recorder: Any) -> None:
        self.recorder = checked_recorder(type(self).__name__, recorder)

    def scores(self, weight: Any, slots: dict[str, Any]) -> Any:
        """What the callback wrote last."""
        return slots["score"]

    @abstractmethod
    def values(self, trajectory: Trajectory) -> Any:
        """Of which the sizes are the scores: values in the form of a snapshot, made on the device.

        Raises:
            ValueError: If there are too few snapshots, or they do not move.
        """

    def measure(self, model: keras.Model, variables: list[keras.Variable]) -> list[Any] | None:
        """Scores of these variables after the latest record; None if there can be none yet.

        Raises:
            ValueError: If the recorder does not watch one of them.
        """
        places = self.places(model, variables)
        trajectory = self.recorder.trajectory
        if len(trajectory) < self.LEAST:
            return None
        try:
            values = self.values(trajectory)
        except ValueError:  # no motion
            return None
        return [ops.cast(ops.abs(values[layer][name]), "float32") for layer, name in places]

    def places(self, model: keras.Model, variables: list[keras.Variable]) -> list[tuple[str, str]]:
        """Group and name, in a snapshot, of each variable.

        Raises:
            ValueError: If the recorder does not watch one of them.
        """
        watched = self.recorder.observables
        if not isinstance(watched, TrainableWeights):
            raise ValueError(
                f"{type(self).__name__} needs a recorder of the weights themselves, got one with observables="
                f"{watched!r}. Give it none, or kk.observables.TrainableWeights(...)."
            )
        found = {
            id(variable): (layer, name)
            for layer, group in watched.named(model).items()
            for name, variable in group.items()
        }
        missing = [v.path for v in variables if id(v) not in found]
        if missing:
            raise ValueError(
                f"{type(self).__name__} prunes {missing[0]!r}, which its recorder does not watch. Record all "
                "weights, or exclude it."
            )
        return [found[id(v)] for v in variables]

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal criterion; the recorder is asked for anew."""
        return {"recorder": None}


@keras.saving.register_keras_serializable("keras_koopman")
class KoopmanMode(TrajectoryCriterion):
    """The size of each weight in the Koopman mode whose eigenvalue lies nearest to 1.

    That mode of the recorded trajectory is what would be left if all that grows or dies out were gone:
    where the weights are going. Once training has converged this is magnitude pruning.

    Args:
        recorder: `kk.callbacks.TrajectoryRecorder` that watches the weights and is also among the callbacks
            of `fit`; None after loading, until it is set. Three records at least must come before the first
            weights go; `|w|` stands in until then, and a warning says so.
        rank: As in `kk.decompose`. Defaults to None: by tolerance.

    Raises:
        TypeError: If `recorder` is none.

    Reference:
        Redman, Fonoberova, Mohr, Kevrekidis and Mezic, 2022, An operator theoretic view on pruning deep
        neural networks.

    Example:
    >>> import keras_koopman as kk
    >>> recorder = kk.callbacks.TrajectoryRecorder(window=16, record_freq=20)
    >>> optimizer = kk.optimizers.PruningOptimizer(
    ...     "adam", kk.schedules.OneShot(0.9, step=400), kk.pruning.KoopmanMode(recorder)
    ... )
    >>> optimizer.criterion.slots
    ('score',)
    """

    def __init__(self, recorder: Any, rank: int | str | None = None) -> None:
        super().__init__(recorder)
        self.rank = (
            rank if isinstance(rank, str) else None if rank is None else _checks.whole_number("rank", rank, 1)
        )
        if isinstance(rank, str):
            _checks.one_of("rank", rank, ("svht",))

    def values(self, trajectory: Trajectory) -> Any:
        """The mode."""
        rank: Any = self.rank
        if isinstance(rank, int):
            rank = min(rank, len(trajectory) - 1)
        found = trajectory.decompose(rank=rank)
        return found.mode(int(np.argmin(np.abs(found.eigenvalues - 1))))

    def get_config(self) -> dict[str, Any]:
        """The rank."""
        return {**super().get_config(), "rank": self.rank}


@keras.saving.register_keras_serializable("keras_koopman")
class KoopmanForecast(TrajectoryCriterion):
    """The size that each weight is foretold to have, some records ahead.

    The increments of the recorded trajectory are foretold by their own DMD and added up. Modes that grow
    are held at their size: a forecast over many records must not be all growth.

    Args:
        recorder: As in `KoopmanMode`.
        horizon: How many records ahead, above 0. Defaults to 10.
        rank: As in `kk.decompose`. Defaults to "svht".

    Raises:
        TypeError: If `recorder` is none, or `horizon` no number.
        ValueError: If `horizon` is not above 0.

    Reference:
        Dogra and Redman, 2020, Optimizing neural networks via Koopman operator theory.

    Example:
    >>> import keras_koopman as kk
    >>> recorder = kk.callbacks.TrajectoryRecorder(window=16, record_freq=20)
    >>> kk.pruning.KoopmanForecast(recorder, horizon=50).horizon
    50.0
    """

    LEAST = 4

    def __init__(self, recorder: Any, horizon: float = 10, rank: int | str | None = "svht") -> None:
        super().__init__(recorder)
        self.horizon = _checks.real_number("horizon", horizon, 0.0, float("inf"))
        if isinstance(rank, str):
            _checks.one_of("rank", rank, ("svht",))
        elif rank is not None:
            _checks.whole_number("rank", rank, 1)
        self.rank = rank

    def values(self, trajectory: Trajectory) -> Any:
        """The weights at the horizon."""
        increments = trajectory.increments()
        rank: Any = self.rank
        if isinstance(rank, int):
            rank = min(rank, len(increments) - 1)
        ahead = increments.decompose(rank=rank).sum_ahead(self.horizon)
        # Coefficients of the increments as coefficients of the snapshots, and the last snapshot.
        coefficients = np.diff(np.pad(-ahead, 1))
        coefficients[-1] += 1.0
        return trajectory.combine(coefficients)

    def get_config(self) -> dict[str, Any]:
        """The horizon and the rank."""
        return {**super().get_config(), "horizon": self.horizon, "rank": self.rank}
