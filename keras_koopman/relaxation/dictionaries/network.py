"""`NetworkFeatures`: a small Keras network trained on the eigenfunction equation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import scipy.linalg
from keras import ops
from numpy.typing import NDArray

from ... import _checks
from ...linalg import rayleigh_ritz
from ..pde.fields import as_fields, in_own_precision

Array = NDArray[np.float64]

MOST_BATCH = 4096
LEARNING_RATE = 3e-3
# Weight of what keeps two features from becoming one.
APART = 0.1


class NetworkFeatures:
    """A small network, trained so that each output falls by its own factor from one snapshot to the next.

    For equations whose eigenfunctionals nobody knows; where a transform is known, moments of it are far more
    exact. A small error does not make the eigenvalue exact: on a mildly nonlinear Burgers flow it fell to
    between half and three quarters of that of a linear fit, on runs that the network had not seen, but the
    first eigenvalue stayed 11 % off. Give it dozens of runs: from few it learns by heart, which shows in the
    errors and is not trusted.

    The network sees the leading principal components of the fields. Its outputs are the eigenfunctionals of a
    linear fit plus a correction by two hidden layers, zero at the fixed point of an affine fit; what is made
    small is `|phi(u_{t+1}) - mu phi(u_t)|^2 / |(1 - mu) phi(u_t)|^2`. `learn_eigenfunctionals` trains it.

    Args:
        features: Most outputs; as many as the linear fit has modes that decay without turning, if those are
            fewer. Defaults to 3.
        units: Of each hidden layer. Defaults to 32.
        components: Principal components that it sees. Defaults to 8.
        epochs: How long to train. Defaults to 300.
        seed: Of the initial weights. Defaults to 0.

    Raises:
        TypeError: If an argument is no whole number.
        ValueError: If one is below 1.

    Reference:
        Lusch, Kutz and Brunton, 2018, Deep learning for universal linear embeddings of nonlinear dynamics.

    Example:
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> x, t = np.linspace(0, 1, 17), np.linspace(0, 1, 20)[:, None]
    >>> fields = sum(np.exp(-((n * np.pi) ** 2) * 0.1 * t) * np.cos(n * np.pi * x) for n in (1, 2))
    >>> network = kk.relaxation.dictionaries.NetworkFeatures(features=2, units=4, components=2, epochs=1)
    >>> found = kk.relaxation.learn_eigenfunctionals(fields, network, dt=1 / 19)
    >>> found.eigenvalues.real.round(2)  # -0.1 pi^2 and four times that
    array([-0.99, -3.95])
    """

    def __init__(
        self, features: int = 3, units: int = 32, components: int = 8, epochs: int = 300, seed: int = 0
    ) -> None:
        self.features = _checks.whole_number("features", features, least=1)
        self.units = _checks.whole_number("units", units, least=1)
        self.components = _checks.whole_number("components", components, least=1)
        self.epochs = _checks.whole_number("epochs", epochs, least=1)
        self.seed = _checks.whole_number("seed", seed, least=0)
        self.model: keras.Model | None = None
        self.loss: float | None = None

    @in_own_precision
    def __call__(self, fields: Any) -> Any:
        """`(batch, features)` of fields `(batch, nodes)`, in float32.

        Raises:
            ValueError: If the network has not been trained, or the fields have another number of nodes.
        """
        if self.model is None:
            raise ValueError("the network has not been trained. Pass it to learn_eigenfunctionals.")
        fields = as_fields("fields", fields)
        nodes = self.model.input_shape[1]
        if fields.shape[1] != nodes:
            raise ValueError(f"fields have {fields.shape[1]} nodes, but the network was trained on {nodes}.")
        return self.model(ops.cast(fields, "float32"))

    def fit(self, before: Array, after: Array, last: Array) -> None:
        """Train on pairs of fields.

        Args:
            before: `(pairs, nodes)`.
            after: `(pairs, nodes)`, one time step later.
            last: `(runs, nodes)` the last field of each run, near rest.

        Raises:
            ValueError: If a linear fit finds no mode that decays without turning.
        """
        rest = last.mean(axis=0)
        size, directions = _principal(before - rest, self.components)
        projection = directions.T / size
        ahead = _fixed_point((before - rest) @ projection, (after - rest) @ projection)
        rest = rest + (ahead * size) @ directions
        start, factors = _linear_start((before - rest) @ projection, (after - rest) @ projection)
        start, factors = start[:, : self.features], factors[: self.features]
        self.model = self._network(before.shape[1], rest, projection, start)
        pairs = keras.Input((before.shape[1],)), keras.Input((before.shape[1],))
        residual = _EigenfunctionResidual(factors)
        trainer = keras.Model(pairs, residual([self.model(pair) for pair in pairs]))
        batches = _Batches(before, after, self.epochs, self.seed)
        rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, len(batches))
        trainer.compile(keras.optimizers.Adam(rate))
        trainer.fit(batches, verbose=0, shuffle=False)
        pairs_now = [np.asarray(part[:MOST_BATCH], np.float32) for part in (before, after)]
        self.loss = float(trainer.evaluate(pairs_now, batch_size=MOST_BATCH, verbose=0))

    def _network(self, nodes: int, rest: Array, projection: Array, start: Array) -> keras.Model:
        field = keras.Input((nodes,))
        components = _dense(projection, -rest @ projection, trainable=False)(field)
        linear = _dense(start, np.zeros(start.shape[1]), use_bias=False)(components)
        correction = components
        for layer in range(2):
            # Without biases and with an odd and an even function the correction is 0 at the state of rest.
            begin = keras.initializers.GlorotUniform(self.seed + layer)
            correction = keras.layers.Dense(self.units, use_bias=False, kernel_initializer=begin)(correction)
            correction = _OddAndEven()(correction)
        correction = keras.layers.Dense(start.shape[1], use_bias=False, kernel_initializer="zeros")(
            correction
        )
        return keras.Model(field, linear + correction)


class _Batches(keras.utils.PyDataset):
    """All passes over the pairs as one: an epoch of one batch costs more than its step."""

    def __init__(self, before: Array, after: Array, epochs: int, seed: int) -> None:
        super().__init__()
        self._parts = [np.asarray(part, np.float32) for part in (before, after)]
        self._each = -(-len(before) // MOST_BATCH)
        self._epochs = epochs
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return self._epochs * self._each

    def __getitem__(self, index: int) -> Any:
        count = len(self._parts[0])
        chosen = np.arange(count) if self._each == 1 else self._rng.choice(count, MOST_BATCH, replace=False)
        return (tuple(part[chosen] for part in self._parts),)


class _OddAndEven(keras.layers.Layer):
    """`tanh` of each input, and its square."""

    def call(self, x: Any) -> Any:
        """Twice as many features."""
        odd = ops.tanh(x)
        return ops.concatenate([odd, odd * odd], axis=-1)


class _EigenfunctionResidual(keras.layers.Layer):
    """Adds the residual of the eigenfunction equation to the losses.

    Args:
        factors: `(features,)` first guess of the factor of each.
    """

    def __init__(self, factors: Array) -> None:
        super().__init__()
        self._start = factors

    def build(self, shape: Any) -> None:
        """Make the factors."""
        begin = keras.initializers.Constant(self._start.astype(np.float32))
        self.factors = self.add_weight(shape=self._start.shape, initializer=begin, name="factors")

    def call(self, pair: Any) -> Any:
        """The features before, unchanged."""
        before, after = pair
        squares = ops.mean(before * before, axis=0) + 1e-8
        # As a share of what a step changes: slow ones would pass for right otherwise.
        change = ops.convert_to_tensor(np.square(1.0 - self._start).astype(np.float32))
        misfit = ops.mean(ops.square(after - self.factors * before), axis=0) / squares / change
        unit = before / ops.sqrt(squares)
        overlap = ops.transpose(unit) @ unit / ops.cast(ops.shape(before)[0], before.dtype)
        excess = ops.relu(ops.square(overlap) - 0.81)  # what lies apart already is left alone
        count = self._start.size
        self.add_loss(ops.mean(misfit) + APART * (ops.sum(excess) - 0.19 * count))
        return before


def _dense(kernel: Array, bias: Array, **options: Any) -> keras.layers.Dense:
    """A dense layer that begins with these weights."""
    make = keras.initializers.Constant
    return keras.layers.Dense(
        kernel.shape[1],
        kernel_initializer=make(kernel.astype(np.float32)),
        bias_initializer=make(bias.astype(np.float32)),
        **options,
    )


def _principal(fields: Array, count: int) -> tuple[Array, Array]:
    """Root mean squares and directions of the leading principal components."""
    _, values, directions = scipy.linalg.svd(fields, full_matrices=False)
    kept = min(count, int(np.sum(values > 1e-6 * values[0])))
    if kept == 0:
        raise ValueError("the fields are all equal: there is no motion from which to learn.")
    return values[:kept] / np.sqrt(len(fields)), directions[:kept]


def _fixed_point(before: Array, after: Array) -> Array:
    """Where the affine map of least squares leaves everything as it is; near 0 in what it conserves."""
    ones = np.ones((len(before), 1))
    fit = np.linalg.lstsq(np.hstack([before, ones]), after, rcond=1e-8)[0]
    count = before.shape[1]
    return np.asarray(np.linalg.lstsq(np.eye(count) - fit[:count].T, fit[count], rcond=1e-3)[0], np.float64)


def _linear_start(before: Array, after: Array) -> tuple[Array, Array]:
    """`(components, found)` eigenfunctionals of a linear fit that decay and do not turn; their factors."""
    pairs = rayleigh_ritz(before, after, None, 1e-8)
    plain = np.flatnonzero((np.abs(pairs.eigenvalues.imag) < 1e-12) & (pairs.eigenvalues.real > 0))
    plain = plain[np.argsort(-pairs.eigenvalues.real[plain])]
    plain = plain[pairs.eigenvalues.real[plain] < 1.0]
    if len(plain) == 0:
        raise ValueError(
            "a linear fit of the principal components finds no mode that decays without turning. Pass "
            "snapshots that relax, or a dictionary of your own."
        )
    coefficients = pairs.coefficients[:, plain].real
    return coefficients * np.sqrt(len(before)), pairs.eigenvalues.real[plain]
