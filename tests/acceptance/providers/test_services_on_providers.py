"""Every service on real providers, as stands: it ends delivered and paid once, and each refusal ends right."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import PlanName, message_text
from tests.support.environments.offline import (
    WELCOME_CREDITS,
    ConversationUser,
    has_button,
    make_photo,
    make_photos,
    unzip,
)
from tests.support.environments.providers import (
    PROVIDER_CALLS,
    InjectedFault,
    ProviderCall,
    ProviderEnvironment,
    assert_order_fails,
    assert_paid_once,
    choose_voice,
    open_provider_environment,
    order_speech,
    order_voice_clone,
    sample_video,
    voices_named,
)
from tests.support.fake_providers.replicate_server import FakePrediction
from tests.support.processes.bot_process import ProcessPool
from tests.support.test_data.audio import beep

_user_ids = count(6001)
RETRY_AFTER = 1.6
"""Seconds; more than is waited where no provider says how long."""
PHOTO = make_photo((30, 160, 60))


@pytest.fixture(scope="module")
async def on_plan_a(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, process_pool: ProcessPool
) -> AsyncIterator[ProviderEnvironment]:
    async with open_provider_environment(
        postgres, tmp_path_factory.mktemp("environment"), process_pool, "A"
    ) as environment:
        yield environment


@pytest.fixture(scope="module")
async def on_plan_b(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, process_pool: ProcessPool
) -> AsyncIterator[ProviderEnvironment]:
    async with open_provider_environment(
        postgres, tmp_path_factory.mktemp("environment"), process_pool, "B"
    ) as environment:
        yield environment


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> ProviderEnvironment:
    """One bot a plan serves all of this module."""
    environment: ProviderEnvironment = request.getfixturevalue(f"on_plan_{request.param.lower()}")
    return environment


@pytest.fixture(autouse=True)
async def assert_no_token_leaks(environment: ProviderEnvironment) -> AsyncIterator[None]:
    """Bytes go out to providers, never an address of Telegram's or the bot's token."""
    asked = len(environment.recorder.requests)
    yield
    assert len(environment.recorder.requests) > asked, "the providers were asked at all"
    assert environment.leaked_requests() == []


@pytest.fixture
async def ann(environment: ProviderEnvironment) -> ConversationUser:
    """Somebody new in each test."""
    return await any_user(environment)


async def any_user(environment: ProviderEnvironment) -> ConversationUser:
    user = environment.conversation_user(next(_user_ids))
    await user.send_text_and_wait("/start")
    return user


def on_plans(*plans: PlanName) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("environment", plans, indirect=True)


def model_requests(environment: ProviderEnvironment, model: str, mark: str = "") -> FakePrediction:
    """The one prediction or training of a model with `mark` in its input."""
    (made,) = [p for p in environment.replicate.predictions if model in p.model and mark in str(p.input)]
    return made


# ---------------------------------------------------------------- what is ordered is made


@on_plans("B", "A")
async def test_image_to_prompt_by_openai(environment: ProviderEnvironment, ann: ConversationUser) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("photo", "green.png", PHOTO)
    result = await ann.confirm_order(2)
    assert "A PNG picture of 640 by 480, in soft light" in message_text(result)
    await assert_paid_once(environment, ann, "image_to_prompt", 2)
    path, body = environment.openai.requests[-1]
    url = body["messages"][-1]["content"][0]["image_url"]["url"]
    assert (path, url) == ("/chat/completions", f"data:image/png;base64,{base64.b64encode(PHOTO).decode()}")


@on_plans("B", "A")
@pytest.mark.parametrize("voice", ["George", "Nova"], ids=["elevenlabs", "openai"])
async def test_speech(environment: ProviderEnvironment, ann: ConversationUser, voice: str) -> None:
    text = f"{voice} reads this to {ann.id}."
    await ann.open_service("Text to speech")
    await ann.send_text_and_wait(text)
    await choose_voice(ann, voice)
    result = await ann.confirm_order(8)
    await assert_paid_once(environment, ann, "speech", 8)
    assert [each["kind"] for each in result["media"]] == ["voice"]
    assert text in environment.openai.moderated_texts, "the words were moderated"
    if voice == "Nova":
        assert await ann.download_media(result) == beep(0.3 + len(text) / 40)
        (asked,) = [body for path, body in environment.openai.requests if body.get("input") == text]
        assert asked["voice"] == "nova"
    else:
        assert await ann.download_media(result) == beep(0.3 + len(text) / 40, 260.0), "George is the second voice"
        assert [one["voice"] for one in environment.elevenlabs.speech_requests if one["text"] == text] == [
            "JBFqnCBsd6RMkjVDRZzb"
        ]


@on_plans("B", "A")
async def test_voice_avatar_speaks_and_is_told_when_it_is_gone(
    environment: ProviderEnvironment, ann: ConversationUser
) -> None:
    note, name = beep(2.0), f"Voice {ann.id}"
    await order_voice_clone(ann, name, note)
    assert ann.text("voice_avatar.ready") in message_text(await ann.confirm_order(56))
    await assert_paid_once(environment, ann, "voice_avatar", 56)
    (voice_id,) = voices_named(environment, name)
    assert environment.elevenlabs.samples[voice_id] == [("recording.ogg", "audio/ogg", note)]

    await order_speech(ann, "my own voice")
    await ann.confirm_order(8)
    await assert_paid_once(environment, ann, "speech", 8, spent=56)
    assert environment.elevenlabs.speech_requests[-1]["voice"] == voice_id

    await order_speech(ann, "one more time")
    del environment.elevenlabs.voices[voice_id]  # deleted at ElevenLabs, or expired
    await assert_order_fails(environment, ann, 8, "speech.voice_gone", spent=64)
    await ann.send_text_and_wait("/voices")
    assert not has_button(await ann.last_message(), name), "it is offered no longer"
    await order_speech(ann, "somebody else then")
    await ann.confirm_order(8)
    await assert_paid_once(environment, ann, "speech", 8, spent=64)


@on_plans("B", "A")
async def test_text_to_video(environment: ProviderEnvironment, ann: ConversationUser) -> None:
    words_of_it = f"waves at night, {ann.id}"
    await ann.open_service("Text to video")
    await ann.send_text_and_wait(words_of_it)
    result = await ann.confirm_order(40)
    await assert_paid_once(environment, ann, "text_to_video", 40)
    assert await ann.download_media(result) == sample_video()
    made = model_requests(environment, "wan-2.1-t2v", words_of_it)
    assert (made.input["prompt"], made.input["aspect_ratio"]) == (words_of_it, "16:9")


@on_plans("B")
async def test_image_to_video(environment: ProviderEnvironment, ann: ConversationUser) -> None:
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", PHOTO)
    await ann.send_text_and_wait("it begins to rain")
    assert await ann.download_media(await ann.confirm_order(40)) == sample_video()
    await assert_paid_once(environment, ann, "image_to_video", 40)
    made = model_requests(environment, "wan-2.1-i2v")
    assert made.input["prompt"] == "it begins to rain"
    assert environment.replicate.input_file_bytes(made.input["image"]) == PHOTO


@on_plans("B")
@pytest.mark.parametrize("face", ["photo", "video"])
async def test_lip_sync(environment: ProviderEnvironment, ann: ConversationUser, face: str) -> None:
    content, model, name = (
        (PHOTO, "omni-human", "image") if face == "photo" else (sample_video(), "latentsync", "video")
    )
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait(face, "face.png" if face == "photo" else "face.mp4", content)
    await ann.upload_and_wait("voice", "words.ogg", beep(1.5))
    assert await ann.download_media(await ann.confirm_order(56)) == sample_video()
    await assert_paid_once(environment, ann, "lip_sync", 56)
    made = model_requests(environment, model)
    assert environment.replicate.input_file_bytes(made.input[name]) == content
    assert environment.replicate.input_file_bytes(made.input["audio"]) == beep(1.5)


@dataclass(frozen=True)
class PersonalModel:
    """A training, and the pictures that the model makes then."""

    training: str
    trainer: str
    train_price: int
    pictures: str
    picture_price: int


V1 = PersonalModel("🧬 Train your model", "flux-dev-lora-trainer", 250, "🤳 Pictures of you", 8)
V2 = PersonalModel("🔮 Train your pro model", "flux-pro-trainer", 210, "Pictures of you, pro", 13)


@pytest.mark.parametrize(("environment", "personal_model"), [("A", V1), ("B", V2)], indirect=["environment"])
async def test_training_and_pictures_of_the_person(
    environment: ProviderEnvironment, ann: ConversationUser, personal_model: PersonalModel
) -> None:
    suffix = "" if personal_model is V1 else "_v2"
    await ann.open_training_card(personal_model.training, make_photos(), name=f"Me {ann.id}")
    assert "Your model is ready" in message_text(await ann.confirm_order(personal_model.train_price))
    job = await assert_paid_once(environment, ann, f"model_training{suffix}", personal_model.train_price)
    asked = model_requests(environment, personal_model.trainer)
    assert unzip(environment.replicate.input_file_bytes(asked.input["input_images"])) == make_photos()
    (model,) = await environment.db.fetch("SELECT * FROM user_models WHERE user_id = $1", ann.id)
    assert asked.input["trigger_word"] == model["trigger_word"]
    destination = f"acme/diptych-{ann.id}-{job['id'].hex[-8:]}"
    assert model["version"] == (f"{destination}:{asked.id}0a" if personal_model is V1 else f"finetune-{asked.id}")

    await ann.open_service(personal_model.pictures)
    await ann.send_text_and_wait("on the moon")
    result = await ann.confirm_order(personal_model.picture_price)
    await assert_paid_once(
        environment, ann, f"neuro_image{suffix}", personal_model.picture_price, spent=personal_model.train_price
    )
    made = environment.replicate.predictions[-1]
    assert made.input["prompt"] == f"{model['trigger']}, on the moon"
    assert result["media"]
    if personal_model is V1:
        assert f"{made.model}:{made.version}" == model["version"]
        assert environment.replicate.models[destination]["visibility"] == "private"
    else:
        assert (made.model, made.input["finetune_id"]) == (
            "black-forest-labs/flux-pro-finetuned",
            model["version"],
        )


@on_plans("B")
async def test_a_spoken_prompt_is_heard_and_made_richer_by_openai(
    environment: ProviderEnvironment, ann: ConversationUser
) -> None:
    await ann.open_service("Text to image")
    note = beep(1.0)
    await ann.upload_and_wait("voice", "prompt.ogg", note)
    assert environment.openai.behaviour.transcript in message_text(await ann.wait_for_button("Create · 1 ⭐"))
    path, body = environment.openai.requests[-1]
    assert (path, body["file"]["data"]) == ("/audio/transcriptions", note)
    await ann.tap_and_wait("Richer words")
    richer = f"{environment.openai.behaviour.transcript}, in soft light"
    assert richer in message_text(await ann.last_message())
    await ann.tap_and_wait("Use these words")
    await ann.confirm_order(1)
    await assert_paid_once(environment, ann, "text_to_image", 1)
    assert model_requests(environment, "flux-schnell", richer).input["prompt"] == richer


# ---------------------------------------------------------------- what providers answer instead


Ending = Callable[[str, ProviderCall, ConversationUser, InjectedFault], Awaitable[None]]


async def parametrize_failures(
    environment: ProviderEnvironment, ending: Ending, status: int, **answer: Any
) -> None:
    """Somebody for each question to a provider, all at once; each meets this answer."""

    async def one(name: str, asked: ProviderCall) -> None:
        user = await any_user(environment)
        mark = await asked.order(user, f"Answer {status}")
        await ending(name, asked, user, environment.inject_fault(asked.path, mark, status, **answer))

    async with asyncio.TaskGroup() as people:
        for name, asked in PROVIDER_CALLS.items():
            people.create_task(one(name, asked))
    assert (await check_ledger(environment.db)).is_consistent


REFUSALS: tuple[tuple[int, dict[str, Any], str], ...] = (
    (400, {"message": "The input was invalid"}, "failure.bad_input"),
    (400, {"message": "Your request was rejected by our safety system"}, "failure.moderation"),
    (401, {"code": "invalid_api_key"}, "failure.provider"),
    (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "failure.provider"),
)


@on_plans("B")
@pytest.mark.parametrize(("status", "answer", "key"), REFUSALS, ids=["bad input", "unsafe", "key", "quota"])
async def test_a_refusal_is_told_and_paid_back(
    environment: ProviderEnvironment, status: int, answer: dict[str, Any], key: str
) -> None:
    async def ending(name: str, asked: ProviderCall, guest: ConversationUser, trap: InjectedFault) -> None:
        await assert_order_fails(environment, guest, asked.price, key)
        assert trap.times_asked == 1, f"{name}: trying again would not help"

    await parametrize_failures(environment, ending, status, **answer)


@pytest.mark.parametrize(
    ("environment", "status", "key"),
    [("B", 500, "failure.busy"), ("A", 503, "failure.busy"), ("A", 408, "failure.timed_out")],
    indirect=["environment"],
)
async def test_what_goes_on_failing_is_given_up_and_paid_back(
    environment: ProviderEnvironment, status: int, key: str
) -> None:
    async def ending(name: str, asked: ProviderCall, guest: ConversationUser, trap: InjectedFault) -> None:
        await assert_order_fails(environment, guest, asked.price, key)
        assert trap.times_asked == 4, f"{name}: tried again three times"

    await parametrize_failures(environment, ending, status, times=0)


@on_plans("B", "A")
@pytest.mark.parametrize("status", [429, 0], ids=["rate limited", "answer lost"])
async def test_what_passes_is_tried_again_and_charged_once(environment: ProviderEnvironment, status: int) -> None:
    async def ending(name: str, asked: ProviderCall, guest: ConversationUser, trap: InjectedFault) -> None:
        await guest.confirm_order(asked.price)
        await assert_paid_once(environment, guest, asked.service, asked.price)
        once = name == "clone" and not status
        assert trap.times_asked == (1 if once else 2), f"{name}: a voice that was made is found, not made again"
        if status and environment.plan == "B":  # Inngest's stand makes waits short
            assert trap.asked_at[1] - trap.asked_at[0] >= RETRY_AFTER, f"{name}: as long as was asked for"
        if name == "clone":
            assert len(voices_named(environment, trap.marker.decode())) == 1

    await parametrize_failures(environment, ending, status, retry_after=RETRY_AFTER)


@on_plans("B")
async def test_what_moderation_forbids_never_reaches_the_provider(
    environment: ProviderEnvironment, ann: ConversationUser
) -> None:
    await order_speech(ann, "#nsfw")
    spoken = len(environment.elevenlabs.speech_requests)
    await assert_order_fails(environment, ann, 8, "failure.moderation")
    assert len(environment.elevenlabs.speech_requests) == spoken


@on_plans("B")
@pytest.mark.parametrize("status", [401, 429, 500, 0], ids=str)
async def test_words_go_on_without_openai(
    environment: ProviderEnvironment, ann: ConversationUser, status: int
) -> None:
    """Neither a recording that is not heard nor words that get no richer cost anything."""
    await ann.open_service("Text to image")
    await ann.send_text_and_wait(f"a lighthouse of {ann.id}")
    environment.inject_fault("/chat/completions", str(ann.id).encode(), status)
    await ann.tap_and_wait("Richer words")
    await ann.wait_for_text(ann.text("words.not_improved"))
    note = beep(1.0, 400.0 + ann.id % 100)
    environment.inject_fault("/audio/transcriptions", note, status)
    await ann.upload_and_wait("voice", "a.ogg", note)
    await ann.wait_for_text(ann.text("words.no_ear"))
    assert await get_balance(environment.db, ann.id) == Balance(WELCOME_CREDITS, 0)
    assert (await ann.wait_for_button("Create · 1 ⭐"))["message_id"], "and mine can be worked on still"
