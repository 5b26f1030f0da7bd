"""What users get wrong: each mistake is answered clearly, and nothing is ordered or charged."""

from typing import Any

import pytest

from storage.money.ledger import Balance, get_balance
from tests.support.environments.environment import (
    Environment,
    Message,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)
from tests.support.fake_providers.replicate_server import small_png

CREATE = "Create · 1 ⭐"


@pytest.fixture
async def ann(environment: Environment) -> SandboxUser:
    await environment.start_bot()
    return environment.user()


async def first_reply(user: SandboxUser, sent: Message) -> Message:
    """The bot's first message after the user's own."""

    async def look() -> Message | None:
        newer = [m for m in await user.bot_messages() if m["message_id"] > sent["message"]["message_id"]]
        return newer[0] if newer else None

    found: Message = await wait_until(look, what="the bot replies")
    return found


async def callback_answer(user: SandboxUser, label: str, message: Message, **data: str) -> tuple[str, bool]:
    """The text that answers a tap, and whether it is shown as an alert."""
    tap = await user.tap(label, message_id=message["message_id"], **data)

    async def look() -> Any:
        calls = await user.telegram.api_calls("answerCallbackQuery")
        return next(
            (c["params"] for c in calls if c["params"]["callback_query_id"] in tap["callback_query_ids"]), None
        )

    params = await wait_until(look, what=f"the tap on {label or data} is answered")
    return params.get("text", ""), params.get("show_alert") in (True, "true")


async def assert_nothing_ordered(environment: Environment, user: SandboxUser, credits: int = 100) -> None:
    assert await environment.jobs() == []
    assert await get_balance(environment.db, user.id) == Balance(credits, 0)
    assert environment.replicate.creation_attempts == 0


# ---------------------------------------------------------------- prompts


async def test_unusable_prompt_is_explained_and_the_question_stays_open(
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
        assert message_text(await first_reply(ann, await ann.send_text(text))) == answer
    for send, key in (
        (ann.send_message(sticker="🦊"), "input.text_please"),
        (ann.upload("photo", "a.png", small_png(1)), "input.text_please"),
        (ann.upload("voice", "a.ogg", b"OggS"), "words.not_heard"),
        (ann.upload("document", "a.pdf", b"%PDF"), "input.text_please"),
        (ann.send_message(extra={"location": {"latitude": 1.0, "longitude": 2.0}}), "input.text_please"),
    ):
        assert message_text(await first_reply(ann, await send)) == ann.text(key)
    await assert_nothing_ordered(environment, ann)

    await ann.send_text("a red fox")
    await ann.wait_for_button(CREATE)
    sent = await ann.upload("photo", "a.png", small_png(1))
    assert message_text(await first_reply(ann, sent)) == ann.text("input.text_please")
    await ann.tap(CREATE)
    await ann.wait_for_text("Done · 1 ⭐")


async def test_unknown_command_at_the_prompt_question_places_no_order(
    environment: Environment, ann: SandboxUser
) -> None:
    assert message_text(await first_reply(ann, await ann.send_text("/nonsense"))) == ann.text("other.command")
    await ann.wait_for_button("Text to image")
    await ann.tap("Text to image")
    await ann.wait_for_text(ann.text("service.text_to_image.ask.prompt"))
    assert message_text(await first_reply(ann, await ann.send_text("/nonsense"))) == ann.text("other.command")
    await ann.send_text("a red fox")
    await ann.wait_for_button(CREATE)
    assert message_text(await first_reply(ann, await ann.send_text("/nonsense"))) == ann.text("other.command")
    await assert_nothing_ordered(environment, ann)


async def test_unprompted_message_of_any_kind_gets_a_friendly_answer(
    environment: Environment, ann: SandboxUser
) -> None:
    answer = await first_reply(ann, await ann.send_message(sticker="🦊"))
    assert message_text(answer) == ann.text("other.message")
    assert any("Text to image" in label for label in button_labels(answer))
    assert message_text(await first_reply(ann, await ann.upload("photo", "a.png", small_png(1)))) == ann.text(
        "other.photo"
    )
    assert message_text(await first_reply(ann, await ann.upload("document", "a.pdf", b"%PDF"))) == ann.text(
        "other.file"
    )
    assert message_text(await first_reply(ann, await ann.upload("voice", "a.ogg", b"OggS"))) == ann.text(
        "words.not_heard"
    )
    assert message_text(await first_reply(ann, await ann.send_text("🦊"))) == ann.text("input.no_words")
    too_long = ann.text("input.too_long", length=4096, limit=2000)
    assert message_text(await first_reply(ann, await ann.send_text("b" * 4096))) == too_long
    await assert_nothing_ordered(environment, ann)


PROMPTS = (
    '<b>bold</b> & "quotes" \'n <script>alert(1)</script> &amp; &lt;',
    "</blockquote><tg-spoiler> {price} %s {0} \\n",
    "x" + "&" * 1999,
    "🦊 fox " * 285 + "fox 2",
)


async def test_prompt_with_special_characters_arrives_unchanged(
    environment: Environment, ann: SandboxUser
) -> None:
    """HTML, blanks, 2,000 characters to escape, 2,000 with emoji: shown and used unchanged."""
    for number, prompt in enumerate(PROMPTS):
        user = environment.user(1001 + number)
        shown = prompt[:180]
        card = await user.open_card_by_prompt(prompt)
        assert shown in message_text(card)
        await user.tap(CREATE)
        assert shown in message_text(await user.wait_for_text("balance 99 ⭐"))
        assert shown in message_text(await user.wait_for_text("Done · 1 ⭐"))
    prompts = [prediction.input["prompt"] for prediction in environment.replicate.predictions]
    assert prompts == [prompt.strip() for prompt in PROMPTS]


# ---------------------------------------------------------------- leaving, and old buttons


async def test_cancel_command_leaves_every_step(environment: Environment, ann: SandboxUser) -> None:
    async def cancelled() -> None:
        answer = await first_reply(ann, await ann.send_text("/cancel"))
        assert message_text(answer) == ann.text("cancel.done")
        again = await first_reply(ann, await ann.send_text("/cancel"))
        assert message_text(again) == ann.text("cancel.nothing")

    await ann.send_text("/menu")
    await ann.wait_for_button("Text to image")
    await ann.tap("Text to image")
    await ann.wait_for_text(ann.text("service.text_to_image.ask.prompt"))
    await cancelled()  # at the question
    card = await ann.open_card_by_prompt()
    await cancelled()  # at the card
    assert await callback_answer(ann, CREATE, card) == (ann.text("stale.button"), True)
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
    await assert_nothing_ordered(environment, ann)


async def test_stale_and_foreign_buttons_are_answered_and_do_nothing(
    environment: Environment, ann: SandboxUser
) -> None:
    old = await ann.open_card_by_prompt("an old order")
    await ann.send_text("/menu")
    card = await ann.open_card_by_prompt("a new order")
    stale = (ann.text("stale.button"), True)
    assert await callback_answer(ann, CREATE, old) == stale
    assert await callback_answer(ann, "📐 1:1", old) == stale
    for data in (
        "nonsense",
        "s:no_such_service",
        "l:xx",
        "r:nonsense:again",
        f"r:{'0' * 32}:again",
        "d|x|confirm||",
    ):
        assert await callback_answer(ann, "", card, data=data) == stale, data
    await assert_nothing_ordered(environment, ann)

    await environment.bots[0].terminate()
    await environment.bots[0].start()
    assert await callback_answer(ann, CREATE, old) == stale, "after a restart too"
    assert await callback_answer(ann, CREATE, card) == ("", False), "and the current card still orders"
    result = await ann.wait_for_button("Again · 1 ⭐")
    assert await callback_answer(ann, "", card, data=callback_data(card, CREATE)) == (
        ann.text("stale.ordered"),
        False,
    )

    eve = environment.user(1002, first_name="Eve")
    her_card = await eve.open_card_by_prompt()
    for label in ("Again", "New words", "Other size"):
        assert await callback_answer(eve, "", her_card, data=callback_data(result, label)) == stale, (
            "another user's result"
        )
    assert await callback_answer(eve, "", her_card, data=callback_data(card, CREATE)) == stale, (
        "another user's card"
    )
    (job,) = await environment.wait_for_ended_jobs()
    assert job["user_id"] == ann.id
    assert await get_balance(environment.db, eve.id) == Balance(100, 0)


async def test_older_card_never_orders_what_it_does_not_show(environment: Environment, ann: SandboxUser) -> None:
    """A new prompt opens a new card; the older one still shows `Create · 1 ⭐` and the old prompt."""
    old = await ann.open_card_by_prompt("a red fox")
    new = await ann.open_card_by_prompt("a blue owl")
    await ann.tap("FLUX schnell", message_id=new["message_id"])
    await ann.wait_for_button("FLUX dev · 4 ⭐")
    await ann.tap("FLUX dev · 4 ⭐", message_id=new["message_id"])
    await ann.wait_for_button("Create · 4 ⭐")
    answer = await callback_answer(ann, CREATE, old)
    await callback_answer(ann, "📐 1:1", new)  # handled after it
    ordered = [(job["inputs"]["prompt"], job["price"]) for job in await environment.jobs()]
    assert ordered in ([], [("a red fox", 1)]), f"answered {answer}"


def callback_data(message: Message, label: str) -> str:
    found = (each for row in message["keyboard"] for each in row if label in each["text"])
    return str(next(found)["callback_data"])


async def test_order_with_too_few_credits_says_how_many_are_missing(environment: Environment) -> None:
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


async def test_credits_spent_before_the_confirmation_place_no_order(environment: Environment) -> None:
    await environment.start_bot(WELCOME_CREDITS="1")
    ann = environment.user()
    await ann.order_by_prompt()
    (job,) = await environment.wait_for_ended_jobs()
    card = {"message_id": job["progress_message_id"]}
    draft = {"id": "later", "service": job["service"], "values": job["inputs"], "question_id": ""}
    await environment.db.execute("UPDATE conversations SET state = 'Ordering:card', data = $1", draft)
    await ann.tap("", data="d|later|confirm||", message_id=card["message_id"])
    await ann.wait_for_text("You are 1 Star short.")
    assert len(await environment.jobs()) == 1
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)
