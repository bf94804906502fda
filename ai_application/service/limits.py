"""Limits on what clients may use, and the reading of bodies within them."""

import asyncio
import zlib
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

MB = 2**20


@dataclass(frozen=True)
class Limits:
    """The limits of the service. The help of each names the status of a request beyond it."""

    max_body: int = field(
        default=16 * MB, metadata={"help": "most bytes of a request's body, as sent and decompressed; 413 beyond"}
    )
    max_bodies: int = field(default=256 * MB, metadata={"help": "most bytes of all bodies in memory; 503 beyond"})
    max_waiting: int = field(
        default=4096,
        metadata={"help": "most images that wait for a model (429 beyond), or are in one request (413 beyond)"},
    )
    max_connections: int = field(
        default=512,
        metadata={"help": "most open connections; beyond, the one that has been idle for longest is closed"},
    )
    body_seconds: float = field(default=30.0, metadata={"help": "seconds in which a body must arrive; 408 beyond"})
    idle_seconds: float = field(default=20.0, metadata={"help": "seconds that a connection may be idle"})
    finish_seconds: float = field(
        default=8.0, metadata={"help": "seconds for answering accepted requests after SIGTERM; 503 beyond"}
    )


class RefusedError(Exception):
    """A request is refused: the status, the message for the client, and headers."""

    def __init__(self, status: int, told: str, **headers: str):
        super().__init__(told)
        self.status, self.told, self.headers = status, told, {k.replace("_", "-"): v for k, v in headers.items()}


class Bodies:
    """Reads the bodies of requests, and counts their bytes in memory."""

    def __init__(self, limits: Limits):
        self._limits, self._held = limits, 0

    def holding(self) -> "_Held":
        """A context for one request; at its end, the body's bytes no longer count."""
        return _Held(self)

    async def read(self, request: Request, held: "_Held") -> bytes:
        """The body of a request, decompressed if necessary. Raises `RefusedError` beyond a limit."""
        most, parts, size = self._limits.max_body, [], 0
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > most:
            raise RefusedError(413, f"the body has {int(declared):,} bytes, and at most {most:,} are taken")
        unpack = _unpacking(request.headers.get("content-encoding", "identity").strip().lower(), most)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > most:
                        raise RefusedError(413, f"the body has more than the {most:,} bytes that are taken")
                    held.take(len(chunk))
                    parts.append(chunk)
        except TimeoutError:
            raise RefusedError(408, f"the body did not arrive within {self._limits.body_seconds:g} seconds") from None
        except ClientDisconnect:
            raise RefusedError(400, "the client left before its body was there") from None
        body = unpack(b"".join(parts))
        held.take(max(0, len(body) - size))
        return body

    def take(self, size: int) -> None:
        """Counts bytes as in memory. Raises `RefusedError` if all requests together then have too many."""
        if self._held + size > self._limits.max_bodies:
            raise RefusedError(503, "too many bodies at once: try again", retry_after="1")
        self._held += size

    def give_back(self, size: int) -> None:
        """Counts bytes as freed."""
        self._held -= size


class _Held:
    def __init__(self, bodies):
        self._bodies, self._size = bodies, 0

    def take(self, size):
        self._bodies.take(size)
        self._size += size

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bodies.give_back(self._size)


def _unpacking(encoding, most):
    """A function that decompresses a body of this encoding, to at most so many bytes."""
    if encoding == "identity":
        return lambda body: body
    if encoding not in ("gzip", "deflate"):
        raise RefusedError(415, f"the encoding must be identity, gzip or deflate, got {encoding[:40]!r}")

    def unpack(body):
        unpacking = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # gzip or zlib
        try:
            whole = unpacking.decompress(body, most + 1)
        except zlib.error:
            raise RefusedError(400, f"the body is not what {encoding} writes") from None
        if len(whole) > most:
            raise RefusedError(413, f"the body unpacks to more than the {most:,} bytes that are taken")
        if not unpacking.eof or unpacking.unused_data:
            raise RefusedError(400, f"the body is not what {encoding} writes: its end is missing, or not the body's")
        return whole

    return unpack
