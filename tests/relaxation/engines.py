"""Gradients and compiled steps of the engine that runs."""

import numpy as np
from keras import ops

from keras_koopman.backend import engine


def gradient(function, u):
    """Of the sum of `function`, by the engine."""
    if engine() == "tensorflow":
        import tensorflow as tf

        u = tf.constant(u)
        with tf.GradientTape() as tape:
            tape.watch(u)
            total = ops.sum(function(u))
        return tape.gradient(total, u).numpy()
    if engine() == "jax":
        import jax

        return np.asarray(jax.grad(lambda v: ops.sum(function(v)))(u))
    import torch

    u = torch.tensor(u, requires_grad=True)
    ops.sum(function(u)).backward()
    return u.grad.numpy()


def compiled(function):
    if engine() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if engine() == "jax":
        import jax

        return jax.jit(function)
    return function


def compiled_gradient(function, u):
    """Of the sum, within a compiled step."""
    if engine() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(lambda v: ops.sum(function(v))))(u))
    import tensorflow as tf

    @tf.function
    def step(v):
        return tf.gradients(tf.reduce_sum(function(v)), v)[0]

    return step(tf.constant(u)).numpy()
