"""`/plan`: switching in words and by buttons, in every process at once, with a log; unseen by everybody else."""

import pytest

from tests.support.environments.environment import Person, Stage, until

ADMIN = 7


async def modes(stage: Stage, bot: int) -> dict[str, str]:
    plan: dict[str, str] = (await stage.health(stage.bots[bot]))["plan"]
    return plan


async def test_one_process_obeys_what_the_other_was_told_within_a_second(stage: Stage) -> None:
    await stage.start_bot(webhook=True, ADMIN_IDS=str(ADMIN))
    await stage.start_bot(ADMIN_IDS=str(ADMIN), TELEGRAM_MODE="webhook", PUBLIC_URL=stage.bots[0].url)
    admin = stage.person(ADMIN)
    await admin.say("/plan b text_to_image")
    for bot in (0, 1):

        async def obeyed(bot: int = bot) -> bool:
            plan = await modes(stage, bot)
            return (plan["text_to_image"], plan["speech"]) == ("B", "A")

        await until(obeyed, seconds=1.0 + (bot == 0) * 5, what=f"process {bot} obeys")
    await admin.sees("🎨 Text to image: B (inline alone)")


async def test_the_card_and_its_buttons(stage: Stage) -> None:
    await stage.start_bot(ADMIN_IDS=str(ADMIN))
    admin = stage.person(ADMIN)
    await admin.say("/plan")
    card = await admin.sees("Mode: auto")
    assert "🟢 Inngest: well for" in card["text"]
    assert "Nothing is running or waiting." in card["text"]
    await press(admin, "B")
    await admin.sees("Mode: B (inline alone)")
    await press(admin, "One service…")
    await press(admin, "🔊 Text to speech · ↩︎")
    await admin.sees("Text to speech: which plan?")
    await press(admin, "A")
    await admin.can_tap("🔊 Text to speech · A")
    assert await stage.db.fetchval("SELECT count(*) FROM settings") == 2
    await press(admin, "‹ Back")
    await press(admin, "🗒 Log")
    log = (await admin.sees("Changes of mode"))["text"].splitlines()
    assert f"{ADMIN} · 🔊 Text to speech: A" in log[1]
    assert f"{ADMIN} · all services: B" in log[2]


async def test_the_mode_outlives_a_restart_and_is_taken_back(stage: Stage) -> None:
    first = await stage.start_bot(ADMIN_IDS=str(ADMIN))
    admin = stage.person(ADMIN)
    await admin.say("/plan b speech")
    await admin.sees("Text to speech: B")
    await first.kill()
    await stage.start_bot(ADMIN_IDS=str(ADMIN))
    assert (await modes(stage, 1))["speech"] == "B"
    await admin.say("/plan follow speech")

    async def is_taken_back() -> bool:
        # What the killed process answered last may be answered once more first.
        card = (await admin.from_bot())[-1]["text"]
        return "Mode: auto" in card and "Text to speech" not in card

    await until(is_taken_back, what="the service follows the mode again")


@pytest.mark.parametrize("words", ["/plan c", "/plan b no_such_service", "/plan follow"])
async def test_what_cannot_be_set_is_explained(stage: Stage, words: str) -> None:
    await stage.start_bot(ADMIN_IDS=str(ADMIN), ready=False)
    admin = stage.person(ADMIN)
    await admin.say(words)
    await admin.sees("/plan b text_to_image")
    assert await stage.db.fetchval("SELECT count(*) FROM settings") == 0


async def test_people_get_no_hint_that_it_exists(stage: Stage) -> None:
    await stage.start_bot(ADMIN_IDS=str(ADMIN), ready=False)
    ann = stage.person()
    for words in ("/no_such_command", "/plan", "/plan b"):
        sent = await ann.say(words)
        await ann.sees(ann.said("other.command"), after=sent["message"]["message_id"])
    assert await stage.db.fetchval("SELECT count(*) FROM settings") == 0


async def test_a_card_is_dead_in_the_hands_of_who_is_no_admin_any_more(stage: Stage) -> None:
    first = await stage.start_bot(ADMIN_IDS=str(ADMIN), ready=False)
    former = stage.person(ADMIN)
    await former.say("/plan")
    await former.can_tap("One service…")
    await first.kill()
    await stage.start_bot(ADMIN_IDS="8", ready=False)
    await former.tap("B")

    async def refused() -> bool:
        return former.said("stale.button") in await stage.telegram.toasts()

    await until(refused, what="the button is refused as any old one is")
    assert await stage.db.fetchval("SELECT count(*) FROM settings") == 0


async def press(person: Person, label: str) -> None:
    await person.can_tap(label)
    await person.tap(label)
