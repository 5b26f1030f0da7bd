"""Files that do not fit: refused with a sentence that says the limit, nothing charged, the wizard goes on."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from providers.offline.audio.speech import STOCK_VOICES, speak
from providers.offline.video.camera import render_video
from tests.support.environments.environment import message_text
from tests.support.environments.offline import (
    MB,
    ConversationUser,
    OfflineEnvironment,
    assert_charged,
    make_photo,
    make_photos,
    open_offline_environment,
)
from tests.support.processes.bot_process import ProcessPool

FACE = (224, 172, 140)
_user_ids = count(3001)


@pytest.fixture(scope="module")
async def environment(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, process_pool: ProcessPool
) -> AsyncIterator[OfflineEnvironment]:
    async with open_offline_environment(
        postgres, tmp_path_factory.mktemp("studio"), process_pool, "B"
    ) as environment:
        yield environment


@pytest.fixture
async def ann(environment: OfflineEnvironment) -> AsyncIterator[ConversationUser]:
    """Somebody new in each test, to whom nothing is charged."""
    user = environment.conversation_user(next(_user_ids))
    await user.send_text_and_wait("/start")
    yield user
    assert not [job for job in await environment.jobs() if job["user_id"] == user.id]
    await assert_charged(environment, user.id, 0)


@pytest.fixture(scope="module")
def note() -> bytes:
    return speak("Hello, this is Diptych.", "en", STOCK_VOICES["anna"])


def as_file(size: int, mime_type: str, name: str) -> dict[str, Any]:
    """A document of which Telegram tells the size; nobody has to have its bytes."""
    file = {"file_id": "AgADnobody", "file_unique_id": "nobody", "file_size": size}
    return {"document": {**file, "mime_type": mime_type, "file_name": name}}


def as_video(size: int, seconds: int = 30) -> dict[str, Any]:
    file = {"file_id": "BAADnobody", "file_unique_id": "nobody", "file_size": size}
    return {"video": {**file, "width": 1280, "height": 720, "duration": seconds, "mime_type": "video/mp4"}}


def as_voice(seconds: int, size: int = 9 * MB) -> dict[str, Any]:
    file = {"file_id": "AwADnobody", "file_unique_id": "nobody", "file_size": size}
    return {"voice": {**file, "duration": seconds, "mime_type": "audio/ogg"}}


async def answer(user: ConversationUser) -> str:
    return message_text(await user.last_message())


async def on_the_card(user: ConversationUser, price: int) -> None:
    """The wizard went on: everything is there, and the card shows the price."""
    assert f"Price: {price} ⭐" in await answer(user)
    await user.send_text_and_wait("/cancel")


@pytest.mark.parametrize(
    ("service", "price"),
    [("Image to words", 2), ("Photo to video", 40)],
    ids=["image_to_prompt", "image_to_video"],
)
async def test_a_photo_of_15_mb(ann: ConversationUser, service: str, price: int) -> None:
    await ann.open_service(service)
    await ann.send_fields_and_wait(**as_file(15 * MB, "image/jpeg", "holiday.jpg"))
    said = await answer(ann)
    assert "15.0 MB" in said
    assert "at most 10 MB" in said
    assert "Send me" in said, "what is asked for is said once more"
    await ann.upload_and_wait("photo", "small.png", make_photo(FACE))
    if price == 40:
        await ann.send_text_and_wait("it begins to rain")
    await on_the_card(ann, price)


async def test_a_photo_of_15_mb_among_those_of_a_training(ann: ConversationUser) -> None:
    await ann.open_service("🧬 Train your model")
    await ann.upload_and_wait("photo", "one.png", make_photo(FACE))
    await ann.send_fields_and_wait(**as_file(15 * MB, "image/jpeg", "holiday.jpg"))
    assert "15.0 MB; at most 10 MB" in await answer(ann)
    await ann.send_text_and_wait("/done")
    assert "So far there are 1 photos; at least 10" in await answer(ann), "the large one was not counted"


async def test_a_photo_of_15_mb_out_of_the_blue(ann: ConversationUser) -> None:
    """At the latest when the order is confirmed; and the photo can then be changed."""
    large = make_photo(FACE) + bytes(15 * MB)
    await ann.upload_and_wait("document", "holiday.png", large)
    if "at most" not in await answer(ann):
        await ann.tap_and_wait("Image to words")
    if "at most" not in await answer(ann):
        await ann.tap_and_wait("Create")
    assert "15.0 MB; at most 10 MB" in await answer(ann)
    await ann.send_text_and_wait("/menu")
    await ann.tap_and_wait("Image to words")
    await ann.upload_and_wait("photo", "small.png", make_photo(FACE))
    await on_the_card(ann, 2)


@pytest.mark.parametrize(
    "film", [as_video(60 * MB), as_file(60 * MB, "video/mp4", "film.mp4")], ids=["as a video", "as a file"]
)
async def test_a_video_of_60_mb(ann: ConversationUser, film: dict[str, Any], note: bytes) -> None:
    await ann.open_service("Lip-sync")
    await ann.send_fields_and_wait(**film)
    said = await answer(ann)
    assert "60.0 MB" in said
    assert "at most 20 MB" in said
    assert "a film with a face" in said
    await ann.upload_and_wait("video", "small.mp4", render_video("a face", 1, aspect="1:1", seconds=0.2))
    await ann.upload_and_wait("voice", "words.ogg", note)
    await on_the_card(ann, 56)


async def test_a_video_of_ten_minutes(ann: ConversationUser) -> None:
    await ann.open_service("Lip-sync")
    await ann.send_fields_and_wait(**as_video(5 * MB, seconds=600))
    assert "about 10 min; at most 120 seconds" in await answer(ann)


async def test_a_voice_note_of_an_hour_for_a_voice(ann: ConversationUser, note: bytes) -> None:
    await ann.open_service("🎙 Your voice")
    await ann.send_fields_and_wait(**as_voice(3600))
    assert "about 60 min; at most 600 seconds" in await answer(ann)
    await ann.upload_and_wait("voice", "me.ogg", note)
    await ann.send_text_and_wait("Me")
    await on_the_card(ann, 56)


async def test_a_voice_note_of_an_hour_for_a_lip_sync(ann: ConversationUser, note: bytes) -> None:
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait("photo", "face.png", make_photo(FACE))
    await ann.send_fields_and_wait(**as_voice(3600))
    assert "about 60 min; at most 120 seconds" in await answer(ann)
    await ann.upload_and_wait("voice", "words.ogg", note)
    await on_the_card(ann, 56)


async def test_a_voice_note_of_an_hour_instead_of_words(ann: ConversationUser) -> None:
    await ann.open_service("Text to image")
    await ann.send_fields_and_wait(**as_voice(3600))
    assert "at most 120 seconds" in await answer(ann)
    await ann.send_text_and_wait("a lighthouse")
    await on_the_card(ann, 1)


async def test_a_voice_note_too_large_to_be_listened_to(ann: ConversationUser) -> None:
    """Telegram lets a bot download 20 MB: what cannot be heard is refused with a sentence, not with a break."""
    await ann.open_service("Text to image")
    await ann.send_fields_and_wait(**as_voice(100, size=25 * MB))
    said = await answer(ann)
    assert "Something broke" not in said
    await ann.send_text_and_wait("a lighthouse")
    await on_the_card(ann, 1)


async def test_a_text_file_renamed_jpg(ann: ConversationUser) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("document", "photo.jpg", b"These are words and no picture.\n" * 40)
    said = await answer(ann)
    assert "not what its name says" in said
    assert "Send me a photo" in said
    await ann.upload_and_wait("photo", "real.png", make_photo(FACE))
    await on_the_card(ann, 2)


async def test_a_text_file_renamed_jpg_for_a_training(ann: ConversationUser) -> None:
    await ann.open_service("🧬 Train your model")
    await ann.upload_and_wait("document", "photo.jpg", b"These are words and no picture.\n" * 40)
    assert "not what its name says" in await answer(ann)
    await ann.send_text_and_wait("/done")
    assert "So far there are 0 photos; at least 10" in await answer(ann)


@pytest.mark.parametrize(("name", "mime_type"), [("film.mp4", "video/mp4"), ("sound.mp3", "audio/mpeg")])
async def test_a_text_file_with_another_name(
    ann: ConversationUser, name: str, mime_type: str, note: bytes
) -> None:
    await ann.open_service("Lip-sync")
    if mime_type.startswith("audio"):
        await ann.upload_and_wait("photo", "face.png", make_photo(FACE))
    await ann.upload_and_wait("document", name, b"These are words.\n" * 40)
    assert "not what its name says" in await answer(ann)


async def test_three_photos_for_a_training(ann: ConversationUser) -> None:
    uploaded = make_photos()
    await ann.open_service("🧬 Train your model")
    await ann.upload_albums(uploaded[:3])
    await ann.send_text_and_wait("/done")
    assert "So far there are 3 photos; at least 10" in await answer(ann)
    await ann.upload_albums(uploaded[3:], before=3)
    await ann.send_text_and_wait("/done")
    assert "What shall the model be called?" in await answer(ann)
    await ann.send_text_and_wait("Me")
    assert "10 photos" in await answer(ann)
    await on_the_card(ann, 250)


async def test_an_album_of_60(ann: ConversationUser) -> None:
    """All at once, as albums of ten are: 50 are kept, and that is said once."""
    (one,) = make_photos(1)
    await ann.open_service("🧬 Train your model")
    for number in range(60):
        await ann.upload("photo", f"{number}.png", one, media_group_id=f"album {number // 10}")
    refused = await ann.wait_for_text("At most 50 photos fit")
    assert "I keep the first 50" in message_text(refused)
    await ann.wait_for_text("50 photos")
    await ann.send_text_and_wait("/done")
    assert "What shall the model be called?" in await answer(ann)
    await ann.send_text_and_wait("Me")
    assert "50 photos" in await answer(ann)
    assert sum("At most 50 photos" in message_text(message) for message in await ann.bot_messages()) == 1
    await on_the_card(ann, 250)


async def test_an_album_of_50_is_taken_whole(ann: ConversationUser) -> None:
    (one,) = make_photos(1)
    await ann.open_service("🧬 Train your model")
    await ann.upload_albums([one] * 50)
    await ann.send_text_and_wait("/done")
    assert "What shall the model be called?" in await answer(ann)


async def test_photos_stay_where_telegram_does_not_let_us_count_them(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    """Edits count as sends, and Telegram refuses too many: a photo is kept all the same."""
    uploaded = make_photos()
    await ann.open_service("🧬 Train your model")
    await ann.upload_albums(uploaded[:9])
    await environment.telegram.add_fault(method="editMessageText", code=429, retry_after=1, chat_id=ann.id)
    await ann.upload("photo", "9.png", uploaded[9])
    await ann.send_text_and_wait("/done")
    await ann.wait_for_text("What shall the model be called?")
    assert "broke" not in " ".join(message_text(message) for message in await ann.bot_messages())


async def test_the_counter_is_not_edited_for_each_photo_of_an_album(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    """Twenty photos within a second are not worth twenty messages to a chat that may get one a second."""
    (one,) = make_photos(1)
    await ann.open_service("🧬 Train your model")
    await ann.upload_albums([one] * 20)
    edits = [call for call in await environment.telegram.api_calls("editMessageText") if _of(call, ann)]
    assert len(edits) <= 10


def _of(call: dict[str, Any], user: ConversationUser) -> bool:
    return str(call["params"].get("chat_id")) == str(user.id)


@pytest.mark.parametrize(
    ("service", "asks"),
    [
        ("Image to words", "Send me a photo"),
        ("🧬 Train your model", "Send 10 to 50 photos"),
        ("Lip-sync", "a face"),
    ],
)
async def test_a_sticker_where_a_photo_is_asked(ann: ConversationUser, service: str, asks: str) -> None:
    await ann.open_service(service)
    await ann._wait_for_answer(
        await ann.telegram.call("POST", "/sim/message", {"user_id": ann.id, "sticker": "🙂"})
    )
    said = await answer(ann)
    assert asks in said
    assert "as text" not in said, "no text is asked for"


async def test_a_photo_where_a_voice_is_asked(ann: ConversationUser, note: bytes) -> None:
    await ann.open_service("🎙 Your voice")
    await ann.upload_and_wait("photo", "me.png", make_photo(FACE))
    said = await answer(ann)
    assert "does not fit here" in said
    assert "Send a voice message" in said
    await ann.upload_and_wait("voice", "me.ogg", note)
    assert "What shall the voice be called?" in await answer(ann)


async def test_a_voice_and_words_where_a_photo_is_asked(ann: ConversationUser, note: bytes) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("voice", "me.ogg", note)
    assert "does not fit here" in await answer(ann)
    await ann.send_text_and_wait("here it is")
    assert "Send me a photo" in await answer(ann)
    await ann.upload_and_wait("photo", "real.png", make_photo(FACE))
    await on_the_card(ann, 2)


async def test_a_photo_where_words_are_asked(ann: ConversationUser) -> None:
    await ann.open_service("Text to video")
    await ann.upload_and_wait("photo", "me.png", make_photo(FACE))
    assert "as text" in await answer(ann)
    await ann.send_text_and_wait("waves")
    await on_the_card(ann, 40)
