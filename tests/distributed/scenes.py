"""A training that is spread over devices, and what is seen of it, as JSON can hold it."""

import warnings

from tests.distributed import no_tensorflow  # noqa: F401  # isort: skip
import jax
import keras
import numpy as np
from keras import ops

import keras_koopman as kk
from keras_koopman.backend import float64_allowed
from keras_koopman.trajectory import window

X = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
Y = np.tanh(X @ np.random.default_rng(1).normal(size=(16, 8))).astype("float32")
RAMP = kk.schedules.PolynomialSparsity(0.0, 0.5, begin_step=4, end_step=8)


def model_parallel(devices, shape):
    """Kernels divided over the second axis of the mesh; what is called `out` lies whole on each device."""
    mesh = keras.distribution.DeviceMesh(shape, ("batch", "model"), devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*hidden/kernel"] = (None, "model")
    layout[".*hidden/bias"] = ("model",)
    return keras.distribution.ModelParallel(
        layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False
    )


def fit(model, *callbacks, epochs, **options):
    return model.fit(
        X, Y, batch_size=64, epochs=epochs, verbose=0, shuffle=False, callbacks=list(callbacks), **options
    )


def train(store=None):
    """All that acts on a training in one fit, which is stopped: model, recorder, and what was seen."""
    recorder = kk.callbacks.TrajectoryRecorder(store=store)
    optimizer = kk.optimizers.PruningOptimizer(
        keras.optimizers.SGD(0.1), RAMP, kk.pruning.KoopmanMode(recorder), update_freq=1
    )
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16,)),
            keras.layers.Dense(32, "tanh", name="hidden"),
            keras.layers.Dense(8, name="out"),
        ]
    )
    model.compile(optimizer, "mse")
    monitor = kk.callbacks.KoopmanMonitor()
    stopping = kk.callbacks.KoopmanEarlyStopping(
        window=3, rho=0.0, speed=0.9, min_epochs=12, restore="average", recorder=monitor
    )
    jump = kk.callbacks.KoopmanJump(every=3, guard=(X, Y))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(model, recorder, monitor, stopping, jump, epochs=40)
    trajectory = recorder.trajectory
    return (
        model,
        recorder,
        {
            "gram": trajectory.gram.tolist(),
            "gram of out": trajectory.gram_of("out").tolist(),
            "times": trajectory.times.tolist(),
            "displacements": trajectory.displacements.tolist(),
            "losses": history.history["loss"],
            "figures": monitor.figures,
            "reason": stopping.reason,
            "stopped epoch": stopping.stopped_epoch,
            "off the average": off_the_average(model, monitor.trajectory),
            "attempts": [[a.time, a.method, a.loss_before, a.loss_after] for a in jump.report.attempts],
            "warnings": [str(w.message) for w in caught if "keras_koopman" in str(w.filename)],
            **pruned(model),
            **placed(trajectory),
        },
    )


def off_the_average(model, trajectory):
    """How far the weights are from the mean of the last three snapshots, where they were not pruned."""
    weights = np.zeros(len(trajectory))
    weights[-3:] = 1 / 3
    means = trajectory._layout.tensors(trajectory.combine(weights))

    @jax.jit
    def farthest(values, means):
        pairs = zip(values, means, strict=True)
        return ops.max(ops.stack([ops.max(ops.where(v == 0, 0.0, ops.abs(v - m))) for v, m in pairs]))

    return float(farthest([v.value for v in model.trainable_variables], means))


def pruned(model):
    """How many zeros there are, whether they are those of the masks, and whether masks lie as weights do."""
    state = model.optimizer.pruned
    kernels = [v.value for v in model.trainable_variables if v.path.endswith("kernel")]
    masks = [mask.value for mask in state.masks]
    scores = [slot["score"].value for slot in state.slots]

    @jax.jit
    def count(kernels, masks):
        zeros = sum(ops.sum(ops.cast(k == 0, "int32")) for k in kernels)
        wrong = sum(ops.sum(ops.cast((k != 0) != m, "int32")) for k, m in zip(kernels, masks, strict=True))
        return ops.stack([zeros, wrong])

    zeros, wrong = np.asarray(count(kernels, masks)).tolist()
    return {
        "zeros": zeros / sum(int(np.prod(k.shape)) for k in kernels),
        "wrong": wrong,
        "reported": kk.pruning.report(model).reached,
        "alike": all(
            k.sharding.is_equivalent_to(other.sharding, k.ndim)
            for k, m, s in zip(kernels, masks, scores, strict=True)
            for other in (m, s)
        ),
    }


def placed(trajectory):
    """Where the rows of a window lie, and what its programs send."""
    rows = trajectory._rows
    chunks = [*rows._chunks, *rows._loose]
    tensors = trajectory._layout.tensors(trajectory.latest())

    def everything(tensors, reference):
        row, total = trajectory._pack.__wrapped__(tensors, reference)
        chunk = window._stack.__wrapped__([row, 2 * row])
        long = window._join.__wrapped__([chunk, window._shift.__wrapped__(chunk, row)])
        kernels = rows._kernels
        products = (
            kernels.rows.__wrapped__(row, row),
            kernels.exact.__wrapped__(row, row),
            kernels.chunk_row.__wrapped__(long, row),
        )
        return row, total, chunk, long, products

    with float64_allowed():
        program = jax.jit(everything).lower(tensors, rows.reference).compile().as_text()
    return {
        "devices": [len(chunk.sharding.device_set) for chunk in chunks],
        "share": [chunk.addressable_shards[0].data.shape[0] / chunk.shape[0] for chunk in chunks],
        "sends": [
            n for n in ("all-gather", "all-to-all", "collective-permute", "all-reduce") if n in program
        ],
        "specs": [str(tensor.sharding.spec) for tensor in tensors],
    }
