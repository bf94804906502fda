"""What a process does with its cores, and with its memory, seen from the system's counts of its pages."""

import json
import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import json, resource, threading
import numpy as np
from ai_library.runtime.cpu import keep_freed_memory

keep_freed_memory()
faults = []

def work():
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        pieces = [np.ones(40 * 2**20, np.uint8) for _ in range(2)]
        del pieces
        faults.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps(faults))
"""

PAGES = """
import os
import numpy as np
from ai_library.runtime.cpu import give_freed_memory_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

give_freed_memory_back()
np.ones(5 * 2**20, np.uint8)  # once such a piece is freed, glibc would keep the next ones
before, pieces, small = resident(), [], []
for _ in range(40):
    pieces.append(np.ones(5 * 2**20, np.uint8))
    small.append(np.ones(10_000, np.uint8))  # between them
held = resident() - before
pieces.clear()
print([held, resident() - before])
"""

DEVICES = """
import json, os, sys
import jax
from ai_library.runtime.distributed import batch_shardings
from ai_library.runtime.cpu import share_out_cores

for cores, batch_size, activations in json.loads(sys.argv[1]):
    if os.fork() == 0:  # a process decides once
        os.sched_getaffinity = lambda process: range(cores)
        share_out_cores(batch_size, activations)
        print(json.dumps([len(jax.devices()), batch_shardings(batch_size)[1].mesh.size]), flush=True)
        os._exit(0)
    os.wait()
"""


def said_by(program, *arguments):
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep what is freed")
def test_a_thread_gets_its_memory_only_once():
    [[first, *later]] = said_by(FAULTS)
    assert first > 100  # two pieces that don't fit in one of glibc's heaps
    assert max(later) < first / 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to give back what is freed")
def test_large_arrays_are_given_back_whatever_lies_between_them():
    [[held, left]] = said_by(PAGES)
    assert held > 200 * 2**20
    assert left < held / 20


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not tell which cores a process has")
def test_cores_become_devices_that_all_get_a_part_of_the_batch():
    """And several devices each where one would take too much memory."""
    wanted = {
        (2, 31, 40_000): 1,  # too few images for two
        (2, 128, 40_000): 2,
        (3, 64, 40_000): 2,  # three do not divide it
        (6, 128, 40_000): 4,
        (7, 112, 40_000): 7,
        (2, 67, 40_000): 1,
        (2, 512, 40_000): 4,  # 256 images are too much for a thread's memory
        (2, 128, 240_000): 4,
        (3, 96, 1_000_000): 3,  # as are 32, and 16 for each of six
        (2, 128, 2_000_000): 2,
    }
    found = said_by(DEVICES, json.dumps([*wanted]))
    assert dict(zip(wanted, found, strict=True)) == {case: [devices, devices] for case, devices in wanted.items()}
