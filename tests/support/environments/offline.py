"""An environment without provider keys: the offline providers really make what is ordered, on this machine."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from PIL import Image

from sandbox.providers.base import StoredPrediction
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import (
    Environment,
    Message,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)

MB = 1024 * 1024
WELCOME_CREDITS = 2000
OFFLINE_SECONDS = "0.2"
"""How long the offline provider takes for a prediction; `#slow` in the prompt makes it 4 s."""

SMALL_MEDIA = """
from sandbox.providers import video
from sandbox.providers.images import files
for sizes in (files.IMAGE_SIZES, files.VIDEO_SIZES):
    sizes.update({name: (width // 16 * 4, height // 16 * 4) for name, (width, height) in sizes.items()})
video.MAX_LIP_SYNC_SIDE //= 3
"""
"""Media with a tenth of the pixels, in the same shapes; tests/unit/sandbox/providers/ checks the full sizes."""


class OfflineEnvironment(Environment):
    """Each user starts with 2000 credits, and gets small media."""

    async def open(self) -> None:
        await super().open()
        self.startup_code = self.startup_code or SMALL_MEDIA
        for name in ("REPLICATE_API_TOKEN", "REPLICATE_BASE_URL"):
            del self.settings[name]
        self.settings |= {"OFFLINE_SECONDS": OFFLINE_SECONDS, "WELCOME_CREDITS": str(WELCOME_CREDITS)}

    def conversation_user(self, user_id: int, **about: str) -> "ConversationUser":
        return ConversationUser(self.telegram, user_id, **about)

    def offline_requests(self, kind: str) -> list[tuple[StoredPrediction, list[bytes]]]:
        """What was requested from the offline provider, oldest first, each with its files."""
        folder = self.folder / "data" / "offline"
        found = [StoredPrediction.model_validate_json(path.read_bytes()) for path in folder.glob("*.json")]
        requests = sorted(
            (record for record in found if record.kind == kind), key=lambda record: record.created_at
        )
        return [
            (one, [(folder / f"{one.id}.{number}").read_bytes() for number in range(len(one.files))])
            for one in requests
        ]


@dataclass
class ConversationUser(SandboxUser):
    """A user who waits for the bot's answer after each action."""

    async def send_text_and_wait(self, text: str) -> None:
        await self._wait_for_answer(await self.send_text(text))

    async def tap_and_wait(self, label: str, **where: Any) -> None:
        await self._wait_for_answer(await self.tap(label, **where))

    async def upload_and_wait(self, kind: str, name: str, content: bytes) -> None:
        await self._wait_for_answer(await self.upload(kind, name, content))

    async def upload_albums(self, photos: Sequence[bytes], *, before: int = 0) -> None:
        """Send photos as from a phone's gallery, ten per album; `before` photos were sent earlier."""
        for number, photo in enumerate(photos):
            await self.upload("photo", f"{number}.png", photo, media_group_id=f"album {number // 10}")
        await self.wait_for_text(f"{before + len(photos)} photos ✓")

    async def send_fields_and_wait(self, **extra: Any) -> None:
        """Send a message with these fields of Telegram's, such as a `video` of any size, without the file."""
        await self.send_message_and_wait(extra=extra)

    async def send_message_and_wait(self, **content: Any) -> None:
        """Send a message that is no text, such as a `sticker`."""
        await self._wait_for_answer(await self.send_message(**content))

    async def _wait_for_answer(self, done: dict[str, Any]) -> None:
        """Wait until the bot has sent or edited something since this action."""
        since: int = done["version"]

        def find(chat: dict[str, Any]) -> bool:
            return any(m["version"] > since for m in chat["messages"] if m["from"] == "bot") or any(
                event["version"] > since and event["text"] for event in chat["events"]
            )

        await self.wait_until(find)

    async def toasts(self) -> list[str]:
        """The texts of the answers to this user's taps."""
        return [event["text"] for event in (await self.chat())["events"] if event["text"]]

    async def last_message(self) -> Message:
        """The bot's newest message."""
        return (await self.bot_messages())[-1]

    async def open_service(self, service: str) -> None:
        """Open a service from the menu, by its name; the bot then asks for its first input."""
        await self.send_text_and_wait("/menu")
        await self.tap_and_wait(service)

    async def open_training_card(self, service: str, photos: Sequence[bytes], name: str = "Me") -> None:
        """Open the order card of a training from the menu."""
        await self.open_service(service)
        await self.upload_albums(photos)
        await self.send_text_and_wait("/done")
        await self.send_text_and_wait(name)

    async def confirm_order(self, price: int) -> Message:
        """Confirm the card that shows exactly this price. Returns the result."""
        card = await self.wait_for_button(f"Create · {price} ⭐")
        assert f"Price: {price} ⭐" in message_text(card)
        await self.tap(f"Create · {price} ⭐", message_id=card["message_id"])
        result = await self.wait_for_text(f"−{price} ⭐ · balance", after=card["message_id"])

        def done(chat: dict[str, Any]) -> bool:
            return any(
                m["message_id"] == card["message_id"] and "Done" in message_text(m) for m in chat["messages"]
            )

        await self.wait_until(done)  # no edit of the card comes after that
        return result

    async def download_media(self, message: Message, number: int = 0) -> bytes:
        """The bytes of a message's media, as Telegram stores them."""
        return await self.telegram.api.download(message["media"][number]["file_id"])


async def latest_job(environment: Environment, user_id: int) -> dict[str, Any]:
    """The newest order of a user."""
    jobs = [job for job in await environment.jobs() if job["user_id"] == user_id and not job["internal"]]
    return jobs[-1]


async def wait_for_latest_job(environment: Environment, user_id: int) -> dict[str, Any]:
    """Return the newest order of a user once it has ended."""

    async def ended_job() -> dict[str, Any] | None:
        job = await latest_job(environment, user_id)
        return job if job["ended_at"] else None

    job: dict[str, Any] = await wait_until(ended_job, what="the job has ended")
    return job


async def assert_charged(environment: Environment, user_id: int, credits: int) -> None:
    """Exactly these credits are gone from the welcome credits, none are held, and the ledger is consistent."""
    assert await get_balance(environment.db, user_id) == Balance(WELCOME_CREDITS - credits, 0)
    assert (await check_ledger(environment.db)).is_consistent


async def wait_for_step(environment: Environment, job_id: UUID, step: str, *, ended: bool = False) -> None:
    """Wait until a job has started a step, or with `ended` has finished it."""

    async def is_reached() -> bool:
        row = await environment.db.fetchrow("SELECT * FROM journal WHERE job_id = $1 AND step = $2", job_id, step)
        return row is not None and (not ended or row["ended_at"] is not None)

    await wait_until(is_reached, what=f"step {step}")


def make_photo(colour: tuple[int, int, int], *, size: tuple[int, int] = (640, 480), spot: bool = True) -> bytes:
    """A PNG of one colour, with a darker spot in the middle that covers a fifth of it."""
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[:] = colour
    if spot:
        high, wide = (round(side * 0.28) for side in (size[1], size[0]))
        pixels[high:-high, wide:-wide] = np.array(colour) // 3
    return encode_png(pixels)


def make_photos(count: int = 10) -> list[bytes]:
    """Photos that share their colours, purple to pink, and nothing else."""
    rng = np.random.default_rng(7)
    made = []
    for _ in range(count):
        shade = rng.integers((150, 10, 110), (240, 70, 200), (8, 8, 3))
        made.append(encode_png(np.kron(shade, np.ones((24, 24, 1))).astype(np.uint8)))
    return made


def encode_png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def unzip(archive: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        assert packed.testzip() is None
        return [packed.read(name) for name in sorted(packed.namelist())]


def has_button(message: Message, label: str) -> bool:
    return any(label in each for each in button_labels(message))
