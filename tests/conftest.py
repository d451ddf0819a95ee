"""What keeps all tests quick."""

import gc
import os
import sys

# Small models compile much longer than they run. Read when an engine compiles first, here and in what a test
# starts.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import pytest


def pytest_collection_finish():
    """Let no search for garbage go through what the imports made: it takes a third of a second each time."""
    gc.collect()
    gc.freeze()


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
