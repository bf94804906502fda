"""What XLA compiles in a run of the tests is kept until its end: most of a test's time is that, and many tests, and the
processes they start, need the same programs."""

import os
import shutil
import sys
import tempfile

# The JAX of Python 3.11 writes lines to standard error for each program that it takes back (jax#38445). Which process
# takes one back hangs on the order of the tests, so that those that want one line there would fail at times.
TAKES_BACK_SILENTLY = sys.version_info >= (3, 12)


def pytest_configure(config):
    # One that is set is the user's own, or that of the process that started this one.
    if TAKES_BACK_SILENTLY and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="compiled-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)  # with a limit, access to the folder is locked
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
