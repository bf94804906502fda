"""Observes the requests: a log line for each, and metrics for Prometheus."""

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ai_library.files.text import escaped

_TOGETHER = 32
"""Most lines of one write, so that its bytes stay together in a pipe."""
_GATHER_SECONDS = 0.005


class Lines:
    """Writes lines to a file descriptor in a thread of its own, so that a slow reader does not block the service.

    Lines that cannot be written are dropped, and so are new lines while `most` lines wait.
    """

    def __init__(self, descriptor: int, most: int = 10_000):
        self._descriptor, self._lines = descriptor, queue.Queue(most)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def __call__(self, line: str) -> None:
        """Queues a line, or drops it if too many wait."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(line)

    def close(self, seconds: float = 1.0) -> None:
        """Waits at most `seconds` until the remaining lines are written."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=seconds)
        self._thread.join(seconds)

    def _write(self):
        lines = []
        while None not in lines:
            lines = [self._lines.get()]
            time.sleep(_GATHER_SECONDS)
            with contextlib.suppress(queue.Empty):
                while None not in lines and len(lines) < _TOGETHER:
                    lines.append(self._lines.get_nowait())
            text = "".join(f"{escaped(line)}\n" for line in lines if line is not None)
            with contextlib.suppress(OSError):
                os.write(self._descriptor, text.encode())


class Metrics:
    """The metrics of the service, in a registry of their own."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.requests = Counter("ai_requests", "Requests", ["method", "path", "status"], registry=self.registry)
        self.seconds = Histogram("ai_request_seconds", "Time to the answer", ["path"], registry=self.registry)
        self.running = Gauge("ai_requests_running", "Requests that wait for their answer", registry=self.registry)
        self.batch_images = Histogram(
            "ai_batch_images",
            "Images that went through the network together",
            ["model"],
            buckets=[2**power for power in range(8)],
            registry=self.registry,
        )


class Observed:
    """Counts and logs each request. The log line has no text from the client.

    A request that the ending server gives up gets status 503.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, log: Callable[[str], None]):
        self._app, self._metrics, self._log = app, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request (the ASGI interface)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def sending(message: Message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        with self._metrics.running.track_inprogress():
            try:
                await self._app(scope, receive, sending)
            except asyncio.CancelledError:  # by the server, which ends, when its time for answers is over
                if not status:
                    error = {"error": "the service ends before this request is answered: try again"}
                    await JSONResponse(error, 503, {"retry-after": "1"})(scope, receive, sending)
            finally:
                seconds = time.perf_counter() - begun
                path = getattr(scope.get("route"), "path", "-")  # as declared, not what the client wrote
                method = scope["method"] if scope["method"] in HTTPMethod.__members__ else "-"
                self._metrics.requests.labels(method, path, status).inc()
                self._metrics.seconds.labels(path).observe(seconds)
                self._log(f"{method} {path} {status or 'no answer'} {1000 * seconds:.1f} ms")
