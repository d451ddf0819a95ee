"""Tasks, and an engine that trains many pruned networks side by side; for `rankings.py`.

The networks of one call start from the same weights and see the same batches: only their masks differ. Their
kernels are put together to one block-diagonal sparse matrix for each layer, so that a training step is a
dozen calls whose work is that of the weights that are left. Weights that are gone are not even stored.
"""

import dataclasses
import warnings
from collections.abc import Callable

import _recipe as recipe
import numpy as np
import torch
from _fashion_mnist import load

warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)")
torch.manual_seed(0)

PARTS = {"sgd": ("weights",), "adam": ("weights", "first", "second")}  # what an optimizer keeps for a weight
FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-7  # Adam's, as Keras has them


@dataclasses.dataclass(frozen=True)
class Task:
    """Data, network and training."""

    name: str
    units: tuple[int, ...]
    batch: int
    epochs: int
    seeds: range
    sets: Callable  # seed -> (x, y), (x_test, y_test)
    weights: Callable  # seed -> [(kernel, bias), ...]
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
        """Indices of the samples of steps `begin` to `end`, one array for each."""
        for step in range(begin, end):
            epoch, place = divmod(step, self.epoch_steps)
            if place == 0 or step == begin:
                order = self.order(seed, epoch)
            yield order[place * self.batch : (place + 1) * self.batch]


def tasks():
    """Both tasks, by name."""
    return {
        "fashion": Task(
            *("fashion", recipe.UNITS, recipe.BATCH, 8, range(5), lambda seed: recipe.data(load)),
            *(recipe.initial_weights, recipe.order, recipe.SAMPLES),
        ),
        "digits": Task(
            *("digits", recipe.UNITS, 32, 20, range(6), _digits, recipe.initial_weights),
            *(lambda seed, epoch: np.random.default_rng([seed, epoch]).permutation(1500), 1500),
        ),
    }


def _digits(seed):
    """The digits of scikit-learn, enlarged to 28 x 28, 1,500 to train on; each seed has its own split."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = zoom(x.reshape(-1, 8, 8) / 16, (1, 3.5, 3.5), order=1).reshape(-1, 784)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].astype("float32"), y[order].astype("int32")
    return [(x[:1500], y[:1500]), (x[1500:], y[1500:])]


class _Layer:
    """One layer of all networks as a sparse matrix, `(count * outputs, count * inputs)`.

    Args:
        masks: of each network, `(inputs, outputs)` bool.
        shared: whether all networks have the same input.
    """

    def __init__(self, masks, shared):
        inputs, outputs = masks[0].shape
        rows, columns = [], []
        for number, mask in enumerate(masks):
            row, column = mask.T.nonzero(as_tuple=True)
            rows.append(row + number * outputs)
            columns.append(column + (0 if shared else number * inputs))
        row, column = torch.cat(rows), torch.cat(columns)
        self.shape = (outputs * len(masks), inputs * (1 if shared else len(masks)))
        self.counts = [len(part) for part in rows]
        self.places = _starts(row, self.shape[0]), column
        self.turn = torch.argsort(column * self.shape[0] + row)
        self.turned = _starts(column, self.shape[1]), row[self.turn]
        self.empty = torch.sparse_csr_tensor(*self.places, torch.zeros(len(row)), self.shape)

    def forward(self, values, x):
        """The matrix times x."""
        return torch.sparse_csr_tensor(*self.places, values, self.shape) @ x

    def backward(self, values, error):
        """The transposed matrix times the error."""
        return torch.sparse_csr_tensor(*self.turned, values[self.turn], self.shape[::-1]) @ error

    def gradient(self, error, x):
        """Gradient of the values."""
        return torch.sparse.sampled_addmm(self.empty, error, x.T, beta=0.0).values()


def _starts(rows, count):
    """Where each row begins, of a matrix in compressed rows."""
    return torch.nn.functional.pad(torch.cumsum(torch.bincount(rows, minlength=count), 0), (1, 0))


class Networks:
    """Networks with masked kernels, relu between the layers, trained with softmax cross-entropy.

    Args:
        optimizer: `"sgd"` or `"adam"`.
        state: `{"weights": [kernel, bias, kernel, ...], "steps": n}`, for Adam with its moments `"first"` and
            `"second"` in the same form.
        masks: for each network, for each kernel, a bool tensor.
    """

    def __init__(self, optimizer, state, masks):
        self.optimizer, self.steps, self.masks = optimizer, state["steps"], masks
        self.count = len(masks)
        self.layers = [
            _Layer([own[number] for own in masks], shared=not number) for number in range(len(masks[0]))
        ]
        self.parts = {
            name: torch.cat([self._gathered(number, t) for number, t in enumerate(state[name])])
            for name in PARTS[optimizer]
        }
        self.sizes = [len(self._gathered(number, t)) for number, t in enumerate(state["weights"])]
        self.sum, self.summed = 0.0, 0

    def _gathered(self, number, tensor):
        """What the networks keep of a kernel or bias: tensor number `number` of the network."""
        if number % 2:
            return tensor.repeat(self.count)
        return torch.cat([tensor.T[own[number // 2].T] for own in self.masks])

    def state(self, number=0):
        """State of one network, with zeros for what is gone."""
        parts = {name: self.unpacked(part, number) for name, part in self.parts.items()}
        return {"steps": self.steps, **parts}

    def unpacked(self, part, number=0):
        """`[kernel, bias, kernel, ...]` of one network, out of one of the parts."""
        tensors = []
        for place, values in enumerate(part.split(self.sizes)):
            if place % 2:
                tensors.append(values.view(self.count, -1)[number].clone())
                continue
            mask = self.masks[number][place // 2]
            whole = torch.zeros(mask.T.shape)
            whole[mask.T] = values.split(self.layers[place // 2].counts)[number]
            tensors.append(whole.T)
        return tensors

    def _forward(self, x):
        """Inputs of each layer, and the logits, `(units, samples)`."""
        tensors = self.parts["weights"].split(self.sizes)
        values = [x.T.contiguous()]
        for layer, kernel, bias in zip(self.layers, tensors[::2], tensors[1::2], strict=True):
            if len(values) > 1:
                values[-1].relu_()
            values.append(layer.forward(kernel, values[-1]).add_(bias[:, None]))
        return values

    def step(self, x, y):
        """One training step; returns the gradient, in the form of the parts."""
        *values, logits = self._forward(x)
        error = torch.softmax(logits.view(self.count, -1, len(y)), 1)
        error[:, y, torch.arange(len(y))] -= 1.0
        error = error.view(logits.shape).div_(len(y))
        kernels = self.parts["weights"].split(self.sizes)[::2]
        gradients = []
        for number in reversed(range(len(self.layers))):
            gradients[:0] = [self.layers[number].gradient(error, values[number]), error.sum(1)]
            if number:
                error = self.layers[number].backward(kernels[number], error).mul_(values[number] > 0)
        gradient = torch.cat(gradients)
        self._update(gradient)
        return gradient

    def _update(self, gradient):
        self.steps += 1
        rate = recipe.OPTIMIZERS[self.optimizer]
        if self.optimizer == "sgd":
            self.parts["weights"].sub_(gradient, alpha=rate)
            return
        first, second = self.parts["first"], self.parts["second"]
        first.add_(gradient - first, alpha=1 - FIRST)
        second.add_(gradient * gradient - second, alpha=1 - SECOND)
        rate *= (1 - SECOND**self.steps) ** 0.5 / (1 - FIRST**self.steps)
        self.parts["weights"].addcdiv_(first, second.sqrt().add_(EPSILON), value=-rate)

    def remember(self):
        """Let the present weights count in `accuracy`."""
        self.sum, self.summed = self.sum + self.parts["weights"], self.summed + 1

    def accuracy(self, x, y):
        """Share of samples that each network gets right with the mean of the weights it remembers.

        At a constant learning rate the last weights alone are a matter of luck: points of accuracy come
        and go from step to step.
        """
        last, self.parts["weights"] = self.parts["weights"], self.sum / self.summed
        right = 0
        for some, labels in zip(x.split(500), y.split(500), strict=True):
            logits = self._forward(some)[-1].view(self.count, -1, len(labels))
            right = right + (logits.argmax(1) == labels).sum(1)
        self.parts["weights"] = last
        return (right / len(y)).tolist()


def initial_state(task, optimizer, seed):
    """State before the first step."""
    weights = [torch.from_numpy(tensor) for layer in task.weights(seed) for tensor in layer]
    moments = {name: [torch.zeros(t.shape) for t in weights] for name in PARTS[optimizer][1:]}
    return {"weights": weights, "steps": 0, **moments}


def train_variants(task, optimizer, seed, sets, state, masks, end):
    """Train on from `state` with each set of masks, to step `end`; the accuracies."""
    (x, y), (x_test, y_test) = sets
    accuracies = []
    size = max(1, 3072 // task.batch)  # so that the activations stay in the cache
    for first in range(0, len(masks), size):
        networks = Networks(optimizer, state, masks[first : first + size])
        for step, batch in enumerate(task.batches(seed, state["steps"], end), state["steps"] + 1):
            networks.step(x[batch], y[batch])
            if step > end - task.epoch_steps:
                networks.remember()
        accuracies += networks.accuracy(x_test, y_test)
    return accuracies
