"""How do I watch, stop and prune a model that is spread over several hosts?

    python examples/distributed/launch.py --processes 2 --devices 2 examples/distributed/train.py

Each process runs this same script. The kernels are divided over the processes; each writes its own part of
every snapshot to the store, and all of them stop after the same epoch.
"""

import argparse

import jax
import keras
import numpy as np

import keras_koopman as kk

parser = argparse.ArgumentParser(description="Train, watch, stop and prune over several processes.")
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--min-epochs", type=int, default=0, help="before which nothing is stopped")
parser.add_argument("--store", default="distributed.zarr")
arguments = parser.parse_args()

keras.distribution.initialize()  # before anything else; the launch script has set what it reads
keras.utils.set_random_seed(0)
devices = keras.distribution.list_devices()

# The first axis divides the batch, the second the kernels. All processes feed the same batches.
mesh = keras.distribution.DeviceMesh((1, len(devices)), ("batch", "model"), devices)
layout = keras.distribution.LayoutMap(mesh)
layout[".*hidden.*kernel"] = (None, "model")
layout[".*hidden.*bias"] = ("model",)
keras.distribution.set_distribution(
    keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False)
)

x = np.random.default_rng(0).normal(size=(512, 16)).astype("float32")
y = np.tanh(x @ np.random.default_rng(1).normal(size=(16, 1))).astype("float32")
model = keras.Sequential(
    [
        keras.Input((16,)),
        keras.layers.Dense(64, "tanh", name="hidden_1"),
        keras.layers.Dense(64, "tanh", name="hidden_2"),
        keras.layers.Dense(1, name="out"),
    ]
)
ramp = kk.schedules.PolynomialSparsity(0.0, 0.5, begin_step=20, end_step=120)
model.compile(kk.optimizers.PruningOptimizer(keras.optimizers.Adam(0.01), ramp), "mse")
monitor = kk.callbacks.KoopmanMonitor(store=arguments.store)
stopping = kk.callbacks.KoopmanEarlyStopping(min_epochs=arguments.min_epochs, recorder=monitor)
model.fit(
    x, y, batch_size=64, epochs=arguments.epochs, verbose=0, shuffle=False, callbacks=[monitor, stopping]
)

# No collective: the first process alone may ask.
if jax.process_index() == 0:
    print(f"stopped: {stopping.reason}")
    print(f"epochs {len(monitor.trajectory)}, loss {model.history.history['loss'][-1]:.4f}")
    print(monitor.trajectory.increments().decompose())
# A collective: all processes call it, and each gets its own shards.
mean = monitor.trajectory.combine(np.full(len(monitor.trajectory), 1 / len(monitor.trajectory)))
print(f"I hold {mean['hidden_1']['kernel'].addressable_shards[0].data.shape} of a kernel of (16, 64)")
