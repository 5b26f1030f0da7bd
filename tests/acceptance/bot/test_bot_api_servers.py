"""Another Bot API server, by polling or webhook; and several bots in one process."""

from typing import Any

import aiohttp
import pytest

from bot.telegram.webhook import SECRET_HEADER
from tests.support.environments.environment import Environment, Message, button_labels, message_text, wait_until
from tests.support.processes.bot_process import BotProcess

SECOND_TOKEN = "2000000002:acceptance-tests-only"
FIRST, SECOND = 1000000001, 2000000002
UPDATE: dict[str, Any] = {
    "update_id": 77,
    "message": {
        "message_id": 1,
        "date": 1_700_000_000,
        "chat": {"id": 1001, "type": "private", "first_name": "Ann"},
        "from": {"id": 1001, "is_bot": False, "first_name": "Ann"},
        "text": "/start",
    },
}


async def post(url: str, body: Any, **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
        return answer.status


async def read_webhook_secret(environment: Environment, bot: BotProcess) -> str:
    async def look() -> list[dict[str, Any]]:
        return await environment.telegram.api_calls("setWebhook")

    (call,) = await wait_until(look, what="the webhook is set")
    assert call["params"]["url"] == f"{bot.url}/telegram/main"
    return str(call["params"]["secret_token"])


async def test_polling_uses_the_configured_server(environment: Environment) -> None:
    bot = await environment.start_bot()
    ann = environment.user()
    await ann.order_by_prompt()
    await ann.wait_for_text("Done · 1 ⭐")
    methods = {call["method"] for call in await environment.telegram.api_calls()}
    assert {"deleteWebhook", "getUpdates"} <= methods
    assert "setWebhook" not in methods
    assert await post(f"{bot.url}/telegram/main", UPDATE) == 404, "no webhook while updates are polled"
    assert environment.settings["BOT_TOKEN"] not in bot.log_tail(1_000_000)


@pytest.mark.parametrize("configured", ["", "a-secret_of-ours"], ids=["derived secret", "configured secret"])
async def test_webhook_without_its_secret_is_rejected(environment: Environment, configured: str) -> None:
    bot = await environment.start_bot(webhook=True, TELEGRAM_WEBHOOK_SECRET=configured)
    secret = await read_webhook_secret(environment, bot)
    assert secret == configured or (not configured and len(secret) >= 32)
    assert secret not in bot.log_tail(1_000_000)
    url = f"{bot.url}/telegram/main"
    wrong = [{}, {SECRET_HEADER: ""}, {SECRET_HEADER: "wrong"}, {SECRET_HEADER: secret[:-1]}, {SECRET_HEADER: "ü"}]
    assert [await post(url, UPDATE, **headers) for headers in wrong] == [401] * len(wrong)
    assert await post(f"{bot.url}/telegram/nobody", UPDATE, **{SECRET_HEADER: secret}) == 404
    assert await post(url, {"no": "update"}, **{SECRET_HEADER: secret}) == 400
    assert await post(url, ["no", "update"], **{SECRET_HEADER: secret}) == 400
    assert not await environment.db.fetch("SELECT FROM users"), "nothing happened"
    assert not await environment.db.fetch("SELECT FROM updates")

    ann = environment.user()
    await ann.order_by_prompt()
    await ann.wait_for_text("Done · 1 ⭐")
    assert not await environment.telegram.api_calls("getUpdates")


async def test_webhook_with_invalid_json_is_rejected_and_the_process_continues(environment: Environment) -> None:
    bot = await environment.start_bot(webhook=True)
    headers = {SECRET_HEADER: await read_webhook_secret(environment, bot)}
    async with aiohttp.ClientSession(headers=headers) as session:
        for body in (b"", b"{", b"\xff\xfe", b"[" * 50_000):
            async with session.post(f"{bot.url}/telegram/main", data=body) as answer:
                assert answer.status == 400, body[:10]
    ann = environment.user()
    await ann.send_text("/start")
    await ann.wait_for_text("Hello, Ann!")


@pytest.mark.parametrize("webhook", [False, True], ids=["polling", "webhook"])
async def test_two_bots_in_one_process_answer_their_own_orders(environment: Environment, webhook: bool) -> None:
    telegram = environment.telegram
    await telegram.call_bot_api("getMe", token=SECOND_TOKEN)
    bots = f"first:{environment.settings['BOT_TOKEN']},second:{SECOND_TOKEN}"
    await environment.start_bot(webhook=webhook, BOT_TOKEN="", BOTS=bots)

    async def messages(bot: int) -> list[Message]:
        chat = await telegram.api.get("chat/1001", bot=str(bot))
        found: list[Message] = [message for message in chat["messages"] if message["from"] == "bot"]
        return found

    async def wait_for_message(bot: int, text: str) -> Message:
        async def look() -> Message | None:
            fitting = (
                m
                for m in await messages(bot)
                if text in message_text(m) or any(text in b for b in button_labels(m))
            )
            return next(fitting, None)

        found: Message = await wait_until(look, what=f"bot {bot} shows {text}")
        return found

    ann = environment.user()
    for bot, prompt in ((FIRST, "a red fox"), (SECOND, "a blue owl")):
        await ann.send_message(text=prompt, bot=bot)
    for bot in (FIRST, SECOND):
        await wait_for_message(bot, "Create · 1 ⭐")
    for bot in (SECOND, FIRST):
        await ann.tap("Create", bot=bot)
    jobs = await environment.wait_for_ended_jobs(2)
    assert {(job["bot_name"], job["inputs"]["prompt"]) for job in jobs} == {
        ("first", "a red fox"),
        ("second", "a blue owl"),
    }
    for bot, prompt in ((FIRST, "a red fox"), (SECOND, "a blue owl")):
        await wait_for_message(bot, "Done · 1 ⭐")
        (image,) = [message for message in await messages(bot) if message["media"]]
        assert prompt in message_text(image)
    await ann.send_message(text="/balance", bot=SECOND)
    await wait_for_message(SECOND, "You have 98 Stars")
