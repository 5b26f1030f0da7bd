"""A user's own models and voices: used, renamed, deleted, and gone at the provider."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

pytest.importorskip("espeakng_loader")

from sandbox.providers.sound import STOCK_VOICES, speak
from tests.support.environments.environment import Message, message_text
from tests.support.environments.factory import EnvironmentFactory
from tests.support.environments.offline import (
    ConversationUser,
    OfflineEnvironment,
    assert_charged,
    has_button,
    make_photos,
    wait_for_latest_job,
)

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


async def test_model_can_be_renamed_and_deleted(environment: OfflineEnvironment, ann: ConversationUser) -> None:
    await ann.open_training_card("🧬 Train your model", make_photos(), name="Me")
    result = await ann.confirm_order(250)
    assert has_button(result, "Picture me")
    await ann.send_text_and_wait("/models")
    assert has_button(await ann.last_message(), "✏️ Me")
    await ann.tap_and_wait("✏️ Me")
    assert "What shall it be called?" in await last_text(ann)
    await ann.send_text_and_wait("x" * 31)
    assert "at most 30" in await last_text(ann)
    await ann.send_text_and_wait("Studio")
    assert has_button(await ann.last_message(), "✏️ Studio")
    assert not has_button(await ann.last_message(), "✏️ Me")
    await ann.tap_and_wait("Picture me", message_id=result["message_id"])
    await ann.send_text_and_wait("on the moon")
    assert "Price: 8 ⭐" in await last_text(ann)
    await ann.send_text_and_wait("/models")
    await ann.tap_and_wait("🗑")
    assert "for good?" in await last_text(ann)
    await ann.tap_and_wait("Back")
    assert has_button(await ann.last_message(), "✏️ Studio"), "back deletes nothing"
    await ann.tap_and_wait("🗑")
    await ann.tap_and_wait("Yes, delete")
    assert "no model yet" in await last_text(ann)
    assert (
        await environment.db.fetchval(
            "SELECT count(*) FROM user_models WHERE deleted_at IS NULL AND user_id = $1", ann.id
        )
        == 0
    )
    await ann.open_service("🤳 Pictures of you")
    assert "I need a model of you first" in await last_text(ann)
    await assert_charged(environment, ann.id, 250)


async def test_back_from_renaming_keeps_the_name_and_ends_the_question(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    """Afterwards texts and commands have their usual meaning."""
    await ann.open_training_card("🧬 Train your model", make_photos(), name="Me")
    await ann.confirm_order(250)
    await ann.send_text_and_wait("/models")
    await ann.tap_and_wait("✏️ Me")
    await ann.send_text_and_wait("/price")
    assert "What everything costs" in await last_text(ann)
    await ann.send_text_and_wait("/models")
    await ann.tap_and_wait("✏️ Me")
    await ann.tap_and_wait("Back")
    await ann.send_text_and_wait("a red fox")
    assert "Price: 1 ⭐" in await last_text(ann)
    assert await environment.db.fetchval("SELECT name FROM user_models WHERE user_id = $1", ann.id) == "Me"


async def test_order_with_a_deleted_model_is_not_charged(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    await ann.open_training_card("🧬 Train your model", make_photos(), name="Me")
    await ann.confirm_order(250)
    await ann.open_service("🤳 Pictures of you")
    await ann.send_text_and_wait("on the moon")
    card = await ann.wait_for_button("Create · 8 ⭐")
    await environment.db.execute("UPDATE user_models SET deleted_at = now() WHERE user_id = $1", ann.id)
    await ann.tap_and_wait("Create · 8 ⭐", message_id=card["message_id"])
    text = await last_text(ann)
    model_id = await environment.db.fetchval("SELECT id FROM user_models WHERE user_id = $1", ann.id)
    assert model_id.hex not in text, "users do not know a model's id"
    await assert_charged(environment, ann.id, 250)


async def clone_voice(user: ConversationUser, name: str = "Boris") -> Message:
    await user.open_service("🎙 Your voice")
    await user.upload_and_wait(
        "voice", "me.ogg", speak("A low voice speaks about the sea.", "en", STOCK_VOICES["boris"])
    )
    await user.send_text_and_wait(name)
    return await user.confirm_order(56)


async def test_own_voice_speaks_and_can_be_deleted(environment: OfflineEnvironment, ann: ConversationUser) -> None:
    result = await clone_voice(ann, "My own")
    await ann.tap_and_wait("Read aloud", message_id=result["message_id"])
    assert "Which text shall be spoken?" in await last_text(ann)
    await ann.send_text_and_wait("Hello")
    assert has_button(await ann.last_message(), "My own"), "the new voice is chosen"
    await ann.confirm_order(8)
    await ann.send_text_and_wait("/voices")
    listed = await ann.last_message()
    assert has_button(listed, "🗑 My own")
    assert "Anna, " in message_text(listed)
    await ann.tap_and_wait("🗑 My own")
    await ann.tap_and_wait("Yes, delete")
    assert "no voice of your own" in await last_text(ann)
    voice_id = await environment.db.fetchval("SELECT voice_id FROM user_voices WHERE user_id = $1", ann.id)
    assert not (environment.folder / "data" / "voices" / f"{voice_id}.json").exists(), (
        "deleted at the provider too"
    )
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 64)


async def test_voice_gone_at_the_provider_costs_nothing_and_another_is_offered(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    """The user is told, pays nothing, and can choose another voice with one tap."""
    await clone_voice(ann, "My own")
    await wait_for_latest_job(environment, ann.id)
    voice_id = await environment.db.fetchval("SELECT voice_id FROM user_voices WHERE user_id = $1", ann.id)
    (environment.folder / "data" / "voices" / f"{voice_id}.json").unlink()
    await ann.open_service("Text to speech")
    await ann.send_text_and_wait("Hello to everybody")
    card = await ann.wait_for_button("Create · 8 ⭐")
    await ann.tap("Create · 8 ⭐", message_id=card["message_id"])
    message = await ann.wait_for_text("This voice is no longer there")
    assert "8 Stars are back" in message_text(message)
    assert (await wait_for_latest_job(environment, ann.id))["state"] == "failed"
    await assert_charged(environment, ann.id, 56)
    await ann.send_text_and_wait("/voices")
    assert not has_button(await ann.last_message(), "My own")

    first = next(b["text"] for row in message["keyboard"] for b in row)
    await ann.tap_and_wait(first, message_id=message["message_id"])
    card = await ann.last_message()
    assert voice_id not in message_text(card), "users do not know a voice's id"
    assert "Hello to everybody" in message_text(card) or has_button(card, "Anna"), "another voice is offered"
