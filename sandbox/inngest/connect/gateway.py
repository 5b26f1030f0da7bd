"""The state of the Connect gateway: connected workers, and the calls that they have leased.

A call belongs to its lease and not to the connection: the worker may answer over another connection, or by
``POST /v0/connect/flush``. Source: ``grpcConnector.Proxy``, ``routing.GetRoute`` and ``lua/extend_lease.lua`` under
``pkg/connect`` of inngest/inngest.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from inngest.connect._internal import connect_pb2 as pb

from sandbox.inngest.clock import Clock
from sandbox.inngest.events import ulid
from sandbox.inngest.functions.config import Registration

_MAX_FORWARDS: Final = 3
_LEASE_GRACE: Final = 1 / 24  # of a lease: consts.ConnectWorkerRequestGracePeriod is 5 s of 2 minutes
_DRAIN_CHECKS: Final = 10  # one per second, until a draining connection is replaced


class NoWorkerReply(Exception):
    """No worker answered; the message is the one of the real server."""


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, slots=True)
class Worker:
    """One connection of an app's process.

    Attributes:
        apps: The apps' names by the ids of their functions.
        unavailable: Done when the worker takes no more calls: it is pausing, being drained, or disconnected.
    """

    connection_id: str
    instance_id: str
    apps: dict[str, str]
    socket: web.WebSocketResponse
    unavailable: asyncio.Future[None] = field(default_factory=_future)

    def mark_unavailable(self) -> None:
        """Send no more calls to the worker."""
        if not self.unavailable.done():
            self.unavailable.set_result(None)

    async def send(self, kind: pb.GatewayMessageType, payload: bytes = b"") -> None:
        """Send a message; raises ConnectionError when the connection is lost."""
        await self.socket.send_bytes(pb.ConnectMessage(kind=kind, payload=payload).SerializeToString())


@dataclass(eq=False, slots=True)
class _Call:
    lease_id: str
    lease_ends: float
    previous_lease_id: str = ""
    acked: asyncio.Future[None] = field(default_factory=_future)
    reply: asyncio.Future[pb.SDKResponse] = field(default_factory=_future)


class Gateway:
    """Connected workers and running calls.

    Attributes:
        register: Registers the functions of an app that a worker brings.
        session_token: What workers must present when they connect.
        port: The port of the gateway.
        draining: Whether new workers are refused.
        workers: The connected workers.
    """

    def __init__(self, clock: Clock, register: Callable[[Registration], bool]) -> None:
        """Start without workers; the clock tells how long a lease is."""
        self.register = register
        self.session_token = secrets.token_urlsafe()
        self.port = 0
        self.draining = False
        self._clock = clock
        self.workers: set[Worker] = set()
        self._calls: dict[str, _Call] = {}

    @property
    def extend_lease_seconds(self) -> int:
        """How often workers must extend a lease, in seconds; the SDKs read only whole ones."""
        return max(1, round(self._lease_seconds / 4))

    @property
    def _lease_seconds(self) -> float:
        return self._clock.lease_seconds / self._clock.speed

    @contextmanager
    def connected(self, worker: Worker) -> Iterator[None]:
        """Send calls to the worker inside the block."""
        self.workers.add(worker)
        try:
            yield
        finally:
            self.workers.discard(worker)
            worker.mark_unavailable()

    async def drain(self) -> None:
        """Ask every worker to connect elsewhere, and refuse new ones until ``activate``."""
        self.draining = True
        for worker in list(self.workers):
            worker.mark_unavailable()
            with suppress(ConnectionError):  # it has already disconnected
                await worker.send(pb.GatewayMessageType.GATEWAY_CLOSING)

    def activate(self) -> None:
        """Accept workers again after ``drain``."""
        self.draining = False

    async def call(self, request: pb.GatewayExecutorRequestData) -> pb.SDKResponse:
        """Send a request to a worker and wait for its reply.

        Args:
            request: The call; the gateway fills in the lease and the app's name.

        Raises:
            NoWorkerReply: When no worker is connected, or the lease of the one that had the request has expired.
        """
        call = _Call(ulid(), time.monotonic() + self._lease_seconds)
        self._calls[request.request_id] = call
        request.lease_id = call.lease_id
        try:
            await self._forward(request, call)
        except NoWorkerReply:
            del self._calls[request.request_id]
            raise
        grace = self._lease_seconds * _LEASE_GRACE
        while not call.reply.done() and (left := call.lease_ends + grace - time.monotonic()) > 0:
            await asyncio.wait({call.reply}, timeout=left)
        if not call.reply.done():  # the call stays known: a late worker may still extend and answer
            raise NoWorkerReply("connect_worker_stopped_responding: The worker stopped responding to the request.")
        return call.reply.result()

    def acknowledge(self, request_id: str) -> None:
        """Note that a worker has accepted a call."""
        call = self._calls.get(request_id)
        if call is not None and not call.acked.done():
            call.acked.set_result(None)

    def extend(self, request_id: str, lease_id: str) -> str | None:
        """Extend a lease.

        Args:
            request_id: The call.
            lease_id: The current lease, or the one before it when its extension was not received.

        Returns:
            The new lease's id; None when the call has ended or the lease belongs to another worker.
        """
        call = self._calls.get(request_id)
        if call is None:
            return None
        if call.previous_lease_id == lease_id:  # a repeated request: the response was lost with the connection
            return call.lease_id
        if call.lease_id != lease_id and call.lease_ends > time.monotonic():
            return None
        call.previous_lease_id, call.lease_id = call.lease_id, ulid()
        call.lease_ends = time.monotonic() + self._lease_seconds
        return call.lease_id

    def receive_reply(self, response: pb.SDKResponse) -> None:
        """Take a worker's reply to a call, for which the executor may no longer be waiting."""
        call = self._calls.pop(response.request_id, None)
        if call is not None and not call.reply.done():
            call.reply.set_result(response)

    async def _forward(self, request: pb.GatewayExecutorRequestData, call: _Call) -> None:
        for _ in range(_MAX_FORWARDS):
            worker = await self._route(request.function_slug)
            request.app_name = worker.apps[request.function_slug]
            try:
                await worker.send(pb.GatewayMessageType.GATEWAY_EXECUTOR_REQUEST, request.SerializeToString())
            except ConnectionError:
                continue
            await asyncio.wait(
                {call.acked, worker.unavailable},
                timeout=self._lease_seconds * (1 + _LEASE_GRACE),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if call.acked.done():
                return
        raise NoWorkerReply("failed to route request to gateway")

    async def _route(self, function_id: str) -> Worker:
        for _ in range(_DRAIN_CHECKS):
            candidates = [worker for worker in self.workers if function_id in worker.apps]
            if ready := [worker for worker in candidates if not worker.unavailable.done()]:
                return random.choice(ready)
            if not candidates:
                break
            await asyncio.sleep(1 / self._clock.speed)
        raise NoWorkerReply("connect_no_healthy_connection: Could not find a healthy connection")
