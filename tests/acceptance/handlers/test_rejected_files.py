"""Unsuitable files: rejected with a message that names the limit, nothing charged, the wizard continues."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from sandbox.providers.sound import STOCK_VOICES, speak
from sandbox.providers.video import render_video
from tests.support.environments.environment import message_text
from tests.support.environments.factory import EnvironmentFactory
from tests.support.environments.offline import (
    MB,
    ConversationUser,
    OfflineEnvironment,
    assert_charged,
    make_photo,
    make_photos,
)

FACE = (224, 172, 140)
_user_ids = count(3001)


@pytest.fixture(scope="module")
async def environment(environments: EnvironmentFactory) -> AsyncIterator[OfflineEnvironment]:
    async with environments.open(OfflineEnvironment, plan="B") as environment:
        yield environment


@pytest.fixture
async def ann(environment: OfflineEnvironment) -> AsyncIterator[ConversationUser]:
    """A new user for each test, who is charged nothing."""
    user = environment.conversation_user(next(_user_ids))
    await user.send_text_and_wait("/start")
    yield user
    assert not [job for job in await environment.jobs() if job["user_id"] == user.id]
    await assert_charged(environment, user.id, 0)


@pytest.fixture(scope="module")
def note() -> bytes:
    return speak("Hello, this is Diptych.", "en", STOCK_VOICES["anna"])


def document(size: int, mime_type: str, name: str) -> dict[str, Any]:
    """A document whose size Telegram reports; its bytes are not needed."""
    file = {"file_id": "AgADnobody", "file_unique_id": "nobody", "file_size": size}
    return {"document": {**file, "mime_type": mime_type, "file_name": name}}


def video_file(size: int, seconds: int = 30) -> dict[str, Any]:
    file = {"file_id": "BAADnobody", "file_unique_id": "nobody", "file_size": size}
    return {"video": {**file, "width": 1280, "height": 720, "duration": seconds, "mime_type": "video/mp4"}}


def voice_note(seconds: int, size: int = 9 * MB) -> dict[str, Any]:
    file = {"file_id": "AwADnobody", "file_unique_id": "nobody", "file_size": size}
    return {"voice": {**file, "duration": seconds, "mime_type": "audio/ogg"}}


async def last_text(user: ConversationUser) -> str:
    return message_text(await user.last_message())


async def assert_card_shown(user: ConversationUser, price: int) -> None:
    """The wizard continued: all inputs are there, and the card shows the price."""
    assert f"Price: {price} ⭐" in await last_text(user)
    await user.send_text_and_wait("/cancel")


@pytest.mark.parametrize(
    ("service", "price"),
    [("Image to words", 2), ("Photo to video", 40)],
    ids=["image_to_prompt", "image_to_video"],
)
async def test_photo_of_15_mb_is_rejected(ann: ConversationUser, service: str, price: int) -> None:
    await ann.open_service(service)
    await ann.send_fields_and_wait(**document(15 * MB, "image/jpeg", "holiday.jpg"))
    text = await last_text(ann)
    assert "15.0 MB" in text
    assert "at most 10 MB" in text
    assert "Send me" in text, "the question is repeated"
    await ann.upload_and_wait("photo", "small.png", make_photo(FACE))
    if price == 40:
        await ann.send_text_and_wait("it begins to rain")
    await assert_card_shown(ann, price)


async def test_photo_of_15_mb_for_a_training_is_not_counted(ann: ConversationUser) -> None:
    await ann.open_service("🧬 Train your model")
    await ann.upload_and_wait("photo", "one.png", make_photo(FACE))
    await ann.send_fields_and_wait(**document(15 * MB, "image/jpeg", "holiday.jpg"))
    assert "15.0 MB; at most 10 MB" in await last_text(ann)
    await ann.send_text_and_wait("/done")
    assert "So far there are 1 photos; at least 10" in await last_text(ann), "the large one was not counted"


async def test_unprompted_photo_of_15_mb_is_rejected_and_can_be_replaced(ann: ConversationUser) -> None:
    """At the latest when the order is confirmed; then the photo can be replaced."""
    large = make_photo(FACE) + bytes(15 * MB)
    await ann.upload_and_wait("document", "holiday.png", large)
    if "at most" not in await last_text(ann):
        await ann.tap_and_wait("Image to words")
    if "at most" not in await last_text(ann):
        await ann.tap_and_wait("Create")
    assert "15.0 MB; at most 10 MB" in await last_text(ann)
    await ann.send_text_and_wait("/menu")
    await ann.tap_and_wait("Image to words")
    await ann.upload_and_wait("photo", "small.png", make_photo(FACE))
    await assert_card_shown(ann, 2)


@pytest.mark.parametrize(
    "video", [video_file(60 * MB), document(60 * MB, "video/mp4", "video.mp4")], ids=["as a video", "as a file"]
)
async def test_video_of_60_mb_is_rejected(ann: ConversationUser, video: dict[str, Any], note: bytes) -> None:
    await ann.open_service("Lip-sync")
    await ann.send_fields_and_wait(**video)
    text = await last_text(ann)
    assert "60.0 MB" in text
    assert "at most 20 MB" in text
    assert ann.text("service.lip_sync.ask.face") in text
    await ann.upload_and_wait("video", "small.mp4", render_video("a face", 1, (320, 320), seconds=0.2))
    await ann.upload_and_wait("voice", "speech.ogg", note)
    await assert_card_shown(ann, 56)


async def test_video_of_ten_minutes_is_rejected(ann: ConversationUser) -> None:
    await ann.open_service("Lip-sync")
    await ann.send_fields_and_wait(**video_file(5 * MB, seconds=600))
    assert "about 10 min; at most 120 seconds" in await last_text(ann)


async def test_recording_of_an_hour_for_a_voice_is_rejected(ann: ConversationUser, note: bytes) -> None:
    await ann.open_service("🎙 Your voice")
    await ann.send_fields_and_wait(**voice_note(3600))
    assert "about 60 min; at most 600 seconds" in await last_text(ann)
    await ann.upload_and_wait("voice", "me.ogg", note)
    await ann.send_text_and_wait("Me")
    await assert_card_shown(ann, 56)


async def test_recording_of_an_hour_for_a_lip_sync_is_rejected(ann: ConversationUser, note: bytes) -> None:
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait("photo", "face.png", make_photo(FACE))
    await ann.send_fields_and_wait(**voice_note(3600))
    assert "about 60 min; at most 120 seconds" in await last_text(ann)
    await ann.upload_and_wait("voice", "speech.ogg", note)
    await assert_card_shown(ann, 56)


async def test_recording_of_an_hour_as_a_prompt_is_rejected(ann: ConversationUser) -> None:
    await ann.open_service("Text to image")
    await ann.send_fields_and_wait(**voice_note(3600))
    assert "at most 120 seconds" in await last_text(ann)
    await ann.send_text_and_wait("a lighthouse")
    await assert_card_shown(ann, 1)


async def test_voice_note_too_large_to_download_is_rejected_without_an_error(ann: ConversationUser) -> None:
    """Telegram lets a bot download 20 MB: a larger file is rejected with an explanation, not with an error."""
    await ann.open_service("Text to image")
    await ann.send_fields_and_wait(**voice_note(100, size=25 * MB))
    text = await last_text(ann)
    assert "Something broke" not in text
    await ann.send_text_and_wait("a lighthouse")
    await assert_card_shown(ann, 1)


async def test_text_file_renamed_jpg_is_rejected(ann: ConversationUser) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("document", "photo.jpg", b"This is text and not an image.\n" * 40)
    text = await last_text(ann)
    assert "not what its name says" in text
    assert "Send me a photo" in text
    await ann.upload_and_wait("photo", "real.png", make_photo(FACE))
    await assert_card_shown(ann, 2)


async def test_text_file_renamed_jpg_for_a_training_is_not_counted(ann: ConversationUser) -> None:
    await ann.open_service("🧬 Train your model")
    await ann.upload_and_wait("document", "photo.jpg", b"This is text and not an image.\n" * 40)
    assert "not what its name says" in await last_text(ann)
    await ann.send_text_and_wait("/done")
    assert "So far there are 0 photos; at least 10" in await last_text(ann)


@pytest.mark.parametrize(("name", "mime_type"), [("video.mp4", "video/mp4"), ("sound.mp3", "audio/mpeg")])
async def test_text_file_renamed_video_or_audio_is_rejected(
    ann: ConversationUser, name: str, mime_type: str, note: bytes
) -> None:
    await ann.open_service("Lip-sync")
    if mime_type.startswith("audio"):
        await ann.upload_and_wait("photo", "face.png", make_photo(FACE))
    await ann.upload_and_wait("document", name, b"This is text.\n" * 40)
    assert "not what its name says" in await last_text(ann)


async def test_training_with_three_photos_asks_for_more(ann: ConversationUser) -> None:
    uploaded = make_photos()
    await ann.open_service("🧬 Train your model")
    await ann.upload_albums(uploaded[:3])
    await ann.send_text_and_wait("/done")
    assert "So far there are 3 photos; at least 10" in await last_text(ann)
    await ann.upload_albums(uploaded[3:], before=3)
    await ann.send_text_and_wait("/done")
    assert "What shall the model be called?" in await last_text(ann)
    await ann.send_text_and_wait("Me")
    assert "10 photos" in await last_text(ann)
    await assert_card_shown(ann, 250)


async def test_training_with_60_photos_keeps_50(ann: ConversationUser) -> None:
    """Six albums of ten at once: 50 photos are kept, and the user is told once."""
    (photo,) = make_photos(1)
    await ann.open_service("🧬 Train your model")
    for number in range(60):
        await ann.upload("photo", f"{number}.png", photo, media_group_id=f"album {number // 10}")
    refused = await ann.wait_for_text("At most 50 photos fit")
    assert "I keep the first 50" in message_text(refused)
    await ann.wait_for_text("50 photos")
    await ann.send_text_and_wait("/done")
    assert "What shall the model be called?" in await last_text(ann)
    await ann.send_text_and_wait("Me")
    assert "50 photos" in await last_text(ann)
    assert sum("At most 50 photos" in message_text(message) for message in await ann.bot_messages()) == 1
    await assert_card_shown(ann, 250)


async def test_training_with_50_photos_keeps_all(ann: ConversationUser) -> None:
    (photo,) = make_photos(1)
    await ann.open_service("🧬 Train your model")
    await ann.upload_albums([photo] * 50)
    await ann.send_text_and_wait("/done")
    assert "What shall the model be called?" in await last_text(ann)


async def test_training_photo_is_kept_when_the_counter_edit_is_rate_limited(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    """Telegram limits edits like sends: the photo is kept even if the counter cannot be edited."""
    uploaded = make_photos()
    await ann.open_service("🧬 Train your model")
    await ann.upload_albums(uploaded[:9])
    await environment.telegram.add_fault(method="editMessageText", code=429, retry_after=1, chat_id=ann.id)
    await ann.upload("photo", "9.png", uploaded[9])
    await ann.send_text_and_wait("/done")
    await ann.wait_for_text("What shall the model be called?")
    assert "broke" not in " ".join(message_text(message) for message in await ann.bot_messages())


async def test_photo_counter_of_an_album_is_edited_at_most_ten_times(
    environment: OfflineEnvironment, ann: ConversationUser
) -> None:
    """Twenty photos within a second must not cause twenty edits in a chat that allows one per second."""
    (photo,) = make_photos(1)
    await ann.open_service("🧬 Train your model")
    await ann.upload_albums([photo] * 20)
    edits = [call for call in await environment.telegram.api_calls("editMessageText") if _belongs_to(call, ann)]
    assert len(edits) <= 10


def _belongs_to(call: dict[str, Any], user: ConversationUser) -> bool:
    return str(call["params"].get("chat_id")) == str(user.id)


@pytest.mark.parametrize(
    ("service", "asks"),
    [
        ("Image to words", "Send me a photo"),
        ("🧬 Train your model", "Send 10 to 50 photos"),
        ("Lip-sync", "a face"),
    ],
)
async def test_sticker_instead_of_a_photo_asks_again(ann: ConversationUser, service: str, asks: str) -> None:
    await ann.open_service(service)
    await ann.send_message_and_wait(sticker="🙂")
    text = await last_text(ann)
    assert asks in text
    assert "as text" not in text, "no text is wanted"


async def test_photo_instead_of_a_recording_asks_again(ann: ConversationUser, note: bytes) -> None:
    await ann.open_service("🎙 Your voice")
    await ann.upload_and_wait("photo", "me.png", make_photo(FACE))
    text = await last_text(ann)
    assert "does not fit here" in text
    assert "Send a voice message" in text
    await ann.upload_and_wait("voice", "me.ogg", note)
    assert "What shall the voice be called?" in await last_text(ann)


async def test_recording_or_text_instead_of_a_photo_asks_again(ann: ConversationUser, note: bytes) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("voice", "me.ogg", note)
    assert "does not fit here" in await last_text(ann)
    await ann.send_text_and_wait("here it is")
    assert "Send me a photo" in await last_text(ann)
    await ann.upload_and_wait("photo", "real.png", make_photo(FACE))
    await assert_card_shown(ann, 2)


async def test_photo_instead_of_a_prompt_asks_again(ann: ConversationUser) -> None:
    await ann.open_service("Text to video")
    await ann.upload_and_wait("photo", "me.png", make_photo(FACE))
    assert "as text" in await last_text(ann)
    await ann.send_text_and_wait("waves")
    await assert_card_shown(ann, 40)
