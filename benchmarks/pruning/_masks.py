"""Rankings of weights and the masks that follow from them, by the package's own functions.

A ranking is a score for each weight at a moment of a dense training; a share says how many weights each layer
keeps:

- `own`: the highest scores wherever they are, but no layer below a fifth of the uniform part;
  `own_nofloor` and `own_floor0.1`: with another floor;
- `uniform`, `erk`: see `kk.optimizers.PruningOptimizer`;
- the name of a ranking: as many in each layer as `own` would leave with that ranking.
"""

import functools

import keras
import numpy as np
import torch
from _training import Networks, initial_state

import keras_koopman as kk
from keras_koopman.pruning import shares
from keras_koopman.pruning.selection import keys

RANKINGS = (
    *("magnitude", "koopman_mode", "koopman_mode_means", "koopman_forecast"),
    *("magnitude_displacement", "movement", "random", "hindsight"),
)
# Scores that ask, as |w| |w - w0| does, what has moved: with the mode of means m, or the forecast f, for w.
CANDIDATES = {
    "mode_displacement": lambda w, m, f, w0: abs(m) * abs(m - w0),
    "weight_times_mode_displacement": lambda w, m, f, w0: abs(w) * abs(m - w0),
    "mode_times_displacement": lambda w, m, f, w0: abs(m) * abs(w - w0),
    "forecast_displacement": lambda w, m, f, w0: abs(f) * abs(f - w0),
    "displacement": lambda w, m, f, w0: abs(w - w0),
}
WINDOW = 16
SAMPLES_OF_MEAN = 32  # at most so many are averaged, as `kk.callbacks.TrajectoryRecorder` does


class _Path:
    """What a recorder would have seen up to a cut: snapshots, and means over the intervals between them."""

    def __init__(self, cut):
        self.cut = cut
        self.interval = max(1, round(cut / WINDOW))
        self.stride = -(-self.interval // SAMPLES_OF_MEAN)
        self.snapshots, self.means = kk.Trajectory(WINDOW), kk.Trajectory(WINDOW)

    def see(self, step, values):
        """Look at the weights after a step; `values` makes them."""
        if step >= self.cut:  # a recorder comes after the optimizer, which has pruned by then
            return
        due = step % self.interval == 0
        if due or step % self.stride == 0:
            self.means.accumulate(values())
        if due:
            self.means.append_mean(step)
            self.snapshots.append(values(), step)


def dense_run(task, optimizer, seed, sets, cuts, steps=None):
    """Train the dense network once, by default to the end.

    Returns:
        Its accuracy, and for each cut its state there and the scores of each ranking.
    """
    (x, y), test = sets
    start = initial_state(task, optimizer, seed)
    everything = [torch.ones_like(kernel, dtype=torch.bool) for kernel in start["weights"][::2]]
    network = Networks(task.network, optimizer, start, [everything])
    paths = [_Path(cut) for cut in cuts]
    movement, moved = kk.pruning.Movement(), [torch.zeros_like(kernel) for kernel in start["weights"][::2]]
    found = {}
    for step, batch in enumerate(task.batches(seed, 0, steps or task.steps), 1):
        before = [kernel[0].clone() for kernel in network.parts["weights"][::2]]
        gradients = network.step(x[batch], y[batch])[::2]
        moved = [
            movement.update({"moved": sofar}, kernel, gradient[0], step - 1)["moved"]
            for sofar, kernel, gradient in zip(moved, before, gradients, strict=True)
        ]
        values = functools.cache(lambda: _snapshot([tensor[0] for tensor in network.parts["weights"]]))
        for path in paths:
            path.see(step, values)
        if step > (steps or task.steps) - task.epoch_steps:
            network.remember()
        if step in cuts:
            state, path = network.state(), paths[cuts.index(step)]
            scores = _scores(state["weights"][::2], start, moved, path, seed)
            found[step] = state, scores
    for _, scores in found.values():
        scores["hindsight"] = [abs(kernel) for kernel in network.state()["weights"][::2]]
    return network.accuracy(*test)[0], found


def _snapshot(weights):
    """The weights in the form in which a recorder takes them."""
    return {
        str(number): {"kernel": kernel, "bias": bias}
        for number, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True))
    }


def _scores(kernels, start, moved, path, seed):
    """Scores of each ranking at a cut, but for `hindsight`."""
    mode, forecast = kk.pruning.KoopmanMode(None), kk.pruning.KoopmanForecast(None)
    foretold = {
        "koopman_mode": mode.values(path.snapshots),
        "koopman_mode_means": mode.values(path.means),
        "koopman_forecast": forecast.values(path.snapshots),
    }
    criteria = {
        "magnitude": (kk.pruning.Magnitude(), {}),
        "magnitude_displacement": (kk.pruning.MagnitudeDisplacement(), {"origin": start["weights"][::2]}),
        "movement": (kk.pruning.Movement(), {"moved": moved}),
        "random": (kk.pruning.Random(seed), {"number": range(len(kernels))}),
    }
    kernels_of = {name: [layer["kernel"] for layer in values.values()] for name, values in foretold.items()}
    scores = {name: [abs(kernel).float() for kernel in own] for name, own in kernels_of.items()}
    parts = kernels, kernels_of["koopman_mode_means"], kernels_of["koopman_forecast"], start["weights"][::2]
    for name, candidate in CANDIDATES.items():
        scores[name] = [candidate(*tensors).float() for tensors in zip(*parts, strict=True)]
    for name, (criterion, slots) in criteria.items():
        scores[name] = [
            criterion.scores(kernel, {slot: values[number] for slot, values in slots.items()})
            for number, kernel in enumerate(kernels)
        ]
    return scores


class Masks:
    """The masks at one cut.

    Args:
        scores: of each ranking, for each kernel.
    """

    def __init__(self, scores):
        self.keys = {
            name: [keys(s, torch.ones_like(s, dtype=torch.bool)) for s in own] for name, own in scores.items()
        }
        # How many of its kernel stand before a weight; of equal ones the first comes first, as in `highest`.
        self.places = {name: [_places(key) for key in own] for name, own in self.keys.items()}
        self.shapes = [tuple(key.shape) for key in self.keys["magnitude"]]
        self.sizes = np.array([np.prod(shape) for shape in self.shapes], np.int64)
        self.counts = functools.cache(self._counts)

    def _counts(self, by, kind, floor, sparsity):
        asked = keras.ops.convert_to_tensor(sparsity, "float32")
        found, _ = shares.counts(kind, asked, self.keys[by], self.sizes, self.shapes, floor)
        return found.tolist()

    def mask(self, ranking, share, sparsity):
        """A bool tensor for each kernel."""
        kind, by, floor = "global", ranking, shares.FLOOR
        if share in ("uniform", "erk"):
            kind, by = share, "magnitude"  # any: it is not looked at
        elif share.startswith("own_"):
            floor = 0.0 if share == "own_nofloor" else float(share.removeprefix("own_floor"))
        elif share != "own":
            by = share
        counts = self.counts(by, kind, floor, sparsity)
        return [place < count for place, count in zip(self.places[ranking], counts, strict=True)]


def _places(key):
    order = torch.sort(key.flatten(), descending=True, stable=True).indices
    return (
        torch.empty_like(order)
        .scatter_(0, order, torch.arange(len(order), device=order.device))
        .view(key.shape)
    )


def overlap(a, b):
    """Jaccard index of the weights that two masks keep."""
    both = sum((one & other).sum() for one, other in zip(a, b, strict=True))
    either = sum((one | other).sum() for one, other in zip(a, b, strict=True))
    return float(both / either)
