"""Files that do not fit: refused with a sentence that says the limit, nothing charged, the wizard goes on."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from providers.offline.audio.speech import STOCK, speak
from providers.offline.video.camera import shoot
from tests.support.environments.environment import words
from tests.support.environments.offline import MB, Guest, OfflineStage, charged, offline_stage, photo, photos
from tests.support.processes.bot_process import Forge

FACE = (224, 172, 140)
_people = count(3001)


@pytest.fixture(scope="module")
async def studio(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, forge: Forge
) -> AsyncIterator[OfflineStage]:
    async with offline_stage(postgres, tmp_path_factory.mktemp("studio"), forge, "B") as stage:
        yield stage


@pytest.fixture
async def ann(studio: OfflineStage) -> AsyncIterator[Guest]:
    """Somebody new in each test, to whom nothing is charged."""
    guest = studio.guest(next(_people))
    await guest.says("/start")
    yield guest
    assert not [job for job in await studio.jobs() if job["user_id"] == guest.id]
    await charged(studio, guest.id, 0)


@pytest.fixture(scope="module")
def note() -> bytes:
    return speak("Hello, this is Diptych.", "en", STOCK["anna"])


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


async def answer(guest: Guest) -> str:
    return words(await guest.last())


async def on_the_card(guest: Guest, price: int) -> None:
    """The wizard went on: everything is there, and the card shows the price."""
    assert f"Price: {price} ⭐" in await answer(guest)
    await guest.says("/cancel")


@pytest.mark.parametrize(
    ("service", "price"),
    [("Image to words", 2), ("Photo to video", 40)],
    ids=["image_to_prompt", "image_to_video"],
)
async def test_a_photo_of_15_mb(ann: Guest, service: str, price: int) -> None:
    await ann.begin(service)
    await ann.shows(**as_file(15 * MB, "image/jpeg", "holiday.jpg"))
    said = await answer(ann)
    assert "15.0 MB" in said
    assert "at most 10 MB" in said
    assert "Send me" in said, "what is asked for is said once more"
    await ann.sends("photo", "small.png", photo(FACE))
    if price == 40:
        await ann.says("it begins to rain")
    await on_the_card(ann, price)


async def test_a_photo_of_15_mb_among_those_of_a_training(ann: Guest) -> None:
    await ann.begin("🧬 Train your model")
    await ann.sends("photo", "one.png", photo(FACE))
    await ann.shows(**as_file(15 * MB, "image/jpeg", "holiday.jpg"))
    assert "15.0 MB; at most 10 MB" in await answer(ann)
    await ann.says("/done")
    assert "So far there are 1 photos; at least 10" in await answer(ann), "the large one was not counted"


async def test_a_photo_of_15_mb_out_of_the_blue(ann: Guest) -> None:
    """At the latest when the order is confirmed; and the photo can then be changed."""
    large = photo(FACE) + bytes(15 * MB)
    await ann.sends("document", "holiday.png", large)
    if "at most" not in await answer(ann):
        await ann.taps("Image to words")
    if "at most" not in await answer(ann):
        await ann.taps("Create")
    assert "15.0 MB; at most 10 MB" in await answer(ann)
    await ann.says("/menu")
    await ann.taps("Image to words")
    await ann.sends("photo", "small.png", photo(FACE))
    await on_the_card(ann, 2)


@pytest.mark.parametrize(
    "film", [as_video(60 * MB), as_file(60 * MB, "video/mp4", "film.mp4")], ids=["as a video", "as a file"]
)
async def test_a_video_of_60_mb(ann: Guest, film: dict[str, Any], note: bytes) -> None:
    await ann.begin("Lip-sync")
    await ann.shows(**film)
    said = await answer(ann)
    assert "60.0 MB" in said
    assert "at most 20 MB" in said
    assert "a film with a face" in said
    await ann.sends("video", "small.mp4", shoot("a face", 1, aspect="1:1", seconds=0.2))
    await ann.sends("voice", "words.ogg", note)
    await on_the_card(ann, 56)


async def test_a_video_of_ten_minutes(ann: Guest) -> None:
    await ann.begin("Lip-sync")
    await ann.shows(**as_video(5 * MB, seconds=600))
    assert "about 10 min; at most 120 seconds" in await answer(ann)


async def test_a_voice_note_of_an_hour_for_a_voice(ann: Guest, note: bytes) -> None:
    await ann.begin("🎙 Your voice")
    await ann.shows(**as_voice(3600))
    assert "about 60 min; at most 600 seconds" in await answer(ann)
    await ann.sends("voice", "me.ogg", note)
    await ann.says("Me")
    await on_the_card(ann, 56)


async def test_a_voice_note_of_an_hour_for_a_lip_sync(ann: Guest, note: bytes) -> None:
    await ann.begin("Lip-sync")
    await ann.sends("photo", "face.png", photo(FACE))
    await ann.shows(**as_voice(3600))
    assert "about 60 min; at most 120 seconds" in await answer(ann)
    await ann.sends("voice", "words.ogg", note)
    await on_the_card(ann, 56)


async def test_a_voice_note_of_an_hour_instead_of_words(ann: Guest) -> None:
    await ann.begin("Text to image")
    await ann.shows(**as_voice(3600))
    assert "at most 120 seconds" in await answer(ann)
    await ann.says("a lighthouse")
    await on_the_card(ann, 1)


async def test_a_voice_note_too_large_to_be_listened_to(ann: Guest) -> None:
    """Telegram lets a bot download 20 MB: what cannot be heard is refused with a sentence, not with a break."""
    await ann.begin("Text to image")
    await ann.shows(**as_voice(100, size=25 * MB))
    said = await answer(ann)
    assert "Something broke" not in said
    await ann.says("a lighthouse")
    await on_the_card(ann, 1)


async def test_a_text_file_renamed_jpg(ann: Guest) -> None:
    await ann.begin("Image to words")
    await ann.sends("document", "photo.jpg", b"These are words and no picture.\n" * 40)
    said = await answer(ann)
    assert "not what its name says" in said
    assert "Send me a photo" in said
    await ann.sends("photo", "real.png", photo(FACE))
    await on_the_card(ann, 2)


async def test_a_text_file_renamed_jpg_for_a_training(ann: Guest) -> None:
    await ann.begin("🧬 Train your model")
    await ann.sends("document", "photo.jpg", b"These are words and no picture.\n" * 40)
    assert "not what its name says" in await answer(ann)
    await ann.says("/done")
    assert "So far there are 0 photos; at least 10" in await answer(ann)


@pytest.mark.parametrize(("name", "mime_type"), [("film.mp4", "video/mp4"), ("sound.mp3", "audio/mpeg")])
async def test_a_text_file_with_another_name(ann: Guest, name: str, mime_type: str, note: bytes) -> None:
    await ann.begin("Lip-sync")
    if mime_type.startswith("audio"):
        await ann.sends("photo", "face.png", photo(FACE))
    await ann.sends("document", name, b"These are words.\n" * 40)
    assert "not what its name says" in await answer(ann)


async def test_three_photos_for_a_training(ann: Guest) -> None:
    uploaded = photos()
    await ann.begin("🧬 Train your model")
    await ann.sends_album(uploaded[:3])
    await ann.says("/done")
    assert "So far there are 3 photos; at least 10" in await answer(ann)
    await ann.sends_album(uploaded[3:], before=3)
    await ann.says("/done")
    assert "What shall the model be called?" in await answer(ann)
    await ann.says("Me")
    assert "10 photos" in await answer(ann)
    await on_the_card(ann, 250)


async def test_an_album_of_60(ann: Guest) -> None:
    """All at once, as albums of ten are: 50 are kept, and that is said once."""
    (one,) = photos(1)
    await ann.begin("🧬 Train your model")
    for number in range(60):
        await ann.sends_unheard("photo", f"{number}.png", one, media_group_id=f"album {number // 10}")
    refused = await ann.sees("At most 50 photos fit")
    assert "I keep the first 50" in words(refused)
    await ann.sees("50 photos")
    await ann.says("/done")
    assert "What shall the model be called?" in await answer(ann)
    await ann.says("Me")
    assert "50 photos" in await answer(ann)
    assert sum("At most 50 photos" in words(message) for message in await ann.from_bot()) == 1
    await on_the_card(ann, 250)


async def test_an_album_of_50_is_taken_whole(ann: Guest) -> None:
    (one,) = photos(1)
    await ann.begin("🧬 Train your model")
    await ann.sends_album([one] * 50)
    await ann.says("/done")
    assert "What shall the model be called?" in await answer(ann)


async def test_photos_stay_where_telegram_does_not_let_us_count_them(studio: OfflineStage, ann: Guest) -> None:
    """Edits count as sends, and Telegram refuses too many: a photo is kept all the same."""
    uploaded = photos()
    await ann.begin("🧬 Train your model")
    await ann.sends_album(uploaded[:9])
    await studio.telegram.fault(method="editMessageText", code=429, retry_after=1, chat_id=ann.id)
    await ann.sends_unheard("photo", "9.png", uploaded[9])
    await ann.says("/done")
    await ann.sees("What shall the model be called?")
    assert "broke" not in " ".join(words(message) for message in await ann.from_bot())


async def test_the_counter_is_not_edited_for_each_photo_of_an_album(studio: OfflineStage, ann: Guest) -> None:
    """Twenty photos within a second are not worth twenty messages to a chat that may get one a second."""
    (one,) = photos(1)
    await ann.begin("🧬 Train your model")
    await ann.sends_album([one] * 20)
    edits = [call for call in await studio.telegram.calls("editMessageText") if _of(call, ann)]
    assert len(edits) <= 10


def _of(call: dict[str, Any], guest: Guest) -> bool:
    return str(call["params"].get("chat_id")) == str(guest.id)


@pytest.mark.parametrize(
    ("service", "asks"),
    [
        ("Image to words", "Send me a photo"),
        ("🧬 Train your model", "Send 10 to 50 photos"),
        ("Lip-sync", "a face"),
    ],
)
async def test_a_sticker_where_a_photo_is_asked(ann: Guest, service: str, asks: str) -> None:
    await ann.begin(service)
    await ann._answered(await ann.telegram.call("POST", "/sim/message", {"user_id": ann.id, "sticker": "🙂"}))
    said = await answer(ann)
    assert asks in said
    assert "as text" not in said, "no text is asked for"


async def test_a_photo_where_a_voice_is_asked(ann: Guest, note: bytes) -> None:
    await ann.begin("🎙 Your voice")
    await ann.sends("photo", "me.png", photo(FACE))
    said = await answer(ann)
    assert "does not fit here" in said
    assert "Send a voice message" in said
    await ann.sends("voice", "me.ogg", note)
    assert "What shall the voice be called?" in await answer(ann)


async def test_a_voice_and_words_where_a_photo_is_asked(ann: Guest, note: bytes) -> None:
    await ann.begin("Image to words")
    await ann.sends("voice", "me.ogg", note)
    assert "does not fit here" in await answer(ann)
    await ann.says("here it is")
    assert "Send me a photo" in await answer(ann)
    await ann.sends("photo", "real.png", photo(FACE))
    await on_the_card(ann, 2)


async def test_a_photo_where_words_are_asked(ann: Guest) -> None:
    await ann.begin("Text to video")
    await ann.sends("photo", "me.png", photo(FACE))
    assert "as text" in await answer(ann)
    await ann.says("waves")
    await on_the_card(ann, 40)
