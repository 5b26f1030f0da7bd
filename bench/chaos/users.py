"""Which user orders what, in the bot's own conversation; it follows from a seed.

Users open the menu, choose a service, send the inputs that it asks for, and tap "Create". When no answer comes they
tap again, and after a while start over. What counts as an order is a tap on "Create".
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bench.chaos.environment import ChaosEnvironment
from services.messaging.buttons import DraftCallback, ServiceCallback
from tests.support.environments.environment import Message, SandboxTelegram
from tests.support.environments.offline import make_photo, make_photos
from tests.support.test_data.audio import beep

SERVICE_WEIGHTS = {
    "text_to_image": 24,
    "image_to_prompt": 16,
    "speech": 16,
    "neuro_image": 8,
    "neuro_image_v2": 8,
    "lip_sync": 8,
    "voice_avatar": 7,
    "image_to_video": 4,
    "text_to_video": 3,
    "model_training": 3,
    "model_training_v2": 3,
}
"""All eleven; videos, which take this machine seconds each, are few."""
TRAINED_BY = {"neuro_image": "model_training", "neuro_image_v2": "model_training_v2"}
_PROMPT_SERVICES = ("text_to_image", "text_to_video", "image_to_video", "neuro_image", "neuro_image_v2")
TRIGGERS = {
    "": 0.86,
    "#slow": 0.03,
    "#fail": 0.04,
    "#nsfw": 0.03,
    "#busy": 0.02,
    "#limit": 0.02,
}
"""Fault triggers in prompts, and how often: see fault_triggers.py. The fake Replicate knows #fail and #nsfw."""
_ALBUM_SHARE = 0.15


@dataclass(frozen=True)
class PlannedOrder:
    """An order that a user wants to make `at` seconds after the start."""

    number: int
    at: float
    user_number: int
    service: str
    trigger: str = ""
    album: bool = False


@dataclass(frozen=True)
class ConfirmTap:
    """A tap on "Create", and the key of its order."""

    key: str
    user_id: int
    planned: PlannedOrder
    at: float
    """Seconds since the epoch."""
    queries: list[str] = field(default_factory=list)
    """The ids of its callback query, and of its repetitions."""


def plan_orders(seed: int, count: int, seconds: float, *, offline: bool, users: int = 0) -> list[PlannedOrder]:
    """The orders by time, the same for the same seed. Users who want images of themselves train a model first."""
    rng = random.Random(f"people {seed}")
    users = users or max(12, count // 12)
    services = list(SERVICE_WEIGHTS) + rng.choices(
        list(SERVICE_WEIGHTS), list(SERVICE_WEIGHTS.values()), k=max(0, count - len(SERVICE_WEIGHTS))
    )
    rng.shuffle(services)
    owners = {
        training: rng.sample(range(users), min(users, services.count(training)))
        for training in TRAINED_BY.values()
    }
    made = []
    for number, service in enumerate(services):
        user = rng.randrange(users)
        at = rng.uniform(0, seconds)
        if service in TRAINED_BY:
            user, at = rng.choice(owners[TRAINED_BY[service]]), rng.uniform(seconds * 0.3, seconds)
        elif service in owners:
            place = services[:number].count(service) % len(owners[service])
            user, at = owners[service][place], rng.uniform(0, seconds * 0.3)
        trigger = rng.choices(list(TRIGGERS), list(TRIGGERS.values()))[0] if service in _PROMPT_SERVICES else ""
        if not offline and trigger in ("#slow", "#busy", "#limit"):
            trigger = ""
        made.append(
            PlannedOrder(
                number, at, user, service, trigger, service == "text_to_image" and rng.random() < _ALBUM_SHARE
            )
        )
    return sorted(made, key=lambda order: order.at)[:count]


@cache
def _voice() -> bytes:
    return beep(1.0)


@cache
def _photos() -> list[bytes]:
    return make_photos()


_attempts = itertools.count(1)


def _photo(number: int) -> bytes:
    return make_photo((120 + number % 100, 60 + number // 100 % 100, 50 + number // 10_000), size=(64, 48))


@dataclass
class ChaosUser:
    """A user who does one thing after another."""

    environment: ChaosEnvironment
    id: int
    retry_after: float = 20.0
    """Seconds after which they try again."""
    taps: list[ConfirmTap] = field(default_factory=list)
    abandoned: list[PlannedOrder] = field(default_factory=list)
    """Orders for which no card came, or which were never accepted."""

    @property
    def telegram(self) -> SandboxTelegram:
        return self.environment.telegram

    async def place_order(
        self, planned: PlannedOrder, is_accepted: Callable[[str, float], Awaitable[bool]]
    ) -> None:
        """Order it. `is_accepted` tells whether an order of that key became a job within that many seconds."""
        for _ in range(4):
            card = await self._card(planned)
            if card is not None and await self._confirm(card, planned, is_accepted):
                return
        self.abandoned.append(planned)

    async def _confirm(
        self, card: Message, planned: PlannedOrder, is_accepted: Callable[[str, float], Awaitable[bool]]
    ) -> bool:
        tap = _button(card, "confirm")
        assert tap
        key = f"draft:{self.id}:{tap.draft}"
        confirmation = ConfirmTap(key, self.id, planned, time.time())
        self.taps.append(confirmation)
        for _ in range(3):
            confirmation.queries.extend((await self._tap(card, tap.pack()))["callback_query_ids"])
            if await is_accepted(key, self.retry_after):
                return True
        return False

    async def _card(self, planned: PlannedOrder) -> Message | None:
        """From the menu to the order card; None if it does not come."""
        open_service = ServiceCallback(service=planned.service).pack()
        sent = await self._send_text("/menu")
        menu = await self._wait_for_message(sent, lambda m: open_service in _data(m))
        if menu is None:
            return None
        sent = await self._tap(menu, open_service)
        for send in self._send_inputs(planned):
            sent = await send()
        card = await self._wait_for_message(sent, lambda m: _button(m, "confirm") is not None)
        if card is None or not planned.album:
            return card
        draft = _button(card, "confirm")
        assert draft
        two = DraftCallback(draft=draft.draft, action="set", input="count", value="2")
        sent = await self._tap(card, two.pack())
        return await self._wait_for_message(sent, lambda m: m["message_id"] == card["message_id"], newer=False)

    def _send_inputs(self, planned: PlannedOrder) -> list[Callable[[], Awaitable[Any]]]:
        """Calls that send the service's inputs, in order. Telegram delivers one chat's messages in order, so users need
        not wait between them."""
        attempt = next(
            _attempts
        )  # no two orders are the same, so that the requests to providers can be told apart
        prompt = f"order {planned.number} attempt {attempt} a lighthouse {planned.trigger}".strip()
        text = lambda: self._send_text(prompt)  # noqa: E731
        image = lambda: self._send("photo", "a.png", _photo(attempt))  # noqa: E731
        voice = lambda: self._send("voice", "a.ogg", _voice())  # noqa: E731
        match planned.service:
            case "image_to_prompt":
                return [image]
            case "image_to_video":
                return [image, text]
            case "lip_sync":
                return [image, voice]
            case "voice_avatar":
                return [voice, lambda: self._send_text(f"me {planned.number}")]
            case "model_training" | "model_training_v2":
                album = [
                    lambda one=one: self._send("photo", "a.png", one, media_group_id=f"{planned.number}")
                    for one in _photos()
                ]
                return [*album, lambda: self._send_text("/done"), lambda: self._send_text(f"me {planned.number}")]
            case _:
                return [text]

    async def _send_text(self, text: str) -> Any:
        about = {"user_id": self.id, "first_name": "Ann", "language_code": "en"}
        return await self.telegram.api.post("message", text=text, **about)

    async def _send(self, kind: str, name: str, content: bytes, **more: str) -> Any:
        return await self.telegram.api.upload(kind, content, name, user_id=self.id, first_name="Ann", **more)

    async def _tap(self, message: Message, data: str) -> Any:
        where = {"message_id": message["message_id"], "data": data, "user_id": self.id}
        return await self.telegram.api.post("callback", **where)

    async def _wait_for_message(
        self, sent: dict[str, Any], matches: Callable[[Message], bool], *, newer: bool = True
    ) -> Message | None:
        """A message of the bot's that matches, new or changed since; with `newer`, only one after what was sent."""
        version, after = sent["version"], sent["message"]["message_id"] if newer else 0
        try:
            async with asyncio.timeout(self.retry_after):
                while True:
                    chat = await self.telegram.api.get(f"chat/{self.id}", after=str(version), wait="10", delta="1")
                    version = chat["version"]
                    for message in reversed(chat["messages"]):
                        if message["from"] == "bot" and message["message_id"] > after and matches(message):
                            found: Message = message
                            return found
        except TimeoutError:
            return None


def _data(message: Message) -> list[str]:
    return [button.get("callback_data", "") for row in message["keyboard"] or [] for button in row]


def _button(message: Message, action: str) -> DraftCallback | None:
    drafts = [DraftCallback.unpack(data) for data in _data(message) if data.startswith("d|")]
    return next((draft for draft in drafts if draft.action == action), None)
