"""What a recorder watches: functions from a model to named tensors.

An observable is any callable `model -> values`, with values as `Trajectory.append` takes them. Two are ready
made: the trainable weights, and a random projection of them for models whose window does not fit in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from . import _checks, _patterns
from .backend import compiled

__all__ = ["RandomProjection", "TrainableWeights"]

# How many weights are folded at a time: what that takes beside them is a few times as much.
PIECE = 2**21
ONES = np.array([-1, 1], np.float32)


class TrainableWeights:
    """The trainable weights of a model, a group for each layer that has some.

    Tied weights count once; frozen ones do not count.

    Args:
        include: Patterns, as in a shell, of the paths of weights to take, like `"*kernel"` or
            `"encoder/*"`. Defaults to None: all.
        exclude: Patterns of paths to leave out.
        layers: Names of layers to take, wherever they stand in a path. Defaults to None: all.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="first")])
    >>> list(kk.observables.TrainableWeights(include="*kernel")(model)["first"])
    ['kernel']
    """

    def __init__(
        self,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        layers: str | Sequence[str] | None = None,
    ) -> None:
        self.include = _patterns.names("include", include)
        self.exclude = _patterns.names("exclude", exclude) or ()
        self.layers = _patterns.names("layers", layers)

    def __call__(self, model: keras.Model) -> dict[str, dict[str, Any]]:
        """Weights of `model`: layer -> name -> tensor.

        Raises:
            ValueError: If the model is not built, has no trainable weights, or none is chosen.
        """
        return {
            layer: {name: variable.value for name, variable in group.items()}
            for layer, group in self.named(model).items()
        }

    def named(self, model: keras.Model) -> dict[str, dict[str, keras.Variable]]:
        """Variables of `model` in the places that their values have in a snapshot.

        Raises:
            ValueError: As a call.
        """
        groups: dict[str, dict[str, keras.Variable]] = {}
        for variable in self.variables(model):
            layer, _, name = variable.path.removeprefix(f"{model.name}/").rpartition("/")
            group = groups.setdefault(layer or variable.name, {})
            # Two weights of a layer may bear one name: a number tells them apart.
            numbered = (f"{name}_{i}" for i in itertools.count(len(group)))
            group[next(n for n in itertools.chain([name], numbered) if n not in group)] = variable
        return groups

    def variables(self, model: keras.Model) -> list[keras.Variable]:
        """The chosen variables of `model`.

        Raises:
            ValueError: If the model is not built, has no trainable weights, or none is chosen.
        """
        weights = model.trainable_variables
        if not weights:
            raise ValueError(
                f"model {model.name!r} has no trainable weights. Set trainable=True on a layer."
                if model.built
                else f"model {model.name!r} is not built: it has no weights. Call it on data, or build it."
            )
        chosen = [v for v in weights if self._takes(v.path)]
        if not chosen:
            asked = ", ".join(
                f"{name}={list(value)}"
                for name, value in (
                    ("include", self.include),
                    ("layers", self.layers),
                    ("exclude", self.exclude),
                )
                if value
            )
            raise ValueError(
                f"{asked} leaves no weight of model {model.name!r}. "
                f"Its weights are {', '.join(repr(v.path) for v in weights[:20])}."
            )
        return chosen

    def _takes(self, path: str) -> bool:
        return (
            (self.include is None or _patterns.fits(path, self.include))
            and not _patterns.fits(path, self.exclude)
            and (self.layers is None or not set(path.split("/")[:-1]).isdisjoint(self.layers))
        )


class RandomProjection:
    """The weights seen through a random projection to `dim` numbers: memory independent of the model.

    Each weight is added, with random signs, to four of the `dim` numbers (a sparse subspace embedding): the
    weights are cut into rows of `dim / 4`, and each row is turned by a random number of places and added to
    the others, with a random sign for each row and each column. Inner products, and so spectra, are kept up
    to a relative error of about `sqrt(m / dim)` for m snapshots; `distortion` states the bound. Modes cannot
    be brought back to the weights.

    Args:
        dim: How many numbers to keep; a multiple of 4. Defaults to 4096.
        seed: Of the projection; runs to be compared need the same. Defaults to 0.
        weights: What to project. Defaults to all trainable weights.

    Raises:
        ValueError: If `dim` is not a positive multiple of 4.

    Reference:
        Nelson and Nguyen, 2013, OSNAP: faster numerical linear algebra algorithms via sparser subspace
        embeddings.

    Example:
    >>> import keras
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> kk.observables.RandomProjection(dim=64)(model)["projection"].shape[0]
    64
    """

    COPIES = 4

    def __init__(self, dim: int = 4096, seed: int = 0, weights: TrainableWeights | None = None) -> None:
        self.dim = _checks.whole_number("dim", dim, least=self.COPIES)
        if dim % self.COPIES:
            raise ValueError(
                f"dim must be a multiple of {self.COPIES}, got {dim}. Take {dim - dim % self.COPIES}."
            )
        self.seed = _checks.whole_number("seed", seed, least=0)
        self.weights = weights or TrainableWeights()
        self._drawn: tuple[Any, Any, Any] | None = None

    def __call__(self, model: keras.Model) -> dict[str, Any]:
        """`{"projection": (dim,) tensor}`.

        Raises:
            ValueError: As `TrainableWeights`.
        """
        buckets = self.dim // self.COPIES
        parts = [ops.reshape(v.value, (-1,)) for v in self.weights.variables(model)]
        lengths = [-(-int(part.shape[0]) // buckets) for part in parts]
        signs, turns, row_signs = self._draws(sum(lengths))
        copies: list[Any] = [0.0] * self.COPIES
        begin, step = 0, max(1, PIECE // buckets)
        for part, rows in zip(parts, lengths, strict=True):
            for first in range(0, rows, step):
                count = min(step, rows - first)
                piece = part[first * buckets : (first + count) * buckets]
                piece = ops.pad(piece, (0, count * buckets - int(piece.shape[0])))
                piece = ops.reshape(piece, (count, buckets))
                row = slice(begin + first, begin + first + count)
                for copy in range(self.COPIES):
                    copies[copy] = copies[copy] + _folded(
                        piece, signs[copy], turns[copy, row], row_signs[copy, row]
                    )
            begin += rows
        return {"projection": ops.concatenate(copies) / float(np.sqrt(self.COPIES))}

    def _draws(self, rows: int) -> tuple[Any, Any, Any]:
        """Signs of the columns; and of each row how far it is turned, and its sign: one of each a copy."""
        if self._drawn is None or self._drawn[1].shape[1] != rows:
            buckets = self.dim // self.COPIES
            rngs = [np.random.default_rng([self.seed, copy]) for copy in range(self.COPIES)]
            signs = np.stack([rng.choice(ONES, buckets) for rng in rngs])
            turns = np.stack([rng.integers(0, buckets, rows, dtype=np.int32) for rng in rngs])
            row_signs = np.stack([rng.choice(ONES, rows) for rng in rngs])
            self._drawn = (signs, turns, row_signs)
        return self._drawn

    def distortion(self, columns: int, probability: float = 0.99) -> float:
        """Bound on the relative error of the singular values of so many snapshots.

        The bound is that of a Gaussian projection, `(sqrt(columns) + sqrt(2 log(2 / (1 - p)))) / sqrt(dim)`,
        which sparse ones follow closely for weights that do not sit in a few coordinates.

        Args:
            columns: number of snapshots.
            probability: that the bound holds. Defaults to 0.99.

        Example:
        >>> import keras_koopman as kk
        >>> round(kk.observables.RandomProjection(dim=4096).distortion(16), 3)
        0.113
        """
        columns = _checks.whole_number("columns", columns, least=1)
        p = _checks.real_number("probability", probability, 0, 1)
        return float((np.sqrt(columns) + np.sqrt(2 * np.log(2 / (1 - p)))) / np.sqrt(self.dim))


@compiled(xla=False)
def _folded(rows: Any, signs: Any, turns: Any, row_signs: Any) -> Any:
    """The sum of rows, each turned by some places."""
    signs, turns, row_signs = map(ops.convert_to_tensor, (signs, turns, row_signs))
    rows = ops.cast(rows, "float32") * signs * row_signs[:, None]
    buckets = ops.shape(signs)[0]
    places = ops.arange(buckets, dtype="int32")[None] + turns[:, None]
    places = ops.where(places >= buckets, places - buckets, places)
    begins = ops.arange(ops.shape(turns)[0], dtype="int32")[:, None] * buckets
    return ops.sum(ops.take(ops.reshape(rows, (-1,)), begins + places), axis=0)
