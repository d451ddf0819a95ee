"""Tasks, and an engine that trains many pruned networks side by side; for `rankings.py`.

The networks of one call start from the same weights and see the same batches: only their masks differ. Each
layer is one batched matrix product over all of them, on a GPU where PyTorch finds one; a convolution is that
product with the patches of its input.
"""

import dataclasses
import itertools
from collections.abc import Callable

import _recipe as recipe
import numpy as np
import torch
from _fashion_mnist import load

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PARTS = {"sgd": ("weights",), "adam": ("weights", "first", "second")}  # what an optimizer keeps for a weight
FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-7  # Adam's, as Keras has them
KERNEL, STRIDE = 3, 2  # of a convolution
DIGITS = 1500  # to train on, of 1,797
# So many weights side by side at most: some gigabytes on a GPU, the cache of a processor.
SIDE_BY_SIDE = {"cuda": 80_000_000, "cpu": 2_000_000}


@dataclasses.dataclass(frozen=True)
class Network:
    """Strided convolutions with "same" padding, then dense layers, relu between them.

    Args:
        image: `(height, width, channels)` of the input.
        filters: of each convolution.
        units: of each dense layer.
    """

    image: tuple[int, int, int]
    filters: tuple[int, ...]
    units: tuple[int, ...]

    def shapes(self):
        """Of each kernel, as Keras has them."""
        height, width, channels = self.image
        found = []
        for filters in self.filters:
            found.append((KERNEL, KERNEL, channels, filters))
            height, width, channels = -(-height // STRIDE), -(-width // STRIDE), filters
        return [*found, *itertools.pairwise((height * width * channels, *self.units))]

    def weights(self, seed):
        """`[kernel, bias, kernel, ...]` before the first step, float32."""
        return [*itertools.chain(*recipe.initial_weights(seed, self.shapes()))]


NETWORKS = {
    "lenet": Network((1, 1, recipe.UNITS[0]), (), recipe.UNITS[1:]),
    "convnet": Network((28, 28, 1), (16, 32), (64, 10)),
}


@dataclasses.dataclass(frozen=True)
class Task:
    """Data, network and training."""

    network: Network
    batch: int
    epochs: int
    seeds: range
    sets: Callable  # seed -> (x, y), (x_test, y_test)
    order: Callable  # seed, epoch -> permutation of the training samples
    samples: int

    @property
    def epoch_steps(self):
        """Steps of an epoch; the last may be a small one."""
        return -(-self.samples // self.batch)

    @property
    def steps(self):
        """Steps of the whole training."""
        return self.epochs * self.epoch_steps

    def batches(self, seed, begin, end):
        """Indices of the samples of steps `begin` to `end`, a tensor for each."""
        for step in range(begin, end):
            epoch, place = divmod(step, self.epoch_steps)
            if place == 0 or step == begin:
                order = torch.from_numpy(self.order(seed, epoch)).to(DEVICE)
            yield order[place * self.batch : (place + 1) * self.batch]


def task(data, network):
    """The task of data `"fashion"` or `"digits"` and a network of `NETWORKS`."""
    net = NETWORKS[network]
    if data == "fashion":
        return Task(
            *(net, recipe.BATCH, 8, range(5), lambda seed: recipe.data(load), recipe.order, recipe.SAMPLES)
        )
    return Task(net, 32, 20, range(6), _digits, _digits_order, DIGITS)


def _digits_order(seed, epoch):
    return np.random.default_rng([seed, epoch]).permutation(DIGITS)


def _digits(seed):
    """The digits of scikit-learn, enlarged to 28 x 28; each seed has its own split."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = zoom(x.reshape(-1, 8, 8) / 16, (1, 3.5, 3.5), order=1).reshape(-1, 784)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].astype("float32"), y[order].astype("int32")
    return [(x[:DIGITS], y[:DIGITS]), (x[DIGITS:], y[DIGITS:])]


class _Patches(torch.autograd.Function):
    """What a strided convolution with "same" padding multiplies by its kernel.

    `(..., height, width, channels)` to `(..., height', width', KERNEL * KERNEL * channels)`.
    """

    @staticmethod
    def forward(ctx, x):
        """Copy the patches."""
        ctx.shape = x.shape
        padded = torch.nn.functional.pad(x, (0, 0, *_padding(x.shape[-2]), *_padding(x.shape[-3])))
        return torch.cat(_taps(padded, x.shape), -1)

    @staticmethod
    def backward(ctx, gradient):
        """Add the patches up."""
        *leading, height, width, channels = ctx.shape
        top, left = _padding(height), _padding(width)
        padded = gradient.new_zeros((*leading, height + sum(top), width + sum(left), channels))
        for tap, part in zip(_taps(padded, ctx.shape), gradient.split(channels, -1), strict=True):
            tap += part
        return padded[..., top[0] : top[0] + height, left[0] : left[0] + width, :]


def _padding(size):
    """Zeros before and after an axis, as TensorFlow pads it."""
    missing = max((-(-size // STRIDE) - 1) * STRIDE + KERNEL - size, 0)
    return missing // 2, missing - missing // 2


def _taps(padded, shape):
    """Views of what each place of the kernel sees."""
    height, width = (-(-size // STRIDE) for size in shape[-3:-1])
    rows = [slice(first, first + STRIDE * (height - 1) + 1, STRIDE) for first in range(KERNEL)]
    columns = [slice(first, first + STRIDE * (width - 1) + 1, STRIDE) for first in range(KERNEL)]
    return [padded[..., row, column, :] for row, column in itertools.product(rows, columns)]


class Networks:
    """Networks with masked kernels, trained with softmax cross-entropy.

    Args:
        network: what they are.
        optimizer: `"sgd"` or `"adam"`.
        state: `{"weights": [kernel, bias, kernel, ...], "steps": n}`, for Adam with its moments `"first"` and
            `"second"` in the same form.
        masks: for each network, for each kernel, a bool tensor.
    """

    def __init__(self, network, optimizer, state, masks):
        self.network, self.optimizer, self.steps = network, optimizer, state["steps"]
        self.count = len(masks)
        self.masks = [torch.stack(own) for own in zip(*masks, strict=True)]
        self.parts = {
            name: [t.expand(self.count, *t.shape).clone() for t in state[name]] for name in PARTS[optimizer]
        }
        self._prune()
        self.sum, self.summed = None, 0

    def _prune(self):
        for kernel, mask in zip(self.parts["weights"][::2], self.masks, strict=True):
            kernel.mul_(mask)

    def state(self):
        """State of the first network."""
        return {"steps": self.steps} | {
            name: [tensor[0].clone() for tensor in part] for name, part in self.parts.items()
        }

    def _logits(self, x, weights):
        """`(networks, samples, classes)`."""
        values = x.view(1, len(x), *self.network.image)
        for number, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
            if number:
                values = values.relu_()
            values = _Patches.apply(values) if kernel.ndim == 5 else values.flatten(2)
            rows = values.reshape(len(values), -1, values.shape[-1]).expand(self.count, -1, -1)
            out = torch.baddbmm(bias[:, None], rows, kernel.reshape(self.count, -1, kernel.shape[-1]))
            values = out.view(self.count, *values.shape[1:-1], -1)
        return values

    def step(self, x, y):
        """One training step; returns the gradients, in the form of the weights."""
        weights = [w.requires_grad_() for w in self.parts["weights"]]
        logits = self._logits(x, weights)
        every = y.expand(self.count, -1).flatten()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), every, reduction="sum") / len(y)
        gradients = torch.autograd.grad(loss, weights)
        self.parts["weights"] = [w.detach() for w in weights]
        self._update(gradients)
        return gradients

    def _update(self, gradients):
        self.steps += 1
        rate = recipe.OPTIMIZERS[self.optimizer]
        if self.optimizer == "sgd":
            torch._foreach_add_(self.parts["weights"], gradients, alpha=-rate)
        else:
            rate *= (1 - SECOND**self.steps) ** 0.5 / (1 - FIRST**self.steps)
            for w, first, second, g in zip(*map(self.parts.get, PARTS["adam"]), gradients, strict=True):
                first.lerp_(g, 1 - FIRST)
                second.lerp_(g * g, 1 - SECOND)
                w.addcdiv_(first, second.sqrt().add_(EPSILON), value=-rate)
        self._prune()

    def remember(self):
        """Let the present weights count in `accuracy`."""
        if self.sum is None:
            self.sum = [torch.zeros_like(w) for w in self.parts["weights"]]
        torch._foreach_add_(self.sum, self.parts["weights"])
        self.summed += 1

    @torch.no_grad()
    def accuracy(self, x, y):
        """Share of samples that each network gets right with the mean of the weights it remembers.

        At a constant learning rate the last weights alone are a matter of luck: points of accuracy come
        and go from step to step.
        """
        weights = [tensor / self.summed for tensor in self.sum]
        right = 0
        for some, labels in zip(x.split(500), y.split(500), strict=True):
            right = right + (self._logits(some, weights).argmax(-1) == labels).sum(1)
        return (right / len(y)).tolist()


def initial_state(task, optimizer, seed):
    """State before the first step."""
    weights = [torch.from_numpy(tensor).to(DEVICE) for tensor in task.network.weights(seed)]
    moments = {name: [torch.zeros_like(t) for t in weights] for name in PARTS[optimizer][1:]}
    return {"weights": weights, "steps": 0, **moments}


def train_variants(task, optimizer, seed, sets, state, masks, end):
    """Train on from `state` with each set of masks, to step `end`; the accuracies."""
    (x, y), (x_test, y_test) = sets
    accuracies = []
    size = max(1, SIDE_BY_SIDE[DEVICE.type] // sum(tensor.numel() for tensor in state["weights"]))
    for first in range(0, len(masks), size):
        networks = Networks(task.network, optimizer, state, masks[first : first + size])
        for step, batch in enumerate(task.batches(seed, state["steps"], end), state["steps"] + 1):
            networks.step(x[batch], y[batch])
            if step > end - task.epoch_steps:
                networks.remember()
        accuracies += networks.accuracy(x_test, y_test)
    return accuracies
