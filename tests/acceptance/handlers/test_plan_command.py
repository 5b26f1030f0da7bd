"""`/plan`: switching in words and by buttons, in every process at once, with a log; unseen by everybody else."""

import pytest

from tests.support.environments.environment import Environment, SandboxUser, wait_until

ADMIN = 7


async def modes(environment: Environment, bot: int) -> dict[str, str]:
    plan: dict[str, str] = (await environment.health(environment.bots[bot]))["plan"]
    return plan


async def test_one_process_obeys_what_the_other_was_told_within_a_second(environment: Environment) -> None:
    await environment.start_bot(webhook=True, ADMIN_IDS=str(ADMIN))
    await environment.start_bot(ADMIN_IDS=str(ADMIN), TELEGRAM_MODE="webhook", PUBLIC_URL=environment.bots[0].url)
    admin = environment.user(ADMIN)
    await admin.send_text("/plan b text_to_image")
    for bot in (0, 1):

        async def obeyed(bot: int = bot) -> bool:
            plan = await modes(environment, bot)
            return (plan["text_to_image"], plan["speech"]) == ("B", "A")

        await wait_until(obeyed, seconds=1.0 + (bot == 0) * 5, what=f"process {bot} obeys")
    await admin.wait_for_text("🎨 Text to image: B (inline alone)")


async def test_the_card_and_its_buttons(environment: Environment) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN))
    admin = environment.user(ADMIN)
    await admin.send_text("/plan")
    card = await admin.wait_for_text("Mode: auto")
    assert "🟢 Inngest: well for" in card["text"]
    assert "Nothing is running or waiting." in card["text"]
    await press(admin, "B")
    await admin.wait_for_text("Mode: B (inline alone)")
    await press(admin, "One service…")
    await press(admin, "🔊 Text to speech · ↩︎")
    await admin.wait_for_text("Text to speech: which plan?")
    await press(admin, "A")
    await admin.wait_for_button("🔊 Text to speech · A")
    assert await environment.db.fetchval("SELECT count(*) FROM settings") == 2
    await press(admin, "‹ Back")
    await press(admin, "🗒 Log")
    log = (await admin.wait_for_text("Changes of mode"))["text"].splitlines()
    assert f"{ADMIN} · 🔊 Text to speech: A" in log[1]
    assert f"{ADMIN} · all services: B" in log[2]


async def test_the_mode_outlives_a_restart_and_is_taken_back(environment: Environment) -> None:
    first = await environment.start_bot(ADMIN_IDS=str(ADMIN))
    admin = environment.user(ADMIN)
    await admin.send_text("/plan b speech")
    await admin.wait_for_text("Text to speech: B")
    await first.kill()
    await environment.start_bot(ADMIN_IDS=str(ADMIN))
    assert (await modes(environment, 1))["speech"] == "B"
    await admin.send_text("/plan follow speech")

    async def is_taken_back() -> bool:
        # What the killed process answered last may be answered once more first.
        card = (await admin.bot_messages())[-1]["text"]
        return "Mode: auto" in card and "Text to speech" not in card

    await wait_until(is_taken_back, what="the service follows the mode again")


@pytest.mark.parametrize("words", ["/plan c", "/plan b no_such_service", "/plan follow"])
async def test_what_cannot_be_set_is_explained(environment: Environment, words: str) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN), ready=False)
    admin = environment.user(ADMIN)
    await admin.send_text(words)
    await admin.wait_for_text("/plan b text_to_image")
    assert await environment.db.fetchval("SELECT count(*) FROM settings") == 0


async def test_people_get_no_hint_that_it_exists(environment: Environment) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN), ready=False)
    ann = environment.user()
    for words in ("/no_such_command", "/plan", "/plan b"):
        sent = await ann.send_text(words)
        await ann.wait_for_text(ann.text("other.command"), after=sent["message"]["message_id"])
    assert await environment.db.fetchval("SELECT count(*) FROM settings") == 0


async def test_a_card_is_dead_in_the_hands_of_who_is_no_admin_any_more(environment: Environment) -> None:
    first = await environment.start_bot(ADMIN_IDS=str(ADMIN), ready=False)
    former = environment.user(ADMIN)
    await former.send_text("/plan")
    await former.wait_for_button("One service…")
    await first.kill()
    await environment.start_bot(ADMIN_IDS="8", ready=False)
    await former.tap("B")

    async def refused() -> bool:
        return former.text("stale.button") in await environment.telegram.toasts()

    await wait_until(refused, what="the button is refused as any old one is")
    assert await environment.db.fetchval("SELECT count(*) FROM settings") == 0


async def press(user: SandboxUser, label: str) -> None:
    await user.wait_for_button(label)
    await user.tap(label)
