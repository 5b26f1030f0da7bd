"""Who orders what, by the bot's own conversation; it follows from a seed.

People do what people do: they ask for the menu, choose, write or send what is asked for, and tap "Create". Where
nothing comes they tap again, and after a while begin anew. What counts as an order is a tap on "Create".
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
"""All eleven; films, which cost this machine seconds each, are few."""
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
"""Words in a prompt, and how often: see fault_triggers.py. Replicate's stand knows #fail and #nsfw."""
_ALBUM_SHARE = 0.15


@dataclass(frozen=True)
class PlannedOrder:
    """An order that somebody wants to make `at` seconds after the begin."""

    number: int
    at: float
    user_number: int
    service: str
    trigger: str = ""
    album: bool = False


@dataclass(frozen=True)
class ConfirmTap:
    """A tap on "Create", and the key of the order that it makes."""

    key: str
    user_id: int
    planned: PlannedOrder
    at: float
    """Seconds since the epoch."""
    queries: list[str] = field(default_factory=list)
    """Telegram's ids of it, and of its repetitions."""


def plan_orders(seed: int, count: int, seconds: float, *, offline: bool, people: int = 0) -> list[PlannedOrder]:
    """The same for the same seed. Whoever wants pictures of themselves has a model trained first."""
    rng = random.Random(f"people {seed}")
    people = people or max(12, count // 12)
    services = list(SERVICE_WEIGHTS) + rng.choices(
        list(SERVICE_WEIGHTS), list(SERVICE_WEIGHTS.values()), k=max(0, count - len(SERVICE_WEIGHTS))
    )
    rng.shuffle(services)
    owners = {
        training: rng.sample(range(people), min(people, services.count(training)))
        for training in TRAINED_BY.values()
    }
    made = []
    for number, service in enumerate(services):
        user = rng.randrange(people)
        at = rng.uniform(0, seconds)
        if service in TRAINED_BY:
            user, at = rng.choice(owners[TRAINED_BY[service]]), rng.uniform(seconds * 0.3, seconds)
        elif service in owners:
            place = services[:number].count(service) % len(owners[service])
            user, at = owners[service][place], rng.uniform(0, seconds * 0.3)
        luck = rng.choices(list(TRIGGERS), list(TRIGGERS.values()))[0] if service in _PROMPT_SERVICES else ""
        if not offline and luck in ("#slow", "#busy", "#limit"):
            luck = ""
        made.append(
            PlannedOrder(
                number, at, user, service, luck, service == "text_to_image" and rng.random() < _ALBUM_SHARE
            )
        )
    return sorted(made, key=lambda wish: wish.at)[:count]


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
    """One person, who does one thing after another."""

    stage: ChaosEnvironment
    id: int
    retry_after: float = 20.0
    """Seconds after which they try again."""
    taps: list[ConfirmTap] = field(default_factory=list)
    abandoned: list[PlannedOrder] = field(default_factory=list)
    """What they never saw a card of, or what was never taken."""

    @property
    def telegram(self) -> SandboxTelegram:
        return self.stage.telegram

    async def place_order(self, planned: PlannedOrder, taken: Callable[[str, float], Awaitable[bool]]) -> None:
        """Order it. `taken` says whether an order of that key became a job within so many seconds."""
        for _ in range(4):
            card = await self._card(planned)
            if card is not None and await self._confirm(card, planned, taken):
                return
        self.abandoned.append(planned)

    async def _confirm(
        self, card: Message, planned: PlannedOrder, taken: Callable[[str, float], Awaitable[bool]]
    ) -> bool:
        tap = _button(card, "confirm")
        assert tap
        key = f"draft:{self.id}:{tap.draft}"
        noted = ConfirmTap(key, self.id, planned, time.time())
        self.taps.append(noted)
        for _ in range(3):
            noted.queries.extend((await self._tap(card, tap.pack()))["callback_query_ids"])
            if await taken(key, self.retry_after):
                return True
        return False

    async def _card(self, planned: PlannedOrder) -> Message | None:
        """From the menu to the card; None where it does not come."""
        begin = ServiceCallback(service=planned.service).pack()
        sent = await self._send_text("/menu")
        menu = await self._wait_for_message(sent, lambda m: begin in _data(m))
        if menu is None:
            return None
        sent = await self._tap(menu, begin)
        for give in self._send_inputs(planned):
            sent = await give()
        card = await self._wait_for_message(sent, lambda m: _button(m, "confirm") is not None)
        if card is None or not planned.album:
            return card
        draft = _button(card, "confirm")
        assert draft
        two = DraftCallback(draft=draft.draft, action="set", input="count", value="2")
        sent = await self._tap(card, two.pack())
        return await self._wait_for_message(sent, lambda m: m["message_id"] == card["message_id"], newer=False)

    def _send_inputs(self, planned: PlannedOrder) -> list[Callable[[], Awaitable[Any]]]:
        """What the service asks for, in its order. Telegram brings one chat's messages in order, so nobody has to
        wait between them."""
        attempt = next(_attempts)  # no two orders are alike, so that providers' work can be told apart
        prompt = f"wish {planned.number} attempt {attempt} a lighthouse {planned.trigger}".strip()
        say = lambda: self._send_text(prompt)  # noqa: E731
        picture = lambda: self._send("photo", "a.png", _photo(attempt))  # noqa: E731
        voice = lambda: self._send("voice", "a.ogg", _voice())  # noqa: E731
        match planned.service:
            case "image_to_prompt":
                return [picture]
            case "image_to_video":
                return [picture, say]
            case "lip_sync":
                return [picture, voice]
            case "voice_avatar":
                return [voice, lambda: self._send_text(f"me {planned.number}")]
            case "model_training" | "model_training_v2":
                album = [
                    lambda one=one: self._send("photo", "a.png", one, media_group_id=f"{planned.number}")
                    for one in _photos()
                ]
                return [*album, lambda: self._send_text("/done"), lambda: self._send_text(f"me {planned.number}")]
            case _:
                return [say]

    async def _send_text(self, text: str) -> Any:
        about = {"user_id": self.id, "first_name": "Ann", "language_code": "en"}
        return await self.telegram.call("POST", "/sim/message", {"text": text, **about})

    async def _send(self, kind: str, name: str, content: bytes, **more: str) -> Any:
        return await self.telegram.upload(kind, name, content, user_id=str(self.id), first_name="Ann", **more)

    async def _tap(self, message: Message, data: str) -> Any:
        where = {"message_id": message["message_id"], "data": data, "user_id": self.id}
        return await self.telegram.call("POST", "/sim/callback", where)

    async def _wait_for_message(
        self, sent: dict[str, Any], fits: Callable[[Message], bool], *, newer: bool = True
    ) -> Message | None:
        """A message of the bot's that fits, new or changed since; `newer` than what was sent."""
        version, after = sent["version"], sent["message"]["message_id"] if newer else 0
        try:
            async with asyncio.timeout(self.retry_after):
                while True:
                    chat = await self.telegram.call(
                        "GET", f"/sim/chat/{self.id}", after=str(version), wait="10", delta="1"
                    )
                    version = chat["version"]
                    for message in reversed(chat["messages"]):
                        if message["from"] == "bot" and message["message_id"] > after and fits(message):
                            found: Message = message
                            return found
        except TimeoutError:
            return None


def _data(message: Message) -> list[str]:
    return [button.get("callback_data", "") for row in message["keyboard"] or [] for button in row]


def _button(message: Message, action: str) -> DraftCallback | None:
    drafts = [DraftCallback.unpack(data) for data in _data(message) if data.startswith("d|")]
    return next((draft for draft in drafts if draft.action == action), None)
