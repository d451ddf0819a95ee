"""`profile_initialization`: what a network does to its inputs from block to block, before any training."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .. import _checks
from .._table import text_table
from ..backend import is_tensor
from .blocks import chain_of_blocks

Real = NDArray[np.float64]

INPUTS = 2048
RANK = 32
# Of the mean variance of the activations.
REGULARISED = 1e-5
MAX_RESIDUAL = 0.1
NEAR_UNIT = (0.90, 1.05)
# A share of the spectrum from which on it is worth a word.
NOTABLE = 0.1
# A mean gain per block likewise.
NOTABLE_GAIN = 2.0


@dataclass(frozen=True)
class BlockProfile:
    """DMD from the activations before a block to those behind it.

    Attributes:
        name: of the block.
        near_unit: share of the eigenvalues that are kept and have a modulus from 0.90 to 1.05: directions
            that pass the block as they are.
        growing: share of them that are kept and have a modulus above 1.05.
        kept: share of eigenvalues with a left residual of at most 0.1: what the block does linearly.
        nonlinearity: `|Y - A X| / |Y - X|`, the part of what the block adds that no linear map gives.
        radius: largest modulus of an eigenvalue kept; 0 if none is.
        gain: by what the standard deviation of the activations is multiplied.
        rank: how many eigenvalues there were.
    """

    name: str
    near_unit: float
    growing: float
    kept: float
    nonlinearity: float
    radius: float
    gain: float
    rank: int


@dataclass(frozen=True)
class InitializationProfile:
    """Spectra of the blocks of a model, in the order in which inputs pass them, and their means.

    Made by `kk.verdicts.profile_initialization`; `str` gives the table and the sentence.

    Attributes:
        blocks: a `BlockProfile` for each block.
        samples: how many activation vectors each spectrum rests on.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> keras.utils.set_random_seed(0)
    >>> inputs = keras.Input((16,))
    >>> x = inputs
    >>> for _ in range(3):
    ...     x = x + keras.layers.Dense(16, kernel_initializer="zeros")(x)  # at first it adds nothing
    >>> profile = kk.verdicts.profile_initialization(
    ...     keras.Model(inputs, x), np.random.default_rng(0).normal(size=(256, 16))
    ... )
    >>> len(profile.blocks), profile.near_unit, profile.growing
    (3, 1.0, 0.0)
    """

    blocks: tuple[BlockProfile, ...]
    samples: int

    @property
    def near_unit(self) -> float:
        """Mean near-unit mass."""
        return self._mean("near_unit")

    @property
    def growing(self) -> float:
        """Mean growing mass."""
        return self._mean("growing")

    @property
    def kept(self) -> float:
        """Mean share of eigenvalues kept."""
        return self._mean("kept")

    @property
    def nonlinearity(self) -> float:
        """Mean nonlinearity."""
        return self._mean("nonlinearity")

    @property
    def gain(self) -> float:
        """By what the standard deviation is multiplied from the first block to the last."""
        return float(np.prod([block.gain for block in self.blocks]))

    @property
    def sentence(self) -> str:
        """What it means, in words with the figures."""
        count = len(self.blocks)
        head = (
            f"Over {count} block{'s' * (count > 1)}, {self.near_unit:.0%} of the spectrum lies near 1 and "
            f"{self.growing:.0%} grows; the activations are multiplied by {self.gain:.3g}"
        )
        if self.gain > NOTABLE_GAIN**count or (self.growing >= NOTABLE and self.growing > self.near_unit):
            return f"{head}: signals grow from block to block. Normalise, or scale the blocks down."
        if self.near_unit >= 0.5:
            return f"{head}: most directions pass the blocks nearly as they are."
        if self.kept < NOTABLE:
            return (
                f"{head}; only {self.kept:.0%} of it is linear (nonlinearity {self.nonlinearity:.2f}), so "
                "the spectrum says little here."
            )
        return f"{head}: most directions are turned or shrunk by each block."

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists for JSON."""
        names = ("near_unit", "growing", "kept", "nonlinearity", "gain")
        return {
            **{name: getattr(self, name) for name in names},
            "samples": self.samples,
            "sentence": self.sentence,
            "blocks": [asdict(block) for block in self.blocks],
        }

    def __str__(self) -> str:
        headings = ["block", "near 1", "growing", "kept", "nonlinearity", "largest", "gain"]
        rows = [
            [
                b.name,
                *(f"{v:.2f}" for v in (b.near_unit, b.growing, b.kept, b.nonlinearity, b.radius, b.gain)),
            ]
            for b in self.blocks
        ]
        return "\n".join([*text_table(headings, rows, left=["block"]), self.sentence])

    def _mean(self, name: str) -> float:
        return float(np.mean([getattr(block, name) for block in self.blocks]))


def profile_initialization(
    model: Any, x: Any, *, rank: int = RANK, batch_size: int = 256, seed: int = 0
) -> InitializationProfile:
    """What an untrained network does to its inputs, from one forward pass.

    For every block with input and output of equal shape, a linear map is fitted from the activations before
    it to those behind (DMD along depth instead of time). Eigenvalues near 1 with a small residual are
    directions that pass; above 1, directions that grow from block to block. Judge it within one
    architecture: what differs between architectures, a normalisation above all, moves these figures more
    than any initialisation does.

    Blocks are found in the graph: they begin and end where every path from input to output passes. Works on
    residual networks, transformers and plain stacks of equal width. Positions in a sequence or an image count
    as separate samples, the last axis as width. The model is called as in inference.

    Args:
        model: A built functional or Sequential model.
        x: Inputs, 2048 or more; a list of arrays or a dict for several inputs. At most 2048 are used, chosen
            at random.
        rank: Principal directions of the activations to look at. Defaults to 32.
        batch_size: Of the forward pass. Defaults to 256.
        seed: Of the choice of samples. Defaults to 0.

    Returns:
        An `InitializationProfile`.

    Raises:
        TypeError: If `model` is no Keras model, or an argument has the wrong type.
        ValueError: If the model has no graph or no block of equal width, or the inputs are too few or give
            activations that are not finite or all equal.

    Reference:
        Kim et al., 2026, residual Koopman spectral profiling.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> keras.utils.set_random_seed(0)
    >>> layers = [keras.layers.Dense(8, kernel_initializer="orthogonal") for _ in range(2)]
    >>> model = keras.Sequential([keras.Input((8,)), *layers])
    >>> x = np.random.default_rng(0).normal(size=(512, 8))
    >>> [block.kept for block in kk.verdicts.profile_initialization(model, x).blocks]  # linear
    [1.0, 1.0]
    """
    rank = _checks.whole_number("rank", rank, least=1)
    batch_size = _checks.whole_number("batch_size", batch_size, least=1)
    seed = _checks.whole_number("seed", seed, least=0)
    blocks = chain_of_blocks(model)
    inputs = _some(x, np.random.default_rng(seed))
    places = {id(t): t for block in blocks for t in (block.before, block.after)}
    probe = keras.Model(model.inputs, list(places.values()))
    found = probe.predict(inputs, batch_size=batch_size, verbose=0)
    found = dict(zip(places, found if isinstance(found, list) else [found], strict=True))
    profiles, samples = [], 0
    for block in blocks:
        before, after = _vectors(found[id(block.before)]), _vectors(found[id(block.after)])
        if len(before) > INPUTS:
            rows = np.random.default_rng(seed).choice(len(before), INPUTS, replace=False)
            before, after = before[rows], after[rows]
        profiles.append(_profile(block.name, before, after, rank))
        samples = len(before)
    return InitializationProfile(tuple(profiles), samples)


def profile_activations(activations: Sequence[Any], *, rank: int = RANK) -> InitializationProfile:
    """`profile_initialization` from activations at hand, for models whose graph is not known.

    Args:
        activations: Two or more arrays `(samples, ..., width)` of one shape: before the first block, between
            the blocks, and behind the last.
        rank: As in `profile_initialization`.

    Returns:
        An `InitializationProfile`.

    Raises:
        TypeError: If `activations` is no sequence of arrays of real numbers.
        ValueError: If there are fewer than two, their shapes differ, or they are not finite.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> before = np.random.default_rng(0).normal(size=(100, 4))
    >>> profile = kk.verdicts.profile_activations([before, 2 * before])
    >>> profile.growing, round(profile.gain, 6)
    (1.0, 2.0)
    """
    rank = _checks.whole_number("rank", rank, least=1)
    if isinstance(activations, np.ndarray) or is_tensor(activations) or not isinstance(activations, Sequence):
        raise TypeError(
            f"activations must be a list of arrays, one for each place, got {type(activations).__name__}."
        )
    shapes = [tuple(np.shape(a)) for a in activations]
    if len(shapes) < 2 or len(set(shapes)) > 1 or len(shapes[0]) < 2:
        raise ValueError(
            "activations must be two or more arrays (samples, ..., width) of one shape, got "
            f"{', '.join(map(str, shapes)) or 'none'}. Pass the places between blocks of equal width."
        )
    found = [_vectors(a) for a in activations]
    blocks = tuple(
        _profile(f"block {i}", before, after, rank)
        for i, (before, after) in enumerate(itertools.pairwise(found))
    )
    return InitializationProfile(blocks, len(found[0]))


def _some(x: Any, rng: np.random.Generator) -> Any:
    """At most `INPUTS` of the inputs."""
    arrays = [np.asarray(keras.ops.convert_to_numpy(a) if is_tensor(a) else a) for a in keras.tree.flatten(x)]
    lengths = {len(a) if a.ndim else 0 for a in arrays}
    if len(lengths) != 1 or min(lengths) < 2:
        raise ValueError(
            f"x must hold two inputs or more, {INPUTS} if there are so many, got shapes "
            f"{', '.join(str(a.shape) for a in arrays) or 'none'}."
        )
    count = lengths.pop()
    rows = np.sort(rng.choice(count, INPUTS, replace=False)) if count > INPUTS else slice(None)
    return keras.tree.pack_sequence_as(x, [a[rows] for a in arrays])


def _vectors(activations: Any) -> Real:
    """`(samples, width)`: positions are samples."""
    found = np.asarray(keras.ops.convert_to_numpy(activations) if is_tensor(activations) else activations)
    if found.dtype.kind not in "fiub" and "float" not in str(found.dtype):
        raise TypeError(f"activations must be real numbers, got dtype {found.dtype}.")
    return found.reshape(-1, found.shape[-1]).astype(np.float64)


def _profile(name: str, before: Real, after: Real, rank: int) -> BlockProfile:
    """The block's profile from samples of what goes in and comes out.

    Raises:
        ValueError: If they are not finite, all equal, or fewer than twice the rank.
    """
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError(
            f"the activations of {name!r} are not finite: the network overflows before any training. Scale "
            "its initialisation down, or look at the inputs."
        )
    x, y = before - before.mean(axis=0), after - after.mean(axis=0)
    variances, directions = np.linalg.eigh(x.T @ x / len(x))
    size = float(variances.mean())
    if size <= 1e-12 * max(float(np.mean(before**2)), np.finfo(float).tiny):
        raise ValueError(
            f"the activations before {name!r} are the same for all inputs. Pass inputs that differ, or look "
            "at the blocks before it."
        )
    leading = np.argsort(variances)[::-1][: min(rank, len(x) // 2)]
    whiten = directions[:, leading] / np.sqrt(variances[leading] + REGULARISED * size)
    x_white, y_white = x @ whiten, y @ whiten  # a sample a row
    operator = np.linalg.lstsq(x_white, y_white, rcond=None)[0].T
    eigenvalues, left = scipy.linalg.eig(operator, left=True, right=False)
    left = left.conj()  # u' A = lambda u'
    ahead, here = y_white @ left, x_white @ left
    residuals = np.linalg.norm(ahead - here * eigenvalues, axis=0) / np.maximum(
        np.linalg.norm(here, axis=0), np.finfo(float).tiny
    )
    trusted, modulus = residuals <= MAX_RESIDUAL, np.abs(eigenvalues)
    added = float(np.linalg.norm(y_white - x_white))
    missed = float(np.linalg.norm(y_white - x_white @ operator.T))
    near = trusted & (modulus >= NEAR_UNIT[0]) & (modulus <= NEAR_UNIT[1])
    return BlockProfile(
        name=name,
        near_unit=float(near.mean()),
        growing=float((trusted & (modulus > NEAR_UNIT[1])).mean()),
        kept=float(trusted.mean()),
        nonlinearity=missed / added if added > 1e-12 * float(np.linalg.norm(x_white)) else 0.0,
        radius=float(np.max(modulus[trusted], initial=0.0)),
        gain=float(np.sqrt(np.sum(y**2) / np.sum(x**2))),
        rank=len(eigenvalues),
    )
