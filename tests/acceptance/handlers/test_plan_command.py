"""`/plan` changes modes by command and by button, in every process, with a log; only admins see it."""

import pytest

from tests.support.environments.environment import Environment, SandboxUser, wait_until

ADMIN = 7


async def modes(environment: Environment, bot: int) -> dict[str, str]:
    plan: dict[str, str] = (await environment.health(environment.bots[bot]))["plan"]
    return plan


async def test_plan_command_takes_effect_in_every_process_within_a_second(environment: Environment) -> None:
    await environment.start_bot(webhook=True, ADMIN_IDS=str(ADMIN))
    await environment.start_bot(ADMIN_IDS=str(ADMIN), TELEGRAM_MODE="webhook", PUBLIC_URL=environment.bots[0].url)
    admin = environment.user(ADMIN)
    await admin.send_text("/plan b text_to_image")
    for bot in (0, 1):

        async def has_changed(bot: int = bot) -> bool:
            plan = await modes(environment, bot)
            return (plan["text_to_image"], plan["speech"]) == ("B", "A")

        await wait_until(has_changed, seconds=1.0 + (bot == 0) * 5, what=f"process {bot} has the new mode")
    await admin.wait_for_text("🎨 Text to image: B (inline alone)")


async def test_plan_card_buttons_change_and_log_the_modes(environment: Environment) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN))
    admin = environment.user(ADMIN)
    await admin.send_text("/plan")
    card = await admin.wait_for_text("Mode: auto")
    assert "🟢 Inngest: well for" in card["text"]
    assert "Nothing is running or waiting." in card["text"]
    await wait_and_tap(admin, "B")
    await admin.wait_for_text("Mode: B (inline alone)")
    await wait_and_tap(admin, "One service…")
    await wait_and_tap(admin, "🔊 Text to speech · ↩︎")
    await admin.wait_for_text("Text to speech: which plan?")
    await wait_and_tap(admin, "A")
    await admin.wait_for_button("🔊 Text to speech · A")
    assert await environment.db.fetchval("SELECT count(*) FROM settings") == 2
    await wait_and_tap(admin, "‹ Back")
    await wait_and_tap(admin, "🗒 Log")
    log = (await admin.wait_for_text("Changes of mode"))["text"].splitlines()
    assert f"{ADMIN} · 🔊 Text to speech: A" in log[1]
    assert f"{ADMIN} · all services: B" in log[2]


async def test_mode_survives_a_restart_and_can_be_reset(environment: Environment) -> None:
    first = await environment.start_bot(ADMIN_IDS=str(ADMIN))
    admin = environment.user(ADMIN)
    await admin.send_text("/plan b speech")
    await admin.wait_for_text("Text to speech: B")
    await first.kill()
    await environment.start_bot(ADMIN_IDS=str(ADMIN))
    assert (await modes(environment, 1))["speech"] == "B"
    await admin.send_text("/plan follow speech")

    async def is_reset() -> bool:
        # The last answer of the killed process may be sent once more first.
        card = (await admin.bot_messages())[-1]["text"]
        return "Mode: auto" in card and "Text to speech" not in card

    await wait_until(is_reset, what="the service follows the mode again")


@pytest.mark.parametrize("command", ["/plan c", "/plan b no_such_service", "/plan follow"])
async def test_invalid_plan_command_shows_the_usage(environment: Environment, command: str) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN), ready=False)
    admin = environment.user(ADMIN)
    await admin.send_text(command)
    await admin.wait_for_text("/plan b text_to_image")
    assert await environment.db.fetchval("SELECT count(*) FROM settings") == 0


async def test_plan_command_from_a_non_admin_is_unknown(environment: Environment) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN), ready=False)
    ann = environment.user()
    for command in ("/no_such_command", "/plan", "/plan b"):
        sent = await ann.send_text(command)
        await ann.wait_for_text(ann.text("other.command"), after=sent["message"]["message_id"])
    assert await environment.db.fetchval("SELECT count(*) FROM settings") == 0


async def test_plan_card_of_a_former_admin_is_refused(environment: Environment) -> None:
    first = await environment.start_bot(ADMIN_IDS=str(ADMIN), ready=False)
    former = environment.user(ADMIN)
    await former.send_text("/plan")
    await former.wait_for_button("One service…")
    await first.kill()
    await environment.start_bot(ADMIN_IDS="8", ready=False)
    await former.tap("B")

    async def is_refused() -> bool:
        return former.text("stale.button") in await environment.telegram.toasts()

    await wait_until(is_refused, what="the button is answered like any stale one")
    assert await environment.db.fetchval("SELECT count(*) FROM settings") == 0


async def wait_and_tap(user: SandboxUser, label: str) -> None:
    await user.wait_for_button(label)
    await user.tap(label)
