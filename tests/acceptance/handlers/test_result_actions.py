"""What can be done once there is a result, and without one: richer words, spoken words, history, what is mine."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

pytest.importorskip("espeakng_loader")

from providers.offline.audio.speech import STOCK_VOICES, speak
from tests.support.environments.environment import Message, message_text, wait_until
from tests.support.environments.offline import (
    ConversationUser,
    OfflineEnvironment,
    assert_charged,
    has_button,
    latest_job,
    make_photo,
    make_photos,
    open_offline_environment,
    wait_for_latest_job,
)
from tests.support.processes.bot_process import ProcessPool
from tests.support.test_data import media_checks as media

GREEN = (30, 160, 60)
_user_ids = count(4001)


@pytest.fixture(scope="module")
async def environment(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, process_pool: ProcessPool
) -> AsyncIterator[OfflineEnvironment]:
    async with open_offline_environment(
        postgres, tmp_path_factory.mktemp("studio"), process_pool, "B"
    ) as environment:
        yield environment


@pytest.fixture
async def ann(environment: OfflineEnvironment) -> ConversationUser:
    """Somebody new in each test."""
    user = environment.conversation_user(next(_user_ids))
    await user.send_text_and_wait("/start")
    return user


async def painted(user: ConversationUser, prompt: str = "a red fox in the snow") -> Message:
    await user.open_service("Text to image")
    await user.send_text_and_wait(prompt)
    return await user.confirm_order(1)


async def last(user: ConversationUser) -> str:
    return message_text(await user.last_message())


async def test_again_paints_another_picture_at_once(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    first = await painted(ann)
    await ann.tap("Again · 1 ⭐", message_id=first["message_id"])
    second = await ann.wait_for_text("balance 1998 ⭐", after=first["message_id"])
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 2)
    assert "a red fox in the snow" in message_text(second)
    assert await ann.download_media(first) != await ann.download_media(second)


async def test_animate_a_picture(environment: OfflineEnvironment, ann: ConversationUser) -> None:
    picture = await painted(ann)
    await ann.tap_and_wait("Animate", message_id=picture["message_id"])
    assert "What shall happen?" in await last(ann), "the photo is there already"
    await ann.send_text_and_wait("snow begins to fall")
    assert "Photo ✓" in await last(ann)
    film = media.decode_video(await ann.download_media(await ann.confirm_order(40)))
    start = media.decode_image(await ann.download_media(picture)).mean(axis=(0, 1))
    assert abs(film.frames[0].mean(axis=(0, 1)) - start).max() < 25, "it begins with that very picture"
    (_, files) = environment.offline_requests("video")[-1]
    assert files == [await ann.download_media(picture)]
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 41)


async def test_a_picture_becomes_the_face_that_speaks(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    picture = await painted(ann, "a portrait")
    await ann.tap_and_wait("Let it speak", message_id=picture["message_id"])
    assert "Now the voice message or sound" in await last(ann)
    note = speak("I am a picture.", "en", STOCK_VOICES["anna"])
    await ann.upload_and_wait("voice", "words.ogg", note)
    film = media.decode_video(await ann.download_media(await ann.confirm_order(56)))
    assert film.seconds == pytest.approx(media.decode_voice_note(note).seconds, abs=0.15)
    (_, files) = environment.offline_requests("lip_sync")[-1]
    assert set(files) == {await ann.download_media(picture), note}


async def test_words_of_a_photo_are_read_aloud_and_painted(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    told = await ann.confirm_order(2)
    await ann.tap_and_wait("Read aloud", message_id=told["message_id"])
    card = await last(ann)
    described = str((await latest_job(environment, ann.id))["result"]["text"])
    assert described in card
    note = media.decode_voice_note(await ann.download_media(await ann.confirm_order(8)))
    assert described in note.comments.values(), "what is spoken is the description"
    await ann.tap_and_wait("Paint it", message_id=told["message_id"])
    assert described in await last(ann)
    assert "Price: 1 ⭐" in await last(ann)


async def test_new_words_open_the_card_and_morphing_then_asks_for_the_second_photo(ann: ConversationUser) -> None:
    """From the card of an order with one photo to an order with two."""
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.send_text_and_wait("it rains")
    film = await ann.confirm_order(40)
    await ann.tap_and_wait("New words", message_id=film["message_id"])
    await ann.send_text_and_wait("it snows")
    assert "it snows" in await last(ann)
    await ann.tap_and_wait("🎞")
    await ann.tap_and_wait("Two photos")
    assert "second photo" in await last(ann), "it is asked for, not missed at the end"
    await ann.upload_and_wait("photo", "blue.png", make_photo((40, 70, 200)))
    assert "Price: 77 ⭐" in await last(ann)
    await ann.confirm_order(77)


@pytest.mark.parametrize("taken", [True, False], ids=["used", "kept"])
async def test_richer_words_are_shown_first(
    environment: OfflineEnvironment, ann: ConversationUser, taken: bool
) -> None:
    await ann.open_service("Text to image")
    await ann.send_text_and_wait("a lighthouse at night")
    await ann.tap_and_wait("Richer words")
    shown = await last(ann)
    richer = shown.split("\n", 1)[1].strip()
    assert richer.startswith("a lighthouse at night, ")
    assert "Price" not in shown, "nothing is ordered by looking at them"
    await ann.tap_and_wait("Use these words" if taken else "Keep mine")
    await ann.confirm_order(1)
    job = await wait_for_latest_job(environment, ann.id)
    assert job["inputs"]["prompt"] == (richer if taken else "a lighthouse at night")
    assert set(job["inputs"]) == {"model", "prompt", "size", "count"}
    await assert_charged(environment, ann.id, 1)


SPOKEN = "A quiet lake between the mountains"


@pytest.fixture(scope="module")
def spoken() -> bytes:
    return speak(SPOKEN, "en", STOCK_VOICES["maria"])


async def test_a_spoken_prompt_out_of_the_blue(ann: ConversationUser, spoken: bytes) -> None:
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    card = await last(ann)
    assert SPOKEN in card
    assert "Price: 1 ⭐" in card


@pytest.mark.parametrize("service", ["Text to image", "Text to video", "Text to speech"])
async def test_a_spoken_prompt_where_words_are_asked(ann: ConversationUser, service: str, spoken: bytes) -> None:
    await ann.open_service(service)
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    assert SPOKEN in await last(ann)
    assert has_button(await ann.last_message(), "Create")


async def test_a_spoken_prompt_on_the_card(ann: ConversationUser, spoken: bytes) -> None:
    await ann.open_service("Text to image")
    await ann.send_text_and_wait("a red fox")
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    card = await last(ann)
    assert SPOKEN in card
    assert "a red fox" not in card


async def test_a_spoken_prompt_for_a_photo(ann: ConversationUser, spoken: bytes) -> None:
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    assert SPOKEN in await last(ann)


async def test_a_spoken_prompt_on_the_card_of_a_photo(ann: ConversationUser, spoken: bytes) -> None:
    """A spoken prompt works wherever a typed one does: this service takes no recording."""
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.send_text_and_wait("it rains")
    await ann.send_text_and_wait("it snows")
    assert "it snows" in await last(ann)
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    assert SPOKEN in await last(ann)


async def test_a_new_sound_on_the_card_of_a_lip_sync(
    environment: OfflineEnvironment, ann: ConversationUser, spoken: bytes
) -> None:
    """A recording sent at the card is the new sound, not a face that does not fit."""
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait("photo", "face.png", make_photo((224, 172, 140)))
    await ann.upload_and_wait("voice", "words.ogg", speak("Something else.", "en", STOCK_VOICES["anna"]))
    await ann.upload_and_wait("voice", "prompt.ogg", spoken)
    assert "Price: 56 ⭐" in await last(ann)
    await ann.confirm_order(56)
    assert spoken in environment.offline_requests("lip_sync")[-1][1]


async def test_a_photo_out_of_the_blue(environment: OfflineEnvironment, ann: ConversationUser) -> None:
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    offer = await ann.last_message()
    for service in ("Image to words", "Photo to video", "Lip-sync"):
        assert has_button(offer, service)
    await ann.tap_and_wait("Image to words", message_id=offer["message_id"])
    assert "Price: 2 ⭐" in await last(ann), "the photo is there already"
    assert "green" in message_text(await ann.confirm_order(2)).lower()
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 2)


async def test_a_photo_is_forgotten_once_the_menu_was_opened(ann: ConversationUser) -> None:
    """What was sent an hour ago for nothing is not put into an order that has nothing to do with it."""
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.send_text_and_wait("/menu")
    await ann.tap_and_wait("Photo to video")
    assert "Send me the photo" in await last(ann)


async def test_history_sends_results_again_by_their_ids_and_repeats(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    first = await painted(ann)
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
    state = await environment.telegram.call("GET", "/sim/state")
    return int(state["files"])


async def test_history_of_words_albums_and_failures(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    told = await ann.confirm_order(2)
    described = str((await wait_for_latest_job(environment, ann.id))["result"]["text"])
    assert described in message_text(told)
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
    assert not has_button(listed, "👁 1"), "there is nothing to see of what failed"
    before = len(await ann.photo_messages())
    await ann.tap_and_wait("👁 2", message_id=listed["message_id"])

    async def two_more() -> bool:
        return len(await ann.photo_messages()) == before + 2

    await wait_until(two_more, what="the album comes again")
    await ann.tap_and_wait("👁 3", message_id=listed["message_id"])
    assert described in message_text(await ann.wait_for_text("Image to words", after=listed["message_id"]))


async def test_models_are_renamed_and_deleted(environment: OfflineEnvironment, ann: ConversationUser) -> None:
    await ann.open_training_card("🧬 Train your model", make_photos(), name="Me")
    ready = await ann.confirm_order(250)
    assert has_button(ready, "Picture me")
    await ann.send_text_and_wait("/models")
    assert has_button(await ann.last_message(), "✏️ Me")
    await ann.tap_and_wait("✏️ Me")
    assert "What shall it be called?" in await last(ann)
    await ann.send_text_and_wait("x" * 31)
    assert "at most 30" in await last(ann)
    await ann.send_text_and_wait("Studio")
    assert has_button(await ann.last_message(), "✏️ Studio")
    assert not has_button(await ann.last_message(), "✏️ Me")
    await ann.tap_and_wait("Picture me", message_id=ready["message_id"])
    await ann.send_text_and_wait("on the moon")
    assert "Price: 8 ⭐" in await last(ann)
    await ann.send_text_and_wait("/models")
    await ann.tap_and_wait("🗑")
    assert "for good?" in await last(ann)
    await ann.tap_and_wait("Back")
    assert has_button(await ann.last_message(), "✏️ Studio"), "back deletes nothing"
    await ann.tap_and_wait("🗑")
    await ann.tap_and_wait("Yes, delete")
    assert "no model yet" in await last(ann)
    assert (
        await environment.db.fetchval(
            "SELECT count(*) FROM user_models WHERE deleted_at IS NULL AND user_id = $1", ann.id
        )
        == 0
    )
    await ann.open_service("🤳 Pictures of you")
    assert "I need a model of you first" in await last(ann)
    await assert_charged(environment, ann.id, 250)


async def test_back_from_renaming_ends_it(environment: OfflineEnvironment, ann: ConversationUser) -> None:
    """Words and commands after it are what they always are."""
    await ann.open_training_card("🧬 Train your model", make_photos(), name="Me")
    await ann.confirm_order(250)
    await ann.send_text_and_wait("/models")
    await ann.tap_and_wait("✏️ Me")
    await ann.send_text_and_wait("/price")
    assert "What everything costs" in await last(ann)
    await ann.send_text_and_wait("/models")
    await ann.tap_and_wait("✏️ Me")
    await ann.tap_and_wait("Back")
    await ann.send_text_and_wait("a red fox")
    assert "Price: 1 ⭐" in await last(ann)
    assert await environment.db.fetchval("SELECT name FROM user_models WHERE user_id = $1", ann.id) == "Me"


async def test_an_order_with_a_model_that_was_deleted_meanwhile(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    await ann.open_training_card("🧬 Train your model", make_photos(), name="Me")
    await ann.confirm_order(250)
    await ann.open_service("🤳 Pictures of you")
    await ann.send_text_and_wait("on the moon")
    card = await ann.wait_for_button("Create · 8 ⭐")
    await environment.db.execute("UPDATE user_models SET deleted_at = now() WHERE user_id = $1", ann.id)
    await ann.tap_and_wait("Create · 8 ⭐", message_id=card["message_id"])
    said = await last(ann)
    model_id = await environment.db.fetchval("SELECT id FROM user_models WHERE user_id = $1", ann.id)
    assert model_id.hex not in said, "nobody knows a model by its number"
    await assert_charged(environment, ann.id, 250)


async def cloned(user: ConversationUser, name: str = "Boris") -> Message:
    await user.open_service("🎙 Your voice")
    await user.upload_and_wait(
        "voice", "me.ogg", speak("A low voice speaks about the sea.", "en", STOCK_VOICES["boris"])
    )
    await user.send_text_and_wait(name)
    return await user.confirm_order(56)


async def test_a_voice_speaks_and_is_deleted(environment: OfflineEnvironment, ann: ConversationUser) -> None:
    ready = await cloned(ann, "My own")
    await ann.tap_and_wait("Read aloud", message_id=ready["message_id"])
    assert "Which text shall be spoken?" in await last(ann)
    await ann.send_text_and_wait("Hello")
    assert has_button(await ann.last_message(), "My own"), "the new voice is chosen"
    await ann.confirm_order(8)
    await ann.send_text_and_wait("/voices")
    listed = await ann.last_message()
    assert has_button(listed, "🗑 My own")
    assert "Anna, " in message_text(listed)
    await ann.tap_and_wait("🗑 My own")
    await ann.tap_and_wait("Yes, delete")
    assert "no voice of your own" in await last(ann)
    voice_id = await environment.db.fetchval("SELECT voice_id FROM user_voices WHERE user_id = $1", ann.id)
    assert not (environment.folder / "data" / "voices" / f"{voice_id}.json").exists(), "at its provider too"
    await wait_for_latest_job(environment, ann.id)
    await assert_charged(environment, ann.id, 64)


async def test_a_voice_that_is_gone_at_its_provider(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    """It says so, costs nothing, and another voice is a tap away."""
    await cloned(ann, "My own")
    await wait_for_latest_job(environment, ann.id)
    voice_id = await environment.db.fetchval("SELECT voice_id FROM user_voices WHERE user_id = $1", ann.id)
    (environment.folder / "data" / "voices" / f"{voice_id}.json").unlink()
    await ann.open_service("Text to speech")
    await ann.send_text_and_wait("Hello to everybody")
    card = await ann.wait_for_button("Create · 8 ⭐")
    await ann.tap("Create · 8 ⭐", message_id=card["message_id"])
    told = await ann.wait_for_text("This voice is no longer there")
    assert "8 Stars are back" in message_text(told)
    assert (await wait_for_latest_job(environment, ann.id))["state"] == "failed"
    await assert_charged(environment, ann.id, 56)
    await ann.send_text_and_wait("/voices")
    assert not has_button(await ann.last_message(), "My own")

    first = next(b["text"] for row in told["keyboard"] for b in row)
    await ann.tap_and_wait(first, message_id=told["message_id"])
    offered = await ann.last_message()
    assert voice_id not in message_text(offered), "nobody knows a voice by its number"
    assert "Hello to everybody" in message_text(offered) or has_button(offered, "Anna"), "another voice is offered"
