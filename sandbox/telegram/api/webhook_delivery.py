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
from sandbox.telegram.state.bots import BotAccount, WebhookConfig
from sandbox.telegram.state.update_queue import PendingUpdate, UpdateQueue

Execute = Callable[[BotAccount, str, Json], Awaitable[None]]
"""Carries out a method that a webhook's response names, with its parameters."""

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

    def __init__(
        self, queue: UpdateQueue, session: ClientSession, background: BackgroundTasks, execute: Execute
    ) -> None:
        """Prepare the delivery; it starts with ``start``.

        Args:
            queue: The bot's updates.
            session: Sends the requests.
            background: Owns the tasks that deliver.
            execute: Carries out a method that is named in a webhook's response.
        """
        self._queue = queue
        self._session = session
        self._background = background
        self._execute = execute
        self._config: WebhookConfig | None = None
        self._lanes: dict[int, deque[PendingUpdate]] = {}
        self._connections = asyncio.Semaphore(0)
        self.last_error: tuple[int, str] | None = None
        queue.on_put = self._enqueue

    def start(self, config: WebhookConfig) -> None:
        """Deliver to a webhook from now on, beginning with the updates in the queue."""
        self.stop()
        self._config = config
        self._connections = asyncio.Semaphore(config["max_connections"])
        self.last_error = None
        for pending in self._queue.pending():
            self._enqueue(pending)

    def stop(self) -> None:
        """Stop delivering; updates wait for ``getUpdates`` or another webhook."""
        self._config = None
        self._lanes = {}

    def _enqueue(self, pending: PendingUpdate) -> None:
        if self._config is None:
            return
        if pending.lane in self._lanes:
            self._lanes[pending.lane].append(pending)
            return
        self._lanes[pending.lane] = deque((pending,))
        self._background.spawn(self._run_lane(self._config, pending.lane), f"webhook lane {pending.lane}")

    async def _run_lane(self, config: WebhookConfig, key: int) -> None:
        """Deliver updates one after the other, each until it is accepted or the webhook has changed."""
        lanes, pause = self._lanes, 0.0
        while self._lanes is lanes and (lane := lanes[key]):
            async with self._connections:
                problem, answer = await self._post(config, json.dumps(lane[0].update).encode())
            if problem is None:
                pause = 0.0
                self._queue.confirm(lane.popleft())
                await self._execute_reply(answer)
            else:
                self.last_error = (int(time.time()), problem)
                pause = min(max(pause * 2, _FIRST_RETRY_SECONDS), _MAX_RETRY_SECONDS)
                await asyncio.sleep(pause)
        del lanes[key]

    async def _post(self, config: WebhookConfig, body: bytes) -> tuple[str | None, bytes]:
        """Send an update; returns what went wrong, if anything, and the body of the response."""
        headers = {"Content-Type": "application/json"}
        if config["secret_token"]:
            headers["X-Telegram-Bot-Api-Secret-Token"] = config["secret_token"]
        try:
            timeout = ClientTimeout(total=_RESPONSE_TIMEOUT_SECONDS)
            async with self._session.post(config["url"], data=body, headers=headers, timeout=timeout) as answer:
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
            method = str(call.pop("method"))
        except (ValueError, AttributeError, TypeError, KeyError):  # anything but a call, or nothing
            return
        if method.lower() not in _FORBIDDEN_IN_REPLY and not method.lower().startswith("get"):
            await self._execute(self._queue.bot, method, call)
