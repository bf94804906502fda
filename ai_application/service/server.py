"""The server: connections that say nothing are closed, and SIGTERM ends it after what was begun is done."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ai_library import InputError

from .limits import Limits

_GRACE_SECONDS = 1.0
"""For which idle connections stay open when the server ends: a request may be on its way."""
_MOST_HEADERS = 16 * 1024


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `InputError` where the address can't be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InputError(f"cannot listen on {host}, port {port}: {error.strerror}: choose another one") from error


def run(app, listener: socket.socket, limits: Limits) -> None:
    """Serves an ASGI application until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        http=_protocol(limits),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=2048,
        h11_max_incomplete_event_size=_MOST_HEADERS,
        timeout_keep_alive=int(limits.idle_seconds),
        timeout_graceful_shutdown=int(limits.finish_seconds),
    )
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Lets the signals end the server. It is its normal end, after which they are not raised again."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        await super().shutdown(sockets)


def _protocol(limits):
    """The protocol of each connection. Those that have asked nothing are closed after a time, or, where there are too
    many connections, beginning with the one that has waited longest."""
    silent: dict[H11Protocol, asyncio.TimerHandle] = {}  # in the order in which they began to wait

    class Protocol(H11Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self._wait()
            if len(self.connections) > limits.max_connections:
                next(iter(silent)).transport.close()

        def connection_lost(self, exc):
            self._wait_no_longer()
            super().connection_lost(exc)

        def data_received(self, data):
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._wait_no_longer()

        def on_response_complete(self):
            super().on_response_complete()
            if self.cycle.response_complete and not self.transport.is_closing():
                self._wait()

        def shutdown(self):
            if self in silent:
                self.loop.call_later(_GRACE_SECONDS, super().shutdown)
            else:
                super().shutdown()

        def _wait(self):
            self._wait_no_longer()
            silent[self] = self.loop.call_later(limits.idle_seconds, self.transport.close)

        def _wait_no_longer(self):
            if timer := silent.pop(self, None):
                timer.cancel()

    return Protocol
