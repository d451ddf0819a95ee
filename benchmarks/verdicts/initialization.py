"""Does `kk.verdicts.profile_initialization` foretell divergence better than what is known without it?

A small transformer and a residual MLP on scikit-learn's digits, with and without normalisation, kernels of
the blocks scaled from tiny to huge, trained for 150 steps of Adam at rates from small to large. A run has
diverged if its loss is not finite, or at the end above the loss of chance. Figures of the profile compete
with the norm of the first gradient and with the one-bit rule "has no normalisation", within each network, and
within each network and normalisation.

    python benchmarks/verdicts/initialization.py              # runs what the table lacks
    python benchmarks/verdicts/initialization.py --summarise  # area under the ROC curve

One thread. Scores are turned so that more of them means divergence; .5 is chance.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import itertools
import math
import sys

import jax
import jax.numpy as jnp
import keras
import numpy as np
import sklearn.datasets
import sklearn.metrics
from _table import Table
from keras import layers

import keras_koopman as kk
from keras_koopman.verdicts.blocks import chain_of_blocks

KEYS = ("network", "normalisation", "scale", "rate", "seed")
PROFILE = ("near_unit", "growing", "kept", "nonlinearity", "gain", "radius", "near_unit_of_kept")
FIGURES = ("diverged", "loss_start", "loss_end", "gradient_norm", *PROFILE)
NETWORKS, NORMALISATIONS = ("transformer", "residual mlp"), ("before", "after", "none")
SCALES, RATES, SEEDS = (0.3, 1.0, 3.0, 10.0), (1e-3, 1e-2, 0.1), (0, 1, 2)
STEPS, BATCH, WIDTH, DEPTH = 150, 32, 32, 4
# A higher value of these is a good sign.
GOOD_SIGNS = ("near_unit", "kept", "near_unit_of_kept")


def build(network, normalisation, seed):
    """The network with its own initialisation."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((64,))

    def residual(x, branch):
        y = branch(layers.LayerNormalization()(x) if normalisation == "before" else x)
        x = layers.Add()([x, y])
        return layers.LayerNormalization()(x) if normalisation == "after" else x

    def perceptron(x):
        return layers.Dense(WIDTH)(layers.Dense(2 * WIDTH, "gelu")(x))

    x = layers.Dense(WIDTH)(layers.Reshape((8, 8))(inputs) if network == "transformer" else inputs)
    for _ in range(DEPTH):
        if network == "transformer":
            x = residual(x, lambda y: layers.MultiHeadAttention(2, WIDTH // 2)(y, y))
        x = residual(x, perceptron)
    if normalisation == "before":
        x = layers.LayerNormalization()(x)
    if network == "transformer":
        x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def scaled(model, scale):
    """Its weights, with the kernels of the branches multiplied."""
    inner = [v for v in model.trainable_variables if "kernel" in v.path][1:-1]
    chosen = {id(v) for v in inner}
    return [v.value * scale if id(v) in chosen else v.value for v in model.trainable_variables]


def engine(model):
    """Compiled: the activations between blocks, and a training."""
    data, labels = sklearn.datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(data))
    x, y = jnp.asarray(data[order] / 16, "float32"), jnp.asarray(labels[order])
    blocks = chain_of_blocks(model)
    probe = keras.Model(model.inputs, [blocks[0].before, *(block.after for block in blocks)])
    place = {id(v): i for i, v in enumerate(model.trainable_variables)}
    within = [place[id(v)] for v in probe.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]

    def loss_of(weights, inputs, targets):
        logits = model.stateless_call(weights, fixed, inputs)[0]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], 1).mean()

    @jax.jit
    def activations(weights):
        return probe.stateless_call([weights[i] for i in within], fixed, x)[0]

    @jax.jit
    def train(weights, rate, seed):
        rows = jax.random.randint(jax.random.key(seed), (STEPS, BATCH), 0, len(x))
        first = jax.grad(loss_of)(weights, x, y)
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in first))

        def step(carry, batch):
            w, m, s, t = carry
            loss, g = jax.value_and_grad(loss_of)(w, x[batch], y[batch])
            m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
            s = [0.999 * a + 0.001 * b * b for a, b in zip(s, g, strict=True)]
            size = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            w = [a - size * b / (jnp.sqrt(c) + 1e-7) for a, b, c in zip(w, m, s, strict=True)]
            return (w, m, s, t + 1), loss

        zeros = [jnp.zeros_like(w) for w in weights]
        (weights, *_), losses = jax.lax.scan(step, (weights, zeros, zeros, 1.0), rows)
        return losses, norm, loss_of(weights, x, y)

    return activations, train


def profile(places):
    """Figures of the profile; infinite ones if the network overflows."""
    try:
        found = kk.verdicts.profile_activations([np.asarray(a) for a in places])
    except ValueError:
        return (0.0, 1.0, 0.0, 1.0, math.inf, math.inf, 0.0)
    return (
        *(found.near_unit, found.growing, found.kept, found.nonlinearity, found.gain),
        max(block.radius for block in found.blocks),
        found.near_unit / found.kept if found.kept else 0.0,
    )


def main():
    table = Table("initialization", KEYS, FIGURES)
    engines = {}
    for seed, network, normalisation in itertools.product(SEEDS, NETWORKS, NORMALISATIONS):
        for scale in SCALES:
            todo = [r for r in RATES if table.lacks(network, normalisation, scale, r, seed)]
            if not todo:
                continue
            model = build(network, normalisation, seed)
            if (network, normalisation) not in engines:
                engines[network, normalisation] = engine(model)
            activations, train = engines[network, normalisation]
            weights = scaled(model, scale)
            figures = profile(activations(weights))
            for rate in todo:
                losses, norm, end = (np.asarray(v, float) for v in train(weights, rate, seed))
                diverged = int(not (np.isfinite(losses).all() and end <= math.log(10)))
                row = (diverged, float(losses[0]), float(end), float(norm), *map(float, figures))
                table.append(network, normalisation, scale, rate, seed, *row)
                print(network, normalisation, scale, rate, seed, diverged, f"{end:.3g}", flush=True)


def area(rows, score):
    """Area under the ROC curve of a score; None where all runs end alike."""
    truth = [row["diverged"] == "1" for row in rows]
    if len(set(truth)) < 2:
        return None
    if score == "no normalisation":
        values = [row["normalisation"] == "none" for row in rows]
    else:
        values = [float(row[score]) * (-1 if score in GOOD_SIGNS else 1) for row in rows]
    return sklearn.metrics.roc_auc_score(truth, np.nan_to_num(np.asarray(values, float), posinf=1e300))


def summarise(rows):
    """Areas within each network, and within each network and normalisation; and of each rate, their mean."""
    for network in NETWORKS:
        inside = [row for row in rows if row["network"] == network]
        groups = {"all": inside} | {
            name: [row for row in inside if row["normalisation"] == name] for name in NORMALISATIONS
        }
        for name, group in groups.items():
            broken = sum(row["diverged"] == "1" for row in group)
            print(f"\n{network}, normalisation: {name}; {broken} of {len(group)} diverged")
            for score in ("no normalisation", "gradient_norm", *PROFILE):
                whole = area(group, score)
                by_rate = [area([r for r in group if float(r["rate"]) == rate], score) for rate in RATES]
                by_rate = [value for value in by_rate if value is not None]
                if whole is not None:
                    mean = f"{np.mean(by_rate):.2f}" if by_rate else "-"
                    print(f"  {score:20} {whole:.2f}, at equal rates {mean}")


if __name__ == "__main__":
    if "--summarise" in sys.argv:
        summarise(Table("initialization", KEYS, FIGURES).rows())
    else:
        main()
