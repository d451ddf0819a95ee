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

__all__ = ["RandomProjection", "TrainableWeights"]


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

    Each weight is added, with random signs, to four of the `dim` numbers (a sparse subspace embedding). Inner
    products, and so spectra, are kept up to a relative error of about `sqrt(m / dim)` for m snapshots;
    `distortion` states the bound. Modes cannot be brought back to the weights.

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

    def __call__(self, model: keras.Model) -> dict[str, Any]:
        """`{"projection": (dim,) tensor}`.

        Raises:
            ValueError: As `TrainableWeights`.
        """
        buckets = self.dim // self.COPIES
        copies = [ops.zeros((buckets,), "float32") for _ in range(self.COPIES)]
        for number, variable in enumerate(self.weights.variables(model)):
            flat = ops.cast(ops.reshape(variable.value, (-1,)), "float32")
            for copy in range(self.COPIES):
                seed = int(np.random.SeedSequence([self.seed, number, copy]).generate_state(1)[0])
                # One draw gives the bucket and, in its last bit, the sign.
                draw = keras.random.randint(flat.shape, 0, 2 * buckets, seed=seed)
                sign = ops.cast(1 - 2 * (draw % 2), "float32")
                copies[copy] = copies[copy] + ops.segment_sum(flat * sign, draw // 2, buckets)
        return {"projection": ops.concatenate(copies) / float(np.sqrt(self.COPIES))}

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
