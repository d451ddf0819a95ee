"""Eight devices in one process: prints what is seen as JSON."""

import json

from tests.distributed import scenes  # isort: skip
import jax
import keras
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import keras_koopman as kk


def on_the_host(trajectory, group=None):
    """Inner products of the same snapshots, by NumPy in float64."""
    rows = []
    for one in np.eye(len(trajectory)):
        values = trajectory.combine(one)
        arrays = [v for name in values if group in (None, name) for v in values[name].values()]
        rows.append(np.concatenate([np.asarray(v, np.float64).ravel() for v in arrays]))
    return (np.array(rows) @ np.array(rows).T).tolist()


def many_numbers():
    """Rows whose products are taken in float32, of tensors that lie in three ways."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(2, 4), ("a", "b"))
    specs = {"both": PartitionSpec("a", "b"), "one": PartitionSpec(None, "b"), "none": PartitionSpec()}
    shapes = {"both": (600, 200), "one": (700, 100), "none": (3, 5, 7)}
    spread, alone = kk.Trajectory(16), kk.Trajectory(16)
    generator = np.random.default_rng(0)
    values = {name: generator.normal(size=shape) for name, shape in shapes.items()}
    for _ in range(20):
        values = {name: v + 0.1 * generator.normal(size=v.shape) for name, v in values.items()}
        single = {name: v.astype("float32") for name, v in values.items()}
        alone.append(single)
        spread.append({n: jax.device_put(v, NamedSharding(mesh, specs[n])) for n, v in single.items()})
    latest = spread.latest()
    return {
        "gram": spread.gram.tolist(),
        "alone": alone.gram.tolist(),
        "latest": max(float(np.abs(np.asarray(latest[n]) - single[n]).max()) for n in shapes),
        "as they were": [latest[name].sharding.spec == spec for name, spec in specs.items()],
        **scenes.placed(spread),
    }


found = {"many numbers": many_numbers()}
devices = keras.distribution.list_devices()
for name, distribution in {
    "data": keras.distribution.DataParallel(devices=devices),
    "model": scenes.model_parallel(devices, (2, 4)),
}.items():
    with distribution.scope():
        _, recorder, found[name] = scenes.train()
        found[name]["alone"] = on_the_host(recorder.trajectory)
        found[name]["alone of out"] = on_the_host(recorder.trajectory, "out")
print(json.dumps(found))
