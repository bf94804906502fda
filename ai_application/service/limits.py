"""What a client may take of the service, and how a body is read within it."""

import asyncio
import zlib
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

MB = 2**20


@dataclass(frozen=True)
class Limits:
    """The bounds of the service. Who goes beyond one is answered by the status that is named with it."""

    max_body: int = field(default=16 * MB, metadata={"help": "bytes of a request's body, as sent and unpacked (413)"})
    max_bodies: int = field(default=256 * MB, metadata={"help": "bytes of all bodies that are held at once (503)"})
    max_waiting: int = field(
        default=4096, metadata={"help": "images that wait for a model (429), or come in a request (413)"}
    )
    max_connections: int = field(
        default=512, metadata={"help": "open connections; of more, the one that has said nothing for longest is closed"}
    )
    body_seconds: float = field(default=30.0, metadata={"help": "in which a body has to arrive (408)"})
    idle_seconds: float = field(default=20.0, metadata={"help": "for which a connection may ask nothing"})
    finish_seconds: float = field(default=8.0, metadata={"help": "for finishing what was begun, after SIGTERM"})


class RefusedError(Exception):
    """A request that is answered by an error: its status, what the client is told, and headers."""

    def __init__(self, status: int, told: str, **headers: str):
        super().__init__(told)
        self.status, self.told, self.headers = status, told, {k.replace("_", "-"): v for k, v in headers.items()}


class Bodies:
    """Reads the bodies of requests, and knows how many bytes of them are held."""

    def __init__(self, limits: Limits):
        self._limits, self._held = limits, 0

    def holding(self) -> "_Held":
        """A context in which one request holds its body."""
        return _Held(self)

    async def read(self, request: Request, held: "_Held") -> bytes:
        """The body of a request, unpacked where it is compressed. Raises `RefusedError`."""
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
        """Counts bytes that are held from now on. Raises `RefusedError` where these are too many for all requests."""
        if self._held + size > self._limits.max_bodies:
            raise RefusedError(503, "too many bodies at once: try again", retry_after="1")
        self._held += size

    def give_back(self, size: int) -> None:
        """Counts bytes that are held no longer."""
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
    """What unpacks a body of an encoding to a number of bytes at most."""
    if encoding == "identity":
        return lambda body: body
    if encoding not in ("gzip", "deflate"):
        raise RefusedError(415, f"the encoding must be identity, gzip or deflate, got {encoding[:40]!r}")

    def unpack(body):
        unpacking = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # of either kind
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
