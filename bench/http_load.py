"""Call a server as Inngest does, over connections that stay open, at almost no cost.

An HTTP client would take more CPU than the servers it measures, so this one writes prepared bytes and reads only
the status and the length of a response.
"""

import asyncio
import time
from typing import Final, cast

_END: Final = b"\r\n\r\n"


class UnexpectedResponse(RuntimeError):
    """A server responded with something other than the step's result."""


class Connection(asyncio.Protocol):
    """One connection: sends the request, and again after each response, until the time is over."""

    def __init__(self, request: bytes, expected: bytes, ends: float) -> None:
        self._request, self._expected, self._ends = request, expected, ends
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self.answered = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        head, found, body = self._received.partition(_END)
        if not found or len(body) < _length_of(head):
            return
        if not head.startswith(b"HTTP/1.1 206 ") or self._expected not in body:
            self._end(UnexpectedResponse(self._received.decode(errors="replace")))
            return
        self._received = b""
        self.answered += 1
        if time.monotonic() < self._ends:
            self._transport.write(self._request)
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or UnexpectedResponse("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)
        if self._transport is not None:
            self._transport.close()


def _length_of(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


async def call_repeatedly(port: int, request: bytes, expected: bytes, seconds: float, connections: int) -> int:
    """Call as often as the server responds. Returns how many calls; raises UnexpectedResponse or OSError."""
    loop, ends = asyncio.get_running_loop(), time.monotonic() + seconds
    made = [
        (await loop.create_connection(lambda: Connection(request, expected, ends), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.over for connection in made))
    return sum(connection.answered for connection in made)
