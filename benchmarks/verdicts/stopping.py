"""Experiment 1, the runs: when could each have been stopped, and with what accuracy?

Fourteen configurations train for 60 epochs with 8 seeds; nothing stops them. For each epoch: what
`KoopmanEarlyStopping` sees, the losses, the accuracy on samples that play no other part, and the accuracy
that the mean of the weights over the last epochs would have, as `restore="average"` takes it (batch
normalisation's statistics computed anew). `stopping_rules.py` applies the rules to these curves.

    OMP_NUM_THREADS=1 python benchmarks/verdicts/stopping.py [--seeds 8] [--only NAME ...]

Runs that the table holds already are skipped.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # Keras on TensorFlow shuffles each epoch alike

import argparse

import keras
import numpy as np
from _stopping_runs import BATCH, CONFIGURATIONS, EPOCHS
from _table import Table

import keras_koopman as kk
from keras_koopman.callbacks.batch_norm import batch_normalizations, recompute_statistics
from keras_koopman.callbacks.weights import copies, put

WINDOW = 8
FIGURES = ("loss", "val_loss", "rho", "speed", "accuracy", "average_accuracy")


class Curve(keras.callbacks.Callback):
    """A row for each epoch.

    Args:
        recorder: of means over epochs.
        inputs: from which statistics of batch normalisation are computed.
        judge: samples and labels by which accuracy is measured.
    """

    def __init__(self, recorder, inputs, judge):
        super().__init__()
        self.recorder, self.inputs, self.judge = recorder, inputs, judge
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        """Measure the weights as they are, and their mean."""
        model, trajectory = self.model, self.recorder.trajectory
        row = [epoch + 1, logs["loss"], logs["val_loss"]]
        row += [logs.get("koopman_rho"), logs.get("koopman_speed"), self._accuracy(model)]
        average = None
        if len(trajectory) > WINDOW:
            kept = copies(model.variables)
            count = len(trajectory)
            weights = np.where(np.arange(count) < count - WINDOW, 0.0, 1 / WINDOW)
            mean = keras.tree.flatten(trajectory.combine(weights))
            put(keras.tree.flatten(kk.observables.TrainableWeights().named(model)), mean)
            if batch_normalizations(model):
                recompute_statistics(model, self.inputs)
            average = self._accuracy(model)
            put(model.variables, kept)
        self.rows.append((*row, average))
        model.stop_training = False  # a negative rho stops whatever the threshold

    def _accuracy(self, model):
        x, y = self.judge
        logits = keras.ops.convert_to_numpy(model(x, training=False))
        return float(np.mean(np.argmax(logits, 1) == y))


def run(name, seed):
    """Train one to the end; its curve."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    data, network, optimizer = CONFIGURATIONS[name]
    (x, y), validation, judge = data()
    model = network()
    model.build((None, x.shape[1]))
    model.compile(optimizer(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    recorder = kk.callbacks.TrajectoryRecorder(WINDOW + 1, average=True)
    watch = kk.callbacks.KoopmanEarlyStopping(rho=0.0, speed=0.0, recorder=recorder)
    curve = Curve(recorder, x[:1000], judge)
    model.fit(
        *(x, y, BATCH, EPOCHS),
        verbose=0,
        validation_data=validation,
        validation_batch_size=1000,
        callbacks=[recorder, watch, curve],
    )
    return curve.rows


def main():
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--only", nargs="+", choices=CONFIGURATIONS, default=[*CONFIGURATIONS])
    arguments = parser.parse_args()
    table = Table("stopping", ("configuration", "seed", "epoch"), FIGURES)
    for seed in range(arguments.seeds):
        for name in arguments.only:
            if table.lacks(name, seed, EPOCHS):
                rows = run(name, seed)
                for epoch, *figures in rows:
                    if table.lacks(name, seed, epoch):
                        table.append(name, seed, epoch, *figures)
                print(name, seed, f"accuracy {rows[-1][-2]:.3f}, of the mean {rows[-1][-1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
