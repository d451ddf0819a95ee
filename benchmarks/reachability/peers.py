"""CROWN bounds of decomon and auto_LiRPA against ours, on the same networks and boxes.

Run it three times, each where the library is installed: `peers.py ours`, which also writes the networks,
`peers.py decomon` and `peers.py auto_lirpa`; then `peers.py table`.
"""

import itertools
import sys
import time
from pathlib import Path

import numpy as np

FOLDER = Path("/tmp/reachability_peers")
# Inputs, hidden units, activation, radius of the box.
CASES = {
    "relu 2-50-50": (2, [50, 50], "relu", 0.5),
    "relu 10-100-100-100": (10, [100, 100, 100], "relu", 0.05),
    "relu 784-300-100": (784, [300, 100], "relu", 0.01),
    "tanh 10-100-100": (10, [100, 100], "tanh", 0.1),
    "sigmoid 10-100-100": (10, [100, 100], "sigmoid", 0.5),
}
OUTPUTS = 3


def weights_of(name):
    inputs, units, _, _ = CASES[name]
    rng = np.random.default_rng(len(name))
    sizes = [inputs, *units, OUTPUTS]
    pairs = itertools.pairwise(sizes)
    return [
        w.astype("float32")
        for a, b in pairs
        for w in (rng.normal(size=(a, b)) * np.sqrt(2 / a), 0.2 * rng.normal(size=b))
    ]


def box_of(name):
    inputs, _, _, radius = CASES[name]
    center = np.random.default_rng(1).uniform(-1, 1, inputs)
    return center - radius, center + radius


def keras_model(name):
    import keras
    from keras import layers

    inputs, units, activation, _ = CASES[name]
    model = keras.Sequential([keras.Input((inputs,))])
    for count in units:
        model.add(layers.Dense(count))
        model.add(layers.Activation(activation))
    model.add(layers.Dense(OUTPUTS))
    model.set_weights(weights_of(name))
    return model


def ours(name):
    import keras_koopman as kk

    model, box = keras_model(name), kk.reachability.Box(*box_of(name))
    return lambda: kk.reachability.bounds(model, box, "crown")


def decomon(name):
    np.float_ = np.float64  # noqa: NPY201  decomon 0.2.1 was written for NumPy 1
    from decomon.models import clone

    low, high = box_of(name)
    bounding = clone(keras_model(name), method="crown", final_ibp=True, final_affine=False)
    box = np.stack([low, high])[None].astype("float32")
    # Eagerly: on TensorFlow its graph fails.
    return lambda: [np.ravel(np.asarray(v)) for v in bounding(box)][::-1]


def auto_lirpa(name):
    import torch

    # auto_LiRPA 0.3 was written for NumPy 1.
    sys.modules["numpy.lib.arraysetops"] = np
    from auto_LiRPA import BoundedModule, BoundedTensor
    from auto_LiRPA.perturbations import PerturbationLpNorm

    _, _, activation, _ = CASES[name]
    kinds = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}
    weights, parts = weights_of(name), []
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        dense = torch.nn.Linear(*kernel.shape)
        dense.weight.data, dense.bias.data = torch.tensor(kernel.T), torch.tensor(bias)
        parts += [dense, kinds[activation]()]
    low, high = (torch.tensor(v[None].astype("float32")) for v in box_of(name))
    middle = 0.5 * (low + high)
    bounded = BoundedModule(torch.nn.Sequential(*parts[:-1]), middle)
    x = BoundedTensor(middle, PerturbationLpNorm(norm=np.inf, x_L=low, x_U=high))
    return lambda: [v.detach().numpy().ravel() for v in bounded.compute_bounds(x=(x,), method="CROWN")]


def main():
    FOLDER.mkdir(exist_ok=True)
    kind = sys.argv[1]
    if kind == "table":
        return table()
    for name in CASES:
        call = {"ours": ours, "decomon": decomon, "auto_lirpa": auto_lirpa}[kind](name)
        times = []
        for _ in range(4):
            began = time.perf_counter()
            low, high = call()
            times.append(time.perf_counter() - began)
        print(kind, name, np.round(np.ravel(high) - np.ravel(low), 4), f"{min(times[1:]):.3f} s")
        np.savez(FOLDER / f"{kind} {name}.npz", low=low, high=high, seconds=min(times[1:]), first=times[0])
    return None


def table():
    from _table import write

    rows = []
    for name in CASES:
        mine = np.load(FOLDER / f"ours {name}.npz")
        for peer in ("decomon", "auto_lirpa"):
            path = FOLDER / f"{peer} {name}.npz"
            if path.exists():
                other = np.load(path)
                widths = [np.ravel(f["high"]) - np.ravel(f["low"]) for f in (mine, other)]
                rows.append(
                    {
                        "network": name,
                        "peer": peer,
                        "width_ours": float(widths[0].mean()),
                        "width_peer": float(widths[1].mean()),
                        "worst_ratio": float((widths[0] / widths[1]).max()),
                        "seconds_ours": float(mine["seconds"]),
                        "seconds_peer": float(other["seconds"]),
                    }
                )
                print(rows[-1])
    write("peers", rows, "width: mean over outputs; ratio: ours by the peer's")


if __name__ == "__main__":
    main()
