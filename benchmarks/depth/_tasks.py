"""Tasks and architectures for the estimate of depth, in three groups.

The old ones are like those that the rule was made on, the new ones came after it. That depths do not count
until something was learned was added for what the new ones showed, and is judged on the last ones, which were
fixed before.
"""

import keras
import numpy as np

SAMPLES = 1200


def _teacher(rng, layers):
    """A random network of so many layers: the number is what a student needs at most."""
    x = rng.normal(size=(SAMPLES, 8))
    h = x
    for _ in range(layers - 1):
        h = np.tanh(1.5 * h @ rng.normal(size=(h.shape[1], 8)) / np.sqrt(h.shape[1]))
    return x, h @ rng.normal(size=(8, 1)) / np.sqrt(8)


def _friedman(rng):
    x = rng.random((SAMPLES, 6))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return x, y[:, None] / 5


def _parity(rng, bits):
    x = rng.choice([-1.0, 1.0], (SAMPLES, bits)) + 0.1 * rng.normal(size=(SAMPLES, bits))
    return x, (np.sign(x).prod(axis=1) > 0).astype(int)


def _spirals(rng, turns):
    label = rng.integers(0, 2, SAMPLES)
    r = np.sqrt(rng.random(SAMPLES))
    angle = 2 * np.pi * turns * r + np.pi * label
    return np.stack([r * np.cos(angle), r * np.sin(angle)], 1) * 2, label


def _iterated(rng, times):
    """A tent map applied again and again: pieces double each time."""
    x = rng.random((SAMPLES, 1))
    y = x
    for _ in range(times):
        y = 1 - np.abs(1 - 2 * y)
    return 2 * x - 1, y


def _rings(rng):
    x = rng.normal(size=(SAMPLES, 3))
    return x, (np.floor(1.5 * np.linalg.norm(x, axis=1)) % 2).astype(int)


def _digits(rng):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x / 16, y


def _linear(rng):
    x = rng.normal(size=(SAMPLES, 8))
    return x, x @ rng.normal(size=(8, 1)) + 0.1 * rng.normal(size=(SAMPLES, 1))


def _product(rng):
    x = rng.uniform(-1, 1, (SAMPLES, 4))
    return x, 4 * x.prod(axis=1, keepdims=True) + x[:, :1]


def _waves(rng):
    x = rng.uniform(-1, 1, (SAMPLES, 2))
    return x, np.sin(6 * x[:, :1] + 3 * np.sin(4 * x[:, 1:]))


def _bundled(name):
    def load(rng):
        import sklearn.datasets

        x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        return x, y if name == "breast_cancer" else y[:, None]

    return load


def _board(rng, fields):
    x = rng.uniform(0, fields, (SAMPLES, 2))
    return x, np.floor(x).astype(int).sum(axis=1) % 2


def _chebyshev(rng, degree):
    x = rng.uniform(-1, 1, (SAMPLES, 1))
    return x, np.cos(degree * np.arccos(x))


def _median(rng):
    x = rng.normal(size=(SAMPLES, 5))
    return x, np.median(x, axis=1, keepdims=True)


# Name -> function of a generator.
OLD = {
    "linear": _linear,
    "friedman": _friedman,
    "teacher 2": lambda rng: _teacher(rng, 2),
    "spirals 1": lambda rng: _spirals(rng, 1),
    "digits": _digits,
}
NEW = {
    "teacher 4": lambda rng: _teacher(rng, 4),
    "parity 4": lambda rng: _parity(rng, 4),
    "tent 3": lambda rng: _iterated(rng, 3),
    "rings": _rings,
    "waves": _waves,
    "product": _product,
}
LAST = {
    "breast cancer": _bundled("breast_cancer"),
    "diabetes": _bundled("diabetes"),
    "teacher 6": lambda rng: _teacher(rng, 6),
    "board": lambda rng: _board(rng, 3),
    "chebyshev 6": lambda rng: _chebyshev(rng, 6),
    "median": _median,
}
GROUPS = {"old": OLD, "new": NEW, "last": LAST}
TASKS = {**OLD, **NEW, **LAST}


def data(name):
    """Training and test data of a task, scaled."""
    rng = np.random.default_rng(sum(map(ord, name)))
    x, y = TASKS[name](rng)
    x = ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)).astype("float32")
    if not np.issubdtype(y.dtype, np.integer):
        y = ((y - y.mean()) / y.std()).astype("float32")
    order = rng.permutation(len(x))
    cut = len(x) * 3 // 4
    return (x[order[:cut]], y[order[:cut]]), (x[order[cut:]], y[order[cut:]])


def _mlp(activation, width):
    def layers(depth):
        return [keras.layers.Dense(width, activation) for _ in range(depth - 1)]

    return layers


def _residual(width):
    def layers(depth):
        if depth == 1:
            return []
        first = keras.layers.Dense(width, "relu")
        return [first, *(_Added(width) for _ in range(depth - 2))]

    return layers


class _Added(keras.layers.Layer):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(width, "relu")

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        return inputs + self.dense(inputs)


ARCHITECTURES = {"relu 12": _mlp("relu", 12), "tanh 24": _mlp("tanh", 24), "residual 16": _residual(16)}


def builder(task, architecture):
    """`build(depth)` for `kk.estimate_depth`: `depth` layers with weights."""
    (x, y), _ = data(task)
    classes = int(y.max()) + 1 if np.issubdtype(y.dtype, np.integer) else 0

    def build(depth):
        hidden = ARCHITECTURES[architecture](depth)
        last = keras.layers.Dense(classes or 1)
        model = keras.Sequential([keras.Input(x.shape[1:]), *hidden, last])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if classes else "mse"
        model.compile(keras.optimizers.Adam(0.01), loss)
        return model

    return build
