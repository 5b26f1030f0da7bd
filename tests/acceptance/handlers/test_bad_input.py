"""What people get wrong and what providers refuse: each is answered clearly, and nothing is lost or charged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.providers import create_providers
from bot.settings import Settings
from bot.telegram.bots import create_bots
from services.core.i18n import Texts
from services.durable.steps import DirectSteps
from services.generation import text_to_image
from services.job_kinds import INTERNAL_JOBS
from services.jobs.engine import JobEngine
from services.messaging.app_context import AppContext
from services.notifications.notify import notify_training_failed
from storage.jobs.jobs import claim_next_job
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import (
    BOT_TOKEN,
    Environment,
    Message,
    PlanName,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)
from tests.support.fake_providers.replicate_server import TOKEN as REPLICATE_TOKEN
from tests.support.fake_providers.replicate_server import Outcome, small_png
from tests.support.test_data.factories import add_job, add_user

CREATE = "Create · 1 ⭐"


@pytest.fixture
async def ann(environment: Environment) -> SandboxUser:
    await environment.start_bot()
    return environment.user()


async def reply(user: SandboxUser, sent: Message) -> Message:
    """The bot's first message after the person's own."""

    async def look() -> Message | None:
        newer = [m for m in await user.bot_messages() if m["message_id"] > sent["message"]["message_id"]]
        return newer[0] if newer else None

    found: Message = await wait_until(look, what="the bot replies")
    return found


async def upload(user: SandboxUser, kind: str, name: str, content: bytes) -> Any:
    about = {"user_id": str(user.id), "language_code": user.language_code}
    return await user.telegram.upload(kind, name, content, **about)


async def toast(user: SandboxUser, label: str, message: Message, **data: str) -> tuple[str, bool]:
    """What a tap is answered with, and whether that has to be confirmed."""
    tap = await user.tap(label, message_id=message["message_id"], **data)

    async def look() -> Any:
        calls = await user.telegram.api_calls("answerCallbackQuery")
        return next(
            (c["params"] for c in calls if c["params"]["callback_query_id"] in tap["callback_query_ids"]), None
        )

    params = await wait_until(look, what=f"the tap on {label or data} is answered")
    return params.get("text", ""), params.get("show_alert") in (True, "true")


async def nothing_happened(environment: Environment, user: SandboxUser, stars: int = 100) -> None:
    assert await environment.jobs() == []
    assert await get_balance(environment.db, user.id) == Balance(stars, 0)
    assert environment.replicate.creation_attempts == 0


# ---------------------------------------------------------------- words


async def test_words_that_cannot_be_drawn_are_answered_and_the_question_stays_open(
    environment: Environment, ann: SandboxUser
) -> None:
    await ann.send_text("/start")
    await ann.wait_for_button("Text to image")
    await ann.tap("Text to image")
    await ann.wait_for_text(ann.text("service.text_to_image.ask.prompt"))
    for text, answer in (
        ("a" * 5000, ann.text("input.too_long", length=5000, limit=2000)),
        ("a" * 2001, ann.text("input.too_long", length=2001, limit=2000)),
        ("🦊", ann.text("input.no_words")),
        ("👩‍👩‍👧 … !!!", ann.text("input.no_words")),
    ):
        assert message_text(await reply(ann, await ann.send_text(text))) == answer
    for send, key in (
        (ann.send_message(sticker="🦊"), "input.text_please"),
        (upload(ann, "photo", "a.png", small_png(1)), "input.text_please"),
        (upload(ann, "voice", "a.ogg", b"OggS"), "words.not_heard"),
        (upload(ann, "document", "a.pdf", b"%PDF"), "input.text_please"),
        (ann.send_message(extra={"location": {"latitude": 1.0, "longitude": 2.0}}), "input.text_please"),
    ):
        assert message_text(await reply(ann, await send)) == ann.text(key)
    await nothing_happened(environment, ann)

    await ann.send_text("a red fox")
    await ann.wait_for_button(CREATE)
    sent = await upload(ann, "photo", "a.png", small_png(1))
    assert message_text(await reply(ann, sent)) == ann.text("input.text_please")
    await ann.tap(CREATE)
    await ann.wait_for_text("Done · 1 ⭐")


async def test_an_unknown_command_is_no_order_even_where_words_are_asked_for(
    environment: Environment, ann: SandboxUser
) -> None:
    assert message_text(await reply(ann, await ann.send_text("/nonsense"))) == ann.text("other.command")
    await ann.wait_for_button("Text to image")
    await ann.tap("Text to image")
    await ann.wait_for_text(ann.text("service.text_to_image.ask.prompt"))
    assert message_text(await reply(ann, await ann.send_text("/nonsense"))) == ann.text("other.command")
    await ann.send_text("a red fox")
    await ann.wait_for_button(CREATE)
    assert message_text(await reply(ann, await ann.send_text("/nonsense"))) == ann.text("other.command")
    await nothing_happened(environment, ann)


async def test_out_of_the_blue_everything_gets_a_friendly_answer(
    environment: Environment, ann: SandboxUser
) -> None:
    answer = await reply(ann, await ann.send_message(sticker="🦊"))
    assert message_text(answer) == ann.text("other.message")
    assert any("Text to image" in label for label in button_labels(answer))
    assert message_text(await reply(ann, await upload(ann, "photo", "a.png", small_png(1)))) == ann.text(
        "other.photo"
    )
    assert message_text(await reply(ann, await upload(ann, "document", "a.pdf", b"%PDF"))) == ann.text(
        "other.file"
    )
    assert message_text(await reply(ann, await upload(ann, "voice", "a.ogg", b"OggS"))) == ann.text(
        "words.not_heard"
    )
    assert message_text(await reply(ann, await ann.send_text("🦊"))) == ann.text("input.no_words")
    too_long = ann.text("input.too_long", length=4096, limit=2000)
    assert message_text(await reply(ann, await ann.send_text("b" * 4096))) == too_long
    await nothing_happened(environment, ann)


PROMPTS = (
    '<b>bold</b> & "quotes" \'n <script>alert(1)</script> &amp; &lt;',
    "</blockquote><tg-spoiler> {price} %s {0} \\n",
    "x" + "&" * 1999,
    "🦊 fox " * 285 + "fox 2",
)


async def test_words_arrive_as_they_were_written(environment: Environment, ann: SandboxUser) -> None:
    """HTML, blanks, 2,000 characters to escape, 2,000 with emoji: shown and drawn as they are."""
    for number, prompt in enumerate(PROMPTS):
        person = environment.user(1001 + number)
        shown = prompt[:180]
        card = await person.open_card_by_prompt(prompt)
        assert shown in message_text(card)
        await person.tap(CREATE)
        assert shown in message_text(await person.wait_for_text("balance 99 ⭐"))
        assert shown in message_text(await person.wait_for_text("Done · 1 ⭐"))
    drawn = [prediction.input["prompt"] for prediction in environment.replicate.predictions]
    assert drawn == [prompt.strip() for prompt in PROMPTS]


# ---------------------------------------------------------------- leaving, and old buttons


async def test_cancel_leaves_every_step(environment: Environment, ann: SandboxUser) -> None:
    async def cancelled() -> None:
        answer = await reply(ann, await ann.send_text("/cancel"))
        assert message_text(answer) == ann.text("cancel.done")
        again = await reply(ann, await ann.send_text("/cancel"))
        assert message_text(again) == ann.text("cancel.nothing")

    await ann.send_text("/menu")
    await ann.wait_for_button("Text to image")
    await ann.tap("Text to image")
    await ann.wait_for_text(ann.text("service.text_to_image.ask.prompt"))
    await cancelled()  # at the question
    card = await ann.open_card_by_prompt()
    await cancelled()  # at the card
    assert await toast(ann, CREATE, card) == (ann.text("stale.button"), True)
    await ann.open_card_by_prompt()
    await ann.tap("📐 1:1")
    await ann.wait_for_button("21:9")
    await cancelled()  # at a choice
    await ann.open_card_by_prompt()
    await ann.tap("✏️ Words")
    await ann.wait_for_button("Back")
    await cancelled()  # at the question again
    card = await ann.open_card_by_prompt()
    await ann.tap("✖️ Cancel", message_id=card["message_id"])
    await ann.wait_for_button("Text to image", after=card["message_id"] - 1)
    await ann.send_text("/cancel")
    await nothing_happened(environment, ann)


async def test_old_and_foreign_buttons_are_answered_and_do_nothing(
    environment: Environment, ann: SandboxUser
) -> None:
    old = await ann.open_card_by_prompt("an old order")
    await ann.send_text("/menu")
    card = await ann.open_card_by_prompt("a new order")
    stale = (ann.text("stale.button"), True)
    assert await toast(ann, CREATE, old) == stale
    assert await toast(ann, "📐 1:1", old) == stale
    for data in (
        "nonsense",
        "s:no_such_service",
        "l:xx",
        "r:nonsense:again",
        f"r:{'0' * 32}:again",
        "d|x|confirm||",
    ):
        assert await toast(ann, "", card, data=data) == stale, data
    await nothing_happened(environment, ann)

    await environment.bots[0].terminate()
    await environment.bots[0].start()
    assert await toast(ann, CREATE, old) == stale, "after a restart too"
    assert await toast(ann, CREATE, card) == ("", False), "and the card that is not old still orders"
    result = await ann.wait_for_button("Again · 1 ⭐")
    assert await toast(ann, "", card, data=button(card, CREATE)) == (ann.text("stale.ordered"), False)

    eve = environment.user(1002, first_name="Eve")
    hers = await eve.open_card_by_prompt()
    for label in ("Again", "New words", "Other size"):
        assert await toast(eve, "", hers, data=button(result, label)) == stale, "somebody else's result"
    assert await toast(eve, "", hers, data=button(card, CREATE)) == stale, "somebody else's card"
    (job,) = await environment.wait_for_ended_jobs()
    assert job["user_id"] == ann.id
    assert await get_balance(environment.db, eve.id) == Balance(100, 0)


async def test_an_older_card_never_orders_what_it_does_not_show(
    environment: Environment, ann: SandboxUser
) -> None:
    """New words make a new card; the one above still says `Create · 1 ⭐` over the old words."""
    old = await ann.open_card_by_prompt("a red fox")
    new = await ann.open_card_by_prompt("a blue owl")
    await ann.tap("FLUX schnell", message_id=new["message_id"])
    await ann.wait_for_button("FLUX dev · 4 ⭐")
    await ann.tap("FLUX dev · 4 ⭐", message_id=new["message_id"])
    await ann.wait_for_button("Create · 4 ⭐")
    answer = await toast(ann, CREATE, old)
    await toast(ann, "📐 1:1", new)  # handled after it
    taken = [(job["inputs"]["prompt"], job["price"]) for job in await environment.jobs()]
    assert taken in ([], [("a red fox", 1)]), f"answered {answer}"


def button(message: Message, label: str) -> str:
    found = (each for row in message["keyboard"] for each in row if label in each["text"])
    return str(next(found)["callback_data"])


async def test_too_few_stars_say_how_many_are_missing(environment: Environment) -> None:
    await environment.start_bot(WELCOME_CREDITS="1")
    ann, boris = environment.user(), environment.user(1002, language_code="ru")
    await ann.order_by_prompt()
    result = await ann.wait_for_button("Again · 1 ⭐")
    await ann.tap("Again · 1 ⭐", message_id=result["message_id"])
    await ann.wait_for_text("You are 1 Star short.")
    assert not [m for m in await ann.bot_messages() if ann.text("order.accepting") in message_text(m)]
    sent = await ann.send_text("a red fox")
    card = await ann.wait_for_text("You are 1 Star short.", after=sent["message"]["message_id"])
    assert not any("Create" in label for label in button_labels(card)), "nothing to confirm"

    await boris.open_card_by_prompt("лиса")
    await boris.tap("FLUX schnell")
    await boris.wait_for_button("FLUX dev · 4 ⭐")
    await boris.tap("FLUX dev · 4 ⭐")
    await boris.wait_for_text("Не хватает 3 звёзд.")
    assert len(await environment.jobs()) == 1
    assert await get_balance(environment.db, boris.id) == Balance(1, 0)


async def test_stars_spent_between_the_card_and_its_confirmation(environment: Environment) -> None:
    await environment.start_bot(WELCOME_CREDITS="1")
    ann = environment.user()
    await ann.order_by_prompt()
    (job,) = await environment.wait_for_ended_jobs()
    card = {"message_id": job["progress_message_id"]}
    draft = {"id": "later", "service": job["service"], "values": job["inputs"], "asking": ""}
    await environment.db.execute("UPDATE conversations SET state = 'Ordering:card', data = $1", draft)
    await ann.tap("", data="d|later|confirm||", message_id=card["message_id"])
    await ann.wait_for_text("You are 1 Star short.")
    assert len(await environment.jobs()) == 1
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)


# ---------------------------------------------------------------- providers

ENDS = {"fail": "failure.provider", "nsfw": "failure.moderation", "aborted": "failure.timed_out"}
FOXES: dict[str, Outcome] = {"red": "fail", "blue": "nsfw", "old": "aborted"}


async def told_and_paid_back(environment: Environment, user: SandboxUser, key: str) -> None:
    said = await user.wait_for_text(user.text(key))
    assert user.text("failure.returned", 1) in message_text(said)
    assert any(user.text("button.retry", price=1) in label for label in button_labels(said))
    await user.wait_for_text(user.text("progress.failed"))
    assert await get_balance(environment.db, user.id) == Balance(100, 0)
    chat = "\n".join(message_text(message) for message in await user.bot_messages())
    for raw in ("CUDA", "NSFW", "said by the stand", "aborted", "Traceback"):
        assert raw not in chat, "never a provider's raw text"


@pytest.mark.parametrize("plan", ["A", "B"])
async def test_a_provider_that_fails_costs_nothing_and_is_told_in_ones_language(
    environment: Environment, plan: PlanName
) -> None:
    if plan == "B":
        await environment.inngest.close_ports()
    await environment.start_bot(ready=plan == "A")
    environment.replicate.behaviour.outcome = lambda given: FOXES[given["prompt"].split()[0]]
    people = {
        (language, fox): environment.user(2000 + 10 * number + other, language_code=language)
        for number, fox in enumerate(FOXES)
        for other, language in enumerate(("en", "ru"))
    }
    for (_, fox), person in people.items():
        await person.order_by_prompt(f"{fox} fox")
    jobs = await environment.wait_for_ended_jobs(len(people))
    assert {(job["state"], job["plan"]) for job in jobs} == {("failed", plan)}
    for (_, fox), person in people.items():
        await told_and_paid_back(environment, person, ENDS[FOXES[fox]])
    assert environment.replicate.creation_attempts == len(people), "asked once each: trying again would not help"
    assert (await check_ledger(environment.db)).is_consistent

    environment.replicate.behaviour.outcome = "succeed"
    ann = people["en", "red"]
    await ann.tap("Try again · 1 ⭐")
    await ann.wait_for_text("balance 99 ⭐")
    await ann.wait_for_text("Done · 1 ⭐")


@pytest.mark.parametrize("plan", ["A", "B"])
async def test_a_provider_that_refuses_is_asked_again_only_where_that_can_help(
    environment: Environment, plan: PlanName
) -> None:
    if plan == "B":
        await environment.inngest.close_ports()
    await environment.start_bot(ready=plan == "A")
    ann = environment.user()
    for status, key in ((402, "failure.provider"), (422, "failure.bad_input"), (401, "failure.provider")):
        asked = environment.replicate.creation_attempts
        environment.replicate.fail_next(status, path="POST /v1/models", detail="said by the stand")
        before = await ann.order_by_prompt(f"a fox for {status}")
        said = await ann.wait_for_text(ann.text(key), after=before["message_id"])
        assert ann.text("failure.returned", 1) in message_text(said)
        assert environment.replicate.creation_attempts == asked + 1
    jobs = await environment.wait_for_ended_jobs(3)
    assert {job["state"] for job in jobs} == {"failed"}
    assert await get_balance(environment.db, ann.id) == Balance(100, 0)

    asked = environment.replicate.creation_attempts
    environment.replicate.fail_next(429, path="POST /v1/models", retry_after=0.5)
    environment.replicate.fail_next(503, path="GET /v1/predictions/")
    await ann.order_by_prompt("a fox that has to wait")
    await ann.wait_for_text("balance 99 ⭐")
    jobs = await environment.wait_for_ended_jobs(4)
    assert (jobs[3]["state"], jobs[3]["plan"]) == ("succeeded", plan)
    assert (environment.replicate.creation_attempts - asked, len(environment.replicate.predictions)) == (2, 1)
    assert (await check_ledger(environment.db)).is_consistent


async def test_a_provider_that_is_down_is_tried_a_few_times_and_then_given_up(
    environment: Environment, ann: SandboxUser
) -> None:
    environment.replicate.fail_next(500, path="POST /v1/models", times=0)
    await ann.order_by_prompt()
    await told_and_paid_back(environment, ann, "failure.busy")
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.busy")
    assert 2 <= environment.replicate.creation_attempts <= 5

    asked, bob = environment.replicate.creation_attempts, environment.user(1002)
    await bob.order_by_prompt("a naked child, nsfw")
    await told_and_paid_back(environment, bob, "failure.moderation")
    assert environment.replicate.creation_attempts == asked, "what moderation refuses never reaches the provider"


async def test_a_prediction_that_never_ends_is_stopped_and_paid_back(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In this process, where its limit can be made short."""
    monkeypatch.setattr(text_to_image, "SPEC", replace(text_to_image.SPEC, time_limit_seconds=1))
    environment.replicate.behaviour.outcome = "never"
    ann = environment.user()
    await ann.send_text("/start")
    await add_user(environment.db)
    await add_job(environment.db, price=1)
    token, url = SecretStr(REPLICATE_TOKEN), environment.replicate.url
    settings = Settings(_env_file=None, replicate_api_token=token, replicate_base_url=url, data_dir=tmp_path)
    bots = create_bots({"main": BOT_TOKEN}, environment.telegram.url)
    studio = AppContext(environment.db, bots, Texts(), create_providers(settings))
    try:
        job = await claim_next_job(environment.db, "me", seconds=20, per_user_limit=2, takeover_services=[])
        assert job
        engine = JobEngine(studio, INTERNAL_JOBS, notify_training_failed)
        assert await engine.run_job(job, DirectSteps(environment.db, job, {}, studio.pubsub)) == "failed"
    finally:
        await studio.providers.close()
        await bots["main"].session.close()
    said = await ann.wait_for_text(ann.text("failure.timed_out"))
    assert ann.text("failure.returned", 1) in message_text(said)
    assert [prediction.status() for prediction in environment.replicate.predictions] == ["canceled"]
    assert await get_balance(environment.db, ann.id) == Balance(100, 0)
