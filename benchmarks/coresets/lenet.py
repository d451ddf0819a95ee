"""How accurate is a compressed LeNet-300-100, against pruning by magnitude and low rank?

LeNet-300-100 is trained on Fashion-MNIST (Adam, 10 epochs, 55,000 images; the last 5,000 of the training set
are held out, on which defaults were chosen), then brought down to a share of the entries of its kernels:

- by `kk.coresets.compress`, each method, from 2,000 training images for `fitted`, 500 for the others;
- by magnitude, with `kk.optimizers.PruningOptimizer`'s own masks: `global` (with and without its floor),
  `uniform` and `erk`;
- by singular values, at equal parameters: as many as the share for the two factors of each layer, ranks
  `uniform`, or shared out by squared singular values over the model, plain or relative to each layer's sum. A
  layer whose factors would be larger stays as it is.

Accuracy is of the 10,000 test images (`held_out`: of the 5,000), at once and after one more epoch (Adam,
1e-3), in which zeros stay zeros and factors stay factors.

    python benchmarks/coresets/lenet.py

One thread. Rows that the table holds already are skipped; `--show` prints the table as means over seeds.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import keras
import numpy as np
import torch
from _fashion_mnist import load
from _resumable import ResumableTable
from keras import layers

import keras_koopman as kk
from keras_koopman.pruning.masks import choose
from keras_koopman.pruning.targets import Target

KEYS = ("seed", "keep", "method", "variant")
FIGURES = ("kept", "held_out", "accuracy", "tuned", "dense", "kept_1", "kept_2", "kept_3")
KEEPS = (0.1, 0.2, 0.5)
CORESETS = (
    ("fitted", "optimal"),
    ("fitted", "uniform"),
    ("deterministic", "optimal"),
    ("hybrid", "optimal"),
    ("sipp", "optimal"),
    ("corenet", "optimal"),
    ("corenet", "best of 10"),
)
MAGNITUDE = ("global", "global without floor", "uniform", "erk")
SINGULAR = ("uniform", "squares", "relative squares")
VALIDATION, BATCH, EPOCHS = 5000, 128, 10
SAMPLE = {True: 2000, False: 500}  # for least squares, for sensitivities


def lenet():
    """The network."""
    hidden = [layers.Dense(300, "relu"), layers.Dense(100, "relu")]
    return keras.Sequential([keras.Input((784,)), *hidden, layers.Dense(10)])


def train(model, data, epochs, seed):
    """Train with Adam for so many epochs; zeros of kernels that have some stay zeros."""
    x, y = (torch.from_numpy(part) for part in data)
    order = torch.Generator().manual_seed(seed)
    values = [torch.tensor(weights, requires_grad=True) for weights in model.get_weights()]
    kept = [value.detach() != 0 for value in values]
    held = [(v, k) for v, k in zip(values, kept, strict=True) if v.ndim > 1 and not k.all()]
    optimizer = torch.optim.Adam(values, 1e-3, eps=1e-7)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=order).split(BATCH):
            loss = torch.nn.functional.cross_entropy(forward(model, values, x[batch]), y[batch].long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for value, mask in held:
                    value.mul_(mask)
    model.set_weights([value.detach().numpy() for value in values])
    return model


def forward(model, values, x):
    """The logits of a network of dense layers with these weights."""
    left = list(values)
    for layer in model.layers:
        x = x @ left.pop(0)
        x = x + left.pop(0) if layer.use_bias else x
        x = torch.relu(x) if layer.activation is keras.activations.relu else x
    return x


def accuracy(model, x, y):
    """Share of samples that a network gets right."""
    with torch.no_grad():
        logits = forward(model, [torch.from_numpy(w) for w in model.get_weights()], torch.from_numpy(x))
    return float((logits.argmax(1).numpy() == y).mean())


def kernels(model):
    """All kernels."""
    return [layer.get_weights()[0] for layer in model.layers]


def with_kernels(model, values):
    """A copy with other kernels."""
    copy = keras.models.clone_model(model)
    biases = [layer.get_weights()[1] for layer in model.layers]
    copy.set_weights([tensor for pair in zip(values, biases, strict=True) for tensor in pair])
    return copy


def by_magnitude(model, keep, share):
    """The copy, with the masks that a pruning optimizer would choose."""
    values = kernels(model)
    targets = [Target(str(number), number, value.shape) for number, value in enumerate(values)]
    for target in targets:
        target.floored = share != "global without floor"
    scores = [[torch.from_numpy(np.abs(value))] for value in values]
    masks = [torch.ones(value.shape, dtype=torch.bool) for value in values]
    chosen, *_ = choose(targets, share.split()[0], scores, scores, masks, torch.tensor(1 - keep))
    return with_kernels(model, [v * mask.numpy() for v, mask in zip(values, chosen, strict=True)])


def ranks(values, decompositions, keep, variant):
    """Rank of each layer; None for one that stays as it is."""
    costs = [sum(value.shape) for value in values]
    if variant == "uniform":
        found = [max(1, int(keep * v.size / cost)) for v, cost in zip(values, costs, strict=True)]
        return [r if r * c < v.size else None for r, c, v in zip(found, costs, values, strict=True)]
    gains = []
    for number, (_, singular, _) in enumerate(decompositions):
        squares = singular**2 / (np.sum(singular**2) if variant.startswith("relative") else 1.0)
        gains += [(square / costs[number], number) for square in squares]
    budget, found = keep * sum(value.size for value in values), [0] * len(values)
    for _, number in sorted(gains, reverse=True):
        # The step from factors to the whole matrix costs less than a rank, and no more after it.
        now = min(found[number] * costs[number], values[number].size)
        then = min((found[number] + 1) * costs[number], values[number].size)
        if then - now <= budget:
            found[number], budget = found[number] + 1, budget - (then - now)
    return [r if r * c < v.size else None for r, c, v in zip(found, costs, values, strict=True)]


def by_singular_values(model, keep, variant):
    """A model of factors, and the share of its parameters."""
    values = kernels(model)
    decompositions = [np.linalg.svd(value, full_matrices=False) for value in values]
    found = ranks(values, decompositions, keep, variant)
    parts, weights, sizes = [keras.Input((784,))], [], []
    for layer, value, (left, singular, right), rank in zip(
        model.layers, values, decompositions, found, strict=True
    ):
        bias = layer.get_weights()[1]
        if rank is not None:
            parts.append(layers.Dense(rank, use_bias=False))
            weights.append(left[:, :rank] * singular[:rank])
            value = right[:rank]
        parts.append(layers.Dense(layer.units, layer.activation))
        weights += [value, bias]
        sizes.append(value.size + (0 if rank is None else weights[-3].size))
    small = keras.Sequential(parts)
    small.set_weights(weights)
    return small, [size / value.size for size, value in zip(sizes, values, strict=True)], sum(sizes)


def compressed(model, keep, method, variant, x, seed):
    """The small model, and what it keeps of each layer and in all."""
    total = sum(value.size for value in kernels(model))
    if method == "svd":
        small, shares, size = by_singular_values(model, keep, variant)
        return small, shares, size / total
    if method == "magnitude":
        small = by_magnitude(model, keep, variant)
    else:
        rows = np.random.default_rng(seed).choice(len(x), SAMPLE[method == "fitted"], replace=False)
        repeats = 10 if variant == "best of 10" else 1
        allocate = "uniform" if variant == "uniform" else "optimal"
        settings = {"keep": keep, "method": method, "allocate": allocate, "repeats": repeats, "seed": seed}
        small = kk.coresets.compress(model, x[rows], **settings).model
    counts = [np.count_nonzero(value) for value in kernels(small)]
    shares = [count / value.size for count, value in zip(counts, kernels(model), strict=True)]
    return small, shares, sum(counts) / total


def run(table, seed, data, epochs):
    """All rows of a seed that the table lacks."""
    (x, y), (x_test, y_test) = data
    wanted = [
        (keep, method, variant)
        for keep in KEEPS
        for method, variant in (
            *CORESETS,
            *(("magnitude", share) for share in MAGNITUDE),
            *(("svd", variant) for variant in SINGULAR),
        )
        if table.lacks(seed, keep, method, variant)
    ]
    if not wanted:
        return
    known, held = (x[:-VALIDATION], y[:-VALIDATION]), (x[-VALIDATION:], y[-VALIDATION:])
    keras.utils.set_random_seed(seed)
    model = train(lenet(), known, epochs, seed)

    dense = accuracy(model, x_test, y_test)
    for keep, method, variant in wanted:
        small, shares, kept = compressed(model, keep, method, variant, known[0], seed)
        before = accuracy(small, *held), accuracy(small, x_test, y_test)
        after = accuracy(train(small, known, 1, seed), x_test, y_test)
        table.append(seed, keep, method, variant, kept, *before, after, dense, *map(float, shares))
        print(seed, keep, method, variant, f"{kept:.4f}", *before, after, flush=True)


def show(table):
    """Print accuracies as means over the seeds, in per cent, with standard deviations."""
    rows = table.rows()
    for figure in ("accuracy", "tuned", "held_out"):
        print(f"\n| {figure} |", " | ".join(f"{100 * keep:g} %" for keep in KEEPS), "|\n|---|---|---|---|")
        for name in dict.fromkeys((row["method"], row["variant"]) for row in rows):
            cells = []
            for keep in KEEPS:
                own = [
                    100 * float(row[figure])
                    for row in rows
                    if (row["method"], row["variant"], row["keep"]) == (*name, str(keep))
                    or (row["method"], row["variant"], float(row["keep"])) == (*name, keep)
                ]
                cells.append(f"{np.mean(own):.2f} ± {np.std(own, ddof=1):.2f}" if len(own) > 1 else "")
            print(f"| {', '.join(name)} |", " | ".join(cells), "|")


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = ResumableTable("coresets", "lenet", KEYS, FIGURES)
    if not args.show:
        data = load()
        for seed in args.seeds:
            run(table, seed, data, args.epochs)
    show(table)


if __name__ == "__main__":
    main()
