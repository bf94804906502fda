"""Settings of this process for its processor and memory, to be called before JAX computes anything."""

import contextlib
import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4  # of glibc's malloc.h
_HEAP_BYTES = 64 * 2**20  # glibc's largest heap per thread; larger blocks are mapped directly
_LARGE_BYTES = 2**20
_KEPT_BYTES = 4 * 2**20  # at the end of the heap, for the small arrays of the next moment
_FEWEST_IMAGES = 16  # fewest images per device that are worth it
_ACTIVATION_BYTES = 8  # bytes: each is kept for the gradient, which is about as large


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out_cores(batch_size: int, activations: int = 0) -> None:
    """Lets JAX see the processor as several devices, which train on equal parts of the batch.

    This keeps all cores busy, since one operation is often too small to be divided among them. If a core's part of the
    batch needs more memory than glibc keeps per thread, each core gets several devices with smaller parts. The gains
    are in `benchmarks/notes.md`. It does nothing if there is a GPU.

    Args:
        batch_size: Images per step. Each device gets 16 or more.
        activations: Number of activations of the network per image.
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
    """Lets JAX see the processor as `count` devices."""
    import jax

    compile_as_for_many_cores()
    jax.config.update("jax_num_cpu_devices", count)
    if count >= cores():  # one thread per device, instead of all devices using all cores
        one_core = "--xla_cpu_multi_thread_eigen=false --xla_cpu_enable_concurrency_optimized_scheduler=false"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {one_core}"


def compile_as_for_many_cores() -> None:
    """Lets XLA compile the same program for one core as for several, so that both compute the same bits.

    XLA divides loops among the threads of a process. The number of parts changes no bit, but an undivided loop is
    different machine code, which sums in another order. A number of threads that is already set is not changed.
    """
    os.environ.setdefault("NPROC", str(max(2, cores())))  # XLA's number of threads


def keep_freed_memory() -> None:
    """Lets glibc keep freed memory for the next step, instead of returning it and faulting it in again.

    It does nothing with another C library.
    """
    _set_malloc(
        {
            _M_MMAP_MAX: 0,
            _M_TRIM_THRESHOLD: 2**31 - 1,
            _M_TOP_PAD: _HEAP_BYTES,  # else a thread's empty heap is returned as a whole
        }
    )


def give_freed_memory_back() -> None:
    """Lets glibc return large freed arrays to the system, so that the memory of a long prediction stays flat.

    By default it later keeps them in its heap, which small objects then fragment. It does nothing with another C
    library.
    """
    _set_malloc({_M_MMAP_THRESHOLD: _LARGE_BYTES, _M_TRIM_THRESHOLD: _KEPT_BYTES})


def _set_malloc(options):
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            mallopt = ctypes.CDLL(None).mallopt
            for option, value in options.items():
                mallopt(option, value)
