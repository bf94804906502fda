"""How the tests save time: what XLA compiles is kept, since most of a test's time is that, and many tests, the
processes they start, and the next run need the same programs. And how many tests run at once."""

import os
import platform
import signal
import sys

import hypothesis
import pytest
from filelock import FileLock

from ai_library.runtime.cpu import cores

# The JAX of Python 3.11 writes lines to standard error for each program that it takes back (jax#38445). They are about
# names that are no features of a processor, and the bits stay the same. Which process takes one back hangs on the order
# of the tests, so that those that want one line there would fail at times: XLA is silent there, as elsewhere.
TAKES_BACK_SILENTLY = sys.version_info >= (3, 12)

QUICKLY = "JAX_DISABLE_MOST_OPTIMIZATIONS"

# These take longest.
LONGEST = ("test_distributed.py", "test_scripts.py", "test_publish.py", "test_failing_outputs.py", "test_mnist.py")
LONGEST += ("test_notebook.py", "test_container.py", "test_jax_settings.py", "test_any_network.py", "test_installed.py")


def pytest_configure(config):
    # A shell has a command in the background ignore Ctrl-C, and so would the processes that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None)  # a machine may be slow
    hypothesis.settings.load_profile("patient")
    # A folder that is set is the user's own, or that of the process that started this one.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and config.pluginmanager.has_plugin("cacheprovider"):
        folder = config.cache.mkdir(f"compiled-{platform.node()}")  # another machine may not be able to run them
        _remove_incomplete(folder)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(10**8)  # with a limit, access to the folder is locked
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
        if not TAKES_BACK_SILENTLY:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def _remove_incomplete(folder):
    """Removes programs that a process was writing when it was killed: JAX writes their time of use last."""
    with FileLock(folder / ".lockfile"):  # JAX's own
        for program in folder.glob("*-cache"):
            if not program.with_name(program.name.removesuffix("cache") + "atime").exists():
                program.unlink()


@pytest.fixture
def quickly_compiled():
    """Programs are compiled without LLVM's expensive passes, in half the time, here and in processes that are started.

    For modules that test what happens, or compare runs of the same programs. Those that compare the bits of different
    programs, or test figures or the compiler, compile as users do.
    """


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Compiles as the test wants it, before any of its fixtures is made.

    Tests that want the same share what is compiled: it is forgotten only where a test wants the other.
    """
    quickly = _wants_quickly_compiled(item)
    if quickly == (os.environ.get(QUICKLY) == "1"):
        return
    import jax

    os.environ[QUICKLY] = "1" if quickly else "0"
    jax.config.update("jax_disable_most_optimizations", quickly)
    jax.clear_caches()


def _wants_quickly_compiled(item):
    return "quickly_compiled" in getattr(item, "fixturenames", ())


def of_all_processes(request, tmp_path_factory):
    """A temporary folder that the processes of the tests share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if hasattr(request.config, "workerinput") else folder


def pytest_xdist_auto_num_workers(config):
    """One more than cores: some slow tests wait, for containers, an index of packages, or a lock's time to pass."""
    return cores() + ("not slow" not in config.option.markexpr)


def pytest_collection_modifyitems(items):
    """The files of tests that take longest come first, so that no process is left alone with one at the end. Then
    those whose programs are compiled quickly, which are shared as long as no other file comes between."""
    quickly = {item.path for item in items if _wants_quickly_compiled(item)}
    items.sort(key=lambda item: (item.path.name not in LONGEST, item.path not in quickly))
