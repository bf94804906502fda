"""The server: connections that keep it waiting are closed, and a signal ends it after what was begun is done."""

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
"""For which idle connections stay open when the server ends: a request may be on its way."""
_MOST_HEADERS = 16 * 1024
"""Bytes that a connection may send before they make the head of a request, or a part of its body."""
_MOST_AHEAD = 16
"""Requests that a connection may send before the first of them is answered."""
_BACKLOG = 2048
_SO_ATTACH_FILTER, _RETURN = 26, 6
"""Of Linux: the option of a socket, and the instruction of its filters (linux/filter.h)."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `InputError` where the address can't be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # What it accepts has this too; asyncio sets it only on sockets that name their protocol. Without it the body of
        # an answer waits for 40 ms until its head is acknowledged.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host}, port {port}: {reason}: choose another one") from error


def run(app: Starlette, listener: socket.socket, limits: Limits) -> None:
    """Serves an application until a signal asks for the end.

    Raises what came of the warming up of a model, if that failed: it could never be ready.
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
    """Why a model cannot be warmed up, or None."""
    warming = app.state.warming
    return warming.exception() if warming.done() and not warming.cancelled() else None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Lets the signals end the server. It is its normal end, after which they are not raised again."""
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
        """Ends after what was begun is answered. Every answer from here on tells its client to connect anew."""
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        for connection in state.connections:
            if isinstance(connection, HttpToolsProtocol) and connection.cycle is not None:
                connection.cycle.default_headers = state.default_headers
        # The system has accepted connections that nobody took from it yet, which closing its socket would reset.
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
    """Lets a socket, where Linux can, drop what asks for a new connection.

    Its client asks again a second later, when nobody listens: otherwise one could come between the last that is taken
    and the end of the socket.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 0))  # nothing of a packet
        with contextlib.suppress(OSError):
            filter_of_one = struct.pack("HP", 1, ctypes.addressof(program))
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_of_one)


def _taken(listener):
    """The connections that wait at a socket."""
    with contextlib.suppress(OSError):  # none does any more
        while True:
            yield listener.accept()[0]


def _protocol(limits):
    """The protocol of each connection.

    Connections that keep the server waiting, for a request, for the rest of one or until they take their answer, are
    closed after a time; where there are too many, at once, beginning with the one that it has waited for longest.
    """
    waited_for: dict[Any, asyncio.TimerHandle] = {}  # in the order in which that began

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
            elif self.cycle is not before:  # who reads the body answers before that
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
            if self.cycle.response_complete:  # no other request had come already
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
            if self.transport.get_write_buffer_size() < unsent:  # it takes its answer, if slowly
                self._wait(seconds)
            else:
                self.transport.abort()

        def _wait_no_longer(self):
            if timer := waited_for.pop(self, None):
                timer.cancel()

    return Protocol
