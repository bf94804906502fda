"""How this process uses its processor and memory: to be set before JAX computes anything."""

import contextlib
import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_HEAP_BYTES = 64 * 2**20  # the most of a heap of a thread of its own; larger pieces come from the system in any case


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def share_out_cores(batch_size: int):
    """Lets JAX see the processor as several devices that each train on a part of the batch, 16 images or more.

    That keeps all cores at work where one operation is too small to be divided among them: what it brings is in
    `benchmarks/notes.md`. It does nothing where there is a GPU.
    """
    import jax

    devices = max(1, min(cores(), batch_size // 16))
    jax.config.update("jax_num_cpu_devices", devices)
    if devices == cores():  # each keeps to one core, instead of all of them dividing every operation among all
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"


def keep_freed_memory():
    """Lets glibc keep what is freed for the next step, instead of giving it back and getting it anew page by page.

    It does nothing with another C library.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            mallopt(_M_TOP_PAD, _HEAP_BYTES)  # or a thread's heap goes back as a whole once it is empty
