"""Memory of backpropagation against the number of steps: the peak of a process that computes one gradient.

TensorFlow without XLA. On JAX, XLA for CPU undoes recomputation, as it merges equal expressions.

python benchmarks/depth/memory.py
"""

import json
import os
import resource
import subprocess
import sys

SAMPLES, WIDTH = 65536, 64
STEPS = (2, 8)


def peak(memory, scheme, steps):
    """Mebibytes at the peak of this process, before and after one gradient."""
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_koopman as kk

    block = kk.layers.ContinuousBlock(kk.layers.DenseRate(WIDTH), steps, 1, scheme, memory=memory)
    block.build((SAMPLES, WIDTH))
    x = tf.constant(np.ones((SAMPLES, WIDTH), "float32"))

    @tf.function(jit_compile=False)
    def gradient():
        with tf.GradientTape() as tape:
            loss = keras.ops.sum(block(x, training=True) ** 2)
        return tape.gradient(loss, [v.value for v in block.trainable_variables])

    gradient.get_concrete_function()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gradient()
    return before / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    from _rows import Table

    table = Table("memory", ("scheme", "memory", "steps"), ("mebibytes", "states"))
    for scheme in ("euler", "rk4"):
        for memory in ("full", "checkpoint"):
            for steps in STEPS:
                if table.lacks(scheme, memory, steps):
                    command = [sys.executable, __file__, memory, scheme, str(steps)]
                    quiet = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
                    done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=True)
                    before, after = json.loads(done.stdout.splitlines()[-1])
                    state = 4 * SAMPLES * WIDTH / 2**20
                    table.append(scheme, memory, steps, after - before, (after - before) / state)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(peak(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
    else:
        main()
