"""Updates are delivered as Telegram does it, and faults make calls fail as requested."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession, web

from sandbox.telegram.client import ControlApiClient
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.server import running_server

TOKEN = "4242:sandbox-test"


@dataclass
class UpdateDeliverySandbox:
    url: str
    user: ControlApiClient
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
async def sandbox() -> AsyncIterator[UpdateDeliverySandbox]:
    async with running_server() as (_, url), ControlApiClient(url) as user, ClientSession() as http:
        sandbox = UpdateDeliverySandbox(url, user, http)
        await sandbox.result("getMe")
        yield sandbox


@dataclass
class WebhookReceiver:
    """A bot's webhook, which records the updates and answers as the test decides."""

    url: str = ""
    updates: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    held: dict[int, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    hold: set[int] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        update = await request.json()
        async with self.changed:
            self.updates.append(update)
            self.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
            self.changed.notify_all()
        chat = update.get("message", {}).get("chat", {}).get("id", 0)
        if chat in self.hold:
            await self.held[chat].wait()
        answer = self.answers.pop(0) if self.answers else 200
        return web.json_response(answer) if isinstance(answer, dict) else web.Response(status=answer)

    async def wait(self, count: int) -> list[dict[str, Any]]:
        async with self.changed, asyncio.timeout(10):
            await self.changed.wait_for(lambda: len(self.updates) >= count)
        return self.updates

    def texts(self) -> list[str]:
        return [update["message"]["text"] for update in self.updates]


@asynccontextmanager
async def running_receiver() -> AsyncIterator[WebhookReceiver]:
    receiver = WebhookReceiver()
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


async def test_polling_confirms_updates_by_offset(sandbox: UpdateDeliverySandbox) -> None:
    ids = [(await sandbox.user.message(text))["update_id"] for text in ("one", "two", "three")]
    assert ids == list(range(ids[0], ids[0] + 3))
    assert await sandbox.texts() == ["one", "two", "three"]
    assert await sandbox.texts(limit=1) == ["one"]
    assert await sandbox.texts(offset=ids[1]) == ["two", "three"]
    assert await sandbox.texts(offset=-1) == ["three"]
    assert await sandbox.texts(offset=ids[2] + 1) == []
    assert await sandbox.texts() == []


async def test_long_poll_is_answered_when_an_update_arrives(sandbox: UpdateDeliverySandbox) -> None:
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        poll = group.create_task(sandbox.texts(timeout=20))
        await sandbox.user.message("now")
    assert poll.result() == ["now"]
    assert time.monotonic() - started < 5
    assert await sandbox.texts(timeout=0) == ["now"]


async def test_second_poll_conflicts_with_the_first(sandbox: UpdateDeliverySandbox) -> None:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(sandbox.call("getUpdates", timeout=20))
        await sandbox.user.chat(wait=0)
        second = group.create_task(sandbox.call("getUpdates", timeout=20))
        done, _ = await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED, timeout=5)
        loser = done.pop().result()
        await sandbox.user.message("x")
    assert (loser["status"], loser["description"]) == (
        409,
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    )


async def test_allowed_updates_filter_other_kinds(sandbox: UpdateDeliverySandbox) -> None:
    await sandbox.result("getUpdates", allowed_updates=["callback_query"])
    await sandbox.user.message("unseen")
    await sandbox.result("sendMessage", chat_id=1001, text="x", reply_markup=_keyboard("Go"))
    await sandbox.user.tap("Go")
    updates = await sandbox.result("getUpdates")
    assert [list(update)[1] for update in updates] == ["callback_query"]


async def test_webhook_with_secret_receives_updates_until_deleted(sandbox: UpdateDeliverySandbox) -> None:
    await sandbox.user.message("before")
    async with running_receiver() as receiver:
        await sandbox.result("setWebhook", url=receiver.url, secret_token="s3cret_-")
        await receiver.wait(1)
        await sandbox.user.message("after")
        await receiver.wait(2)
        assert receiver.texts() == ["before", "after"]
        assert receiver.secrets == ["s3cret_-", "s3cret_-"]
        polled = await sandbox.call("getUpdates")
        assert polled["status"] == 409
        assert "can't use getUpdates method while webhook is active" in polled["description"]
        info = await sandbox.result("getWebhookInfo")
        assert info["url"] == receiver.url
        await sandbox.result("deleteWebhook")
    await sandbox.user.message("polled")
    assert await sandbox.texts() == ["polled"]


async def test_webhook_keeps_order_per_chat_without_blocking_others(sandbox: UpdateDeliverySandbox) -> None:
    async with running_receiver() as receiver:
        receiver.hold.add(1001)
        await sandbox.result("setWebhook", url=receiver.url)
        for text in ("a1", "a2"):
            await sandbox.user.message(text)
        await sandbox.user.message("b1", user_id=1002)
        await receiver.wait(2)
        assert sorted(receiver.texts()) == ["a1", "b1"]
        receiver.held[1001].set()
        await receiver.wait(3)
        assert [text for text in receiver.texts() if text.startswith("a")] == ["a1", "a2"]


async def test_failed_delivery_is_repeated_with_the_same_id(sandbox: UpdateDeliverySandbox) -> None:
    async with running_receiver() as receiver:
        receiver.answers = [500, 404]
        await sandbox.result("setWebhook", url=receiver.url)
        sent = await sandbox.user.message("again")
        received = await receiver.wait(3)
        assert [update["update_id"] for update in received] == [sent["update_id"]] * 3
        info = await sandbox.result("getWebhookInfo")
        assert info["last_error_message"] == "Wrong response from the webhook: 404 Not Found"


async def test_method_in_webhook_response_is_carried_out(sandbox: UpdateDeliverySandbox) -> None:
    async with running_receiver() as receiver:
        receiver.answers = [{"method": "sendMessage", "chat_id": 1001, "text": "from the answer"}]
        await sandbox.result("setWebhook", url=receiver.url)
        await sandbox.user.message("hello")
        assert (await sandbox.user.wait_for_bot_message("from the answer"))["text"] == "from the answer"


async def test_updates_are_repeated_and_injected(sandbox: UpdateDeliverySandbox) -> None:
    sent = await sandbox.user.message("hello")
    assert len(await sandbox.result("getUpdates", offset=sent["update_id"] + 1)) == 0
    await sandbox.user.post("repeat", update_id=sent["update_id"], times=2)
    updates = await sandbox.result("getUpdates", offset=sent["update_id"] + 1)
    assert [update["update_id"] for update in updates] == [sent["update_id"]] * 2
    raw = {"update_id": 5, "message": sent["message"]}
    await sandbox.user.post("update", update=raw, times=3)
    assert [update["update_id"] for update in await sandbox.result("getUpdates")] == [5, 5, 5]
    with pytest.raises(ControlApiError, match="no update 6 was ever queued"):
        await sandbox.user.post("repeat", update_id=6)


async def test_fault_fails_the_requested_calls(sandbox: UpdateDeliverySandbox) -> None:
    await sandbox.user.message("/start")
    say = {"chat_id": 1001, "text": "x"}
    await sandbox.user.post("fault", method="sendMessage", code=429, retry_after=7)
    failed = await sandbox.call("sendMessage", **say)
    assert failed["description"] == "Too Many Requests: retry after 7"
    assert (failed["status"], failed["parameters"]) == (429, {"retry_after": 7})
    assert (await sandbox.call("sendMessage", **say))["ok"]
    await sandbox.user.post("fault", method="*", code=403, times=2)
    assert [(await sandbox.call(method))["status"] for method in ("getMe", "getMe", "getMe")] == [403, 403, 200]
    await sandbox.user.post("fault", code=500)
    assert (await sandbox.user.request("DELETE", "fault")) == {"cleared": 1}
    assert (await sandbox.call("getMe"))["ok"]
    with pytest.raises(ControlApiError, match="a fault needs code, hang or drop"):
        await sandbox.user.post("fault", method="sendMessage")


async def test_response_is_lost_or_late_after_a_fault(sandbox: UpdateDeliverySandbox) -> None:
    await sandbox.user.message("/start")
    await sandbox.user.post("fault", method="sendMessage", code=502, after=True)
    assert (await sandbox.call("sendMessage", chat_id=1001, text="carried out"))["status"] == 502
    await sandbox.user.post("fault", method="sendMessage", drop=True, after=True)
    with pytest.raises(ClientConnectionError):
        await sandbox.call("sendMessage", chat_id=1001, text="dropped after")
    await sandbox.user.post("fault", method="sendMessage", drop=True)
    with pytest.raises(ClientConnectionError):
        await sandbox.call("sendMessage", chat_id=1001, text="dropped before")
    await sandbox.user.post("fault", method="sendMessage", hang=0.2, chat_id=1001)
    started = time.monotonic()
    assert (await sandbox.call("sendMessage", chat_id=1001, text="late"))["ok"]
    assert time.monotonic() - started >= 0.2
    texts = [m["text"] for m in (await sandbox.user.chat())["messages"] if m["from"] == "bot"]
    assert texts == ["carried out", "dropped after", "late"]


async def test_outbox_records_every_call(sandbox: UpdateDeliverySandbox) -> None:
    await sandbox.user.message("/start")
    await sandbox.result("sendMessage", chat_id=1001, text="x")
    await sandbox.call("sendMessage", chat_id=1, text="x")
    calls = await sandbox.user.calls("sendmessage")
    assert [(call["status"], call["params"]["chat_id"]) for call in calls] == [(200, 1001), (400, 1)]
    assert calls[0]["answer"]["text"] == "x"
    assert calls[1]["answer"]["description"] == "Bad Request: chat not found"
    assert await sandbox.user.calls(since=calls[1]["seq"]) == []
    assert [c["seq"] for c in await sandbox.user.calls(since=calls[0]["seq"])] == [calls[1]["seq"]]


def _keyboard(label: str) -> dict[str, Any]:
    return {"inline_keyboard": [[{"text": label, "callback_data": label.lower()}]]}
