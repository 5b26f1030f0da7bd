"""All eleven services without a provider key, from the menu to the result, on each plan; the media are checked."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("espeakng_loader")

from sandbox.providers.images.files import IMAGE_SIZES, encode_png
from sandbox.providers.images.landscape import paint
from sandbox.providers.sound import STOCK_VOICES, speak
from sandbox.providers.video import render_video
from tests.support.environments.environment import PlanName, button_labels, message_text
from tests.support.environments.factory import EnvironmentFactory
from tests.support.environments.offline import (
    ConversationUser,
    OfflineEnvironment,
    assert_charged,
    has_button,
    make_photo,
    make_photos,
    unzip,
    wait_for_latest_job,
)
from tests.support.test_data import media_checks as media

RED, GREEN, BLUE = (205, 30, 35), (30, 160, 60), (40, 70, 200)
TEXT = "Hello, this is Diptych speaking to you."
_user_ids = count(2001)


@dataclass(frozen=True)
class Training:
    """A training with a number of steps that is not the default, so that the price depends on the choice."""

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
async def environment(environments: EnvironmentFactory, plan: PlanName) -> AsyncIterator[OfflineEnvironment]:
    async with environments.open(OfflineEnvironment, plan=plan) as environment:
        yield environment


@pytest.fixture
async def ann(environment: OfflineEnvironment) -> ConversationUser:
    """A new user for each test."""
    user = environment.conversation_user(next(_user_ids))
    await user.send_text_and_wait("/start")
    return user


Train = Callable[[Training], Awaitable["OrderChecker"]]


@pytest.fixture(scope="module")
def train(environment: OfflineEnvironment, plan: PlanName) -> Train:
    """Users with a model of their own, trained for the first test that needs it."""
    done: dict[str, OrderChecker] = {}

    async def train(training: Training) -> OrderChecker:
        if training.service not in done:
            user = environment.conversation_user(next(_user_ids))
            check_order = done[training.service] = OrderChecker(environment, user, plan)
            await user.open_training_card(training.name, make_photos(), name="My model")
            assert "10 photos" in message_text(await user.last_message())
            await user.tap_and_wait("🏋️")
            await user.tap_and_wait(training.steps)
            assert "Your model is ready" in message_text(await user.confirm_order(training.price))
            await check_order(training.service, training.price)
        return done[training.service]

    return train


@pytest.fixture
async def check_order(environment: OfflineEnvironment, ann: ConversationUser, plan: PlanName) -> "OrderChecker":
    return OrderChecker(environment, ann, plan)


class OrderChecker:
    """Checks an order after its result: service, plan, price, and the note that it was made offline."""

    def __init__(self, environment: OfflineEnvironment, user: ConversationUser, plan: PlanName) -> None:
        self.environment = environment
        self.user = user
        self._plan = plan
        self._spent = 0

    async def __call__(self, service: str, price: int) -> None:
        self._spent += price
        job = await wait_for_latest_job(self.environment, self.user.id)
        assert (job["service"], job["state"], job["price"]) == (service, "succeeded", price)
        assert job["plan"] == self._plan
        plans = await self.environment.db.fetch("SELECT DISTINCT plan FROM journal WHERE job_id = $1", job["id"])
        assert [row["plan"] for row in plans] == [self._plan]
        await self.user.wait_for_text(f"Done · {price} ⭐")
        result = await self.user.wait_for_text(f"−{price} ⭐ · balance")
        assert "Made offline" in message_text(result)
        assert any(label.endswith("Menu") for label in button_labels(result))
        await assert_charged(self.environment, self.user.id, self._spent)


async def test_text_to_image_delivers_an_image_of_the_chosen_size(
    ann: ConversationUser, check_order: OrderChecker
) -> None:
    await ann.open_service("Text to image")
    await ann.send_text_and_wait("a red fox in the snow")
    await ann.tap_and_wait("📐 1:1")
    await ann.tap_and_wait("16:9")
    result = await ann.confirm_order(1)
    await check_order("text_to_image", 1)
    pixels = media.decode_image(await ann.download_media(result))
    assert media.aspect_ratio(pixels) == pytest.approx(16 / 9, abs=0.05)
    assert media.has_contrast(pixels)


async def test_image_to_prompt_names_the_dominant_colour(ann: ConversationUser, check_order: OrderChecker) -> None:
    descriptions = {}
    for spent, (name, colour) in enumerate({"red": RED, "green": GREEN, "blue": BLUE}.items(), 1):
        await ann.open_service("Image to words")
        await ann.upload_and_wait("photo", f"{name}.png", make_photo(colour))
        descriptions[name] = message_text(await ann.confirm_order(2))
        await check_order("image_to_prompt", 2)
        assert name in descriptions[name].lower(), f"order {spent} names the photo's dominant colour"
    assert len(set(descriptions.values())) == 3
    assert "blue" not in descriptions["red"].lower()


async def test_neuro_image_resembles_the_training_photos(train: "Train") -> None:
    await _check_images_of_the_user(await train(TRAININGS["v1"]), "🤳 Pictures of you", "neuro_image", 8)


async def test_neuro_image_v2_resembles_the_training_photos(train: "Train") -> None:
    await _check_images_of_the_user(await train(TRAININGS["v2"]), "Pictures of you, pro", "neuro_image_v2", 13)


async def _check_images_of_the_user(check_order: OrderChecker, name: str, service: str, price: int) -> None:
    ann, environment = check_order.user, check_order.environment
    await ann.open_service(name)
    await ann.send_text_and_wait("on the moon")
    result = await ann.confirm_order(price)
    await check_order(service, price)
    request = environment.offline_requests("image")[-1][0]
    row = await environment.db.fetchrow("SELECT trigger_word FROM user_models WHERE user_id = $1", ann.id)
    assert row is not None
    assert request.input["prompt"] == f"{row['trigger_word']}, on the moon", (
        "the trigger word is added to the prompt"
    )
    uploaded = [media.decode_image(one) for one in make_photos()]
    distance = media.hue_distance(media.decode_image(await ann.download_media(result)), uploaded)
    untrained_image = encode_png(paint(request.input["prompt"], request.seed, *IMAGE_SIZES["1:1"]))
    untrained_distance = media.hue_distance(media.decode_image(untrained_image), uploaded)
    assert distance < untrained_distance * 0.7, (
        "closer to the photos' colours than the same image without the model"
    )


async def test_text_to_video_delivers_five_seconds_of_motion(
    ann: ConversationUser, check_order: OrderChecker
) -> None:
    await ann.open_service("Text to video")
    await ann.send_text_and_wait("waves at night")
    result = await ann.confirm_order(40)
    await check_order("text_to_video", 40)
    assert result["media"][0]["duration"] == 5
    video = media.decode_video(await ann.download_media(result))
    assert video.seconds == pytest.approx(5, abs=0.2)
    assert len(video.frames) >= 5 * 12
    assert video.max_frame_difference > 0.1


async def test_image_to_video_animates_the_photo(ann: ConversationUser, check_order: OrderChecker) -> None:
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", make_photo(GREEN))
    await ann.send_text_and_wait("it begins to rain")
    result = await ann.confirm_order(40)
    await check_order("image_to_video", 40)
    video = media.decode_video(await ann.download_media(result))
    assert video.seconds == pytest.approx(5, abs=0.2)
    for frame in (video.frames[0], video.frames[-1]):
        assert frame.mean(axis=(0, 1)).argmax() == 1, "the video shows the photo"
    assert result["media"][0]["width"] / result["media"][0]["height"] == pytest.approx(4 / 3, abs=0.1)


async def test_image_to_video_with_two_photos_morphs_the_first_into_the_second(
    ann: ConversationUser, check_order: OrderChecker
) -> None:
    await ann.open_service("Photo to video")
    await ann.tap_and_wait("🎞")
    await ann.tap_and_wait("Two photos")
    await ann.upload_and_wait("photo", "red.png", make_photo(RED))
    assert "second photo" in message_text(await ann.last_message())
    await ann.upload_and_wait("photo", "blue.png", make_photo(BLUE))
    await ann.send_text_and_wait("morning becomes night")
    card = await ann.last_message()
    assert has_button(card, "Kling"), "only models that take two photos are offered"
    result = await ann.confirm_order(77)
    await check_order("image_to_video", 77)
    video = media.decode_video(await ann.download_media(result))
    first, last = (frame.mean(axis=(0, 1)).argmax() for frame in (video.frames[0], video.frames[-1]))
    assert (first, last) == (0, 2), "from red to blue"


async def test_speech_delivers_an_audible_voice_note(ann: ConversationUser, check_order: OrderChecker) -> None:
    await ann.open_service("Text to speech")
    await ann.send_text_and_wait(TEXT)
    result = await ann.confirm_order(8)
    await check_order("speech", 8)
    assert [each["kind"] for each in result["media"]] == ["voice"]
    sound = media.decode_voice_note(await ann.download_media(result))
    assert 1.5 < sound.seconds < 8
    assert sound.loudness > 0.03


async def test_speech_of_a_long_text_costs_more(ann: ConversationUser, check_order: OrderChecker) -> None:
    await ann.open_service("Text to speech")
    await ann.send_text_and_wait("The sea is calm. " * 60)
    result = await ann.confirm_order(9)
    await check_order("speech", 9)
    assert media.decode_voice_note(await ann.download_media(result)).seconds > 40


async def test_voice_avatar_sounds_unlike_the_stock_voice(
    ann: ConversationUser, check_order: OrderChecker
) -> None:
    """A clone of a low voice and a stock voice speak the same text."""
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
    own_note, stock_note = notes
    assert own_note.loudness > 0.03
    assert own_note.timbre_distance(stock_note) > 0.15


async def test_lip_sync_of_a_photo_has_the_length_and_sound_of_the_audio(
    ann: ConversationUser, check_order: OrderChecker
) -> None:
    note = speak(TEXT, "en", STOCK_VOICES["anna"])
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait("photo", "face.png", make_photo((224, 172, 140)))
    await ann.upload_and_wait("voice", "speech.ogg", note)
    result = await ann.confirm_order(56)
    await check_order("lip_sync", 56)
    video, sound = media.decode_video(await ann.download_media(result)), media.decode_voice_note(note)
    assert video.seconds == pytest.approx(sound.seconds, abs=0.15)
    assert len(video.audio) / media.RATE == pytest.approx(sound.seconds, abs=0.15)
    assert float(np.sqrt((video.audio**2).mean())) > 0.03
    assert video.max_frame_difference > 0.05


async def test_lip_sync_of_a_video_has_the_length_of_the_audio(
    ann: ConversationUser, check_order: OrderChecker
) -> None:
    note = speak(TEXT, "en", STOCK_VOICES["anna"])
    face = render_video(
        "", 1, (320, 320), seconds=0.5, images=[Image.open(io.BytesIO(make_photo((224, 172, 140))))]
    )
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait("video", "face.mp4", face)
    await ann.upload_and_wait("voice", "speech.ogg", note)
    result = await ann.confirm_order(56)
    await check_order("lip_sync", 56)
    assert media.decode_video(await ann.download_media(result)).seconds == pytest.approx(
        media.decode_voice_note(note).seconds, abs=0.15
    )


@pytest.mark.parametrize("kind", ["v1", "v2"], ids=["model_training", "model_training_v2"])
async def test_training_sends_the_exact_photos_and_stores_the_model(train: "Train", kind: str) -> None:
    check_order = await train(TRAININGS[kind])
    ann, environment = check_order.user, check_order.environment
    rows = await environment.db.fetch("SELECT * FROM user_models WHERE user_id = $1", ann.id)
    assert [(row["kind"], row["name"]) for row in rows] == [(kind, "My model")]
    trigger_word = rows[0]["trigger_word"]
    requests = [
        each for each in environment.offline_requests("training") if each[0].input["trigger_word"] == trigger_word
    ]
    ((request, files),) = requests
    (archive,) = files
    assert unzip(archive) == make_photos(), "the zip holds the photos, byte for byte"
    assert rows[0]["version"] == f"offline/{rows[0]['trigger_word'].lower()}:{request.id.replace('-', '')}"
    await ann.send_text_and_wait("/models")
    assert has_button(await ann.last_message(), "My model")
