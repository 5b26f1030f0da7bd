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
from services.job_kinds import ERRANDS
from services.jobs.engine import JobEngine
from services.messaging.app_context import Studio
from services.notifications.notify import notify_training_failed
from storage.jobs.jobs import claim_next_job
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import (
    BOT_TOKEN,
    Message,
    Person,
    PlanName,
    Stage,
    labels,
    until,
    words,
)
from tests.support.fake_providers.replicate_server import TOKEN as REPLICATE_TOKEN
from tests.support.fake_providers.replicate_server import Outcome, small_png
from tests.support.test_data.factories import add_job, add_user

CREATE = "Create · 1 ⭐"


@pytest.fixture
async def ann(stage: Stage) -> Person:
    await stage.start_bot()
    return stage.person()


async def reply(person: Person, sent: Message) -> Message:
    """The bot's first message after the person's own."""

    async def look() -> Message | None:
        newer = [m for m in await person.from_bot() if m["message_id"] > sent["message"]["message_id"]]
        return newer[0] if newer else None

    found: Message = await until(look, what="the bot replies")
    return found


async def upload(person: Person, kind: str, name: str, content: bytes) -> Any:
    about = {"user_id": str(person.id), "language_code": person.language_code}
    return await person.telegram.upload(kind, name, content, **about)


async def toast(person: Person, label: str, message: Message, **data: str) -> tuple[str, bool]:
    """What a tap is answered with, and whether that has to be confirmed."""
    tap = await person.tap(label, message_id=message["message_id"], **data)

    async def look() -> Any:
        calls = await person.telegram.calls("answerCallbackQuery")
        return next(
            (c["params"] for c in calls if c["params"]["callback_query_id"] in tap["callback_query_ids"]), None
        )

    params = await until(look, what=f"the tap on {label or data} is answered")
    return params.get("text", ""), params.get("show_alert") in (True, "true")


async def nothing_happened(stage: Stage, person: Person, stars: int = 100) -> None:
    assert await stage.jobs() == []
    assert await get_balance(stage.db, person.id) == Balance(stars, 0)
    assert stage.replicate.asked == 0


# ---------------------------------------------------------------- words


async def test_words_that_cannot_be_drawn_are_answered_and_the_question_stays_open(
    stage: Stage, ann: Person
) -> None:
    await ann.say("/start")
    await ann.can_tap("Text to image")
    await ann.tap("Text to image")
    await ann.sees(ann.said("service.text_to_image.ask.prompt"))
    for text, answer in (
        ("a" * 5000, ann.said("input.too_long", length=5000, limit=2000)),
        ("a" * 2001, ann.said("input.too_long", length=2001, limit=2000)),
        ("🦊", ann.said("input.no_words")),
        ("👩‍👩‍👧 … !!!", ann.said("input.no_words")),
    ):
        assert words(await reply(ann, await ann.say(text))) == answer
    for send, key in (
        (ann.send(sticker="🦊"), "input.text_please"),
        (upload(ann, "photo", "a.png", small_png(1)), "input.text_please"),
        (upload(ann, "voice", "a.ogg", b"OggS"), "words.not_heard"),
        (upload(ann, "document", "a.pdf", b"%PDF"), "input.text_please"),
        (ann.send(extra={"location": {"latitude": 1.0, "longitude": 2.0}}), "input.text_please"),
    ):
        assert words(await reply(ann, await send)) == ann.said(key)
    await nothing_happened(stage, ann)

    await ann.say("a red fox")
    await ann.can_tap(CREATE)
    sent = await upload(ann, "photo", "a.png", small_png(1))
    assert words(await reply(ann, sent)) == ann.said("input.text_please")
    await ann.tap(CREATE)
    await ann.sees("Done · 1 ⭐")


async def test_an_unknown_command_is_no_order_even_where_words_are_asked_for(stage: Stage, ann: Person) -> None:
    assert words(await reply(ann, await ann.say("/nonsense"))) == ann.said("other.command")
    await ann.can_tap("Text to image")
    await ann.tap("Text to image")
    await ann.sees(ann.said("service.text_to_image.ask.prompt"))
    assert words(await reply(ann, await ann.say("/nonsense"))) == ann.said("other.command")
    await ann.say("a red fox")
    await ann.can_tap(CREATE)
    assert words(await reply(ann, await ann.say("/nonsense"))) == ann.said("other.command")
    await nothing_happened(stage, ann)


async def test_out_of_the_blue_everything_gets_a_friendly_answer(stage: Stage, ann: Person) -> None:
    answer = await reply(ann, await ann.send(sticker="🦊"))
    assert words(answer) == ann.said("other.message")
    assert any("Text to image" in label for label in labels(answer))
    assert words(await reply(ann, await upload(ann, "photo", "a.png", small_png(1)))) == ann.said("other.photo")
    assert words(await reply(ann, await upload(ann, "document", "a.pdf", b"%PDF"))) == ann.said("other.file")
    assert words(await reply(ann, await upload(ann, "voice", "a.ogg", b"OggS"))) == ann.said("words.not_heard")
    assert words(await reply(ann, await ann.say("🦊"))) == ann.said("input.no_words")
    too_long = ann.said("input.too_long", length=4096, limit=2000)
    assert words(await reply(ann, await ann.say("b" * 4096))) == too_long
    await nothing_happened(stage, ann)


PROMPTS = (
    '<b>bold</b> & "quotes" \'n <script>alert(1)</script> &amp; &lt;',
    "</blockquote><tg-spoiler> {price} %s {0} \\n",
    "x" + "&" * 1999,
    "🦊 fox " * 285 + "fox 2",
)


async def test_words_arrive_as_they_were_written(stage: Stage, ann: Person) -> None:
    """HTML, blanks, 2,000 characters to escape, 2,000 with emoji: shown and drawn as they are."""
    for number, prompt in enumerate(PROMPTS):
        person = stage.person(1001 + number)
        shown = prompt[:180]
        card = await person.write_card(prompt)
        assert shown in words(card)
        await person.tap(CREATE)
        assert shown in words(await person.sees("balance 99 ⭐"))
        assert shown in words(await person.sees("Done · 1 ⭐"))
    drawn = [prediction.input["prompt"] for prediction in stage.replicate.predictions]
    assert drawn == [prompt.strip() for prompt in PROMPTS]


# ---------------------------------------------------------------- leaving, and old buttons


async def test_cancel_leaves_every_step(stage: Stage, ann: Person) -> None:
    async def cancelled() -> None:
        answer = await reply(ann, await ann.say("/cancel"))
        assert words(answer) == ann.said("cancel.done")
        again = await reply(ann, await ann.say("/cancel"))
        assert words(again) == ann.said("cancel.nothing")

    await ann.say("/menu")
    await ann.can_tap("Text to image")
    await ann.tap("Text to image")
    await ann.sees(ann.said("service.text_to_image.ask.prompt"))
    await cancelled()  # at the question
    card = await ann.write_card()
    await cancelled()  # at the card
    assert await toast(ann, CREATE, card) == (ann.said("stale.button"), True)
    await ann.write_card()
    await ann.tap("📐 1:1")
    await ann.can_tap("21:9")
    await cancelled()  # at a choice
    await ann.write_card()
    await ann.tap("✏️ Words")
    await ann.can_tap("Back")
    await cancelled()  # at the question again
    card = await ann.write_card()
    await ann.tap("✖️ Cancel", message_id=card["message_id"])
    await ann.can_tap("Text to image", after=card["message_id"] - 1)
    await ann.say("/cancel")
    await nothing_happened(stage, ann)


async def test_old_and_foreign_buttons_are_answered_and_do_nothing(stage: Stage, ann: Person) -> None:
    old = await ann.write_card("an old order")
    await ann.say("/menu")
    card = await ann.write_card("a new order")
    stale = (ann.said("stale.button"), True)
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
    await nothing_happened(stage, ann)

    await stage.bots[0].terminate()
    await stage.bots[0].start()
    assert await toast(ann, CREATE, old) == stale, "after a restart too"
    assert await toast(ann, CREATE, card) == ("", False), "and the card that is not old still orders"
    result = await ann.can_tap("Again · 1 ⭐")
    assert await toast(ann, "", card, data=button(card, CREATE)) == (ann.said("stale.ordered"), False)

    eve = stage.person(1002, first_name="Eve")
    hers = await eve.write_card()
    for label in ("Again", "New words", "Other size"):
        assert await toast(eve, "", hers, data=button(result, label)) == stale, "somebody else's result"
    assert await toast(eve, "", hers, data=button(card, CREATE)) == stale, "somebody else's card"
    (job,) = await stage.ended_jobs()
    assert job["user_id"] == ann.id
    assert await get_balance(stage.db, eve.id) == Balance(100, 0)


async def test_an_older_card_never_orders_what_it_does_not_show(stage: Stage, ann: Person) -> None:
    """New words make a new card; the one above still says `Create · 1 ⭐` over the old words."""
    old = await ann.write_card("a red fox")
    new = await ann.write_card("a blue owl")
    await ann.tap("FLUX schnell", message_id=new["message_id"])
    await ann.can_tap("FLUX dev · 4 ⭐")
    await ann.tap("FLUX dev · 4 ⭐", message_id=new["message_id"])
    await ann.can_tap("Create · 4 ⭐")
    answer = await toast(ann, CREATE, old)
    await toast(ann, "📐 1:1", new)  # handled after it
    taken = [(job["inputs"]["prompt"], job["price"]) for job in await stage.jobs()]
    assert taken in ([], [("a red fox", 1)]), f"answered {answer}"


def button(message: Message, label: str) -> str:
    found = (each for row in message["keyboard"] for each in row if label in each["text"])
    return str(next(found)["callback_data"])


async def test_too_few_stars_say_how_many_are_missing(stage: Stage) -> None:
    await stage.start_bot(WELCOME_CREDITS="1")
    ann, boris = stage.person(), stage.person(1002, language_code="ru")
    await ann.quick_order()
    result = await ann.can_tap("Again · 1 ⭐")
    await ann.tap("Again · 1 ⭐", message_id=result["message_id"])
    await ann.sees("You are 1 Star short.")
    assert not [m for m in await ann.from_bot() if ann.said("order.accepting") in words(m)]
    sent = await ann.say("a red fox")
    card = await ann.sees("You are 1 Star short.", after=sent["message"]["message_id"])
    assert not any("Create" in label for label in labels(card)), "nothing to confirm"

    await boris.write_card("лиса")
    await boris.tap("FLUX schnell")
    await boris.can_tap("FLUX dev · 4 ⭐")
    await boris.tap("FLUX dev · 4 ⭐")
    await boris.sees("Не хватает 3 звёзд.")
    assert len(await stage.jobs()) == 1
    assert await get_balance(stage.db, boris.id) == Balance(1, 0)


async def test_stars_spent_between_the_card_and_its_confirmation(stage: Stage) -> None:
    await stage.start_bot(WELCOME_CREDITS="1")
    ann = stage.person()
    await ann.quick_order()
    (job,) = await stage.ended_jobs()
    card = {"message_id": job["progress_message_id"]}
    draft = {"id": "later", "service": job["service"], "values": job["inputs"], "asking": ""}
    await stage.db.execute("UPDATE fsm SET state = 'Ordering:card', data = $1", draft)
    await ann.tap("", data="d|later|confirm||", message_id=card["message_id"])
    await ann.sees("You are 1 Star short.")
    assert len(await stage.jobs()) == 1
    assert await get_balance(stage.db, ann.id) == Balance(0, 0)


# ---------------------------------------------------------------- providers

ENDS = {"fail": "failure.provider", "nsfw": "failure.moderation", "aborted": "failure.timed_out"}
FOXES: dict[str, Outcome] = {"red": "fail", "blue": "nsfw", "old": "aborted"}


async def told_and_paid_back(stage: Stage, person: Person, key: str) -> None:
    said = await person.sees(person.said(key))
    assert person.said("failure.returned", 1) in words(said)
    assert any(person.said("button.retry", price=1) in label for label in labels(said))
    await person.sees(person.said("progress.failed"))
    assert await get_balance(stage.db, person.id) == Balance(100, 0)
    chat = "\n".join(words(message) for message in await person.from_bot())
    for raw in ("CUDA", "NSFW", "said by the stand", "aborted", "Traceback"):
        assert raw not in chat, "never a provider's raw text"


@pytest.mark.parametrize("plan", ["A", "B"])
async def test_a_provider_that_fails_costs_nothing_and_is_told_in_ones_language(
    stage: Stage, plan: PlanName
) -> None:
    if plan == "B":
        await stage.inngest.unplug()
    await stage.start_bot(ready=plan == "A")
    stage.replicate.knobs.outcome = lambda given: FOXES[given["prompt"].split()[0]]
    people = {
        (language, fox): stage.person(2000 + 10 * number + other, language_code=language)
        for number, fox in enumerate(FOXES)
        for other, language in enumerate(("en", "ru"))
    }
    for (_, fox), person in people.items():
        await person.quick_order(f"{fox} fox")
    jobs = await stage.ended_jobs(len(people))
    assert {(job["state"], job["plan"]) for job in jobs} == {("failed", plan)}
    for (_, fox), person in people.items():
        await told_and_paid_back(stage, person, ENDS[FOXES[fox]])
    assert stage.replicate.asked == len(people), "asked once each: trying again would not help"
    assert (await check_ledger(stage.db)).right

    stage.replicate.knobs.outcome = "succeed"
    ann = people["en", "red"]
    await ann.tap("Try again · 1 ⭐")
    await ann.sees("balance 99 ⭐")
    await ann.sees("Done · 1 ⭐")


@pytest.mark.parametrize("plan", ["A", "B"])
async def test_a_provider_that_refuses_is_asked_again_only_where_that_can_help(
    stage: Stage, plan: PlanName
) -> None:
    if plan == "B":
        await stage.inngest.unplug()
    await stage.start_bot(ready=plan == "A")
    ann = stage.person()
    for status, key in ((402, "failure.provider"), (422, "failure.bad_input"), (401, "failure.provider")):
        asked = stage.replicate.asked
        stage.replicate.fault(status, path="POST /v1/models", detail="said by the stand")
        before = await ann.quick_order(f"a fox for {status}")
        said = await ann.sees(ann.said(key), after=before["message_id"])
        assert ann.said("failure.returned", 1) in words(said)
        assert stage.replicate.asked == asked + 1
    jobs = await stage.ended_jobs(3)
    assert {job["state"] for job in jobs} == {"failed"}
    assert await get_balance(stage.db, ann.id) == Balance(100, 0)

    asked = stage.replicate.asked
    stage.replicate.fault(429, path="POST /v1/models", retry_after=0.5)
    stage.replicate.fault(503, path="GET /v1/predictions/")
    await ann.quick_order("a fox that has to wait")
    await ann.sees("balance 99 ⭐")
    jobs = await stage.ended_jobs(4)
    assert (jobs[3]["state"], jobs[3]["plan"]) == ("succeeded", plan)
    assert (stage.replicate.asked - asked, len(stage.replicate.predictions)) == (2, 1)
    assert (await check_ledger(stage.db)).right


async def test_a_provider_that_is_down_is_tried_a_few_times_and_then_given_up(stage: Stage, ann: Person) -> None:
    stage.replicate.fault(500, path="POST /v1/models", times=0)
    await ann.quick_order()
    await told_and_paid_back(stage, ann, "failure.busy")
    (job,) = await stage.ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.busy")
    assert 2 <= stage.replicate.asked <= 5

    asked, bob = stage.replicate.asked, stage.person(1002)
    await bob.quick_order("a naked child, nsfw")
    await told_and_paid_back(stage, bob, "failure.moderation")
    assert stage.replicate.asked == asked, "what moderation refuses never reaches the provider"


async def test_a_prediction_that_never_ends_is_stopped_and_paid_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In this process, where its limit can be made short."""
    monkeypatch.setattr(text_to_image, "SPEC", replace(text_to_image.SPEC, limit_seconds=1))
    stage.replicate.knobs.outcome = "never"
    ann = stage.person()
    await ann.say("/start")
    await add_user(stage.db)
    await add_job(stage.db, price=1)
    token, url = SecretStr(REPLICATE_TOKEN), stage.replicate.url
    settings = Settings(_env_file=None, replicate_api_token=token, replicate_base_url=url, data_dir=tmp_path)
    bots = create_bots({"main": BOT_TOKEN}, stage.telegram.url)
    studio = Studio(stage.db, bots, Texts(), create_providers(settings))
    try:
        job = await claim_next_job(stage.db, "me", seconds=20, per_person=2, take_over=[])
        assert job
        engine = JobEngine(studio, ERRANDS, notify_training_failed)
        assert await engine.run_job(job, DirectSteps(stage.db, job, {}, studio.signals)) == "failed"
    finally:
        await studio.providers.close()
        await bots["main"].session.close()
    said = await ann.sees(ann.said("failure.timed_out"))
    assert ann.said("failure.returned", 1) in words(said)
    assert [prediction.status() for prediction in stage.replicate.predictions] == ["canceled"]
    assert await get_balance(stage.db, ann.id) == Balance(100, 0)
