"""Prompts that are improved, and prompts that are spoken instead of typed."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

pytest.importorskip("espeakng_loader")

from sandbox.providers.sound import STOCK_VOICES, speak
from tests.support.environments.environment import message_text
from tests.support.environments.factory import EnvironmentFactory
from tests.support.environments.offline import (
    ConversationUser,
    OfflineEnvironment,
    assert_charged,
    has_button,
    make_photo,
    wait_for_latest_job,
)

GREEN = (30, 160, 60)
_user_ids = count(4001)


@pytest.fixture(scope="module")
async def environment(environments: EnvironmentFactory) -> AsyncIterator[OfflineEnvironment]:
    async with environments.open(OfflineEnvironment, plan="B") as environment:
        yield environment


@pytest.fixture
async def ann(environment: OfflineEnvironment) -> ConversationUser:
    """A new user for each test."""
    user = environment.conversation_user(next(_user_ids))
    await user.send_text_and_wait("/start")
    return user


async def last_text(user: ConversationUser) -> str:
    return message_text(await user.last_message())


@pytest.mark.parametrize("accepted", [True, False], ids=["used", "kept"])
async def test_improved_prompt_is_shown_before_it_is_used(
    environment: OfflineEnvironment, ann: ConversationUser, accepted: bool
) -> None:
    await ann.open_service("Text to image")
    await ann.send_text_and_wait("a lighthouse at night")
    await ann.tap_and_wait("Richer words")
    shown = await last_text(ann)
    improved = shown.split("\n", 1)[1].strip()
    assert improved.startswith("a lighthouse at night, ")
    assert "Price" not in shown, "looking at the suggestion orders nothing"
    await ann.tap_and_wait("Use these words" if accepted else "Keep mine")
    await ann.confirm_order(1)
    job = await wait_for_latest_job(environment, ann.id)
    assert job["inputs"]["prompt"] == (improved if accepted else "a lighthouse at night")
    assert set(job["inputs"]) == {"model", "prompt", "size", "count"}
    await assert_charged(environment, ann.id, 1)


SPOKEN = "A quiet lake between the mountains"


@pytest.fixture(scope="module")
def spoken() -> bytes:
    return speak(SPOKEN, "en", STOCK_VOICES["maria"])


async def test_unprompted_spoken_prompt_opens_the_card(ann: ConversationUser, spoken: bytes) -> None:
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    card = await last_text(ann)
    assert SPOKEN in card
    assert "Price: 1 ⭐" in card


@pytest.mark.parametrize("service", ["Text to image", "Text to video", "Text to speech"])
async def test_spoken_prompt_at_the_question_opens_the_card(
    ann: ConversationUser, service: str, spoken: bytes
) -> None:
    await ann.open_service(service)
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    assert SPOKEN in await last_text(ann)
    assert has_button(await ann.last_message(), "Create")


async def test_spoken_prompt_on_the_card_replaces_the_prompt(ann: ConversationUser, spoken: bytes) -> None:
    await ann.open_service("Text to image")
    await ann.send_text_and_wait("a red fox")
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    card = await last_text(ann)
    assert SPOKEN in card
    assert "a red fox" not in card


async def test_spoken_prompt_for_a_photo_is_accepted(ann: ConversationUser, spoken: bytes) -> None:
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    assert SPOKEN in await last_text(ann)


async def test_spoken_prompt_on_the_card_of_a_photo_replaces_the_prompt(
    ann: ConversationUser, spoken: bytes
) -> None:
    """A spoken prompt works wherever a typed one does: this service takes no recording."""
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.send_text_and_wait("it rains")
    await ann.send_text_and_wait("it snows")
    assert "it snows" in await last_text(ann)
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    assert SPOKEN in await last_text(ann)


async def test_recording_on_the_card_of_a_lip_sync_replaces_the_audio(
    environment: OfflineEnvironment, ann: ConversationUser, spoken: bytes
) -> None:
    """A recording sent at the card is the new audio, not an unsuitable face."""
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait("photo", "face.png", make_photo((224, 172, 140)))
    await ann.upload_and_wait("voice", "speech.ogg", speak("Something else.", "en", STOCK_VOICES["anna"]))
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    assert "Price: 56 ⭐" in await last_text(ann)
    await ann.confirm_order(56)
    assert spoken in environment.offline_requests("lip_sync")[-1][1]
