"""Two processes, one database, one bot: each order is completed once, whichever process gets its updates and steps."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot.telegram.webhook import SECRET_HEADER
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import (
    Environment,
    Message,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)
from tests.support.processes.load_balancer import SECRET, LoadBalancer, open_load_balancer
from tests.support.test_data.ledger_totals import ledger_totals

USERS, ORDERS_EACH = 40, 5


@pytest.fixture
async def load_balancer(environment: Environment) -> AsyncIterator[LoadBalancer]:
    async with open_load_balancer(environment, PLAN_B_SLOTS="40", JOBS_PER_PERSON="5") as load_balancer:
        yield load_balancer


async def start_two(environment: Environment, load_balancer: LoadBalancer) -> None:
    """Start both processes at once, on a database that neither has seen."""
    load_balancer.targets = ["http://127.0.0.1:1"]  # until both have started
    bots = await asyncio.gather(environment.start_bot(ready=False), environment.start_bot(ready=False))
    load_balancer.targets = [bot.url for bot in bots]


async def new_card(user: SandboxUser, prompt: str) -> Message:
    """Open a card, waiting for it by long polling."""
    sent = await user.send_text(prompt)
    version = sent["version"]
    async with asyncio.timeout(20):
        while True:
            chat = await user.chat(after=version, wait=10, delta=1)
            version = chat["version"]
            for message in chat["messages"]:
                if message["message_id"] > sent["message"]["message_id"] and any(
                    "Create" in b for b in button_labels(message)
                ):
                    found: Message = message
                    return found


async def order_five(user: SandboxUser) -> None:
    for number in range(ORDERS_EACH):
        card = await new_card(user, f"image {number} of {user.id}")
        await user.tap("Create", message_id=card["message_id"])


async def some_ended(environment: Environment, count: int) -> bool:
    return bool(await environment.db.fetchval("SELECT count(*) >= $1 FROM jobs WHERE ended_at IS NOT NULL", count))


@pytest.mark.long
async def test_two_hundred_orders_with_an_inngest_outage_are_each_completed_once(
    environment: Environment, load_balancer: LoadBalancer
) -> None:
    await start_two(environment, load_balancer)
    for bot in environment.bots:
        await environment.wait_for_plan_a(bot)
    users = [environment.user(3001 + number) for number in range(USERS)]
    count = USERS * ORDERS_EACH
    async with asyncio.TaskGroup() as group:
        for user in users[: USERS // 2]:
            group.create_task(order_five(user))
        await wait_until(lambda: some_ended(environment, count // 4), what="a quarter is done")
        await environment.inngest.close_ports()
        for user in users[USERS // 2 :]:
            group.create_task(order_five(user))

    jobs = await environment.wait_for_ended_jobs(count, seconds=30)
    assert len(jobs) == count
    assert {job["state"] for job in jobs} == {"succeeded"}
    assert {job["plan"] for job in jobs} == {"A", "B"}
    assert len({job["worker_id"].split(":")[1] for job in jobs if job["plan"] == "B"}) == 2, (
        "both processes ran jobs"
    )
    assert environment.replicate.creation_attempts == count
    assert len({prediction.input["seed"] for prediction in environment.replicate.predictions}) == count
    for user in users:
        pictures = [message_text(message).splitlines()[1] for message in await user.photo_messages()]
        assert sorted(pictures) == [f"image {number} of {user.id}" for number in range(ORDERS_EACH)]
        assert await get_balance(environment.db, user.id) == Balance(100 - ORDERS_EACH, 0)
    assert (await check_ledger(environment.db)).is_consistent
    totals = await ledger_totals(environment.db)
    assert sum(totals.values()) == 0
    assert totals["revenue"] == count
    assert totals["held"] == 0


def tap_update(user: SandboxUser, message: Message, data: str, number: int) -> dict[str, Any]:
    """A tap as Telegram posts it, with ids made from `number`."""
    sender = {"id": user.id, "is_bot": False, "first_name": user.first_name, "language_code": "en"}
    chat = {"id": user.id, "type": "private", "first_name": user.first_name}
    card = {
        "message_id": message["message_id"],
        "date": int(time.time()),
        "chat": chat,
        "text": message_text(message),
    }
    query = {"id": str(number), "from": sender, "message": card, "chat_instance": "1", "data": data}
    return {"update_id": number, "callback_query": query}


def callback_data(message: Message, label: str) -> str:
    buttons = [button for row in message["keyboard"] for button in row]
    return next(str(button["callback_data"]) for button in buttons if label in button["text"])


async def post_at_once(environment: Environment, updates: list[dict[str, Any]]) -> None:
    """Post updates concurrently, to both processes in turn, each until it is accepted, as Telegram does."""

    async def post(session: aiohttp.ClientSession, url: str, update: dict[str, Any]) -> None:
        async def accepted() -> bool:
            async with session.post(f"{url}/telegram/main", json=update, headers=headers) as answer:
                assert answer.status in (200, 503)
                return answer.status == 200

        await wait_until(accepted, what="the update is accepted")

    headers = {SECRET_HEADER: SECRET}
    async with aiohttp.ClientSession() as session:
        urls = itertools.cycle([bot.url for bot in environment.bots])
        await asyncio.gather(*(post(session, url, update) for url, update in zip(urls, updates, strict=False)))


async def test_taps_reaching_both_processes_at_once_place_one_order(
    environment: Environment, load_balancer: LoadBalancer
) -> None:
    await start_two(environment, load_balancer)
    users = [environment.user(4001 + number) for number in range(6)]
    cards = [await new_card(user, "a red fox") for user in users]
    taps = [
        tap_update(user, card, callback_data(card, "Create"), 10 * user.id + number)
        for user, card in zip(users, cards, strict=True)
        for number in (1, 1, 2, 3, 4, 5)  # one of them twice with the same id
    ]
    await post_at_once(environment, taps)
    assert len(await environment.wait_for_ended_jobs(6)) == 6

    results = [await user.wait_for_button("Again · 1 ⭐") for user in users]
    taps = [
        tap_update(user, result, callback_data(result, "Again"), 100 * user.id + number)
        for user, result in zip(users, results, strict=True)
        for number in range(4)
    ]
    await post_at_once(environment, taps)
    assert len(await environment.wait_for_ended_jobs(12)) == 12
    assert environment.replicate.creation_attempts == 12
    for user in users:
        assert await get_balance(environment.db, user.id) == Balance(98, 0)
    assert (await check_ledger(environment.db)).is_consistent
    left = [message_text(m) for user in users for m in await user.bot_messages()].count(
        users[0].text("order.accepting")
    )
    assert left == 0, "no message stays at 'accepting' for ever"
