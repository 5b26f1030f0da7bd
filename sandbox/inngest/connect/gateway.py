"""The Connect gateway's inside: which workers are connected, and calls handed to them under a lease.

Truth: ``grpcConnector.Proxy``, ``routing.GetRoute`` and ``lua/extend_lease.lua`` under ``pkg/connect`` of
inngest/inngest. A call belongs to its lease and not to the connection: the worker may answer over another one,
or by POST /v0/connect/flush.
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
_DRAIN_CHECKS: Final = 10  # one a second, for the replacement of a draining connection


class NoWorkerReply(Exception):
    """No worker answered; the text is the server's own."""


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, slots=True)
class Worker:
    """One connection of an app's process."""

    connection_id: str
    instance_id: str
    apps: dict[str, str]
    """The app's name, by function id."""
    socket: web.WebSocketResponse
    unavailable: asyncio.Future[None] = field(default_factory=_future)
    """Done when it takes no more calls: paused, told to go elsewhere, or gone."""

    def mark_unavailable(self) -> None:
        """Give it no more calls."""
        if not self.unavailable.done():
            self.unavailable.set_result(None)

    async def send(self, kind: pb.GatewayMessageType, payload: bytes = b"") -> None:
        """Raises ConnectionError when the line is cut."""
        await self.socket.send_bytes(pb.ConnectMessage(kind=kind, payload=payload).SerializeToString())


@dataclass(eq=False, slots=True)
class _Call:
    lease_id: str
    lease_ends: float
    previous_lease_id: str = ""
    acked: asyncio.Future[None] = field(default_factory=_future)
    reply: asyncio.Future[pb.SDKResponse] = field(default_factory=_future)


class Gateway:
    """Workers and calls under way.

    Args:
        pace: How long a lease is.
        register: Takes over an app's functions.
    """

    def __init__(self, clock: Clock, register: Callable[[Registration], bool]) -> None:
        self.register = register
        self.session_token = secrets.token_urlsafe()
        self.port = 0
        self.draining = False
        self._clock = clock
        self.workers: set[Worker] = set()
        self._calls: dict[str, _Call] = {}

    @property
    def extend_lease_seconds(self) -> int:
        """How often workers must extend a lease; the SDKs read whole seconds only."""
        return max(1, round(self._lease_seconds / 4))

    @property
    def _lease_seconds(self) -> float:
        return self._clock.lease_seconds / self._clock.speed

    @contextmanager
    def connected(self, worker: Worker) -> Iterator[None]:
        """Give the worker calls inside the block."""
        self.workers.add(worker)
        try:
            yield
        finally:
            self.workers.discard(worker)
            worker.mark_unavailable()

    async def drain(self) -> None:
        """Send every worker elsewhere and take no new ones until activate()."""
        self.draining = True
        for worker in list(self.workers):
            worker.mark_unavailable()
            with suppress(ConnectionError):  # gone already
                await worker.send(pb.GatewayMessageType.GATEWAY_CLOSING)

    def activate(self) -> None:
        """End draining."""
        self.draining = False

    async def call(self, request: pb.GatewayExecutorRequestData) -> pb.SDKResponse:
        """Have a worker do the request, and wait for its answer.

        Raises:
            NoReply: When no worker is there, or the one that had the request let its lease lapse.
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
        """A worker has taken the call."""
        call = self._calls.get(request_id)
        if call is not None and not call.acked.done():
            call.acked.set_result(None)

    def extend(self, request_id: str, lease_id: str) -> str | None:
        """The new lease's id; None when the lease is over or somebody else's."""
        call = self._calls.get(request_id)
        if call is None:
            return None
        if call.previous_lease_id == lease_id:  # asked again, as the answer was lost with its connection
            return call.lease_id
        if call.lease_id != lease_id and call.lease_ends > time.monotonic():
            return None
        call.previous_lease_id, call.lease_id = call.lease_id, ulid()
        call.lease_ends = time.monotonic() + self._lease_seconds
        return call.lease_id

    def receive_reply(self, response: pb.SDKResponse) -> None:
        """A worker has done the call; nobody may wait for it any more."""
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
