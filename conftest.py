"""What XLA compiles in a run of the tests is kept until its end: most of a test's time is that, and many tests, and the
processes they start, need the same programs."""

import os
import shutil
import sys
import tempfile

# The JAX that Python 3.11 gets takes nothing back out of that folder, and fills standard error with why (jax#38445).
CACHE_WORKS = sys.version_info >= (3, 12)


def pytest_configure(config):
    # One that is set is the user's own, or that of the process that started this one.
    if CACHE_WORKS and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="compiled-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)  # with a limit, access to the folder is locked
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
