"""What is told of the requests: a line each, and the figures that Prometheus collects."""

import time
from collections.abc import Callable
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Metrics:
    """The figures, in a registry of their own."""

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
    """Counts each request, and logs a line, which has nothing that its client wrote."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log: Callable[[str], None]):
        self._app, self._metrics, self._log = app, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def sending(message: Message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.running.track_inprogress():
            try:
                await self._app(scope, receive, sending)
            finally:
                seconds = time.perf_counter() - begun
                path = getattr(scope.get("route"), "path", "-")  # as declared, not what the client wrote
                method = scope["method"] if scope["method"] in HTTPMethod.__members__ else "-"
                self._metrics.requests.labels(method, path, status).inc()
                self._metrics.seconds.labels(path).observe(seconds)
                self._log(f"{method} {path} {status or 'no answer'} {1000 * seconds:.1f} ms")
