"""What every benchmark prints beside its figures: the machine and the versions they were measured with."""

import contextlib
import importlib.metadata
import os
import platform
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def machine() -> str:
    """The processor's name and the number of cores this process may use."""
    name = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
        flags = next((line for line in lines if line.startswith("flags")), "")
        name += ", AVX-512" if "avx512f" in flags else ""
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def versions(*packages: str) -> str:
    """The versions of Python and of installed packages."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(found)


def keep(name: str, lines: list[str], *packages: str):
    """Prints the lines and writes them to `results/name.txt`, with the command, the day, machine and versions."""
    head = [
        f"$ python {Path(sys.argv[0]).resolve().relative_to(ROOT)} {' '.join(sys.argv[1:])}".rstrip(),
        f"{date.today()}, {machine()}, {versions(*packages)}",
        "",
    ]
    text = "\n".join(head + lines) + "\n"
    print(f"\n{text}")
    path = ROOT / "benchmarks" / "results" / f"{name}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
