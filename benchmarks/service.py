"""The service under load: answers per second, latency, memory; compared with FastAPI and PyTorch; and under attack.

    python benchmarks/service.py [--peer PYTHON] [--seconds 60] [--rounds 5]
    python benchmarks/service.py --hostile

Clients send committed image files, each over one connection, and check every answer. `--peer` is the Python of an
environment with torch, fastapi, uvicorn and pillow. It serves the same weights with a plain handler
(peer_service_pytorch.py), and the two take turns. Clients and servers share this machine's cores. With `--hostile`, one
client is measured while others keep the service busy or waiting.
"""

import argparse
import asyncio
import contextlib
import io
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measuring import ROOT, free_port, keep, ratio, versions_of
from PIL import Image
from same_weights import write

sys.path.insert(0, str(ROOT))

from ai_application import EVALUATION, MODELS
from ai_library import load_model

MODEL = MODELS / "shapes.msgpack"
CLIENTS = 32
SILENT = 1000
OURS, PEER = "serve.py", "FastAPI and PyTorch"


class Question(NamedTuple):
    """A request as sent, the expected probabilities, and the answers already checked to have them."""

    sent: bytes
    probabilities: np.ndarray
    right: set[bytes]


def questions():
    """Requests with every fifth of the committed images."""
    classifier, files = load_model(MODEL), sorted(EVALUATION.glob("shapes/*/*.png"))[::5]
    contents, expected = [file.read_bytes() for file in files], classifier.predict_proba(files)
    head = "POST /predict/shapes HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n"
    return [
        Question(head.format(len(content)).encode() + content, probabilities, set())
        for content, probabilities in zip(contents, expected, strict=True)
    ]


class Server:
    """A server in a process of its own, which answers."""

    def __init__(self, name, port, *command):
        self.name, self.port = name, port
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the server)
        command = [str(part) for part in command]
        self._process = subprocess.Popen(command, cwd=ROOT / "benchmarks", stdout=subprocess.DEVNULL, stderr=self._said)
        while self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return
            time.sleep(0.05)
        self._said.seek(0)
        raise RuntimeError(f"{name} ended:\n{self._said.read()[-3000:]}")

    def memory(self):
        """Megabytes that it has now."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def close(self):
        """Ends it as Kubernetes does; returns its exit status."""
        self._process.terminate()
        return self._process.wait(30)


async def answer(reader, writer, question):
    """Seconds to an answer. Raises `ValueError` where it is wrong."""
    begun = time.perf_counter()
    writer.write(question.sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    body = await reader.readexactly(length)
    seconds = time.perf_counter() - begun
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ValueError(f"{head.partition(b'HTTP/1.1 ')[2][:3].decode()}: {body[:200]}")
    if body not in question.right:
        found = list(json.loads(body)["probabilities"].values())
        if not np.allclose(found, question.probabilities, atol=1e-5):
            raise ValueError(f"wrong by {np.abs(found - question.probabilities).max()}")
        question.right.add(body)
    return seconds


async def client(port, asked, end, taken, faults):
    """Asks one question after the other until the end; an unfinished one counts as a fault."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for question in asked:
        if time.perf_counter() > end:
            break
        try:
            taken.append(await asyncio.wait_for(answer(reader, writer, question), 30))
        except (ValueError, OSError, EOFError, TimeoutError) as error:
            faults[f"{type(error).__name__}: {error}"] += 1
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def load(port, asked, clients, seconds):
    """(seconds to each answer, faults) of so many clients that ask for so long."""
    taken, faults, end = [], Counter(), time.perf_counter() + seconds
    endless = [(asked[(number + i) % len(asked)] for i in range(10**9)) for number in range(clients)]
    await asyncio.gather(*(client(port, each, end, taken, faults) for each in endless))
    return taken, faults


def times(taken):
    """The median and the 99th percentile in milliseconds, as text."""
    hundredths = statistics.quantiles(taken, n=100)
    return f"p50 {1000 * statistics.median(taken):.1f} ms, p99 {1000 * hundredths[98]:.1f} ms"


def alone(server, asked, seconds):
    """Lines on one client, and on many for long."""
    asyncio.run(load(server.port, asked, CLIENTS, 3))  # warms up
    taken, faults = asyncio.run(load(server.port, asked, 1, min(seconds, 10)))
    yield f"1 client:   {len(taken):,} answers, {_told(faults)}, {times(taken)}"
    before = server.memory()
    taken, faults = asyncio.run(load(server.port, asked, CLIENTS, seconds))
    yield (
        f"{CLIENTS} clients: {len(taken):,} answers in {seconds:g} s, {len(taken) / seconds:,.0f} a second, "
        f"{_told(faults)}, {times(taken)}"
    )
    yield f"memory: {before:.0f} MB before, {server.memory():.0f} MB after"


def beside(servers, asked, rounds, seconds):
    """Lines on two servers that take turns under the load of many clients."""
    rates = {server.name: [] for server in servers}
    waited = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            taken, faults = asyncio.run(load(server.port, asked, CLIENTS, seconds))
            if faults:
                raise RuntimeError(f"{server.name}: {_told(faults)}")
            rates[server.name].append(len(taken) / seconds)
            waited[server.name] += taken
    for name, each in rates.items():
        yield f"{name:<22}{statistics.median(each):>8,.0f} answers a second, {times(waited[name])}"
    yield f"{OURS} gives {ratio(rates[OURS], rates[PEER]):.2f} times as many ({rounds} rounds of {seconds:g} s)"


async def silent(port):
    """A connection that asks nothing, or begins to, and comes back when it is closed."""
    for number in range(10**9):
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /predict/shapes HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n"[: number % 70])
            await reader.read()
            writer.close()
        await asyncio.sleep(1)


async def attack(port, sent):
    """Sends the same again and again, and takes what comes."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await reader.read(1000)
            writer.close()
        await asyncio.sleep(0.1)


def attacks():
    """What hostile clients send, by name."""
    bomb = io.BytesIO()
    Image.new("1", (11_000, 11_000)).save(bomb, "PNG")  # just below the pixels that are read
    post = "POST /{} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n"

    def request(path, body):
        return post.format(path, len(body)).encode() + body

    return {
        "images of 121 million pixels": request("predict/shapes", bomb.getvalue()),
        "no images": request("predict/shapes", bytes(100_000)),
        "deep JSON": request("v2/models/shapes/infer", b"[" * 1_000_000),
        "bodies too long": post.format("predict/shapes", 10**10).encode(),
        "no HTTP": b"\x16\x03\x01" * 10_000,
    }


async def under_attack(server, asked, seconds):
    """(seconds to each answer, faults) of one client while hostile ones do what they can."""
    hostile = [asyncio.create_task(silent(server.port)) for _ in range(SILENT)]
    hostile += [asyncio.create_task(attack(server.port, sent)) for sent in attacks().values()]
    await asyncio.sleep(3)
    found = await load(server.port, asked, 1, seconds)
    for each in hostile:
        each.cancel()
    await asyncio.gather(*hostile, return_exceptions=True)
    return found


def hostile(server, asked, seconds):
    """Lines on one client beside hostile ones."""
    taken, faults = asyncio.run(load(server.port, asked, 1, 5))
    yield f"1 client alone: {len(taken):,} answers, {_told(faults)}, {times(taken)}"
    before = server.memory()
    taken, faults = asyncio.run(under_attack(server, asked, seconds))
    yield f"beside {SILENT:,} silent connections, {', '.join(attacks())}:"
    yield f"1 client: {len(taken):,} right answers in {seconds:g} s, {_told(faults)}, {times(taken)}"
    yield f"memory: {before:.0f} MB before, {server.memory():.0f} MB after"


def _told(faults):
    return "; ".join(f"{count} {fault}" for fault, count in faults.items()) or "no error, none lost or wrong"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hostile", action="store_true")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asked, port = questions(), free_port()
    ours = Server(OURS, port, sys.executable, ROOT / "scripts/serve.py", "--model", MODEL, "--port", port)
    lines = list((hostile if arguments.hostile else alone)(ours, asked, arguments.seconds))
    if arguments.peer:
        with tempfile.TemporaryDirectory() as place:
            classifier, weights, port = load_model(MODEL), Path(place, "weights.npz"), free_port()
            write(weights, "default", classifier.variables)
            temperature, names = classifier.temperature, json.dumps(classifier.class_names)
            peer = Server(PEER, port, arguments.peer, "peer_service_pytorch.py", weights, temperature, port, names)
            lines += ["", *beside([ours, peer], asked, arguments.rounds, min(arguments.seconds, 10))]
            lines.append(f"the peer: {versions_of(arguments.peer, 'torch', 'fastapi', 'uvicorn', 'pillow')}")
            peer.close()
    lines.append(f"{OURS} ended by SIGTERM with status {ours.close()}")
    packages = ("numpy", "onnxruntime", "starlette", "uvicorn", "httptools")
    keep("service_hostile" if arguments.hostile else "service", lines, *packages)


if __name__ == "__main__":
    main()
