"""Several processes, on one machine or on many, that train or predict together on JAX's own distributed runtime.

All processes run the same program and come to the same calls of this module in the same order. Only the first writes
files and prints. A process that is alone exchanges nothing, and imports JAX only to place arrays on its devices.
"""

import contextlib
import ctypes
import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .cpu import compile_as_for_many_cores

if TYPE_CHECKING:
    import jax
    from jax.sharding import NamedSharding

BATCH = "batch"
"""The axis of the devices that share a batch."""

HEARTBEAT_SECONDS = 20
"""A process that has not been heard of for so long is taken for gone. One whose connections were closed, as the system
does with those of a process that ends in any way, is found out at once."""
_JOIN_SECONDS = 300


def initialise(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes: to be called before JAX computes anything, and returns when all have come.

    Args:
        coordinator: HOST:PORT where the others can reach the first process. It listens at this address alone, or, where
            that is none of its machine's, as behind a service of Kubernetes, at all of the machine's.
        processes: How many there are.
        process: Which of them this is, from 0.

    Arguments left as None are taken from SLURM, Kubernetes or Open MPI.

    Raises:
        InputError: An argument is missing or wrong, or the other processes cannot be reached.
    """
    import jax

    if coordinator is not None:
        _check_meeting(coordinator, processes, process)
    jax.config.update("jax_enable_preemption_service", False)  # `StopSignals` hears SIGTERM
    if hasattr(os, "SCHED_BATCH"):
        # Else the thread that receives messages takes the core from the one that computes, in the middle of one, and
        # where cores are few it then waits a whole time slice: an all-reduce took 4 ms instead of 0.12.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    _end_with_a_line_on_abort()
    compile_as_for_many_cores()
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            coordinator_bind_address=listening_address(coordinator) if coordinator and process == 0 else None,
            initialization_timeout=_JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except ValueError as error:
        raise InputError(
            f"the processes do not know of each other ({str(error).rstrip('.')}): start them by SLURM, Kubernetes or "
            "Open MPI, or name coordinator, processes and process"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        raise InputError(
            f"the processes cannot meet at {coordinator or 'the first one'} ({str(error).splitlines()[0]}): name a "
            "port that is free on the first one's machine"
        ) from error
    _check_own_address(coordinator)


def _check_meeting(coordinator, processes, process):
    """Raises `InputError` for what JAX would crash at."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"coordinator must be HOST:PORT, such as 10.0.0.1:5000, got {coordinator!r}")
    if None not in (process, processes) and not 0 <= process < processes:
        raise InputError(f"process must be from 0 to {processes - 1} of {processes} processes, got {process}")


def process_count() -> int:
    """How many processes work together; 1 where none have joined."""
    state = _state()
    return state.num_processes if state else 1


def process_index() -> int:
    """Which of them this is, from 0."""
    state = _state()
    return state.process_id if state else 0


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return process_index() == 0


def shard(n: int, unit: int) -> range:
    """Which of n items are this process's. They are given out in whole units, of which only the last may be smaller;
    the shards of all processes, in their order, are `range(n)`.
    """
    units = -(-n // unit)
    first, end = (min(units * (process_index() + i) // process_count() * unit, n) for i in (0, 1))
    return range(first, end)


def broadcast_from_first(function: Callable[[], Any]) -> Any:
    """Calls the function in the first process, and gives what it returns to all: numbers, text, arrays, and lists and
    dictionaries of them. An `InputError` that it raises there is raised in all.
    """
    if process_count() == 1:
        return function()
    from flax.serialization import msgpack_restore, msgpack_serialize

    message, error = b"", None
    if is_first():
        try:
            message = msgpack_serialize({"value": function()})
        except InputError as raised:
            message, error = msgpack_serialize({"error": str(raised)}), raised
    size = int(highest(len(message)))
    sent = np.zeros(size, np.uint8)
    sent[: len(message)] = np.frombuffer(message, np.uint8)
    told = msgpack_restore(np.asarray(_across(_highest, sent)).tobytes())  # the others' zeros are no higher
    if "error" in told:
        raise error or InputError(told["error"])
    return told["value"]


def all_gather(value: Any) -> list[Any]:
    """The values of all processes, in their order; such as `broadcast_from_first` takes."""
    if process_count() == 1:
        return [value]
    from flax.serialization import msgpack_restore, msgpack_serialize

    message = msgpack_serialize({"value": value})
    sizes = np.asarray(_across(_rows, np.array([len(message)], np.int32)))[:, 0]
    sent = np.zeros(1 << int(sizes.max() - 1).bit_length(), np.uint8)  # few sizes: each is compiled once
    sent[: len(message)] = np.frombuffer(message, np.uint8)
    received = np.asarray(_across(_rows, sent))
    return [msgpack_restore(row[:size].tobytes())["value"] for row, size in zip(received, sizes, strict=True)]


def highest(number: int) -> "int | jax.Array":
    """The highest of all processes' numbers, each below 2**31. `int()` waits for it: the answer may be asked for later
    than the question, while the processes go on.
    """
    if process_count() == 1:
        return number
    return _across(_maximum, np.array([number], np.int32))


def batch_shardings(batch_size: int) -> "tuple[NamedSharding, NamedSharding]":
    """Where `place` puts a state, whole on every device, and a batch, an equal share on each.

    Every process takes an equal, contiguous part of the batch, in the order of the processes, and divides it among its
    devices: all of them, or as many as divide the part, and the same number in each process. Raises `InputError` where
    the batch cannot be divided among the processes.
    """
    import jax
    from jax.sharding import AxisType, NamedSharding
    from jax.sharding import PartitionSpec as P

    part, rest = divmod(batch_size, process_count())
    if rest:
        raise InputError(
            f"batch_size={batch_size} cannot be divided among {process_count()} processes: choose a number of "
            "processes that divides it"
        )
    of_processes = _devices()
    used = math.gcd(min(map(len, of_processes)), part)
    devices = [device for of_process in of_processes for device in of_process[:used]]
    mesh = jax.make_mesh((len(devices),), (BATCH,), (AxisType.Auto,), devices=devices)
    return NamedSharding(mesh, P()), NamedSharding(mesh, P(BATCH))


def place(tree: Any, sharding: "NamedSharding") -> Any:
    """Arrays on the devices of all processes: with the first sharding of `batch_shardings` every process brings the
    whole of them, with the second its part of the batch.
    """
    import jax

    if process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.make_array_from_process_local_data(sharding, jax.tree.map(np.asarray, tree))


def lost(error: Exception) -> str:
    """What to tell the user where an error says that another process is gone; "" where it says something else."""
    return _lost_line() if process_count() > 1 and "gloo" in str(error).lower() else ""


def leave(status: int) -> None:
    """Ends this process after an error. Where others wait for it, it does not wait for them, as JAX would."""
    if process_count() == 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first():
        time.sleep(2)  # JAX's coordinator lives in this process: the others' lines are clear while it is still there
    os._exit(status)


def _lost_line():
    others = process_count() - 1
    gone = f"process {1 - process_index()} of 2" if others == 1 else f"one of the {others} other processes"
    return (
        f"{gone} is gone or cannot be reached, so that this one ends: start all of them again; resumed, a "
        "training goes on from its last checkpoint"
    )


def _end_with_a_line_on_abort():
    """JAX ends a process that does no longer hear of the others by `abort()`; its own words are a page long."""
    if os.name == "posix":  # elsewhere C's functions are not found this way
        ctypes.CDLL(None).signal(ctypes.c_int(signal.SIGABRT), _abort_handler())


@lru_cache  # C keeps no handler
def _abort_handler():
    """As C calls it: Python's own handlers wait for the main thread, and `abort()` does not."""

    def end(_):
        os.write(2, f"error: {_lost_line()}\n".encode())
        os._exit(1)

    return ctypes.CFUNCTYPE(None, ctypes.c_int)(end)


def listening_address(coordinator: str) -> str | None:
    """The address and port where the first process listens; None, JAX's word for all addresses, where the one that was
    named is another machine's, or only this machine's own name for itself. Who connects needs no password.
    """
    import socket  # which a process by itself does without

    host, _, port = coordinator.rpartition(":")
    with contextlib.suppress(OSError):
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        for family, *_, place in sorted(found):  # IPv4 first, which every machine has
            address = str(place[0])
            if _is_loopback(address) and not _is_loopback(host):
                continue  # a machine's name in its own /etc/hosts: others find another address under it
            with contextlib.suppress(OSError), socket.socket(family) as tried:
                tried.bind((address, 0))
                return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return None


def _is_loopback(host):
    return host.lower() == "localhost" or host.startswith("127.") or host.strip("[]") == "::1"


def _check_own_address(coordinator):
    """Warns where other machines would be sent back to themselves: on CPUs, processes meet at the address that the name
    of each one's machine has."""
    import socket

    host = (coordinator or "").rpartition(":")[0]
    if not coordinator or _is_loopback(host):
        return
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = "no address"
    if address == "no address" or address.startswith("127."):
        warnings.warn(
            f"this machine's name {name} has {address}, where CPUs of others cannot reach it: correct it in /etc/hosts",
            stacklevel=2,
        )


def _state():
    """JAX's own, once the processes have joined; its public functions would start the backend, and so fix the devices
    before `share_out_cores` has chosen them."""
    jax = sys.modules.get("jax")
    if jax is None or not jax.distributed.is_initialized():
        return None
    from jax._src.distributed import global_state

    return global_state


def _devices():
    """The devices of each process, in the order of the processes."""
    import jax

    devices = [[] for _ in range(process_count())]
    for device in jax.devices():
        devices[device.process_index].append(device)
    return devices


def _across(operation, row):
    """The operation on an array (p, m) of every process's row (m,): the result is in all of them."""
    import jax

    from .jax_settings import settings

    rows, compiled = _compiled(operation)
    with settings():
        return compiled(jax.make_array_from_process_local_data(rows, row[np.newaxis])).addressable_data(0)


@lru_cache
def _compiled(operation):
    """Where the rows of `_across` go, one device a process, and the jitted operation."""
    import jax
    from jax.sharding import AxisType, NamedSharding
    from jax.sharding import PartitionSpec as P

    devices = [of_process[0] for of_process in _devices()]
    mesh = jax.make_mesh((len(devices),), ("process",), (AxisType.Auto,), devices=devices)
    return NamedSharding(mesh, P("process")), jax.jit(operation, out_shardings=NamedSharding(mesh, P()))


def _maximum(rows):
    return rows.max()


def _highest(rows):
    return rows.max(axis=0)


def _rows(rows):
    return rows
