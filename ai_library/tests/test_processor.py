"""What a process does with its memory, seen from the system's counts of the pages it gets."""

import json
import platform
import subprocess
import sys

import pytest

FAULTS = """
import json, resource, threading
import numpy as np
from ai_library.processor import keep_freed_memory

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep what is freed")
def test_a_thread_gets_its_memory_only_once():
    done = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True)
    first, *later = json.loads(done.stdout)
    assert first > 100  # two pieces that don't fit in one of glibc's heaps
    assert max(later) < first / 20
