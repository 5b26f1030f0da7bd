"""All eleven services without a key, from the menu to the result, on each plan; the media are what they claim."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
import pytest

pytest.importorskip("espeakng_loader")

from providers.offline.audio.speech import STOCK_VOICES, speak
from providers.offline.image.landscape import paint
from providers.offline.video.camera import render_video
from tests.support.environments.environment import PlanName, button_labels, message_text
from tests.support.environments.offline import (
    ConversationUser,
    OfflineEnvironment,
    assert_charged,
    has_button,
    make_photo,
    make_photos,
    open_offline_environment,
    unzip,
    wait_for_latest_job,
)
from tests.support.processes.bot_process import ProcessPool
from tests.support.test_data import media_checks as media

RED, GREEN, BLUE = (205, 30, 35), (30, 160, 60), (40, 70, 200)
TEXT = "Hello, this is Diptych speaking to you."
_user_ids = count(2001)


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
async def environment(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, process_pool: ProcessPool, plan: PlanName
) -> AsyncIterator[OfflineEnvironment]:
    async with open_offline_environment(
        postgres, tmp_path_factory.mktemp("studio"), process_pool, plan
    ) as environment:
        yield environment


@pytest.fixture
async def ann(environment: OfflineEnvironment) -> ConversationUser:
    """Somebody new in each test."""
    user = environment.conversation_user(next(_user_ids))
    await user.send_text_and_wait("/start")
    return user


Trained = Callable[[Training], Awaitable["OrderChecker"]]


@pytest.fixture(scope="module")
def trained(environment: OfflineEnvironment, plan: PlanName) -> Trained:
    """Somebody with a model of their own, trained when the first test asks for it."""
    done: dict[str, OrderChecker] = {}

    async def trained(training: Training) -> OrderChecker:
        if training.service not in done:
            user = environment.conversation_user(next(_user_ids))
            ends_well = done[training.service] = OrderChecker(environment, user, plan)
            await user.open_training_card(training.name, make_photos(), name="Studio me")
            assert "10 photos" in message_text(await user.last_message())
            await user.tap_and_wait("🏋️")
            await user.tap_and_wait(training.steps)
            assert "Your model is ready" in message_text(await user.confirm_order(training.price))
            await ends_well(training.service, training.price)
        return done[training.service]

    return trained


@pytest.fixture
async def check_order(environment: OfflineEnvironment, ann: ConversationUser, plan: PlanName) -> "OrderChecker":
    return OrderChecker(environment, ann, plan)


class OrderChecker:
    """Checks one order after its result: the right service, plan and price; honest about who made it."""

    def __init__(self, environment: OfflineEnvironment, user: ConversationUser, plan: PlanName) -> None:
        self.stage = environment
        self.guest = user
        self._plan = plan
        self._spent = 0

    async def __call__(self, service: str, price: int) -> None:
        self._spent += price
        job = await wait_for_latest_job(self.stage, self.guest.id)
        assert (job["service"], job["state"], job["price"]) == (service, "succeeded", price)
        assert job["plan"] == self._plan
        plans = await self.stage.db.fetch("SELECT DISTINCT plan FROM journal WHERE job_id = $1", job["id"])
        assert [row["plan"] for row in plans] == [self._plan]
        await self.guest.wait_for_text(f"Done · {price} ⭐")
        result = await self.guest.wait_for_text(f"−{price} ⭐ · balance")
        assert "Made offline" in message_text(result)
        assert any(label.endswith("Menu") for label in button_labels(result))
        await assert_charged(self.stage, self.guest.id, self._spent)


async def test_text_to_image(ann: ConversationUser, check_order: OrderChecker) -> None:
    await ann.open_service("Text to image")
    await ann.send_text_and_wait("a red fox in the snow")
    await ann.tap_and_wait("📐 1:1")
    await ann.tap_and_wait("16:9")
    result = await ann.confirm_order(1)
    await check_order("text_to_image", 1)
    pixels = media.decode_image(await ann.download_media(result))
    assert media.aspect_ratio(pixels) == pytest.approx(16 / 9, abs=0.05)
    assert media.has_contrast(pixels)


async def test_image_to_prompt(ann: ConversationUser, check_order: OrderChecker) -> None:
    told = {}
    for spent, (name, colour) in enumerate({"red": RED, "green": GREEN, "blue": BLUE}.items(), 1):
        await ann.open_service("Image to words")
        await ann.upload_and_wait("photo", f"{name}.png", make_photo(colour))
        told[name] = message_text(await ann.confirm_order(2))
        await check_order("image_to_prompt", 2)
        assert name in told[name].lower(), f"order {spent} names the photo's dominant colour"
    assert len(set(told.values())) == 3
    assert "blue" not in told["red"].lower()


async def test_neuro_image(trained: "Trained") -> None:
    await _pictures_of_the_person(await trained(TRAININGS["v1"]), "🤳 Pictures of you", "neuro_image", 8)


async def test_neuro_image_v2(trained: "Trained") -> None:
    await _pictures_of_the_person(await trained(TRAININGS["v2"]), "Pictures of you, pro", "neuro_image_v2", 13)


async def _pictures_of_the_person(ends_well: OrderChecker, name: str, service: str, price: int) -> None:
    ann, studio = ends_well.guest, ends_well.stage
    await ann.open_service(name)
    await ann.send_text_and_wait("on the moon")
    result = await ann.confirm_order(price)
    await ends_well(service, price)
    asked = studio.offline_requests("image")[-1][0]
    row = await studio.db.fetchrow("SELECT trigger_word FROM user_models WHERE user_id = $1", ann.id)
    assert row is not None
    assert asked.prompt == f"{row['trigger']}, on the moon", "the trigger word is put into the prompt"
    uploaded = [media.decode_image(one) for one in make_photos()]
    ours = media.hue_distance(media.decode_image(await ann.download_media(result)), uploaded)
    untrained = media.hue_distance(media.decode_image(paint(asked.prompt, asked.seed)), uploaded)
    assert ours < untrained * 0.7, "nearer to the photos' palette than the same picture untrained"


async def test_text_to_video(ann: ConversationUser, check_order: OrderChecker) -> None:
    await ann.open_service("Text to video")
    await ann.send_text_and_wait("waves at night")
    result = await ann.confirm_order(40)
    await check_order("text_to_video", 40)
    assert result["media"][0]["duration"] == 5
    film = media.decode_video(await ann.download_media(result))
    assert film.seconds == pytest.approx(5, abs=0.2)
    assert len(film.frames) >= 5 * 12
    assert film.max_frame_difference > 0.1


async def test_image_to_video(ann: ConversationUser, check_order: OrderChecker) -> None:
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.send_text_and_wait("it begins to rain")
    result = await ann.confirm_order(40)
    await check_order("image_to_video", 40)
    film = media.decode_video(await ann.download_media(result))
    assert film.seconds == pytest.approx(5, abs=0.2)
    for frame in (film.frames[0], film.frames[-1]):
        assert frame.mean(axis=(0, 1)).argmax() == 1, "the photo is what moves"
    assert result["media"][0]["width"] / result["media"][0]["height"] == pytest.approx(4 / 3, abs=0.1)


async def test_two_photos_flow_into_each_other(ann: ConversationUser, check_order: OrderChecker) -> None:
    await ann.open_service("Photo to video")
    await ann.tap_and_wait("🎞")
    await ann.tap_and_wait("Two photos")
    await ann.upload_and_wait("photo", "red.png", make_photo(RED))
    assert "second photo" in message_text(await ann.last_message())
    await ann.upload_and_wait("photo", "blue.png", make_photo(BLUE))
    await ann.send_text_and_wait("morning becomes night")
    card = await ann.last_message()
    assert has_button(card, "Kling"), "the models that cannot do it are not offered"
    result = await ann.confirm_order(77)
    await check_order("image_to_video", 77)
    film = media.decode_video(await ann.download_media(result))
    first, last = (frame.mean(axis=(0, 1)).argmax() for frame in (film.frames[0], film.frames[-1]))
    assert (first, last) == (0, 2), "from red to blue"


async def test_speech(ann: ConversationUser, check_order: OrderChecker) -> None:
    await ann.open_service("Text to speech")
    await ann.send_text_and_wait(TEXT)
    result = await ann.confirm_order(8)
    await check_order("speech", 8)
    assert [each["kind"] for each in result["media"]] == ["voice"]
    sound = media.decode_voice_note(await ann.download_media(result))
    assert 1.5 < sound.seconds < 8
    assert sound.loudness > 0.03


async def test_speech_costs_by_length(ann: ConversationUser, check_order: OrderChecker) -> None:
    await ann.open_service("Text to speech")
    await ann.send_text_and_wait("The sea is calm. " * 60)
    result = await ann.confirm_order(9)
    await check_order("speech", 9)
    assert media.decode_voice_note(await ann.download_media(result)).seconds > 40


async def test_voice_avatar(ann: ConversationUser, check_order: OrderChecker) -> None:
    """A clone of a low voice, and a stock voice, speak the same text."""
    recording = speak("A low voice speaks slowly about the sea and the wind.", "en", STOCK_VOICES["boris"])
    await ann.open_service("🎙 Your voice")
    await ann.upload_and_wait("voice", "me.ogg", recording)
    await ann.send_text_and_wait("Boris and me")
    ready = await ann.confirm_order(56)
    await check_order("voice_avatar", 56)
    assert "Your voice is ready" in message_text(ready)
    notes = []
    for voice in ("Boris and me", "Boris"):
        await ann.open_service("Text to speech")
        await ann.send_text_and_wait(TEXT)
        await ann.tap_and_wait("🗣")
        await ann.tap_and_wait(
            next(label for label in button_labels(await ann.last_message()) if label.strip("✓🎙 ") == voice)
        )
        notes.append(media.decode_voice_note(await ann.download_media(await ann.confirm_order(8))))
        await check_order("speech", 8)
    own, stock = notes
    assert own.loudness > 0.03
    assert own.timbre_distance(stock) > 0.15


async def test_lip_sync(ann: ConversationUser, check_order: OrderChecker) -> None:
    note = speak(TEXT, "en", STOCK_VOICES["anna"])
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait("photo", "face.png", make_photo((224, 172, 140)))
    await ann.upload_and_wait("voice", "words.ogg", note)
    result = await ann.confirm_order(56)
    await check_order("lip_sync", 56)
    film, sound = media.decode_video(await ann.download_media(result)), media.decode_voice_note(note)
    assert film.seconds == pytest.approx(sound.seconds, abs=0.15)
    assert len(film.audio) / media.RATE == pytest.approx(sound.seconds, abs=0.15)
    assert float(np.sqrt((film.audio**2).mean())) > 0.03
    assert film.max_frame_difference > 0.05


async def test_lip_sync_of_a_video(ann: ConversationUser, check_order: OrderChecker) -> None:
    note = speak(TEXT, "en", STOCK_VOICES["anna"])
    face = render_video("", 1, aspect="1:1", seconds=0.5, start=make_photo((224, 172, 140)))
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait("video", "face.mp4", face)
    await ann.upload_and_wait("voice", "words.ogg", note)
    result = await ann.confirm_order(56)
    await check_order("lip_sync", 56)
    assert media.decode_video(await ann.download_media(result)).seconds == pytest.approx(
        media.decode_voice_note(note).seconds, abs=0.15
    )


@pytest.mark.parametrize("kind", ["v1", "v2"], ids=["model_training", "model_training_v2"])
async def test_training(trained: "Trained", kind: str) -> None:
    ends_well = await trained(TRAININGS[kind])
    ann, studio = ends_well.guest, ends_well.stage
    rows = await studio.db.fetch("SELECT * FROM user_models WHERE user_id = $1", ann.id)
    assert [(row["kind"], row["name"]) for row in rows] == [(kind, "Studio me")]
    trigger_word = rows[0]["trigger_word"]
    works = [work for work in studio.offline_requests("training") if work[0].input["trigger_word"] == trigger_word]
    ((asked, files),) = works
    (archive,) = files
    assert unzip(archive) == make_photos(), "the zip holds the photos, each byte of them"
    assert rows[0]["version"] == f"offline/{rows[0]['trigger'].lower()}:{asked.id.replace('-', '')}"
    await ann.send_text_and_wait("/models")
    assert has_button(await ann.last_message(), "Studio me")
