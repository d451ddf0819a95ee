"""Two replicas of a MirroredStrategy on two logical CPUs: prints what is seen as JSON."""

import json

import keras
import numpy as np
import tensorflow as tf

import keras_koopman as kk

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
X = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
Y = np.tanh(X @ np.random.default_rng(1).normal(size=(16, 8))).astype("float32")


class Alone(keras.callbacks.Callback):
    """The same weights, each time brought to one device."""

    def __init__(self):
        super().__init__()
        self.trajectory = kk.Trajectory()

    def on_train_begin(self, logs=None):
        self.trajectory.set_origin([v.numpy() for v in self.model.trainable_variables])

    def on_epoch_end(self, epoch, logs=None):
        self.trajectory.append([v.numpy() for v in self.model.trainable_variables], epoch + 1.0)


def replicas_agree(variables):
    """Whether what lies on one replica lies on the other."""
    pairs = [strategy.experimental_local_results(v.value) for v in variables]
    assert all(first.device != second.device for first, second in pairs)
    return all(np.array_equal(first.numpy(), second.numpy()) for first, second in pairs)


def pruned_by_movement():
    """A training whose optimizer keeps more than masks, to compare with one device."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(8)])
    ramp = kk.schedules.PolynomialSparsity(0.0, 0.5, begin_step=2, end_step=8)
    inner = keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True)
    optimizer = kk.optimizers.PruningOptimizer(inner, ramp, "movement", update_freq=1)
    model.compile(optimizer, "mse", jit_compile=False)
    return model


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
recorder = kk.callbacks.TrajectoryRecorder()
with strategy.scope():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(8)])
    optimizer = kk.optimizers.PruningOptimizer(
        keras.optimizers.SGD(0.1),
        kk.schedules.PolynomialSparsity(0.0, 0.5, begin_step=4, end_step=8),
        kk.pruning.KoopmanMode(recorder),
        update_freq=1,
    )
    model.compile(optimizer, "mse", jit_compile=False)
monitor, alone = kk.callbacks.KoopmanMonitor(), Alone()
stopping = kk.callbacks.KoopmanEarlyStopping(
    window=3, rho=0.0, speed=0.9, min_epochs=12, restore="average", recorder=monitor
)
jump = kk.callbacks.KoopmanJump(every=3, guard=(X, Y))
callbacks = [recorder, alone, monitor, stopping, jump]
model.fit(X, Y, batch_size=64, epochs=40, verbose=0, shuffle=False, callbacks=callbacks)

weights = np.zeros(len(monitor.trajectory))
weights[-3:] = 1 / 3
mean = monitor.trajectory._layout.tensors(monitor.trajectory.combine(weights))
kernels = [v.numpy() for v in model.trainable_variables if v.path.endswith("kernel")]
masks = [mask.numpy() for mask in optimizer.pruned.masks]
found = {
    "replicas": strategy.num_replicas_in_sync,
    "gram": recorder.trajectory.gram.tolist(),
    "alone": alone.trajectory.gram.tolist(),
    "times": recorder.trajectory.times.tolist(),
    "reason": stopping.reason,
    "stopped epoch": stopping.stopped_epoch,
    "figures": monitor.figures,
    "off the average": max(
        float(np.abs(np.where(v.numpy() == 0, 0.0, v.numpy() - np.asarray(m))).max())
        for v, m in zip(model.trainable_variables, mean, strict=True)
    ),
    "zeros": float(np.mean(np.concatenate([k.ravel() == 0 for k in kernels]))),
    "reported": kk.pruning.report(model).reached,
    "wrong": int(sum(np.sum((k != 0) != m) for k, m in zip(kernels, masks, strict=True))),
    "attempts": [[a.time, a.method, a.loss_before, a.loss_after] for a in jump.report.attempts],
    "agree": replicas_agree([*model.variables, *optimizer.pruned.masks]),
}

with strategy.scope():
    spread = pruned_by_movement()
single = pruned_by_movement()
for one in spread, single:
    one.fit(X, Y, batch_size=8, epochs=1, verbose=0, shuffle=False)
pruned = spread.optimizer.pruned
found["movement"] = {
    "agree": replicas_agree(
        [*spread.trainable_variables, *pruned.masks, *[slots["moved"] for slots in pruned.slots]]
    ),
    "zeros": kk.pruning.report(spread).reached,
    "wrong": int(
        sum(
            np.sum((v.numpy() != 0) != mask.numpy())
            for v, mask in zip(spread.trainable_variables[::2], pruned.masks, strict=True)
        )
    ),
    "same masks": all(
        np.array_equal(ours.numpy(), theirs.numpy())
        for ours, theirs in zip(pruned.masks, single.optimizer.pruned.masks, strict=True)
    ),
}
print(json.dumps(found))
