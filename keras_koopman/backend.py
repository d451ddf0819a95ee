"""The few words that each engine needs of its own: compile, float64, complex numbers, the way to the host.

And what processes that train one model together tell each other; each of these calls is made by all of them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


def engine() -> str:
    """Name of the Keras backend: `"tensorflow"`, `"jax"`, `"torch"`."""
    return str(keras.backend.backend())


def is_tensor(value: Any) -> bool:
    """Whether `value` is a tensor or variable of the engine."""
    return isinstance(value, keras.Variable) or bool(keras.ops.is_tensor(value))


def has_own_memory() -> bool:
    """Whether the engine's device has a memory that is not the host's."""
    if engine() == "jax":
        import jax

        return bool(jax.devices()[0].platform != "cpu")
    if engine() == "torch":
        import torch

        return bool(torch.cuda.is_available())
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def precision(value: Any) -> str:
    """Name of the dtype of an array, a tensor or a variable: `"float32"`."""
    return _name_of_dtype(value.dtype)


@functools.lru_cache(maxsize=256)
def _name_of_dtype(dtype: Any) -> str:
    return str(keras.backend.standardize_dtype(dtype))


def as_tensor(values: Any) -> Any:
    """A tensor in the precision of an array: on torch Keras makes float32 of float64 unless it is told."""
    told = engine() == "torch" and isinstance(values, np.ndarray)
    return keras.ops.convert_to_tensor(values, precision(values) if told else None)


def read(variable: Any) -> Any:
    """What a variable holds now. `ops.convert_to_tensor` leaves it unread on TensorFlow."""
    if engine() == "tensorflow":
        import tensorflow as tf

        return tf.convert_to_tensor(variable.value if isinstance(variable, keras.Variable) else variable)
    return keras.ops.convert_to_tensor(variable)


def to_host(value: Any) -> NDArray[np.float64]:
    """A small tensor as a float64 array."""
    if engine() == "torch" and is_tensor(value):
        import torch

        # Keras's own goes through a conversion of which NumPy warns.
        tensor = torch.as_tensor(getattr(value, "value", value)).detach().cpu()
        return np.array(tensor.to(torch.float64).numpy())  # a copy: torch goes on writing into its own
    return np.asarray(keras.ops.convert_to_numpy(value), np.float64)


@contextlib.contextmanager
def float64_allowed() -> Iterator[None]:
    """Within it tensors may be float64; only JAX needs to be told."""
    if engine() != "jax":
        yield
        return
    import jax

    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        yield


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Within it float32 is multiplied as float32; a GPU would round it to TF32, which has three digits."""
    if engine() == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
        return
    before: Any
    exact: Any
    change: Callable[[Any], None]
    if engine() == "torch":
        import torch

        try:
            before, exact = torch.get_float32_matmul_precision(), "highest"
            change = torch.set_float32_matmul_precision
        except RuntimeError:  # it was set by the newer switch, and the two must not be mixed
            products = torch.backends.cuda.matmul
            before, exact = products.fp32_precision, "ieee"
            change = functools.partial(setattr, products, "fp32_precision")
    else:
        from tensorflow.config import experimental as config

        before, exact = config.tensor_float_32_execution_enabled(), False
        change = config.enable_tensor_float_32_execution
    if before == exact:
        yield
        return
    change(exact)
    try:
        yield
    finally:
        change(before)


def compiled(function: F | None = None, *, xla: bool = True, exact: bool = True) -> Any:
    """Compile a function of tensors when it is first called, with float64 allowed.

    Args:
        function: takes and returns tensors, or lists or tuples of them; no keyword arguments.
        xla: compile with XLA on TensorFlow too. JAX always does; torch runs eagerly without gradients.
        exact: multiply float32 as float32, whatever the engine's precision of products is.
    """
    if function is None:
        return functools.partial(compiled, xla=xla, exact=exact)
    precision_of_products = exact_float32 if exact else contextlib.nullcontext

    @functools.cache
    def build(name: str) -> Any:
        if name == "tensorflow":
            import tensorflow as tf

            # TensorFlow counts traces by code object and warns of many; a partial has none, so each function
            # is counted apart.
            own = functools.partial(function)
            return tf.function(own, jit_compile=xla, autograph=False, reduce_retracing=not xla)
        if name == "jax":
            import jax

            return jax.jit(function)
        import torch

        return torch.no_grad()(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        with float64_allowed(), precision_of_products():
            return build(engine())(*args)

    return call


def exact_matmul(a: Any, b: Any) -> Any:
    """A product of float32 or float64 matrices without TF32, also within a step that others compile."""
    if engine() == "tensorflow" and has_own_memory() and precision(a) == "float32":
        # TensorFlow has a switch for all products of a program, and none for one.
        return ops.cast(ops.cast(a, "float64") @ ops.cast(b, "float64"), "float32")
    with exact_float32():
        return a @ b  # not ops.matmul, which takes float32 for float64 on torch, or the other way round


def flattened(tensor: Any, dtype: str) -> Any:
    """The numbers of a tensor in a row, in another precision."""
    if engine() == "torch":  # what Keras does around each operation takes longer than these do
        import torch

        return tensor.reshape(-1).to(getattr(torch, dtype))
    return ops.reshape(ops.cast(tensor, dtype), (-1,))


def mean(values: Any, axis: tuple[int, ...] | int) -> Any:
    """The mean in the precision of the values: Keras's own takes float32 for float64 on JAX and torch."""
    if engine() == "jax":
        import jax.numpy as jnp

        return jnp.mean(values, axis=axis)
    if engine() == "torch":
        import torch

        return torch.mean(values, dim=axis)
    return ops.mean(values, axis=axis)


def ordered_bits(values: Any) -> Any:
    """Float32 numbers as int32 in the same order; zeros are equal, NaN is beyond infinity."""
    values = values + 0.0  # -0 becomes 0
    if engine() == "tensorflow":
        import tensorflow as tf

        bits = tf.bitcast(values, tf.int32)
    elif engine() == "jax":
        import jax

        bits = jax.lax.bitcast_convert_type(values, "int32")
    else:
        import torch

        bits = values.view(torch.int32)
    # The bits of a negative number rise as it falls.
    return ops.where(bits < 0, ops.bitwise_xor(bits, 0x7FFFFFFF), bits)


def compiled_within(function: F) -> Any:
    """A function of tensors for use within a step that the engine may or may not compile.

    TensorFlow runs its graphs op by op unless told otherwise, which is slow for loops over long tensors;
    JAX compiles the whole step, and torch none of it.
    """

    @functools.cache
    def with_xla() -> Any:
        import tensorflow as tf

        return tf.function(functools.partial(function), jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return with_xla()(*args) if engine() == "tensorflow" else function(*args)

    return call


def run_as_one(function: Callable[..., None], tensors: list[Any], *, only_if: bool) -> None:
    """Call a function that assigns variables; where TensorFlow builds a graph, as one XLA program in it.

    Op by op, each operation on a long tensor is a pass through memory; together they are one.

    Args:
        function: of tensors.
        tensors: its arguments.
        only_if: whether XLA can compile it; a distribution strategy or a sparse tensor also forbid it.
    """
    if engine() == "tensorflow" and only_if:
        import tensorflow as tf

        dense = all(isinstance(tensor, tf.Tensor) for tensor in tensors)
        if dense and not tf.executing_eagerly() and not tf.distribute.has_strategy():
            tf.function(functools.partial(function), jit_compile=True, autograph=False)(*tensors)
            return
    function(*tensors)


def concrete_number(variable: keras.Variable) -> int | None:
    """The whole number that a variable holds now, also while a step is traced; None if it cannot be read."""
    if engine() == "torch":  # nothing is traced there
        return int(keras.ops.convert_to_numpy(variable))
    try:
        if engine() == "tensorflow":
            import tensorflow as tf

            with tf.init_scope():
                return int(keras.ops.convert_to_numpy(variable))
        return int(keras.ops.convert_to_numpy(variable._value))
    # Within a graph, of an array that was handed to a compiled step, or within one.
    except (NotImplementedError, TypeError, RuntimeError):
        return None


def greater_of(a: Any, b: Any) -> Any:
    """The greater of a tensor and a tensor or number, in the precision of the first."""
    # Not ops.maximum, which takes float64 for float32 on torch.
    return ops.where(a > b, a, b + ops.zeros_like(a))


def segment_summer(segments: NDArray[np.int32], count: int) -> Callable[[Any], Any]:
    """A function that adds up the rows of a float64 tensor by segment, to `(count, ...)`."""
    if engine() != "torch":
        return lambda values: ops.segment_sum(values, segments, count)
    # Keras's own adds up in float32 on torch.
    import torch

    @functools.cache
    def index(device: Any) -> Any:  # the way to a GPU takes as long as a product
        return torch.as_tensor(segments, dtype=torch.int64, device=device)

    def summed(values: Any) -> Any:
        empty = torch.zeros((count, *values.shape[1:]), dtype=values.dtype, device=values.device)
        return empty.index_add(0, index(values.device), values)

    return summed


def add_weighed(total: Any, weights: Any, rows: Any) -> Any:
    """`total + weights @ rows`; torch writes it over `total`.

    Args:
        total: `(blocks, numbers)`.
        weights: `(m,)`.
        rows: `(blocks, m, numbers)`.
    """
    if engine() != "torch":
        return total + ops.squeeze(weights[None, None, :] @ rows, 1)
    total[:, None].baddbmm_(weights.expand(len(rows), 1, -1), rows)
    return total


def complex_like(real: Any, imaginary: Any) -> Any:
    """Complex numbers from two arrays or tensors, or from two dicts or lists of them."""
    if isinstance(real, dict):
        return {name: complex_like(real[name], imaginary[name]) for name in real}
    if isinstance(real, list | tuple):
        return type(real)(complex_like(r, i) for r, i in zip(real, imaginary, strict=True))
    if not is_tensor(real):
        return real + 1j * imaginary
    if engine() == "tensorflow":
        import tensorflow as tf

        return tf.complex(real, imaginary)
    if engine() == "jax":
        import jax

        return jax.lax.complex(real, imaginary)
    import torch

    return torch.complex(real, imaginary)


def beside(value: Any, tensor: Any) -> Any:
    """A value, equal in each process, as a tensor on all devices on which another lies."""
    sharding: Any = getattr(tensor, "sharding", None)
    if engine() != "jax" or len(getattr(sharding, "device_set", ())) < 2:
        return ops.convert_to_tensor(value)
    import jax

    host = np.asarray(ops.convert_to_numpy(value))
    everywhere = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
    return jax.make_array_from_callback(host.shape, everywhere, lambda index: host[index])


def shared(tensors: Iterable[Any]) -> bool:
    """Whether other processes hold parts of these tensors, so that what is done with them is done by all."""
    return engine() == "jax" and any(not getattr(t, "is_fully_addressable", True) for t in tensors)


def gathered(value: Any) -> NDArray[Any]:
    """A whole tensor on the host; called by all, if processes hold parts of it."""
    if not shared([value]):
        return np.asarray(ops.convert_to_numpy(value))
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(value, tiled=True))


def process() -> int:
    """Number of this process among those that train together; 0 if there is no other."""
    if engine() != "jax":
        return 0
    import jax

    return int(jax.process_index())


@functools.cache
def _exchange() -> tuple[Any, Callable[..., Any]]:
    """How a number lies that each process has its own of; and compiled: all of them to each."""
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    first = {device.process_index: device for device in reversed(jax.devices())}
    mesh = Mesh(np.array([first[number] for number in sorted(first)]), ("processes",))
    apart, all_alike = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("processes",), ()))
    return apart, jax.jit(lambda values: values, out_shardings=all_alike)


def told(value: float) -> NDArray[np.float64]:
    """What each process gives, in their order; called by all."""
    import jax

    apart, tell = _exchange()
    with float64_allowed():
        return to_host(tell(jax.make_array_from_process_local_data(apart, np.array([value], np.float64))))


def agreed(value: float, *, several: bool = True) -> float:
    """What the first process gives, if there are several; called by all."""
    return float(told(value)[0]) if several else value


def together(action: Callable[[], R], *, several: bool = True) -> R:
    """Do something in each process; where one fails all do, so that none waits for it.

    Args:
        action: what to do.
        several: whether there are other processes. Defaults to True.

    Raises:
        OSError: If it failed in another process.
    """
    if not several:
        return action()
    result: Any = None
    error: Exception | None = None
    try:
        result = action()
    except Exception as found:
        error = found
    failed = np.flatnonzero(told(error is not None))
    if error is not None:
        raise error
    if len(failed):
        raise OSError(f"process {failed[0]} could not do the same; its own message says why")
    return cast(R, result)
