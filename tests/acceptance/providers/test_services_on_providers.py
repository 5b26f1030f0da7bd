"""Every service on fake providers: its result is delivered and paid once, and each failure ends as it should."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import PlanName, message_text
from tests.support.environments.factory import EnvironmentFactory
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
    order_speech,
    order_voice_clone,
    sample_video,
    voices_named,
)
from tests.support.fake_providers.replicate_server import FakePrediction
from tests.support.test_data.audio import beep

_user_ids = count(6001)
RETRY_AFTER = 1.6
"""Seconds; longer than the default wait when a provider names none."""
PHOTO = make_photo((30, 160, 60))


@pytest.fixture(scope="module")
async def on_plan_a(environments: EnvironmentFactory) -> AsyncIterator[ProviderEnvironment]:
    async with environments.open(ProviderEnvironment, plan="A") as environment:
        yield environment


@pytest.fixture(scope="module")
async def on_plan_b(environments: EnvironmentFactory) -> AsyncIterator[ProviderEnvironment]:
    async with environments.open(ProviderEnvironment, plan="B") as environment:
        yield environment


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> ProviderEnvironment:
    """One bot per plan serves all of this module."""
    environment: ProviderEnvironment = request.getfixturevalue(f"on_plan_{request.param.lower()}")
    return environment


@pytest.fixture(autouse=True)
async def assert_no_token_leaks(environment: ProviderEnvironment) -> AsyncIterator[None]:
    """Providers get bytes, never one of Telegram's URLs or the bot's token."""
    requests_before = len(environment.recorder.requests)
    yield
    assert len(environment.recorder.requests) > requests_before, "the providers got requests"
    assert environment.leaked_requests() == []


@pytest.fixture
async def ann(environment: ProviderEnvironment) -> ConversationUser:
    """A new user for each test."""
    return await new_user(environment)


async def new_user(environment: ProviderEnvironment) -> ConversationUser:
    user = environment.conversation_user(next(_user_ids))
    await user.send_text_and_wait("/start")
    return user


def on_plans(*plans: PlanName) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("environment", plans, indirect=True)


def model_requests(environment: ProviderEnvironment, model: str, mark: str = "") -> FakePrediction:
    """The one prediction or training of a model with `mark` in its input."""
    (prediction,) = [p for p in environment.replicate.predictions if model in p.model and mark in str(p.input)]
    return prediction


# ---------------------------------------------------------------- results


@on_plans("B", "A")
async def test_image_to_prompt_sends_the_photo_to_openai(
    environment: ProviderEnvironment, ann: ConversationUser
) -> None:
    await ann.open_service("Image to words")
    await ann.upload_and_wait("photo", "green.png", PHOTO)
    result = await ann.confirm_order(2)
    assert "A PNG image of 640 by 480, in soft light" in message_text(result)
    await assert_paid_once(environment, ann, "image_to_prompt", 2)
    path, body = environment.openai.requests[-1]
    url = body["messages"][-1]["content"][0]["image_url"]["url"]
    assert (path, url) == ("/chat/completions", f"data:image/png;base64,{base64.b64encode(PHOTO).decode()}")


@on_plans("B", "A")
@pytest.mark.parametrize("voice", ["George", "Nova"], ids=["elevenlabs", "openai"])
async def test_speech_uses_the_provider_of_the_chosen_voice(
    environment: ProviderEnvironment, ann: ConversationUser, voice: str
) -> None:
    text = f"{voice} reads this to {ann.id}."
    await ann.open_service("Text to speech")
    await ann.send_text_and_wait(text)
    await choose_voice(ann, voice)
    result = await ann.confirm_order(8)
    await assert_paid_once(environment, ann, "speech", 8)
    assert [each["kind"] for each in result["media"]] == ["voice"]
    assert text in environment.openai.moderated_texts, "the text was moderated"
    if voice == "Nova":
        assert await ann.download_media(result) == beep(0.3 + len(text) / 40)
        (request,) = [body for path, body in environment.openai.requests if body.get("input") == text]
        assert request["voice"] == "nova"
    else:
        assert await ann.download_media(result) == beep(0.3 + len(text) / 40, 260.0), "George is the second voice"
        assert [one["voice"] for one in environment.elevenlabs.speech_requests if one["text"] == text] == [
            "JBFqnCBsd6RMkjVDRZzb"
        ]


@on_plans("B", "A")
async def test_voice_avatar_speaks_until_it_is_gone_at_the_provider(
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
    assert not has_button(await ann.last_message(), name), "it is no longer offered"
    await order_speech(ann, "somebody else then")
    await ann.confirm_order(8)
    await assert_paid_once(environment, ann, "speech", 8, spent=64)


@on_plans("B", "A")
async def test_text_to_video_delivers_the_predicted_video(
    environment: ProviderEnvironment, ann: ConversationUser
) -> None:
    prompt = f"waves at night, {ann.id}"
    await ann.open_service("Text to video")
    await ann.send_text_and_wait(prompt)
    result = await ann.confirm_order(40)
    await assert_paid_once(environment, ann, "text_to_video", 40)
    assert await ann.download_media(result) == sample_video()
    prediction = model_requests(environment, "wan-2.1-t2v", prompt)
    assert (prediction.input["prompt"], prediction.input["aspect_ratio"]) == (prompt, "16:9")


@on_plans("B")
async def test_image_to_video_uploads_the_photo(environment: ProviderEnvironment, ann: ConversationUser) -> None:
    await ann.open_service("Photo to video")
    await ann.upload_and_wait("photo", "green.png", PHOTO)
    await ann.send_text_and_wait("it begins to rain")
    assert await ann.download_media(await ann.confirm_order(40)) == sample_video()
    await assert_paid_once(environment, ann, "image_to_video", 40)
    prediction = model_requests(environment, "wan-2.1-i2v")
    assert prediction.input["prompt"] == "it begins to rain"
    assert environment.replicate.input_file_bytes(prediction.input["image"]) == PHOTO


@on_plans("B")
@pytest.mark.parametrize("face", ["photo", "video"])
async def test_lip_sync_uploads_the_face_and_the_audio(
    environment: ProviderEnvironment, ann: ConversationUser, face: str
) -> None:
    content, model, name = (
        (PHOTO, "omni-human", "image") if face == "photo" else (sample_video(), "latentsync", "video")
    )
    await ann.open_service("Lip-sync")
    await ann.upload_and_wait(face, "face.png" if face == "photo" else "face.mp4", content)
    await ann.upload_and_wait("voice", "speech.ogg", beep(1.5))
    assert await ann.download_media(await ann.confirm_order(56)) == sample_video()
    await assert_paid_once(environment, ann, "lip_sync", 56)
    prediction = model_requests(environment, model)
    assert environment.replicate.input_file_bytes(prediction.input[name]) == content
    assert environment.replicate.input_file_bytes(prediction.input["audio"]) == beep(1.5)


@dataclass(frozen=True)
class PersonalModel:
    """A training, and the images that its model makes."""

    training: str
    trainer: str
    train_price: int
    pictures: str
    picture_price: int


V1 = PersonalModel("🧬 Train your model", "flux-dev-lora-trainer", 250, "🤳 Pictures of you", 8)
V2 = PersonalModel("🔮 Train your pro model", "flux-pro-trainer", 210, "Pictures of you, pro", 13)


@pytest.mark.parametrize(("environment", "personal_model"), [("A", V1), ("B", V2)], indirect=["environment"])
async def test_training_and_images_of_the_user_use_one_model(
    environment: ProviderEnvironment, ann: ConversationUser, personal_model: PersonalModel
) -> None:
    suffix = "" if personal_model is V1 else "_v2"
    await ann.open_training_card(personal_model.training, make_photos(), name=f"Me {ann.id}")
    assert "Your model is ready" in message_text(await ann.confirm_order(personal_model.train_price))
    job = await assert_paid_once(environment, ann, f"model_training{suffix}", personal_model.train_price)
    training = model_requests(environment, personal_model.trainer)
    assert unzip(environment.replicate.input_file_bytes(training.input["input_images"])) == make_photos()
    (model,) = await environment.db.fetch("SELECT * FROM user_models WHERE user_id = $1", ann.id)
    assert training.input["trigger_word"] == model["trigger_word"]
    destination = f"acme/diptych-{ann.id}-{job['id'].hex[-8:]}"
    assert model["version"] == (
        f"{destination}:{training.id}0a" if personal_model is V1 else f"finetune-{training.id}"
    )

    await ann.open_service(personal_model.pictures)
    await ann.send_text_and_wait("on the moon")
    result = await ann.confirm_order(personal_model.picture_price)
    await assert_paid_once(
        environment, ann, f"neuro_image{suffix}", personal_model.picture_price, spent=personal_model.train_price
    )
    prediction = environment.replicate.predictions[-1]
    assert prediction.input["prompt"] == f"{model['trigger_word']}, on the moon"
    assert result["media"]
    if personal_model is V1:
        assert f"{prediction.model}:{prediction.version}" == model["version"]
        assert environment.replicate.models[destination]["visibility"] == "private"
    else:
        assert (prediction.model, prediction.input["finetune_id"]) == (
            "black-forest-labs/flux-pro-finetuned",
            model["version"],
        )


@on_plans("B")
async def test_spoken_prompt_is_transcribed_and_improved_by_openai(
    environment: ProviderEnvironment, ann: ConversationUser
) -> None:
    await ann.open_service("Text to image")
    note = beep(1.0)
    await ann.upload_and_wait("voice", "prompt.ogg", note)
    assert environment.openai.behaviour.transcript in message_text(await ann.wait_for_button("Create · 1 ⭐"))
    path, body = environment.openai.requests[-1]
    assert (path, body["file"]["data"]) == ("/audio/transcriptions", note)
    await ann.tap_and_wait("Richer words")
    improved = f"{environment.openai.behaviour.transcript}, in soft light"
    assert improved in message_text(await ann.last_message())
    await ann.tap_and_wait("Use these words")
    await ann.confirm_order(1)
    await assert_paid_once(environment, ann, "text_to_image", 1)
    assert model_requests(environment, "flux-schnell", improved).input["prompt"] == improved


# ---------------------------------------------------------------- failures


Check = Callable[[str, ProviderCall, ConversationUser, InjectedFault], Awaitable[None]]


async def order_with_each_failure(
    environment: ProviderEnvironment, check: Check, status: int, **answer: Any
) -> None:
    """Place one order for each kind of provider call, all at once; each call gets this answer."""

    async def place_order(name: str, call: ProviderCall) -> None:
        user = await new_user(environment)
        mark = await call.order(user, f"Answer {status}")
        await check(name, call, user, environment.inject_fault(call.path, mark, status, **answer))

    async with asyncio.TaskGroup() as group:
        for name, call in PROVIDER_CALLS.items():
            group.create_task(place_order(name, call))
    assert (await check_ledger(environment.db)).is_consistent


REFUSALS: tuple[tuple[int, dict[str, Any], str], ...] = (
    (400, {"message": "The input was invalid"}, "failure.bad_input"),
    (400, {"message": "Your request was rejected by our safety system"}, "failure.moderation"),
    (401, {"code": "invalid_api_key"}, "failure.provider"),
    (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "failure.provider"),
)


@on_plans("B")
@pytest.mark.parametrize(("status", "answer", "key"), REFUSALS, ids=["bad input", "unsafe", "key", "quota"])
async def test_permanent_provider_error_is_not_retried_and_returns_the_credits(
    environment: ProviderEnvironment, status: int, answer: dict[str, Any], key: str
) -> None:
    async def check(name: str, call: ProviderCall, user: ConversationUser, fault: InjectedFault) -> None:
        await assert_order_fails(environment, user, call.price, key)
        assert fault.request_count == 1, f"{name}: retrying would not help"

    await order_with_each_failure(environment, check, status, **answer)


@pytest.mark.parametrize(
    ("environment", "status", "key"),
    [("B", 500, "failure.busy"), ("A", 503, "failure.busy"), ("A", 408, "failure.timed_out")],
    indirect=["environment"],
)
async def test_persistent_provider_error_is_retried_three_times_and_returns_the_credits(
    environment: ProviderEnvironment, status: int, key: str
) -> None:
    async def check(name: str, call: ProviderCall, user: ConversationUser, fault: InjectedFault) -> None:
        await assert_order_fails(environment, user, call.price, key)
        assert fault.request_count == 4, f"{name}: retried three times"

    await order_with_each_failure(environment, check, status, times=0)


@on_plans("B", "A")
@pytest.mark.parametrize("status", [429, 0], ids=["rate limited", "answer lost"])
async def test_transient_provider_error_is_retried_and_charged_once(
    environment: ProviderEnvironment, status: int
) -> None:
    async def check(name: str, call: ProviderCall, user: ConversationUser, fault: InjectedFault) -> None:
        await user.confirm_order(call.price)
        await assert_paid_once(environment, user, call.service, call.price)
        once = name == "clone" and not status
        assert fault.request_count == (1 if once else 2), (
            f"{name}: a voice that exists is found, not created again"
        )
        if status and environment.plan == "B":  # the fake Inngest shortens waits
            assert fault.requested_at[1] - fault.requested_at[0] >= RETRY_AFTER, (
                f"{name}: at least the requested wait"
            )
        if name == "clone":
            assert len(voices_named(environment, fault.marker.decode())) == 1

    await order_with_each_failure(environment, check, status, retry_after=RETRY_AFTER)


@on_plans("B")
async def test_prompt_refused_by_moderation_never_reaches_the_provider(
    environment: ProviderEnvironment, ann: ConversationUser
) -> None:
    await order_speech(ann, "#nsfw")
    count_before = len(environment.elevenlabs.speech_requests)
    await assert_order_fails(environment, ann, 8, "failure.moderation")
    assert len(environment.elevenlabs.speech_requests) == count_before


@on_plans("B")
@pytest.mark.parametrize("status", [401, 429, 500, 0], ids=str)
async def test_order_during_an_openai_outage_continues_with_the_typed_prompt(
    environment: ProviderEnvironment, ann: ConversationUser, status: int
) -> None:
    """A failed transcription and a failed improvement cost nothing."""
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
    assert (await ann.wait_for_button("Create · 1 ⭐"))["message_id"], "and the typed prompt can still be ordered"
