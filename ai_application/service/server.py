"""The HTTP server: it closes connections that keep it waiting, and answers accepted requests before it ends."""

import asyncio
import contextlib
import ctypes
import math
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ai_library import InputError

from ..signals import SIGNALS
from .limits import Limits

_GRACE_SECONDS = 1.0
"""Idle connections stay open so long when the server ends: a request may be on its way."""
_MOST_HEADERS = 16 * 1024
"""Bytes that a connection may send before they make the head of a request, or a part of its body."""
_MOST_AHEAD = 16
"""Requests that a connection may send before the first of them is answered."""
_BACKLOG = 2048
_SO_ATTACH_FILTER, _RETURN = 26, 6
"""Linux only: the socket option, and the filter instruction (linux/filter.h)."""


def listening(host: str, port: int) -> socket.socket:
    """Returns a listening socket. Raises `InputError` if the address cannot be used."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # Accepted connections inherit it; asyncio sets it only on sockets that name their protocol. Without it, the
        # body of an answer is sent only after its head was acknowledged, up to 40 ms later.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host}, port {port}: {reason}: choose another one") from error


def run(app: Starlette, listener: socket.socket, limits: Limits) -> None:
    """Serves an application until a signal ends it.

    If warming up a model fails, the server ends and raises the error: it could never be ready.
    """
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=_protocol(limits),
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=math.ceil(limits.idle_seconds),
        timeout_graceful_shutdown=math.ceil(limits.finish_seconds),
    )
    _Server(config).run(sockets=[listener])
    if error := _failure(app):
        raise error


def _failure(app):
    """The error of warming up a model, or None."""
    warming = app.state.warming
    return warming.exception() if warming.done() and not warming.cancelled() else None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end the server. This is a normal end, so they are not raised again afterwards."""
        heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self.handle_exit) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or _failure(self.config.app) is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers the accepted requests, and ends. Each answer from here on closes its connection."""
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        for connection in state.connections:
            if isinstance(connection, HttpToolsProtocol) and connection.cycle is not None:
                connection.cycle.default_headers = state.default_headers
        # Closing the socket would reset connections in its backlog: they are established, but not yet accepted here.
        for listener in sockets or []:
            _let_none_in(listener)
        left = [connection for listener in sockets or [] for connection in _taken(listener)]
        for server in self.servers:
            server.close()
        for connection in left:
            await asyncio.get_running_loop().connect_accepted_socket(self._connection, connection)
        await super().shutdown(sockets)

    def _connection(self):
        create = self.config.http_protocol_class
        return create(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # pyright: ignore[reportCallIssue]


def _let_none_in(listener):
    """On Linux, makes a socket drop requests for new connections.

    The client's system tries again a second later, when nobody listens. Otherwise a connection could be established
    after the last one was accepted and before the socket is closed.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 0))  # keeps 0 bytes of each packet
        with contextlib.suppress(OSError):
            filter_of_one = struct.pack("HP", 1, ctypes.addressof(program))
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_of_one)


def _taken(listener):
    """Accepts the connections in the backlog of a socket."""
    with contextlib.suppress(OSError):  # the backlog is empty
        while True:
            yield listener.accept()[0]


def _protocol(limits):
    """The protocol of each connection.

    The server may wait for a connection: for a request, for the rest of one, or until the client reads its answer.
    Such a connection is closed after a time. If there are too many connections, the one that has kept the server
    waiting for longest is closed at once.
    """
    waited_for: dict[Any, asyncio.TimerHandle] = {}  # in the order in which the waiting began

    class Protocol(HttpToolsProtocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self._incomplete = 0
            self._wait(limits.idle_seconds)
            if len(self.connections) > limits.max_connections:
                longest = next(iter(waited_for))
                longest._wait_no_longer()
                longest.transport.abort()

        def connection_lost(self, exc):
            self._wait_no_longer()
            super().connection_lost(exc)

        def data_received(self, data):
            before = self.cycle
            self._incomplete += len(data)
            super().data_received(data)
            if self._incomplete > _MOST_HEADERS and not self.transport.is_closing():
                self.send_400_response("Too long a head.")
            if self.cycle is None or self.cycle.response_complete or self.flow.write_paused:
                return
            if not self.cycle.more_body:
                self._wait_no_longer()
            elif self.cycle is not before:  # the reader of the body times out before that
                self._wait(limits.body_seconds + _GRACE_SECONDS)

        def on_headers_complete(self):
            self._incomplete = 0
            if len(self.pipeline) == _MOST_AHEAD:
                raise ValueError("too many requests at once")  # which the parser answers by a 400
            super().on_headers_complete()

        def on_body(self, body):
            self._incomplete = 0
            super().on_body(body)

        def on_message_complete(self):
            self._incomplete = 0
            super().on_message_complete()

        def on_response_complete(self):
            super().on_response_complete()
            if self.cycle.response_complete:  # no pipelined request has started
                self._wait(limits.idle_seconds)

        def shutdown(self):
            if self in waited_for:
                self.loop.call_later(_GRACE_SECONDS, super().shutdown)
            else:
                super().shutdown()

        def _wait(self, seconds):
            self._wait_no_longer()
            unsent = self.transport.get_write_buffer_size()
            waited_for[self] = self.loop.call_later(seconds, self._waited, seconds, unsent)

        def _waited(self, seconds, unsent):
            if self.transport.get_write_buffer_size() < unsent:  # the client reads its answer, if slowly
                self._wait(seconds)
            else:
                self.transport.abort()

        def _wait_no_longer(self):
            if timer := waited_for.pop(self, None):
                timer.cancel()

    return Protocol
