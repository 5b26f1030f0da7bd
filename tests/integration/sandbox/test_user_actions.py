"""The control API: sending, pressing buttons, paying, and the state after a kill and a restart."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from sandbox.telegram.__main__ import main
from sandbox.telegram.client import ControlApiClient
from sandbox.telegram.control.user_actions import UPLOAD_KINDS
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.server import running_server
from tests.support.processes.orphans import kill_with_parent

TOKEN = "4242:sandbox-test"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)


@dataclass
class UserActionSandbox:
    url: str
    user: ControlApiClient
    http: ClientSession

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.url}/bot{TOKEN}/{method}", json=params) as answer:
            body: dict[str, Any] = await answer.json()
            return body

    async def result(self, method: str, **params: Any) -> Any:
        answer = await self.call(method, **params)
        assert answer["ok"], answer
        return answer["result"]

    async def invoice(self, amount: int = 50) -> Any:
        prices = [{"label": "Credits", "amount": amount}]
        about = {"title": "Credits", "description": "Fifty", "payload": "order-1", "currency": "XTR"}
        return await self.result("sendInvoice", chat_id=1001, prices=prices, **about)

    async def next_update(self, kind: str) -> Any:
        for _ in range(10):
            for update in await self.result("getUpdates", timeout=5):
                await self.result("getUpdates", offset=update["update_id"] + 1)
                if kind in update:
                    return update[kind]
        raise AssertionError(f"no {kind} came")


@pytest.fixture
async def sandbox() -> AsyncIterator[UserActionSandbox]:
    async with running_server() as (_, url), ControlApiClient(url) as user, ClientSession() as http:
        sandbox = UserActionSandbox(url, user, http)
        await sandbox.result("getMe")
        yield sandbox


async def test_user_fields_are_taken_over_and_kept(sandbox: UserActionSandbox) -> None:
    sent = await sandbox.user.message("hi", user_id=7, first_name="Zoë", username="zoe", language_code="fr")
    assert sent["message"]["from"] == {
        "id": 7,
        "first_name": "Zoë",
        "username": "zoe",
        "language_code": "fr",
        "is_bot": False,
    }
    await sandbox.user.message("again", user_id=7)
    users = (await sandbox.user.get("people"))["people"]
    assert [(user["id"], user["language_code"]) for user in users] == [(7, "fr")]


async def test_group_chat(sandbox: UserActionSandbox) -> None:
    sent = await sandbox.user.message("hello all", chat_id=-100500, chat_title="Friends")
    assert sent["message"]["chat"] == {"id": -100500, "type": "supergroup", "title": "Friends"}
    await sandbox.result("sendMessage", chat_id=-100500, text="hi")
    assert [m["from"] for m in (await sandbox.user.chat(-100500))["messages"]] == ["person", "bot"]


@pytest.mark.parametrize("kind", UPLOAD_KINDS)
async def test_uploaded_file_reaches_the_bot(sandbox: UserActionSandbox, kind: str) -> None:
    sent = await sandbox.user.upload(kind, PNG, "a.png", caption="look")
    message = await sandbox.next_update("message")
    assert message == sent["message"]
    part = message[kind][-1] if kind == "photo" else message[kind]
    found = await sandbox.result("getFile", file_id=part["file_id"])
    async with sandbox.http.get(f"{sandbox.url}/file/bot{TOKEN}/{found['file_path']}") as answer:
        assert await answer.read() == PNG


async def test_sticker_and_extra_fields_need_no_file(sandbox: UserActionSandbox) -> None:
    assert (await sandbox.user.post("message", sticker="👍"))["message"]["sticker"]["emoji"] == "👍"
    extra = {"contact": {"phone_number": "+1", "first_name": "A"}}
    assert (await sandbox.user.post("message", extra=extra))["message"]["contact"]["phone_number"] == "+1"
    with pytest.raises(ControlApiError, match="a message needs text"):
        await sandbox.user.post("message")
    with pytest.raises(ControlApiError, match="not a valid Telegram message"):
        await sandbox.user.post("message", extra={"contact": 5})


async def test_button_press_finds_the_newest_matching_button(sandbox: UserActionSandbox) -> None:
    await sandbox.user.message("/start")
    for number in (1, 2):
        confirm = {"text": f"✅ Confirm {number}", "callback_data": f"c{number}"}
        rows = [[confirm], [{"text": "Docs", "url": "a.b"}]]
        await sandbox.result("sendMessage", chat_id=1001, text="x", reply_markup={"inline_keyboard": rows})
    assert (await sandbox.user.tap("confirm"))["data"] == "c2"
    assert (await sandbox.user.tap("✅ Confirm 1"))["data"] == "c1"
    assert len((await sandbox.user.tap("confirm", times=5))["update_ids"]) == 5
    stale = await sandbox.user.post("callback", data="old data", message_id=1)
    assert stale["data"] == "old data"
    with pytest.raises(ControlApiError, match="is not a callback button but url"):
        await sandbox.user.tap("Docs")
    with pytest.raises(ControlApiError, match="no button"):
        await sandbox.user.tap("Nothing")


async def test_callback_query_is_answered_once(sandbox: UserActionSandbox) -> None:
    await sandbox.user.message("/start")
    rows = [[{"text": "Go", "callback_data": "go"}]]
    await sandbox.result("sendMessage", chat_id=1001, text="x", reply_markup={"inline_keyboard": rows})
    await sandbox.user.tap("Go")
    query = await sandbox.next_update("callback_query")
    assert query["message"]["text"] == "x"
    answer = {"callback_query_id": query["id"], "text": "Done", "show_alert": True}
    await sandbox.result("answerCallbackQuery", **answer)
    again = await sandbox.call("answerCallbackQuery", **answer)
    assert "query is too old and response timeout expired or query ID is invalid" in again["description"]
    event = (await sandbox.user.chat())["events"][-1]
    assert (event["text"], event["alert"], event["callback_query_id"]) == ("Done", True, query["id"])


async def test_payment_and_refund(sandbox: UserActionSandbox) -> None:
    await sandbox.user.message("/start")
    await sandbox.invoice(50)
    async with asyncio.TaskGroup() as group:
        paying = group.create_task(sandbox.user.pay())
        query = await sandbox.next_update("pre_checkout_query")
        assert (query["total_amount"], query["invoice_payload"], query["currency"]) == (50, "order-1", "XTR")
        await sandbox.result("answerPreCheckoutQuery", pre_checkout_query_id=query["id"], ok=True)
    assert paying.result()["paid"]
    receipt = (await sandbox.next_update("message"))["successful_payment"]
    assert (receipt["total_amount"], receipt["invoice_payload"]) == (50, "order-1")
    assert (await sandbox.result("getMyStarBalance"))["amount"] == 50
    with pytest.raises(ControlApiError, match="already paid"):
        await sandbox.user.pay()
    charge = {"user_id": 1001, "telegram_payment_charge_id": receipt["telegram_payment_charge_id"]}
    await sandbox.result("refundStarPayment", **charge)
    again = await sandbox.call("refundStarPayment", **charge)
    assert again["description"] == "Bad Request: CHARGE_ALREADY_REFUNDED"
    assert (await sandbox.next_update("message"))["refunded_payment"]["total_amount"] == 50
    both = (await sandbox.result("getStarTransactions"))["transactions"]
    assert [("source" in one, "receiver" in one) for one in both] == [(True, False), (False, True)]
    assert (await sandbox.result("getMyStarBalance"))["amount"] == 0


async def test_payment_refused_or_unanswered_by_the_bot_fails(sandbox: UserActionSandbox) -> None:
    await sandbox.user.message("/start")
    await sandbox.invoice()
    async with asyncio.TaskGroup() as group:
        paying = group.create_task(sandbox.user.pay())
        query = await sandbox.next_update("pre_checkout_query")
        refusal = {"pre_checkout_query_id": query["id"], "ok": False, "error_message": "Sold out"}
        await sandbox.result("answerPreCheckoutQuery", **refusal)
    assert (paying.result()["paid"], paying.result()["error_message"]) == (False, "Sold out")
    late = await sandbox.user.pay(seconds=0.05)
    assert not late["paid"]
    forgotten = late["pre_checkout_query_id"]
    answer = await sandbox.call("answerPreCheckoutQuery", pre_checkout_query_id=forgotten, ok=True)
    assert "query is too old" in answer["description"]


async def test_subscription_is_paid_by_link(sandbox: UserActionSandbox) -> None:
    await sandbox.user.message("/start")
    prices = [{"label": "Month", "amount": 200}]
    about = {"title": "Club", "description": "A month", "payload": "sub", "currency": "XTR", "prices": prices}
    link = await sandbox.result("createInvoiceLink", **about, subscription_period=2_592_000)
    async with asyncio.TaskGroup() as group:
        paying = group.create_task(sandbox.user.pay(link=link))
        query = await sandbox.next_update("pre_checkout_query")
        await sandbox.result("answerPreCheckoutQuery", pre_checkout_query_id=query["id"], ok=True)
    receipt = paying.result()["message"]["successful_payment"]
    assert (receipt["total_amount"], receipt["is_recurring"]) == (200, True)


async def test_transcript_waits_for_changes_and_is_readable(sandbox: UserActionSandbox) -> None:
    sent = await sandbox.user.message("/start")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(sandbox.user.chat(after=sent["version"], wait=10, delta=1))
        await sandbox.result("sendMessage", chat_id=1001, text="<b>news</b>", parse_mode="HTML")
    assert [m["text"] for m in waiting.result()["messages"]] == ["news"]
    async with sandbox.http.get(f"{sandbox.url}/sim/chat/1001?format=text") as answer:
        text = await answer.text()
    assert "Alex (1001)\n  /start" in text
    assert "bot\n  news" in text


async def test_bad_request_tells_the_reason(sandbox: UserActionSandbox) -> None:
    json_type = {"Content-Type": "application/json"}
    async with sandbox.http.post(f"{sandbox.url}/sim/message", data="{", headers=json_type) as answer:
        assert (answer.status, await answer.json()) == (400, {"error": "the body is not JSON"})
    for path in ("chat/abc", "file/none", "outbox?since=x"):
        async with sandbox.http.get(f"{sandbox.url}/sim/{path}") as answer:
            assert answer.status in (400, 404)
            assert "error" in await answer.json()


async def test_reset_removes_state_and_continues_ids(sandbox: UserActionSandbox) -> None:
    before = await sandbox.user.message("/start")
    assert await sandbox.user.post("reset") == {"reset": True}
    state = await sandbox.user.get("state")
    assert (state["people"], state["chats"], [bot["id"] for bot in state["bots"]]) == ([], [], [4242])
    after = await sandbox.user.message("/start")
    assert after["update_id"] > before["update_id"]
    assert after["message"]["message_id"] > before["message"]["message_id"]


async def _start_process(data: Path) -> tuple[asyncio.subprocess.Process, str]:
    command = (sys.executable, "-m", "sandbox.telegram", "--port", "0", "--data", str(data))
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, preexec_fn=kill_with_parent
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    return process, line.removeprefix("Telegram sandbox: ").strip().rstrip("/")


async def test_killed_process_keeps_its_state(tmp_path: Path) -> None:
    process, url = await _start_process(tmp_path)
    async with ControlApiClient(url) as user, ClientSession() as http:
        sandbox = UserActionSandbox(url, user, http)
        await sandbox.result("setWebhook", url="http://127.0.0.1:9/", secret_token="kept")
        await user.message("/start", first_name="Zoë")
        photo = (await user.upload("photo", PNG, "a.png"))["message"]["photo"][-1]["file_id"]
        sent = await sandbox.result("sendMessage", chat_id=1001, text="kept")
        before = await user.chat()
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    async with (
        running_server(data_dir=tmp_path) as (_, url),
        ControlApiClient(url) as user,
        ClientSession() as http,
    ):
        sandbox = UserActionSandbox(url, user, http)
        after = await user.chat()
        assert after["messages"] == before["messages"]
        info = await sandbox.result("getWebhookInfo")
        assert (info["url"], info["pending_update_count"]) == ("http://127.0.0.1:9/", 2)
        await sandbox.result("deleteWebhook")
        updates = await sandbox.result("getUpdates")
        assert [list(update["message"])[-1] for update in updates] == ["entities", "photo"]
        assert (await sandbox.result("getFile", file_id=photo))["file_size"] == len(PNG)
        assert (await sandbox.result("sendMessage", chat_id=1001, text="x"))["message_id"] == sent[
            "message_id"
        ] + 1
        assert (await user.get("people"))["people"][0]["first_name"] == "Zoë"


def test_command_listens_on_loopback_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sandbox.telegram", "--host", "0.0.0.0"])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 2
    assert "loopback only" in capsys.readouterr().err
