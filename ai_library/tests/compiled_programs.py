"""How the tests save time: what XLA compiles is kept until the end of a run, since most of a test's time is that, and
many tests, and the processes they start, need the same programs. And how many tests run at once."""

import os
import shutil
import sys
import tempfile

from ai_library.runtime.cpu import cores


def pytest_configure(config):
    # One that is set is the user's own, or that of the process that started this one.
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = tempfile.mkdtemp(prefix="compiled-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)  # with a limit, access to the folder is locked
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    if sys.version_info < (3, 12):
        # The JAX of Python 3.11 writes lines to standard error for each program that it takes back (jax#38445). They
        # would disturb the tests that want one line there.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_xdist_auto_num_workers(config):
    """One more than cores: some tests wait, for containers, an index of packages, or a lock's time to pass."""
    return cores() + 1
