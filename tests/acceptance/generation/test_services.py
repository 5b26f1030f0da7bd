"""All eleven services without a key, from the menu to the result, on each plan; the media are what they claim."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
import pytest

pytest.importorskip("espeakng_loader")

from providers.offline.audio.speech import STOCK, speak
from providers.offline.image.landscape import paint
from providers.offline.video.camera import shoot
from tests.support.environments.environment import PlanName, labels, words
from tests.support.environments.offline import (
    Guest,
    OfflineStage,
    charged,
    ended_job_of,
    has_button,
    offline_stage,
    photo,
    photos,
    unzipped,
)
from tests.support.processes.bot_process import Forge
from tests.support.test_data import media_checks as media

RED, GREEN, BLUE = (205, 30, 35), (30, 160, 60), (40, 70, 200)
TEXT = "Hello, this is Diptych speaking to you."
_people = count(2001)


@dataclass(frozen=True)
class Training:
    """As many steps as are not the default, so that the price follows the choice."""

    name: str
    service: str
    steps: str
    price: int


TRAININGS = {
    "v1": Training("🧬 Train your model", "model_training", "1500", 375),
    "v2": Training("🔮 Train your pro model", "model_training_v2", "200", 420),
}


@pytest.fixture(scope="module", params=["A", "B"])
def plan(request: pytest.FixtureRequest) -> PlanName:
    """Plan A with Inngest running; Plan B, in the same default mode, with Inngest stopped."""
    name: PlanName = request.param
    return name


@pytest.fixture(scope="module")
async def studio(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, forge: Forge, plan: PlanName
) -> AsyncIterator[OfflineStage]:
    async with offline_stage(postgres, tmp_path_factory.mktemp("studio"), forge, plan) as stage:
        yield stage


@pytest.fixture
async def ann(studio: OfflineStage) -> Guest:
    """Somebody new in each test."""
    guest = studio.guest(next(_people))
    await guest.says("/start")
    return guest


Trained = Callable[[Training], Awaitable["EndsWell"]]


@pytest.fixture(scope="module")
def trained(studio: OfflineStage, plan: PlanName) -> Trained:
    """Somebody with a model of their own, trained when the first test asks for it."""
    done: dict[str, EndsWell] = {}

    async def trained(training: Training) -> EndsWell:
        if training.service not in done:
            guest = studio.guest(next(_people))
            ends_well = done[training.service] = EndsWell(studio, guest, plan)
            await guest.train(training.name, photos(), name="Studio me")
            assert "10 photos" in words(await guest.last())
            await guest.taps("🏋️")
            await guest.taps(training.steps)
            assert "Your model is ready" in words(await guest.create(training.price))
            await ends_well(training.service, training.price)
        return done[training.service]

    return trained


@pytest.fixture
async def ends_well(studio: OfflineStage, ann: Guest, plan: PlanName) -> "EndsWell":
    return EndsWell(studio, ann, plan)


class EndsWell:
    """Checks one order after its result: the right service, plan and price; honest about who made it."""

    def __init__(self, stage: OfflineStage, guest: Guest, plan: PlanName) -> None:
        self.stage = stage
        self.guest = guest
        self._plan = plan
        self._spent = 0

    async def __call__(self, service: str, price: int) -> None:
        self._spent += price
        job = await ended_job_of(self.stage, self.guest.id)
        assert (job["service"], job["state"], job["price"]) == (service, "succeeded", price)
        assert job["plan"] == self._plan
        plans = await self.stage.db.fetch("SELECT DISTINCT plan FROM journal WHERE job_id = $1", job["id"])
        assert [row["plan"] for row in plans] == [self._plan]
        await self.guest.sees(f"Done · {price} ⭐")
        result = await self.guest.sees(f"−{price} ⭐ · balance")
        assert "Made offline" in words(result)
        assert any(label.endswith("Menu") for label in labels(result))
        await charged(self.stage, self.guest.id, self._spent)


async def test_text_to_image(ann: Guest, ends_well: EndsWell) -> None:
    await ann.begin("Text to image")
    await ann.says("a red fox in the snow")
    await ann.taps("📐 1:1")
    await ann.taps("16:9")
    result = await ann.create(1)
    await ends_well("text_to_image", 1)
    pixels = media.picture(await ann.content(result))
    assert media.aspect(pixels) == pytest.approx(16 / 9, abs=0.05)
    assert media.lively(pixels)


async def test_image_to_prompt(ann: Guest, ends_well: EndsWell) -> None:
    told = {}
    for spent, (name, colour) in enumerate({"red": RED, "green": GREEN, "blue": BLUE}.items(), 1):
        await ann.begin("Image to words")
        await ann.sends("photo", f"{name}.png", photo(colour))
        told[name] = words(await ann.create(2))
        await ends_well("image_to_prompt", 2)
        assert name in told[name].lower(), f"order {spent} names the photo's dominant colour"
    assert len(set(told.values())) == 3
    assert "blue" not in told["red"].lower()


async def test_neuro_image(trained: "Trained") -> None:
    await _pictures_of_the_person(await trained(TRAININGS["v1"]), "🤳 Pictures of you", "neuro_image", 8)


async def test_neuro_image_v2(trained: "Trained") -> None:
    await _pictures_of_the_person(await trained(TRAININGS["v2"]), "Pictures of you, pro", "neuro_image_v2", 13)


async def _pictures_of_the_person(ends_well: EndsWell, name: str, service: str, price: int) -> None:
    ann, studio = ends_well.guest, ends_well.stage
    await ann.begin(name)
    await ann.says("on the moon")
    result = await ann.create(price)
    await ends_well(service, price)
    asked = studio.offline_work("image")[-1][0]
    row = await studio.db.fetchrow("SELECT trigger FROM own_models WHERE user_id = $1", ann.id)
    assert row is not None
    assert asked.prompt == f"{row['trigger']}, on the moon", "the trigger word is put into the prompt"
    uploaded = [media.picture(one) for one in photos()]
    ours = media.away_from(media.picture(await ann.content(result)), uploaded)
    untrained = media.away_from(media.picture(paint(asked.prompt, asked.seed)), uploaded)
    assert ours < untrained * 0.7, "nearer to the photos' palette than the same picture untrained"


async def test_text_to_video(ann: Guest, ends_well: EndsWell) -> None:
    await ann.begin("Text to video")
    await ann.says("waves at night")
    result = await ann.create(40)
    await ends_well("text_to_video", 40)
    assert result["media"][0]["duration"] == 5
    film = media.film(await ann.content(result))
    assert film.seconds == pytest.approx(5, abs=0.2)
    assert len(film.frames) >= 5 * 12
    assert film.moves > 0.1


async def test_image_to_video(ann: Guest, ends_well: EndsWell) -> None:
    await ann.begin("Photo to video")
    await ann.sends("photo", "green.png", photo(GREEN))
    await ann.says("it begins to rain")
    result = await ann.create(40)
    await ends_well("image_to_video", 40)
    film = media.film(await ann.content(result))
    assert film.seconds == pytest.approx(5, abs=0.2)
    for frame in (film.frames[0], film.frames[-1]):
        assert frame.mean(axis=(0, 1)).argmax() == 1, "the photo is what moves"
    assert result["media"][0]["width"] / result["media"][0]["height"] == pytest.approx(4 / 3, abs=0.1)


async def test_two_photos_flow_into_each_other(ann: Guest, ends_well: EndsWell) -> None:
    await ann.begin("Photo to video")
    await ann.taps("🎞")
    await ann.taps("Two photos")
    await ann.sends("photo", "red.png", photo(RED))
    assert "second photo" in words(await ann.last())
    await ann.sends("photo", "blue.png", photo(BLUE))
    await ann.says("morning becomes night")
    card = await ann.last()
    assert has_button(card, "Kling"), "the models that cannot do it are not offered"
    result = await ann.create(77)
    await ends_well("image_to_video", 77)
    film = media.film(await ann.content(result))
    first, last = (frame.mean(axis=(0, 1)).argmax() for frame in (film.frames[0], film.frames[-1]))
    assert (first, last) == (0, 2), "from red to blue"


async def test_speech(ann: Guest, ends_well: EndsWell) -> None:
    await ann.begin("Text to speech")
    await ann.says(TEXT)
    result = await ann.create(8)
    await ends_well("speech", 8)
    assert [each["kind"] for each in result["media"]] == ["voice"]
    sound = media.voice_note(await ann.content(result))
    assert 1.5 < sound.seconds < 8
    assert sound.loudness > 0.03


async def test_speech_costs_by_length(ann: Guest, ends_well: EndsWell) -> None:
    await ann.begin("Text to speech")
    await ann.says("The sea is calm. " * 60)
    result = await ann.create(9)
    await ends_well("speech", 9)
    assert media.voice_note(await ann.content(result)).seconds > 40


async def test_voice_avatar(ann: Guest, ends_well: EndsWell) -> None:
    """A clone of a low voice, and a stock voice, speak the same text."""
    recording = speak("A low voice speaks slowly about the sea and the wind.", "en", STOCK["boris"])
    await ann.begin("🎙 Your voice")
    await ann.sends("voice", "me.ogg", recording)
    await ann.says("Boris and me")
    ready = await ann.create(56)
    await ends_well("voice_avatar", 56)
    assert "Your voice is ready" in words(ready)
    notes = []
    for voice in ("Boris and me", "Boris"):
        await ann.begin("Text to speech")
        await ann.says(TEXT)
        await ann.taps("🗣")
        await ann.taps(next(label for label in labels(await ann.last()) if label.strip("✓🎙 ") == voice))
        notes.append(media.voice_note(await ann.content(await ann.create(8))))
        await ends_well("speech", 8)
    own, stock = notes
    assert own.loudness > 0.03
    assert own.unlike(stock) > 0.15


async def test_lip_sync(ann: Guest, ends_well: EndsWell) -> None:
    note = speak(TEXT, "en", STOCK["anna"])
    await ann.begin("Lip-sync")
    await ann.sends("photo", "face.png", photo((224, 172, 140)))
    await ann.sends("voice", "words.ogg", note)
    result = await ann.create(56)
    await ends_well("lip_sync", 56)
    film, sound = media.film(await ann.content(result)), media.voice_note(note)
    assert film.seconds == pytest.approx(sound.seconds, abs=0.15)
    assert len(film.sound) / media.RATE == pytest.approx(sound.seconds, abs=0.15)
    assert float(np.sqrt((film.sound**2).mean())) > 0.03
    assert film.moves > 0.05


async def test_lip_sync_of_a_film(ann: Guest, ends_well: EndsWell) -> None:
    note = speak(TEXT, "en", STOCK["anna"])
    face = shoot("", 1, aspect="1:1", seconds=0.5, start=photo((224, 172, 140)))
    await ann.begin("Lip-sync")
    await ann.sends("video", "face.mp4", face)
    await ann.sends("voice", "words.ogg", note)
    result = await ann.create(56)
    await ends_well("lip_sync", 56)
    assert media.film(await ann.content(result)).seconds == pytest.approx(media.voice_note(note).seconds, abs=0.15)


@pytest.mark.parametrize("kind", ["v1", "v2"], ids=["model_training", "model_training_v2"])
async def test_training(trained: "Trained", kind: str) -> None:
    ends_well = await trained(TRAININGS[kind])
    ann, studio = ends_well.guest, ends_well.stage
    rows = await studio.db.fetch("SELECT * FROM own_models WHERE user_id = $1", ann.id)
    assert [(row["kind"], row["name"]) for row in rows] == [(kind, "Studio me")]
    works = [
        work for work in studio.offline_work("training") if work[0].input["trigger_word"] == rows[0]["trigger"]
    ]
    ((asked, files),) = works
    (archive,) = files
    assert unzipped(archive) == photos(), "the zip holds the photos, each byte of them"
    assert rows[0]["version"] == f"offline/{rows[0]['trigger'].lower()}:{asked.id.replace('-', '')}"
    await ann.says("/models")
    assert has_button(await ann.last(), "Studio me")
