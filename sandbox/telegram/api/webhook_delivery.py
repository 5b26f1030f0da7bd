"""Delivery of updates to a webhook, as Telegram does it.

Updates of one chat are sent strictly in order, each only after the one before was answered with 2xx; chats do
not wait for each other. A failed delivery is repeated with growing pauses.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import ClientError, ClientSession, ClientTimeout

from sandbox.background import BackgroundTasks
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import WebhookConfig
from sandbox.telegram.state.update_queue import PendingUpdate, UpdateQueue

Execute = Callable[[int, str, Json], Awaitable[None]]
"""Carries out a method that a webhook's response names: bot id, method, parameters."""

_FIRST_RETRY_SECONDS = 0.2
_MAX_RETRY_SECONDS = 15.0
_RESPONSE_TIMEOUT_SECONDS = 60.0
_FORBIDDEN_IN_REPLY = ("deletewebhook", "setwebhook", "close", "logout")


class WebhookDelivery:
    """Delivers one bot's updates to its webhook, while it has one.

    Attributes:
        last_error: When the last delivery failed, in seconds since the epoch, and why; as ``getWebhookInfo``
            shows it.
    """

    def __init__(self, queue: UpdateQueue, background: BackgroundTasks, execute: Execute) -> None:
        """Prepare the delivery; it starts with ``start``.

        Args:
            queue: The bot's updates.
            background: Owns the tasks that deliver.
            execute: Carries out a method that is named in a webhook's response.
        """
        self._queue = queue
        self._background = background
        self._execute = execute
        self._config: WebhookConfig | None = None
        self._session: ClientSession | None = None
        self._lanes: dict[int, deque[PendingUpdate]] = {}
        self._connections = asyncio.Semaphore(40)
        self._generation = 0
        self.last_error: tuple[int, str] | None = None
        queue.on_put = self._enqueue

    def start(self, config: WebhookConfig, session: ClientSession) -> None:
        """Deliver to a webhook from now on, beginning with the updates in the queue."""
        self.stop()
        self._config, self._session = config, session
        self._connections = asyncio.Semaphore(max(1, config.max_connections))
        self.last_error = None
        for pending in self._queue.pending():
            self._enqueue(pending)

    def stop(self) -> None:
        """Stop delivering; updates wait for ``getUpdates`` or another webhook."""
        self._generation += 1
        self._config = None
        self._lanes = {}

    def _enqueue(self, pending: PendingUpdate) -> None:
        if self._config is None:
            return
        lane = self._lanes.get(pending.lane)
        if lane is not None:
            lane.append(pending)
            return
        self._lanes[pending.lane] = deque((pending,))
        self._background.spawn(self._run_lane(pending.lane, self._generation), f"webhook lane {pending.lane}")

    async def _run_lane(self, key: int, generation: int) -> None:
        while generation == self._generation:
            lane = self._lanes[key]
            if not lane:
                del self._lanes[key]
                return
            if await self._deliver(lane[0], generation) and generation == self._generation:
                lane.popleft()

    async def _deliver(self, pending: PendingUpdate, generation: int) -> bool:
        """Send one update until it is accepted; False when the webhook has changed meanwhile."""
        body = json.dumps(pending.update).encode()
        pause = 0.0
        while generation == self._generation and self._config is not None:
            async with self._connections:
                problem, answer = await self._post(self._config, body)
            if problem is None:
                self._queue.confirm(pending)
                if answer:
                    await self._execute_reply(answer)
                return True
            self.last_error = (int(time.time()), problem)
            pause = min(max(pause * 2, _FIRST_RETRY_SECONDS), _MAX_RETRY_SECONDS)
            await asyncio.sleep(pause)
        return False

    async def _post(self, config: WebhookConfig, body: bytes) -> tuple[str | None, bytes]:
        headers = {"Content-Type": "application/json"}
        if config.secret_token:
            headers["X-Telegram-Bot-Api-Secret-Token"] = config.secret_token
        if self._session is None:
            return "Connection refused", b""
        try:
            timeout = ClientTimeout(total=_RESPONSE_TIMEOUT_SECONDS)
            async with self._session.post(config.url, data=body, headers=headers, timeout=timeout) as answer:
                content = await answer.read()
                if 200 <= answer.status <= 299:
                    return None, content
                return f"Wrong response from the webhook: {answer.status} {answer.reason}", b""
        except TimeoutError:
            return "Read timeout expired", b""
        except (ClientError, OSError) as error:
            return f"Connection failed: {error}", b""

    async def _execute_reply(self, content: bytes) -> None:
        """Carry out the method that a bot's response may contain.

        See https://core.telegram.org/bots/api#making-requests-when-getting-updates.
        """
        try:
            call = json.loads(content)
        except ValueError:
            return
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            return
        method = str(call.pop("method"))
        if method.lower() not in _FORBIDDEN_IN_REPLY and not method.lower().startswith("get"):
            await self._execute(self._queue.bot.id, method, call)
