"""Every service on real providers, as stands: it ends delivered and paid once, and each refusal ends right."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import PlanName, words
from tests.support.environments.offline import STARS, Guest, has_button, photo, photos, unzipped
from tests.support.environments.providers import (
    QUESTIONS,
    Asked,
    ProviderStage,
    Trap,
    choose_voice,
    clone,
    fails,
    film,
    paid_once,
    provider_stage,
    speech,
    voices_named,
)
from tests.support.fake_providers.replicate_server import StandPrediction
from tests.support.processes.bot_process import Forge
from tests.support.test_data.audio import beep

_people = count(6001)
RETRY_AFTER = 1.6
"""Seconds; more than is waited where no provider says how long."""
PHOTO = photo((30, 160, 60))


@pytest.fixture(scope="module")
async def on_plan_a(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, forge: Forge
) -> AsyncIterator[ProviderStage]:
    async with provider_stage(postgres, tmp_path_factory.mktemp("studio"), forge, "A") as stage:
        yield stage


@pytest.fixture(scope="module")
async def on_plan_b(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, forge: Forge
) -> AsyncIterator[ProviderStage]:
    async with provider_stage(postgres, tmp_path_factory.mktemp("studio"), forge, "B") as stage:
        yield stage


@pytest.fixture
def studio(request: pytest.FixtureRequest) -> ProviderStage:
    """One bot a plan serves all of this module."""
    stage: ProviderStage = request.getfixturevalue(f"on_plan_{request.param.lower()}")
    return stage


@pytest.fixture(autouse=True)
async def nothing_leaks(studio: ProviderStage) -> AsyncIterator[None]:
    """Bytes go out to providers, never an address of Telegram's or the bot's token."""
    asked = len(studio.ear.heard)
    yield
    assert len(studio.ear.heard) > asked, "the providers were asked at all"
    assert studio.leaks() == []


@pytest.fixture
async def ann(studio: ProviderStage) -> Guest:
    """Somebody new in each test."""
    return await somebody(studio)


async def somebody(studio: ProviderStage) -> Guest:
    guest = studio.guest(next(_people))
    await guest.says("/start")
    return guest


def on(*plans: PlanName) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("studio", plans, indirect=True)


def asked_of(studio: ProviderStage, model: str, mark: str = "") -> StandPrediction:
    """The one prediction or training of a model with `mark` in its input."""
    (made,) = [p for p in studio.replicate.predictions if model in p.model and mark in str(p.input)]
    return made


# ---------------------------------------------------------------- what is ordered is made


@on("B", "A")
async def test_image_to_prompt_by_openai(studio: ProviderStage, ann: Guest) -> None:
    await ann.begin("Image to words")
    await ann.sends("photo", "green.png", PHOTO)
    result = await ann.create(2)
    assert "A PNG picture of 640 by 480, in soft light" in words(result)
    await paid_once(studio, ann, "image_to_prompt", 2)
    path, body = studio.openai.questions[-1]
    url = body["messages"][-1]["content"][0]["image_url"]["url"]
    assert (path, url) == ("/chat/completions", f"data:image/png;base64,{base64.b64encode(PHOTO).decode()}")


@on("B", "A")
@pytest.mark.parametrize("voice", ["George", "Nova"], ids=["elevenlabs", "openai"])
async def test_speech(studio: ProviderStage, ann: Guest, voice: str) -> None:
    text = f"{voice} reads this to {ann.id}."
    await ann.begin("Text to speech")
    await ann.says(text)
    await choose_voice(ann, voice)
    result = await ann.create(8)
    await paid_once(studio, ann, "speech", 8)
    assert [each["kind"] for each in result["media"]] == ["voice"]
    assert text in studio.openai.asked, "the words were moderated"
    if voice == "Nova":
        assert await ann.content(result) == beep(0.3 + len(text) / 40)
        (asked,) = [body for path, body in studio.openai.questions if body.get("input") == text]
        assert asked["voice"] == "nova"
    else:
        assert await ann.content(result) == beep(0.3 + len(text) / 40, 260.0), "George is the second voice"
        assert [one["voice"] for one in studio.elevenlabs.spoken if one["text"] == text] == [
            "JBFqnCBsd6RMkjVDRZzb"
        ]


@on("B", "A")
async def test_voice_avatar_speaks_and_is_told_when_it_is_gone(studio: ProviderStage, ann: Guest) -> None:
    note, name = beep(2.0), f"Voice {ann.id}"
    await clone(ann, name, note)
    assert ann.said("voice_avatar.ready") in words(await ann.create(56))
    await paid_once(studio, ann, "voice_avatar", 56)
    (voice_id,) = voices_named(studio, name)
    assert studio.elevenlabs.samples[voice_id] == [("recording.ogg", "audio/ogg", note)]

    await speech(ann, "my own voice")
    await ann.create(8)
    await paid_once(studio, ann, "speech", 8, spent=56)
    assert studio.elevenlabs.spoken[-1]["voice"] == voice_id

    await speech(ann, "one more time")
    del studio.elevenlabs.voices[voice_id]  # deleted at ElevenLabs, or expired
    await fails(studio, ann, 8, "speech.voice_gone", spent=64)
    await ann.says("/voices")
    assert not has_button(await ann.last(), name), "it is offered no longer"
    await speech(ann, "somebody else then")
    await ann.create(8)
    await paid_once(studio, ann, "speech", 8, spent=64)


@on("B", "A")
async def test_text_to_video(studio: ProviderStage, ann: Guest) -> None:
    words_of_it = f"waves at night, {ann.id}"
    await ann.begin("Text to video")
    await ann.says(words_of_it)
    result = await ann.create(40)
    await paid_once(studio, ann, "text_to_video", 40)
    assert await ann.content(result) == film()
    made = asked_of(studio, "wan-2.1-t2v", words_of_it)
    assert (made.input["prompt"], made.input["aspect_ratio"]) == (words_of_it, "16:9")


@on("B")
async def test_image_to_video(studio: ProviderStage, ann: Guest) -> None:
    await ann.begin("Photo to video")
    await ann.sends("photo", "green.png", PHOTO)
    await ann.says("it begins to rain")
    assert await ann.content(await ann.create(40)) == film()
    await paid_once(studio, ann, "image_to_video", 40)
    made = asked_of(studio, "wan-2.1-i2v")
    assert made.input["prompt"] == "it begins to rain"
    assert studio.replicate.file_in(made.input["image"]) == PHOTO


@on("B")
@pytest.mark.parametrize("face", ["photo", "video"])
async def test_lip_sync(studio: ProviderStage, ann: Guest, face: str) -> None:
    content, model, name = (PHOTO, "omni-human", "image") if face == "photo" else (film(), "latentsync", "video")
    await ann.begin("Lip-sync")
    await ann.sends(face, "face.png" if face == "photo" else "face.mp4", content)
    await ann.sends("voice", "words.ogg", beep(1.5))
    assert await ann.content(await ann.create(56)) == film()
    await paid_once(studio, ann, "lip_sync", 56)
    made = asked_of(studio, model)
    assert studio.replicate.file_in(made.input[name]) == content
    assert studio.replicate.file_in(made.input["audio"]) == beep(1.5)


@dataclass(frozen=True)
class Own:
    """A training, and the pictures that the model makes then."""

    training: str
    trainer: str
    train_price: int
    pictures: str
    picture_price: int


V1 = Own("🧬 Train your model", "flux-dev-lora-trainer", 250, "🤳 Pictures of you", 8)
V2 = Own("🔮 Train your pro model", "flux-pro-trainer", 210, "Pictures of you, pro", 13)


@pytest.mark.parametrize(("studio", "own"), [("A", V1), ("B", V2)], indirect=["studio"])
async def test_training_and_pictures_of_the_person(studio: ProviderStage, ann: Guest, own: Own) -> None:
    suffix = "" if own is V1 else "_v2"
    await ann.train(own.training, photos(), name=f"Me {ann.id}")
    assert "Your model is ready" in words(await ann.create(own.train_price))
    job = await paid_once(studio, ann, f"model_training{suffix}", own.train_price)
    asked = asked_of(studio, own.trainer)
    assert unzipped(studio.replicate.file_in(asked.input["input_images"])) == photos()
    (model,) = await studio.db.fetch("SELECT * FROM own_models WHERE user_id = $1", ann.id)
    assert asked.input["trigger_word"] == model["trigger"]
    destination = f"acme/diptych-{ann.id}-{job['id'].hex[-8:]}"
    assert model["version"] == (f"{destination}:{asked.id}0a" if own is V1 else f"finetune-{asked.id}")

    await ann.begin(own.pictures)
    await ann.says("on the moon")
    result = await ann.create(own.picture_price)
    await paid_once(studio, ann, f"neuro_image{suffix}", own.picture_price, spent=own.train_price)
    made = studio.replicate.predictions[-1]
    assert made.input["prompt"] == f"{model['trigger']}, on the moon"
    assert result["media"]
    if own is V1:
        assert f"{made.model}:{made.version}" == model["version"]
        assert studio.replicate.models[destination]["visibility"] == "private"
    else:
        assert (made.model, made.input["finetune_id"]) == (
            "black-forest-labs/flux-pro-finetuned",
            model["version"],
        )


@on("B")
async def test_a_spoken_prompt_is_heard_and_made_richer_by_openai(studio: ProviderStage, ann: Guest) -> None:
    await ann.begin("Text to image")
    note = beep(1.0)
    await ann.sends("voice", "prompt.ogg", note)
    assert studio.openai.knobs.words in words(await ann.can_tap("Create · 1 ⭐"))
    path, body = studio.openai.questions[-1]
    assert (path, body["file"]["data"]) == ("/audio/transcriptions", note)
    await ann.taps("Richer words")
    richer = f"{studio.openai.knobs.words}, in soft light"
    assert richer in words(await ann.last())
    await ann.taps("Use these words")
    await ann.create(1)
    await paid_once(studio, ann, "text_to_image", 1)
    assert asked_of(studio, "flux-schnell", richer).input["prompt"] == richer


# ---------------------------------------------------------------- what providers answer instead


Ending = Callable[[str, Asked, Guest, Trap], Awaitable[None]]


async def meet(studio: ProviderStage, ending: Ending, status: int, **answer: Any) -> None:
    """Somebody for each question to a provider, all at once; each meets this answer."""

    async def one(name: str, asked: Asked) -> None:
        guest = await somebody(studio)
        mark = await asked.order(guest, f"Answer {status}")
        await ending(name, asked, guest, studio.trap(asked.path, mark, status, **answer))

    async with asyncio.TaskGroup() as people:
        for name, asked in QUESTIONS.items():
            people.create_task(one(name, asked))
    assert (await check_ledger(studio.db)).right


REFUSALS: tuple[tuple[int, dict[str, Any], str], ...] = (
    (400, {"message": "The input was invalid"}, "failure.bad_input"),
    (400, {"message": "Your request was rejected by our safety system"}, "failure.moderation"),
    (401, {"code": "invalid_api_key"}, "failure.provider"),
    (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "failure.provider"),
)


@on("B")
@pytest.mark.parametrize(("status", "answer", "key"), REFUSALS, ids=["bad input", "unsafe", "key", "quota"])
async def test_a_refusal_is_told_and_paid_back(
    studio: ProviderStage, status: int, answer: dict[str, Any], key: str
) -> None:
    async def ending(name: str, asked: Asked, guest: Guest, trap: Trap) -> None:
        await fails(studio, guest, asked.price, key)
        assert trap.asked == 1, f"{name}: trying again would not help"

    await meet(studio, ending, status, **answer)


@pytest.mark.parametrize(
    ("studio", "status", "key"),
    [("B", 500, "failure.busy"), ("A", 503, "failure.busy"), ("A", 408, "failure.timed_out")],
    indirect=["studio"],
)
async def test_what_goes_on_failing_is_given_up_and_paid_back(
    studio: ProviderStage, status: int, key: str
) -> None:
    async def ending(name: str, asked: Asked, guest: Guest, trap: Trap) -> None:
        await fails(studio, guest, asked.price, key)
        assert trap.asked == 4, f"{name}: tried again three times"

    await meet(studio, ending, status, times=0)


@on("B", "A")
@pytest.mark.parametrize("status", [429, 0], ids=["rate limited", "answer lost"])
async def test_what_passes_is_tried_again_and_charged_once(studio: ProviderStage, status: int) -> None:
    async def ending(name: str, asked: Asked, guest: Guest, trap: Trap) -> None:
        await guest.create(asked.price)
        await paid_once(studio, guest, asked.service, asked.price)
        once = name == "clone" and not status
        assert trap.asked == (1 if once else 2), f"{name}: a voice that was made is found, not made again"
        if status and studio.plan == "B":  # Inngest's stand makes waits short
            assert trap.moments[1] - trap.moments[0] >= RETRY_AFTER, f"{name}: as long as was asked for"
        if name == "clone":
            assert len(voices_named(studio, trap.mark.decode())) == 1

    await meet(studio, ending, status, retry_after=RETRY_AFTER)


@on("B")
async def test_what_moderation_forbids_never_reaches_the_provider(studio: ProviderStage, ann: Guest) -> None:
    await speech(ann, "#nsfw")
    spoken = len(studio.elevenlabs.spoken)
    await fails(studio, ann, 8, "failure.moderation")
    assert len(studio.elevenlabs.spoken) == spoken


@on("B")
@pytest.mark.parametrize("status", [401, 429, 500, 0], ids=str)
async def test_words_go_on_without_openai(studio: ProviderStage, ann: Guest, status: int) -> None:
    """Neither a recording that is not heard nor words that get no richer cost anything."""
    await ann.begin("Text to image")
    await ann.says(f"a lighthouse of {ann.id}")
    studio.trap("/chat/completions", str(ann.id).encode(), status)
    await ann.taps("Richer words")
    await ann.sees(ann.said("words.not_improved"))
    note = beep(1.0, 400.0 + ann.id % 100)
    studio.trap("/audio/transcriptions", note, status)
    await ann.sends("voice", "a.ogg", note)
    await ann.sees(ann.said("words.no_ear"))
    assert await get_balance(studio.db, ann.id) == Balance(STARS, 0)
    assert (await ann.can_tap("Create · 1 ⭐"))["message_id"], "and mine can be worked on still"
