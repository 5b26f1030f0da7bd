"""Updates reach a bot as Telegram brings them, and faults break calls as ordered."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession, web

from sandbox.telegram.client import SimClient
from sandbox.telegram.errors import SimError
from sandbox.telegram.serving import serving

TOKEN = "4242:stand-test"


@dataclass
class Stage:
    url: str
    person: SimClient
    http: ClientSession

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.url}/bot{TOKEN}/{method}", json=params) as answer:
            body: dict[str, Any] = await answer.json()
            return {**body, "status": answer.status}

    async def result(self, method: str, **params: Any) -> Any:
        answer = await self.call(method, **params)
        assert answer["ok"], answer
        return answer["result"]

    async def texts(self, **params: Any) -> list[str]:
        return [update["message"]["text"] for update in await self.result("getUpdates", **params)]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with serving() as (_, url), SimClient(url) as person, ClientSession() as http:
        stage = Stage(url, person, http)
        await stage.result("getMe")
        yield stage


@dataclass
class Receiver:
    """A bot's webhook: notes what came, and answers what the test wants."""

    url: str = ""
    came: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    held: dict[int, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    hold: set[int] = field(default_factory=set)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        update = await request.json()
        async with self.news:
            self.came.append(update)
            self.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
            self.news.notify_all()
        chat = update.get("message", {}).get("chat", {}).get("id", 0)
        if chat in self.hold:
            await self.held[chat].wait()
        answer = self.answers.pop(0) if self.answers else 200
        return web.json_response(answer) if isinstance(answer, dict) else web.Response(status=answer)

    async def wait(self, count: int) -> list[dict[str, Any]]:
        async with self.news, asyncio.timeout(10):
            await self.news.wait_for(lambda: len(self.came) >= count)
        return self.came

    def texts(self) -> list[str]:
        return [update["message"]["text"] for update in self.came]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        for event in receiver.held.values():
            event.set()
        await runner.cleanup()


async def test_polling_confirms_by_offset(stage: Stage) -> None:
    ids = [(await stage.person.message(text))["update_id"] for text in ("one", "two", "three")]
    assert ids == list(range(ids[0], ids[0] + 3))
    assert await stage.texts() == ["one", "two", "three"]
    assert await stage.texts(limit=1) == ["one"]
    assert await stage.texts(offset=ids[1]) == ["two", "three"]
    assert await stage.texts(offset=-1) == ["three"]
    assert await stage.texts(offset=ids[2] + 1) == []
    assert await stage.texts() == []


async def test_a_long_poll_is_answered_when_something_comes(stage: Stage) -> None:
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        poll = group.create_task(stage.texts(timeout=20))
        await stage.person.message("now")
    assert poll.result() == ["now"]
    assert time.monotonic() - started < 5
    assert await stage.texts(timeout=0) == ["now"]


async def test_two_pollers_are_a_conflict(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(stage.call("getUpdates", timeout=20))
        await stage.person.chat(wait=0)
        second = group.create_task(stage.call("getUpdates", timeout=20))
        done, _ = await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED, timeout=5)
        loser = done.pop().result()
        await stage.person.message("x")
    assert (loser["status"], loser["description"]) == (
        409,
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    )


async def test_allowed_updates(stage: Stage) -> None:
    await stage.result("getUpdates", allowed_updates=["callback_query"])
    await stage.person.message("unseen")
    await stage.result("sendMessage", chat_id=1001, text="x", reply_markup=_keyboard("Go"))
    await stage.person.tap("Go")
    updates = await stage.result("getUpdates")
    assert [list(update)[1] for update in updates] == ["callback_query"]


async def test_webhook_with_a_secret(stage: Stage) -> None:
    await stage.person.message("before")
    async with receiving() as receiver:
        await stage.result("setWebhook", url=receiver.url, secret_token="s3cret_-")
        await receiver.wait(1)
        await stage.person.message("after")
        await receiver.wait(2)
        assert receiver.texts() == ["before", "after"]
        assert receiver.secrets == ["s3cret_-", "s3cret_-"]
        polled = await stage.call("getUpdates")
        assert polled["status"] == 409
        assert "can't use getUpdates method while webhook is active" in polled["description"]
        info = await stage.result("getWebhookInfo")
        assert info["url"] == receiver.url
        await stage.result("deleteWebhook")
    await stage.person.message("polled")
    assert await stage.texts() == ["polled"]


async def test_one_chat_in_order_other_chats_meanwhile(stage: Stage) -> None:
    async with receiving() as receiver:
        receiver.hold.add(1001)
        await stage.result("setWebhook", url=receiver.url)
        for text in ("a1", "a2"):
            await stage.person.message(text)
        await stage.person.message("b1", user_id=1002)
        await receiver.wait(2)
        assert sorted(receiver.texts()) == ["a1", "b1"]
        receiver.held[1001].set()
        await receiver.wait(3)
        assert [text for text in receiver.texts() if text.startswith("a")] == ["a1", "a2"]


async def test_a_failed_delivery_comes_again_with_the_same_id(stage: Stage) -> None:
    async with receiving() as receiver:
        receiver.answers = [500, 404]
        await stage.result("setWebhook", url=receiver.url)
        sent = await stage.person.message("again")
        came = await receiver.wait(3)
        assert [update["update_id"] for update in came] == [sent["update_id"]] * 3
        info = await stage.result("getWebhookInfo")
        assert info["last_error_message"] == "Wrong response from the webhook: 404 Not Found"


async def test_a_method_in_the_webhooks_answer_is_carried_out(stage: Stage) -> None:
    async with receiving() as receiver:
        receiver.answers = [{"method": "sendMessage", "chat_id": 1001, "text": "from the answer"}]
        await stage.result("setWebhook", url=receiver.url)
        await stage.person.message("hello")
        assert (await stage.person.wait_bot("from the answer"))["text"] == "from the answer"


async def test_updates_repeat_and_are_injected(stage: Stage) -> None:
    sent = await stage.person.message("hello")
    assert len(await stage.result("getUpdates", offset=sent["update_id"] + 1)) == 0
    await stage.person.post("repeat", update_id=sent["update_id"], times=2)
    updates = await stage.result("getUpdates", offset=sent["update_id"] + 1)
    assert [update["update_id"] for update in updates] == [sent["update_id"]] * 2
    raw = {"update_id": 5, "message": sent["message"]}
    await stage.person.post("update", update=raw, times=3)
    assert [update["update_id"] for update in await stage.result("getUpdates")] == [5, 5, 5]
    with pytest.raises(SimError, match="no update 6 was ever queued"):
        await stage.person.post("repeat", update_id=6)


async def test_faults(stage: Stage) -> None:
    await stage.person.message("/start")
    say = {"chat_id": 1001, "text": "x"}
    await stage.person.post("fault", method="sendMessage", code=429, retry_after=7)
    failed = await stage.call("sendMessage", **say)
    assert failed["description"] == "Too Many Requests: retry after 7"
    assert (failed["status"], failed["parameters"]) == (429, {"retry_after": 7})
    assert (await stage.call("sendMessage", **say))["ok"]
    await stage.person.post("fault", method="*", code=403, times=2)
    assert [(await stage.call(method))["status"] for method in ("getMe", "getMe", "getMe")] == [403, 403, 200]
    await stage.person.post("fault", code=500)
    assert (await stage.person.request("DELETE", "fault")) == {"cleared": 1}
    assert (await stage.call("getMe"))["ok"]
    with pytest.raises(SimError, match="a fault needs code, hang or drop"):
        await stage.person.post("fault", method="sendMessage")


async def test_an_answer_that_is_lost_or_late(stage: Stage) -> None:
    await stage.person.message("/start")
    await stage.person.post("fault", method="sendMessage", code=502, after=True)
    assert (await stage.call("sendMessage", chat_id=1001, text="carried out"))["status"] == 502
    await stage.person.post("fault", method="sendMessage", drop=True, after=True)
    with pytest.raises(ClientConnectionError):
        await stage.call("sendMessage", chat_id=1001, text="dropped after")
    await stage.person.post("fault", method="sendMessage", drop=True)
    with pytest.raises(ClientConnectionError):
        await stage.call("sendMessage", chat_id=1001, text="dropped before")
    await stage.person.post("fault", method="sendMessage", hang=0.2, chat_id=1001)
    started = time.monotonic()
    assert (await stage.call("sendMessage", chat_id=1001, text="late"))["ok"]
    assert time.monotonic() - started >= 0.2
    texts = [m["text"] for m in (await stage.person.chat())["messages"] if m["from"] == "bot"]
    assert texts == ["carried out", "dropped after", "late"]


async def test_the_outbox_knows_every_call(stage: Stage) -> None:
    await stage.person.message("/start")
    await stage.result("sendMessage", chat_id=1001, text="x")
    await stage.call("sendMessage", chat_id=1, text="x")
    calls = await stage.person.calls("sendmessage")
    assert [(call["status"], call["params"]["chat_id"]) for call in calls] == [(200, 1001), (400, 1)]
    assert calls[0]["answer"]["text"] == "x"
    assert calls[1]["answer"]["description"] == "Bad Request: chat not found"
    assert await stage.person.calls(since=calls[1]["seq"]) == []
    assert [c["seq"] for c in await stage.person.calls(since=calls[0]["seq"])] == [calls[1]["seq"]]


def _keyboard(label: str) -> dict[str, Any]:
    return {"inline_keyboard": [[{"text": label, "callback_data": label.lower()}]]}
