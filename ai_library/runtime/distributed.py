"""Several processes, on one or more machines, train or predict together by JAX's distributed runtime.

All processes run the same program and make the same calls of this module in the same order. Only the first writes files
and prints. A single process exchanges nothing, and imports JAX only to place arrays on its devices.
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
"""Name of the mesh axis of the devices that share a batch."""

HEARTBEAT_SECONDS = 20
"""A process without a heartbeat for so many seconds counts as lost. A process that ends is noticed at once, because its
connections are closed."""
_JOIN_SECONDS = 300


def initialise(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes, and returns when all have joined. Call it before JAX computes anything.

    Args:
        coordinator: HOST:PORT of the first process, as seen by the others. The first process listens only at this
            address; if it is not an address of its machine, as behind a Kubernetes service, at all addresses.
        processes: Number of processes.
        process: Index of this process, from 0.

    Arguments left as None are taken from SLURM, Kubernetes or Open MPI.

    Raises:
        InputError: An argument is missing or wrong, or the other processes cannot be reached.
    """
    import jax

    if coordinator is not None:
        _check_meeting(coordinator, processes, process)
    jax.config.update("jax_enable_preemption_service", False)  # `StopSignals` hears SIGTERM
    if hasattr(os, "SCHED_BATCH"):
        # Else the thread that receives messages preempts the one that computes. With few cores that one waits for a
        # whole time slice: an all-reduce took 4 ms instead of 0.12.
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
    """Raises `InputError` for arguments that would crash JAX."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"coordinator must be HOST:PORT, such as 10.0.0.1:5000, got {coordinator!r}")
    if None not in (process, processes) and not 0 <= process < processes:
        raise InputError(f"process must be from 0 to {processes - 1} of {processes} processes, got {process}")


def process_count() -> int:
    """Number of processes that work together; 1 if none have joined."""
    state = _state()
    return state.num_processes if state else 1


def process_index() -> int:
    """Index of this process, from 0."""
    state = _state()
    return state.process_id if state else 0


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return process_index() == 0


def shard(n: int, unit: int) -> range:
    """The range of this process's items, out of n.

    Its length is a multiple of `unit`, except at the end; the shards of all processes, concatenated, are `range(n)`.
    """
    units = -(-n // unit)
    first, end = (min(units * (process_index() + i) // process_count() * unit, n) for i in (0, 1))
    return range(first, end)


def broadcast_from_first(function: Callable[[], Any]) -> Any:
    """Calls a function in the first process, and returns its result in all.

    The result may consist of numbers, strings, arrays, lists and dictionaries. An `InputError` of the function is
    raised in all processes.
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
    told = msgpack_restore(np.asarray(_across(_highest, sent)).tobytes())  # the others send zeros
    if "error" in told:
        raise error or InputError(told["error"])
    return told["value"]


def all_gather(value: Any) -> list[Any]:
    """The values of all processes, in order. They may be of the types of `broadcast_from_first`."""
    if process_count() == 1:
        return [value]
    from flax.serialization import msgpack_restore, msgpack_serialize

    message = msgpack_serialize({"value": value})
    sizes = np.asarray(_across(_rows, np.array([len(message)], np.int32)))[:, 0]
    sent = np.zeros(1 << int(sizes.max() - 1).bit_length(), np.uint8)  # a power of two: each size is compiled once
    sent[: len(message)] = np.frombuffer(message, np.uint8)
    received = np.asarray(_across(_rows, sent))
    return [msgpack_restore(row[:size].tobytes())["value"] for row, size in zip(received, sizes, strict=True)]


def highest(number: int) -> "int | jax.Array":
    """The maximum of a number over all processes; each must be below 2**31.

    It is computed asynchronously: `int()` of the result waits for it, so it may be read later.
    """
    if process_count() == 1:
        return number
    return _across(_maximum, np.array([number], np.int32))


def batch_shardings(batch_size: int) -> "tuple[NamedSharding, NamedSharding]":
    """The shardings for `place` of a state, replicated on every device, and of a batch, divided among the devices.

    Every process has an equal, contiguous part of the batch, in order, and divides it among its devices: the largest
    number of them that divides the part, the same in each process. Raises `InputError` if the batch cannot be divided
    among the processes.
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
    """Places arrays on the devices of all processes.

    With the first sharding of `batch_shardings` every process passes the whole arrays, with the second its part of the
    batch.
    """
    import jax

    if process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.make_array_from_process_local_data(sharding, jax.tree.map(np.asarray, tree))


def lost(error: Exception) -> str:
    """The message for the user if an error means that another process was lost; else ""."""
    return _lost_line() if process_count() > 1 and "gloo" in str(error).lower() else ""


def leave(status: int) -> None:
    """Ends this process after an error. Unlike JAX, it does not wait for other processes."""
    if process_count() == 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first():
        time.sleep(2)  # JAX's coordinator is in this process: the others' messages are clear while it runs
    os._exit(status)


def _lost_line():
    others = process_count() - 1
    gone = f"process {1 - process_index()} of 2" if others == 1 else f"one of the {others} other processes"
    return (
        f"{gone} is gone or cannot be reached, so that this one ends: start all of them again; resumed, a "
        "training goes on from its last checkpoint"
    )


def _end_with_a_line_on_abort():
    """Prints one line when JAX aborts: it calls `abort()` when it loses the others, with a page of text."""
    if os.name == "posix":  # elsewhere C's functions are not found this way
        ctypes.CDLL(None).signal(ctypes.c_int(signal.SIGABRT), _abort_handler())


@lru_cache  # keeps the handler alive: C holds no reference
def _abort_handler():
    """A C handler: Python's handlers wait for the main thread, and `abort()` does not."""

    def end(_):
        os.write(2, f"error: {_lost_line()}\n".encode())
        os._exit(1)

    return ctypes.CFUNCTYPE(None, ctypes.c_int)(end)


def listening_address(coordinator: str) -> str | None:
    """The address and port where the first process listens; None, by which JAX listens at all addresses.

    It is None if the coordinator's address is not of this machine, or if its name resolves only to loopback. It should
    listen at one address, because clients need no password.
    """
    import socket  # a single process does not need it

    host, _, port = coordinator.rpartition(":")
    with contextlib.suppress(OSError):
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        for family, *_, place in sorted(found):  # IPv4 first
            address = str(place[0])
            if _is_loopback(address) and not _is_loopback(host):
                continue  # the machine's name in its own /etc/hosts: others resolve it differently
            with contextlib.suppress(OSError), socket.socket(family) as tried:
                tried.bind((address, 0))
                return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return None


def _is_loopback(host):
    return host.lower() == "localhost" or host.startswith("127.") or host.strip("[]") == "::1"


def _check_own_address(coordinator):
    """Warns if this machine's name resolves to an address that other machines cannot reach.

    On CPUs, processes connect to the address of each machine's name.
    """
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
    """JAX's distributed state, after the processes have joined; else None.

    JAX's public functions would start the backend, which fixes the devices before `share_out_cores` chooses them.
    """
    jax = sys.modules.get("jax")
    if jax is None or not jax.distributed.is_initialized():
        return None
    from jax._src.distributed import global_state

    return global_state


def _devices():
    """The devices of each process, in order."""
    import jax

    devices = [[] for _ in range(process_count())]
    for device in jax.devices():
        devices[device.process_index].append(device)
    return devices


def _across(operation, row):
    """Applies an operation to the array (p, m) of the rows (m,) of p processes; all get the result."""
    import jax

    from .jax_settings import settings

    rows, compiled = _compiled(operation)
    with settings():
        return compiled(jax.make_array_from_process_local_data(rows, row[np.newaxis])).addressable_data(0)


@lru_cache
def _compiled(operation):
    """The sharding of the rows of `_across`, one device per process, and the jitted operation."""
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
