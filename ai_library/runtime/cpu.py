"""How this process uses its processor and memory: to be set before JAX computes anything."""

import contextlib
import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4  # of glibc's malloc.h
_HEAP_BYTES = 64 * 2**20  # the most of a heap of a thread of its own; larger pieces come from the system in any case
_LARGE_BYTES = 2**20
_FEWEST_IMAGES = 16  # that are worth a device of their own
_ACTIVATION_BYTES = 8  # each is kept for the gradient, and about as much is made of it


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out_cores(batch_size: int, activations: int = 0) -> None:
    """Lets JAX see the processor as several devices that train on equal parts of the batch, 16 images or more each.

    That keeps all cores at work where one operation is too small to be divided among them. `activations` are how many
    numbers the network makes of an image: where a core's part of the batch takes more memory than glibc keeps for a
    thread, each core gets several devices with so much smaller parts. What both bring is in `benchmarks/notes.md`. It
    does nothing where there is a GPU.
    """
    most = batch_size // _FEWEST_IMAGES
    divisors = [count for count in range(1, most + 1) if batch_size % count == 0] or [1]
    devices = max(count for count in divisors if count <= cores())
    if devices == cores():
        several = (count for count in divisors if count % devices == 0)
        kept = (count for count in several if batch_size // count * activations * _ACTIVATION_BYTES <= _HEAP_BYTES)
        devices = next(kept, devices)
    use_devices(devices)


def use_devices(count: int) -> None:
    """Lets JAX see the processor as so many devices."""
    import jax

    compile_as_for_many_cores()
    jax.config.update("jax_num_cpu_devices", count)
    if count >= cores():  # each keeps to one core, instead of all of them dividing every operation among all
        one_core = "--xla_cpu_multi_thread_eigen=false --xla_cpu_enable_concurrency_optimized_scheduler=false"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {one_core}"


def compile_as_for_many_cores() -> None:
    """Lets XLA compile for a process with one core what it compiles for more, so that both compute the same bits.

    XLA divides loops among the threads of a process. In how many parts changes no bit, but a loop that is not divided
    is other machine code, which rounds sums in another order. A number of threads that is set already is left alone.
    """
    os.environ.setdefault("NPROC", str(max(2, cores())))  # of XLA's threads


def keep_freed_memory() -> None:
    """Lets glibc keep what is freed for the next step, instead of giving it back and getting it anew page by page.

    It does nothing with another C library.
    """
    _set_malloc(
        {
            _M_MMAP_MAX: 0,
            _M_TRIM_THRESHOLD: 2**31 - 1,
            _M_TOP_PAD: _HEAP_BYTES,  # or a thread's heap goes back as a whole once it is empty
        }
    )


def give_freed_memory_back() -> None:
    """Lets glibc give large arrays back when they are freed, so that a long prediction needs no more than a short one.

    By itself it keeps them after a while, among small objects, which leave ever fewer places that the next large one
    fits into. It does nothing with another C library.
    """
    _set_malloc({_M_MMAP_THRESHOLD: _LARGE_BYTES})


def _set_malloc(options):
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            mallopt = ctypes.CDLL(None).mallopt
            for option, value in options.items():
                mallopt(option, value)
