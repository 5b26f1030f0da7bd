"""What users do with a result: repeat it, animate it, let it speak, read it aloud; unprompted photos; the history."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

pytest.importorskip("espeakng_loader")

from sandbox.providers.sound import STOCK_VOICES, speak
from tests.support.environments.environment import Message, message_text, wait_until
from tests.support.environments.factory import EnvironmentFactory
from tests.support.environments.offline import (
    ConversationUser,
    OfflineEnvironment,
    assert_charged,
    has_button,
    latest_job,
    make_photo,
    wait_for_latest_job,
)
from tests.support.test_data import media_checks as media

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


async def order_image(user: ConversationUser, prompt: str = "a red fox in the snow") -> Message:
    await user.open_service("Text to image")
    await user.send_text_and_wait(prompt)
    return await user.confirm_order(1)


async def last_text(user: ConversationUser) -> str:
    return message_text(await user.last_message())


async def test_again_button_makes_another_image_at_once(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    first = await order_image(ann)
    await ann.tap("Again · 1 ⭐", message_id=first["message_id"])
    second = await ann.wait_for_text("balance 1998 ⭐", after=first["message_id"])
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 2)
    assert "a red fox in the snow" in message_text(second)
    assert await ann.download_media(first) != await ann.download_media(second)


async def test_animate_button_starts_the_video_with_the_image(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    image = await order_image(ann)
    await ann.tap_and_wait("Animate", message_id=image["message_id"])
    assert "What shall happen?" in await last_text(ann), "the photo is there already"
    await ann.send_text_and_wait("snow begins to fall")
    assert "Photo ✓" in await last_text(ann)
    video = media.decode_video(await ann.download_media(await ann.confirm_order(40)))
    start = media.decode_image(await ann.download_media(image)).mean(axis=(0, 1))
    assert abs(video.frames[0].mean(axis=(0, 1)) - start).max() < 25, "it begins with that very image"
    (_, files) = environment.offline_requests("video")[-1]
    assert files == [await ann.download_media(image)]
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 41)


async def test_let_it_speak_button_uses_the_image_as_the_face(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    image = await order_image(ann, "a portrait")
    await ann.tap_and_wait("Let it speak", message_id=image["message_id"])
    assert "Now the voice message or sound" in await last_text(ann)
    note = speak("I am an image.", "en", STOCK_VOICES["anna"])
    await ann.upload_and_wait("voice", "speech.ogg", note)
    video = media.decode_video(await ann.download_media(await ann.confirm_order(56)))
    assert video.seconds == pytest.approx(media.decode_voice_note(note).seconds, abs=0.15)
    (_, files) = environment.offline_requests("lip_sync")[-1]
    assert set(files) == {await ann.download_media(image), note}


async def test_description_of_a_photo_is_read_aloud_and_used_as_a_prompt(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    result = await ann.confirm_order(2)
    await ann.tap_and_wait("Read aloud", message_id=result["message_id"])
    card = await last_text(ann)
    described = str((await latest_job(environment, ann.id))["result"]["text"])
    assert described in card
    note = media.decode_voice_note(await ann.download_media(await ann.confirm_order(8)))
    assert described in note.comments.values(), "the description is spoken"
    await ann.tap_and_wait("Paint it", message_id=result["message_id"])
    assert described in await last_text(ann)
    assert "Price: 1 ⭐" in await last_text(ann)


async def test_two_photos_chosen_after_a_new_prompt_ask_for_the_second_photo(ann: ConversationUser) -> None:
    """An order with one photo is changed into an order with two."""
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.send_text_and_wait("it rains")
    video = await ann.confirm_order(40)
    await ann.tap_and_wait("New words", message_id=video["message_id"])
    await ann.send_text_and_wait("it snows")
    assert "it snows" in await last_text(ann)
    await ann.tap_and_wait("🎞")
    await ann.tap_and_wait("Two photos")
    assert "second photo" in await last_text(ann), "the missing photo is asked for at once"
    await ann.upload_and_wait("photo", "blue.png", make_photo((40, 70, 200)))
    assert "Price: 77 ⭐" in await last_text(ann)
    await ann.confirm_order(77)


async def test_unprompted_photo_offers_the_services_that_use_it(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    offer = await ann.last_message()
    for service in ("Image to words", "Photo to video", "Lip-sync"):
        assert has_button(offer, service)
    await ann.tap_and_wait("Image to words", message_id=offer["message_id"])
    assert "Price: 2 ⭐" in await last_text(ann), "the photo is there already"
    assert "green" in message_text(await ann.confirm_order(2)).lower()
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 2)


async def test_unprompted_photo_is_forgotten_after_the_menu_is_opened(ann: ConversationUser) -> None:
    """A photo sent an hour ago does not become part of an unrelated order."""
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.send_text_and_wait("/menu")
    await ann.tap_and_wait("Photo to video")
    assert "Send me the photo" in await last_text(ann)


async def test_history_resends_results_by_file_id_and_repeats_orders(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    first = await order_image(ann)
    await ann.open_service("Text to speech")
    await ann.send_text_and_wait("Hello")
    second = await ann.confirm_order(8)
    await wait_for_latest_job(environment, ann.id)
    uploads = await files_uploaded(environment)
    await ann.send_text_and_wait("/history")
    listed = await ann.last_message()
    for expected in ("1 ✅", "Text to speech", "8 ⭐", "2 ✅", "a red fox in the snow", "1 ⭐"):
        assert expected in message_text(listed)
    for label, original in (("👁 2", first), ("👁 1", second)):
        await ann.tap_and_wait(label, message_id=listed["message_id"])
        again = await ann.last_message()
        assert again["media"][0]["file_id"] == original["media"][0]["file_id"]
        assert again["message_id"] != original["message_id"]
    assert await files_uploaded(environment) == uploads, "nothing was uploaded again"
    await assert_charged(environment, ann.id, 9)
    await ann.tap("🔁 2", message_id=listed["message_id"])
    await ann.wait_for_text("balance 1990 ⭐")
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 10)


async def files_uploaded(environment: OfflineEnvironment) -> int:
    state = await environment.telegram.api.get("state")
    return int(state["files"])


async def test_history_shows_texts_albums_and_failures(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    result = await ann.confirm_order(2)
    described = str((await wait_for_latest_job(environment, ann.id))["result"]["text"])
    assert described in message_text(result)
    await ann.open_service("Text to image")
    await ann.send_text_and_wait("two foxes")
    await ann.tap_and_wait("×1")
    await ann.tap_and_wait("×2")
    await ann.confirm_order(2)
    await wait_for_latest_job(environment, ann.id)
    await ann.open_service("Text to image")
    await ann.send_text_and_wait("a fox #fail")
    card = await ann.wait_for_button("Create · 1 ⭐")
    await ann.tap("Create · 1 ⭐", message_id=card["message_id"])
    await ann.wait_for_text("back on your balance")
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 4)
    await ann.send_text_and_wait("/history")
    listed = await ann.last_message()
    assert "1 ❌" in message_text(listed)
    assert "0 ⭐" in message_text(listed)
    assert not has_button(listed, "👁 1"), "a failed order has no result to show"
    before = len(await ann.photo_messages())
    await ann.tap_and_wait("👁 2", message_id=listed["message_id"])

    async def two_more() -> bool:
        return len(await ann.photo_messages()) == before + 2

    await wait_until(two_more, what="the album is sent again")
    await ann.tap_and_wait("👁 3", message_id=listed["message_id"])
    assert described in message_text(await ann.wait_for_text("Image to words", after=listed["message_id"]))
