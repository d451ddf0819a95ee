"""One of several processes that train together: writes what it sees to a file of its own.

launch.py --processes 2 --devices 2 several_hosts.py FOLDER
"""

import json
import sys
import warnings
from pathlib import Path

from tests.distributed import scenes  # isort: skip
import jax
import keras
import numpy as np

import keras_koopman as kk
from keras_koopman.trajectory.pieces import Column

folder = Path(sys.argv[1])
keras.distribution.initialize()
own = jax.process_index()
# Column k of the mesh is process k: the kernels are divided over the processes.
devices = np.array(keras.distribution.list_devices()).reshape(jax.process_count(), -1).T
keras.distribution.set_distribution(scenes.model_parallel(devices.ravel(), devices.shape))
found = {"devices": devices.tolist()}

# --- record, watch, stop ---
model, recorder, found["training"] = scenes.train(store=folder / "run.zarr")
trajectory = recorder.trajectory
if own == 0:  # alone: if one of these waited for the others, it would wait for ever
    increments = trajectory.increments()
    found["alone"] = {
        "gram": trajectory.gram.shape,
        "eigenvalues": np.sort(np.abs(trajectory.decompose().eigenvalues)).tolist(),
        "increments": increments.decompose().eigenvalues.shape,
        "centred": trajectory.decompose(center=True).eigenvalues.shape,
        "groups": [trajectory.decompose(group).eigenvalues.shape for group in trajectory.groups],
        "times": trajectory.times.shape,
        "displacements": trajectory.displacements.shape,
    }
decomposition = trajectory.decompose()
found["eigenvalues"] = np.sort(np.abs(decomposition.eigenvalues)).tolist()
mode = decomposition.mode(0)["hidden"]["kernel"]
found["mode"] = {"spec": str(mode.sharding.spec), "held": mode.addressable_shards[0].data.shape}
trajectory.save(folder / "saved.zarr")

# --- the run goes on from its store, as after a restart ---
again = kk.callbacks.TrajectoryRecorder(store=folder / "run.zarr")
epochs = len(trajectory)
scenes.fit(model, again, initial_epoch=epochs, epochs=epochs + 2)
found["resumed"] = {
    "times": again.trajectory.times.tolist(),
    "gram": again.trajectory.gram.tolist(),
    "share": [
        row.addressable_shards[0].data.shape[0] / row.shape[0] for row in again.trajectory._rows._loose
    ],
}


# --- a disk that refuses in the last process, at the second snapshot ---
take, calls = Column.take, []


def refuse(column, *arguments):
    calls.append(column)
    if len(calls) > 2 and own == jax.process_count() - 1:  # after the origin and the first
        raise OSError("no space left")
    return take(column, *arguments)


Column.take = refuse
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    broken = kk.callbacks.TrajectoryRecorder(store=folder / "broken.zarr")
    scenes.fit(model, broken, epochs=4)
Column.take = take
found["broken"] = {
    "times": broken.trajectory.times.tolist(),
    "warnings": [str(w.message) for w in caught if "is given up" in str(w.message)],
}

# --- mistakes are told in all processes ---
try:
    trajectory.save(folder / "saved.zarr")
except FileExistsError as error:
    found["exists"] = str(error)

(folder / f"{own}.json").write_text(json.dumps(found))
