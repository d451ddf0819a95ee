"""`estimate_depth` against a full sweep, "two layers", and three spectral statistics of one deep network.

KERAS_BACKEND=jax python benchmarks/depth/estimates.py [--groups old new last] [--seeds 2]

Goes on where it was broken off; `summarise_estimates.py` reads what it writes.
"""

import argparse
import itertools

import keras
import numpy as np
from _rows import Table
from _tasks import ARCHITECTURES, GROUPS, builder, data

import keras_koopman as kk
from keras_koopman.depth.probe import share_of_error

DEPTHS = range(1, 9)
EPOCHS = 60


def sweep(table, task, architecture, seeds):
    """Errors of all depths, trained in full."""
    (x, y), test = data(task)
    for seed in range(seeds):
        for depth in DEPTHS:
            if table.lacks(task, architecture, depth, seed):
                keras.backend.clear_session()
                keras.utils.set_random_seed(seed)
                model = builder(task, architecture)(depth)
                model.fit(x, y, epochs=EPOCHS, batch_size=32, verbose=0)
                table.append(task, architecture, depth, seed, share_of_error(model, *test))


def spectral(task):
    """Three statistics of a continuous block of eight nodes, trained as long as one depth of the estimate's.

    Depth is time in it. `nodes`: for 1 to 8 nodes the error of projecting the weights to them. `moved`: how
    far the state still has to go after each step, as a share of its way. `half_life`: of the slowest
    decaying mode of the increments of the state from step to step, in steps.
    """
    (x, y), _ = data(task)
    classes = int(y.max()) + 1 if np.issubdtype(y.dtype, np.integer) else 0
    keras.utils.set_random_seed(0)
    block = kk.layers.ContinuousBlock(kk.layers.DenseRate(24), 8, 8, "euler", horizon=8.0, name="block")
    parts = [keras.Input(x.shape[1:]), keras.layers.Dense(16), block, keras.layers.Dense(classes or 1)]
    model = keras.Sequential(parts)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if classes else "mse"
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(x, y, epochs=EPOCHS, batch_size=32, verbose=0)
    nodes = [kk.layers.project(model, nodes=count).error for count in DEPTHS]
    state = np.asarray(keras.ops.convert_to_numpy(model.layers[0](x)), np.float64)
    states = [state]
    for rate in block.rates:
        state = state + np.asarray(keras.ops.convert_to_numpy(rate(state.astype("float32"))), np.float64)
        states.append(state)
    way = np.linalg.norm(states[-1] - states[0])
    moved = [np.linalg.norm(states[-1] - s) / way for s in states[1:]]
    increments = np.diff(np.stack([s.ravel() for s in states]), axis=0)
    found = kk.decompose(increments.T, rank=4)
    rates = np.log(np.clip(np.abs(found.eigenvalues), 1e-6, 0.999))
    return nodes, moved, float(np.log(0.5) / rates.max())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=[*GROUPS])
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    swept = Table("sweep", ("task", "architecture", "depth", "seed"), ("error",))
    keys = ("task", "architecture")
    estimates = Table("estimates", keys, ("group", "depth", "cost", "probes", "reason"))
    names = [f"nodes_{k}" for k in DEPTHS] + [f"moved_{k}" for k in DEPTHS]
    statistics = Table("statistics", ("task",), (*names, "half_life"))
    tasks = [(group, task) for group in options.groups for task in GROUPS[group]]
    for (group, task), architecture in itertools.product(tasks, ARCHITECTURES):
        if statistics.lacks(task):
            nodes, moved, half_life = spectral(task)
            statistics.append(task, *nodes, *moved, half_life)
        if estimates.lacks(task, architecture):
            (x, y), _ = data(task)
            found = kk.estimate_depth(builder(task, architecture), x, y, DEPTHS, epochs=EPOCHS)
            row = group, found.depth, found.cost, len(found.table), found.reason
            estimates.append(task, architecture, *row)
        sweep(swept, task, architecture, options.seeds)


if __name__ == "__main__":
    main()
