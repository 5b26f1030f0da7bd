"""What can be done once there is a result, and without one: richer words, spoken words, history, what is mine."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

pytest.importorskip("espeakng_loader")

from providers.offline.audio.speech import STOCK, speak
from tests.support.environments.environment import Message, until, words
from tests.support.environments.offline import (
    Guest,
    OfflineStage,
    charged,
    ended_job_of,
    has_button,
    job_of,
    offline_stage,
    photo,
    photos,
)
from tests.support.processes.bot_process import Forge
from tests.support.test_data import media_checks as media

GREEN = (30, 160, 60)
_people = count(4001)


@pytest.fixture(scope="module")
async def studio(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, forge: Forge
) -> AsyncIterator[OfflineStage]:
    async with offline_stage(postgres, tmp_path_factory.mktemp("studio"), forge, "B") as stage:
        yield stage


@pytest.fixture
async def ann(studio: OfflineStage) -> Guest:
    """Somebody new in each test."""
    guest = studio.guest(next(_people))
    await guest.says("/start")
    return guest


async def painted(guest: Guest, prompt: str = "a red fox in the snow") -> Message:
    await guest.begin("Text to image")
    await guest.says(prompt)
    return await guest.create(1)


async def last(guest: Guest) -> str:
    return words(await guest.last())


async def test_again_paints_another_picture_at_once(studio: OfflineStage, ann: Guest) -> None:
    first = await painted(ann)
    await ann.tap("Again · 1 ⭐", message_id=first["message_id"])
    second = await ann.sees("balance 1998 ⭐", after=first["message_id"])
    await ended_job_of(studio, ann.id)
    await charged(studio, ann.id, 2)
    assert "a red fox in the snow" in words(second)
    assert await ann.content(first) != await ann.content(second)


async def test_animate_a_picture(studio: OfflineStage, ann: Guest) -> None:
    picture = await painted(ann)
    await ann.taps("Animate", message_id=picture["message_id"])
    assert "What shall happen?" in await last(ann), "the photo is there already"
    await ann.says("snow begins to fall")
    assert "Photo ✓" in await last(ann)
    film = media.film(await ann.content(await ann.create(40)))
    start = media.picture(await ann.content(picture)).mean(axis=(0, 1))
    assert abs(film.frames[0].mean(axis=(0, 1)) - start).max() < 25, "it begins with that very picture"
    (_, files) = studio.offline_work("video")[-1]
    assert files == [await ann.content(picture)]
    await ended_job_of(studio, ann.id)
    await charged(studio, ann.id, 41)


async def test_a_picture_becomes_the_face_that_speaks(studio: OfflineStage, ann: Guest) -> None:
    picture = await painted(ann, "a portrait")
    await ann.taps("Let it speak", message_id=picture["message_id"])
    assert "Now the voice message or sound" in await last(ann)
    note = speak("I am a picture.", "en", STOCK["anna"])
    await ann.sends("voice", "words.ogg", note)
    film = media.film(await ann.content(await ann.create(56)))
    assert film.seconds == pytest.approx(media.voice_note(note).seconds, abs=0.15)
    (_, files) = studio.offline_work("lip_sync")[-1]
    assert set(files) == {await ann.content(picture), note}


async def test_words_of_a_photo_are_read_aloud_and_painted(studio: OfflineStage, ann: Guest) -> None:
    await ann.begin("Image to words")
    await ann.sends("photo", "green.png", photo(GREEN))
    told = await ann.create(2)
    await ann.taps("Read aloud", message_id=told["message_id"])
    card = await last(ann)
    described = str((await job_of(studio, ann.id))["result"]["text"])
    assert described in card
    note = media.voice_note(await ann.content(await ann.create(8)))
    assert described in note.comments.values(), "what is spoken is the description"
    await ann.taps("Paint it", message_id=told["message_id"])
    assert described in await last(ann)
    assert "Price: 1 ⭐" in await last(ann)


async def test_new_words_open_the_card_and_morphing_then_asks_for_the_second_photo(ann: Guest) -> None:
    """From the card of an order with one photo to an order with two."""
    await ann.begin("Photo to video")
    await ann.sends("photo", "green.png", photo(GREEN))
    await ann.says("it rains")
    film = await ann.create(40)
    await ann.taps("New words", message_id=film["message_id"])
    await ann.says("it snows")
    assert "it snows" in await last(ann)
    await ann.taps("🎞")
    await ann.taps("Two photos")
    assert "second photo" in await last(ann), "it is asked for, not missed at the end"
    await ann.sends("photo", "blue.png", photo((40, 70, 200)))
    assert "Price: 77 ⭐" in await last(ann)
    await ann.create(77)


@pytest.mark.parametrize("taken", [True, False], ids=["used", "kept"])
async def test_richer_words_are_shown_first(studio: OfflineStage, ann: Guest, taken: bool) -> None:
    await ann.begin("Text to image")
    await ann.says("a lighthouse at night")
    await ann.taps("Richer words")
    shown = await last(ann)
    richer = shown.split("\n", 1)[1].strip()
    assert richer.startswith("a lighthouse at night, ")
    assert "Price" not in shown, "nothing is ordered by looking at them"
    await ann.taps("Use these words" if taken else "Keep mine")
    await ann.create(1)
    job = await ended_job_of(studio, ann.id)
    assert job["inputs"]["prompt"] == (richer if taken else "a lighthouse at night")
    assert set(job["inputs"]) == {"model", "prompt", "size", "count"}
    await charged(studio, ann.id, 1)


SPOKEN = "A quiet lake between the mountains"


@pytest.fixture(scope="module")
def spoken() -> bytes:
    return speak(SPOKEN, "en", STOCK["maria"])


async def test_a_spoken_prompt_out_of_the_blue(ann: Guest, spoken: bytes) -> None:
    await ann.sends("voice", "prompt.ogg", spoken)
    card = await last(ann)
    assert SPOKEN in card
    assert "Price: 1 ⭐" in card


@pytest.mark.parametrize("service", ["Text to image", "Text to video", "Text to speech"])
async def test_a_spoken_prompt_where_words_are_asked(ann: Guest, service: str, spoken: bytes) -> None:
    await ann.begin(service)
    await ann.sends("voice", "prompt.ogg", spoken)
    assert SPOKEN in await last(ann)
    assert has_button(await ann.last(), "Create")


async def test_a_spoken_prompt_on_the_card(ann: Guest, spoken: bytes) -> None:
    await ann.begin("Text to image")
    await ann.says("a red fox")
    await ann.sends("voice", "prompt.ogg", spoken)
    card = await last(ann)
    assert SPOKEN in card
    assert "a red fox" not in card


async def test_a_spoken_prompt_for_a_photo(ann: Guest, spoken: bytes) -> None:
    await ann.begin("Photo to video")
    await ann.sends("photo", "green.png", photo(GREEN))
    await ann.sends("voice", "prompt.ogg", spoken)
    assert SPOKEN in await last(ann)


async def test_a_spoken_prompt_on_the_card_of_a_photo(ann: Guest, spoken: bytes) -> None:
    """A spoken prompt works wherever a typed one does: this service takes no recording."""
    await ann.begin("Photo to video")
    await ann.sends("photo", "green.png", photo(GREEN))
    await ann.says("it rains")
    await ann.says("it snows")
    assert "it snows" in await last(ann)
    await ann.sends("voice", "prompt.ogg", spoken)
    assert SPOKEN in await last(ann)


async def test_a_new_sound_on_the_card_of_a_lip_sync(studio: OfflineStage, ann: Guest, spoken: bytes) -> None:
    """A recording sent at the card is the new sound, not a face that does not fit."""
    await ann.begin("Lip-sync")
    await ann.sends("photo", "face.png", photo((224, 172, 140)))
    await ann.sends("voice", "words.ogg", speak("Something else.", "en", STOCK["anna"]))
    await ann.sends("voice", "prompt.ogg", spoken)
    assert "Price: 56 ⭐" in await last(ann)
    await ann.create(56)
    assert spoken in studio.offline_work("lip_sync")[-1][1]


async def test_a_photo_out_of_the_blue(studio: OfflineStage, ann: Guest) -> None:
    await ann.sends("photo", "green.png", photo(GREEN))
    offer = await ann.last()
    for service in ("Image to words", "Photo to video", "Lip-sync"):
        assert has_button(offer, service)
    await ann.taps("Image to words", message_id=offer["message_id"])
    assert "Price: 2 ⭐" in await last(ann), "the photo is there already"
    assert "green" in words(await ann.create(2)).lower()
    await ended_job_of(studio, ann.id)
    await charged(studio, ann.id, 2)


async def test_a_photo_is_forgotten_once_the_menu_was_opened(ann: Guest) -> None:
    """What was sent an hour ago for nothing is not put into an order that has nothing to do with it."""
    await ann.sends("photo", "green.png", photo(GREEN))
    await ann.says("/menu")
    await ann.taps("Photo to video")
    assert "Send me the photo" in await last(ann)


async def test_history_sends_results_again_by_their_ids_and_repeats(studio: OfflineStage, ann: Guest) -> None:
    first = await painted(ann)
    await ann.begin("Text to speech")
    await ann.says("Hello")
    second = await ann.create(8)
    await ended_job_of(studio, ann.id)
    uploads = await files_uploaded(studio)
    await ann.says("/history")
    listed = await ann.last()
    for expected in ("1 ✅", "Text to speech", "8 ⭐", "2 ✅", "a red fox in the snow", "1 ⭐"):
        assert expected in words(listed)
    for label, original in (("👁 2", first), ("👁 1", second)):
        await ann.taps(label, message_id=listed["message_id"])
        again = await ann.last()
        assert again["media"][0]["file_id"] == original["media"][0]["file_id"]
        assert again["message_id"] != original["message_id"]
    assert await files_uploaded(studio) == uploads, "nothing was uploaded again"
    await charged(studio, ann.id, 9)
    await ann.tap("🔁 2", message_id=listed["message_id"])
    await ann.sees("balance 1990 ⭐")
    await ended_job_of(studio, ann.id)
    await charged(studio, ann.id, 10)


async def files_uploaded(studio: OfflineStage) -> int:
    state = await studio.telegram.call("GET", "/sim/state")
    return int(state["files"])


async def test_history_of_words_albums_and_failures(studio: OfflineStage, ann: Guest) -> None:
    await ann.begin("Image to words")
    await ann.sends("photo", "green.png", photo(GREEN))
    told = await ann.create(2)
    described = str((await ended_job_of(studio, ann.id))["result"]["text"])
    assert described in words(told)
    await ann.begin("Text to image")
    await ann.says("two foxes")
    await ann.taps("×1")
    await ann.taps("×2")
    await ann.create(2)
    await ended_job_of(studio, ann.id)
    await ann.begin("Text to image")
    await ann.says("a fox #fail")
    card = await ann.can_tap("Create · 1 ⭐")
    await ann.tap("Create · 1 ⭐", message_id=card["message_id"])
    await ann.sees("back on your balance")
    await ended_job_of(studio, ann.id)
    await charged(studio, ann.id, 4)
    await ann.says("/history")
    listed = await ann.last()
    assert "1 ❌" in words(listed)
    assert "0 ⭐" in words(listed)
    assert not has_button(listed, "👁 1"), "there is nothing to see of what failed"
    before = len(await ann.photos())
    await ann.taps("👁 2", message_id=listed["message_id"])

    async def two_more() -> bool:
        return len(await ann.photos()) == before + 2

    await until(two_more, what="the album comes again")
    await ann.taps("👁 3", message_id=listed["message_id"])
    assert described in words(await ann.sees("Image to words", after=listed["message_id"]))


async def test_models_are_renamed_and_deleted(studio: OfflineStage, ann: Guest) -> None:
    await ann.train("🧬 Train your model", photos(), name="Me")
    ready = await ann.create(250)
    assert has_button(ready, "Picture me")
    await ann.says("/models")
    assert has_button(await ann.last(), "✏️ Me")
    await ann.taps("✏️ Me")
    assert "What shall it be called?" in await last(ann)
    await ann.says("x" * 31)
    assert "at most 30" in await last(ann)
    await ann.says("Studio")
    assert has_button(await ann.last(), "✏️ Studio")
    assert not has_button(await ann.last(), "✏️ Me")
    await ann.taps("Picture me", message_id=ready["message_id"])
    await ann.says("on the moon")
    assert "Price: 8 ⭐" in await last(ann)
    await ann.says("/models")
    await ann.taps("🗑")
    assert "for good?" in await last(ann)
    await ann.taps("Back")
    assert has_button(await ann.last(), "✏️ Studio"), "back deletes nothing"
    await ann.taps("🗑")
    await ann.taps("Yes, delete")
    assert "no model yet" in await last(ann)
    assert (
        await studio.db.fetchval(
            "SELECT count(*) FROM own_models WHERE deleted_at IS NULL AND user_id = $1", ann.id
        )
        == 0
    )
    await ann.begin("🤳 Pictures of you")
    assert "I need a model of you first" in await last(ann)
    await charged(studio, ann.id, 250)


async def test_back_from_renaming_ends_it(studio: OfflineStage, ann: Guest) -> None:
    """Words and commands after it are what they always are."""
    await ann.train("🧬 Train your model", photos(), name="Me")
    await ann.create(250)
    await ann.says("/models")
    await ann.taps("✏️ Me")
    await ann.says("/price")
    assert "What everything costs" in await last(ann)
    await ann.says("/models")
    await ann.taps("✏️ Me")
    await ann.taps("Back")
    await ann.says("a red fox")
    assert "Price: 1 ⭐" in await last(ann)
    assert await studio.db.fetchval("SELECT name FROM own_models WHERE user_id = $1", ann.id) == "Me"


async def test_an_order_with_a_model_that_was_deleted_meanwhile(studio: OfflineStage, ann: Guest) -> None:
    await ann.train("🧬 Train your model", photos(), name="Me")
    await ann.create(250)
    await ann.begin("🤳 Pictures of you")
    await ann.says("on the moon")
    card = await ann.can_tap("Create · 8 ⭐")
    await studio.db.execute("UPDATE own_models SET deleted_at = now() WHERE user_id = $1", ann.id)
    await ann.taps("Create · 8 ⭐", message_id=card["message_id"])
    said = await last(ann)
    model_id = await studio.db.fetchval("SELECT id FROM own_models WHERE user_id = $1", ann.id)
    assert model_id.hex not in said, "nobody knows a model by its number"
    await charged(studio, ann.id, 250)


async def cloned(guest: Guest, name: str = "Boris") -> Message:
    await guest.begin("🎙 Your voice")
    await guest.sends("voice", "me.ogg", speak("A low voice speaks about the sea.", "en", STOCK["boris"]))
    await guest.says(name)
    return await guest.create(56)


async def test_a_voice_speaks_and_is_deleted(studio: OfflineStage, ann: Guest) -> None:
    ready = await cloned(ann, "My own")
    await ann.taps("Read aloud", message_id=ready["message_id"])
    assert "Which text shall be spoken?" in await last(ann)
    await ann.says("Hello")
    assert has_button(await ann.last(), "My own"), "the new voice is chosen"
    await ann.create(8)
    await ann.says("/voices")
    listed = await ann.last()
    assert has_button(listed, "🗑 My own")
    assert "Anna, " in words(listed)
    await ann.taps("🗑 My own")
    await ann.taps("Yes, delete")
    assert "no voice of your own" in await last(ann)
    voice_id = await studio.db.fetchval("SELECT voice_id FROM own_voices WHERE user_id = $1", ann.id)
    assert not (studio.folder / "data" / "voices" / f"{voice_id}.json").exists(), "at its provider too"
    await ended_job_of(studio, ann.id)
    await charged(studio, ann.id, 64)


async def test_a_voice_that_is_gone_at_its_provider(studio: OfflineStage, ann: Guest) -> None:
    """It says so, costs nothing, and another voice is a tap away."""
    await cloned(ann, "My own")
    await ended_job_of(studio, ann.id)
    voice_id = await studio.db.fetchval("SELECT voice_id FROM own_voices WHERE user_id = $1", ann.id)
    (studio.folder / "data" / "voices" / f"{voice_id}.json").unlink()
    await ann.begin("Text to speech")
    await ann.says("Hello to everybody")
    card = await ann.can_tap("Create · 8 ⭐")
    await ann.tap("Create · 8 ⭐", message_id=card["message_id"])
    told = await ann.sees("This voice is no longer there")
    assert "8 Stars are back" in words(told)
    assert (await ended_job_of(studio, ann.id))["state"] == "failed"
    await charged(studio, ann.id, 56)
    await ann.says("/voices")
    assert not has_button(await ann.last(), "My own")

    first = next(b["text"] for row in told["keyboard"] for b in row)
    await ann.taps(first, message_id=told["message_id"])
    offered = await ann.last()
    assert voice_id not in words(offered), "nobody knows a voice by its number"
    assert "Hello to everybody" in words(offered) or has_button(offered, "Anna"), "another voice is offered"
