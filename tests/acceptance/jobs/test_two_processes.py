"""Two processes, one database, one bot: each order is done once, whoever gets its updates and its steps."""

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
    """Both at once, on a database that neither has seen."""
    load_balancer.targets = ["http://127.0.0.1:1"]  # until they are there
    bots = await asyncio.gather(environment.start_bot(ready=False), environment.start_bot(ready=False))
    load_balancer.targets = [bot.url for bot in bots]


async def new_card(user: SandboxUser, prompt: str) -> Message:
    """Ask for a card and wait for it without asking again and again."""
    sent = await user.send_text(prompt)
    version = sent["version"]
    async with asyncio.timeout(20):
        while True:
            path = f"/sim/chat/{user.id}"
            chat = await user.telegram.call("GET", path, after=str(version), wait="10", delta="1")
            version = chat["version"]
            for message in chat["messages"]:
                if message["message_id"] > sent["message"]["message_id"] and any(
                    "Create" in b for b in button_labels(message)
                ):
                    found: Message = message
                    return found


async def order_five(user: SandboxUser) -> None:
    for number in range(ORDERS_EACH):
        card = await new_card(user, f"picture {number} of {user.id}")
        await user.tap("Create", message_id=card["message_id"])


async def some_ended(environment: Environment, count: int) -> bool:
    return bool(await environment.db.fetchval("SELECT count(*) >= $1 FROM jobs WHERE ended_at IS NOT NULL", count))


@pytest.mark.long
async def test_two_hundred_orders_are_each_done_once_though_inngest_goes_away_in_the_middle(
    environment: Environment, load_balancer: LoadBalancer
) -> None:
    await start_two(environment, load_balancer)
    for bot in environment.bots:
        await environment.wait_for_plan_a(bot)
    people = [environment.user(3001 + number) for number in range(USERS)]
    count = USERS * ORDERS_EACH
    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(order_five(person))
        await wait_until(lambda: some_ended(environment, count // 4), what="a quarter is done")
        await environment.inngest.close_ports()

    jobs = await environment.wait_for_ended_jobs(count, seconds=30)
    assert len(jobs) == count
    assert {job["state"] for job in jobs} == {"succeeded"}
    assert {job["plan"] for job in jobs} == {"A", "B"}
    assert len({job["worker_id"].split(":")[1] for job in jobs if job["plan"] == "B"}) == 2, "both had their part"
    assert environment.replicate.creation_attempts == count
    assert len({prediction.input["seed"] for prediction in environment.replicate.predictions}) == count
    for person in people:
        pictures = [message_text(message).splitlines()[1] for message in await person.photo_messages()]
        assert sorted(pictures) == [f"picture {number} of {person.id}" for number in range(ORDERS_EACH)]
        assert await get_balance(environment.db, person.id) == Balance(100 - ORDERS_EACH, 0)
    assert (await check_ledger(environment.db)).is_consistent
    totals = await ledger_totals(environment.db)
    assert sum(totals.values()) == 0
    assert totals["revenue"] == count
    assert totals["held"] == 0


def tap_update(user: SandboxUser, message: Message, data: str, number: int) -> dict[str, Any]:
    """A tap as Telegram posts it; `number` makes its ids."""
    who = {"id": user.id, "is_bot": False, "first_name": user.first_name, "language_code": "en"}
    chat = {"id": user.id, "type": "private", "first_name": user.first_name}
    shown = {
        "message_id": message["message_id"],
        "date": int(time.time()),
        "chat": chat,
        "text": message_text(message),
    }
    query = {"id": str(number), "from": who, "message": shown, "chat_instance": "1", "data": data}
    return {"update_id": number, "callback_query": query}


def data_of(message: Message, label: str) -> str:
    buttons = [button for row in message["keyboard"] for button in row]
    return next(str(button["callback_data"]) for button in buttons if label in button["text"])


async def post_at_once(environment: Environment, updates: list[dict[str, Any]]) -> None:
    """Post updates side by side, to both processes in turn, each again until it is taken, as Telegram does."""

    async def post(session: aiohttp.ClientSession, url: str, update: dict[str, Any]) -> None:
        async def taken() -> bool:
            async with session.post(f"{url}/telegram/main", json=update, headers=headers) as answer:
                assert answer.status in (200, 503)
                return answer.status == 200

        await wait_until(taken, what="the update is taken")

    headers = {SECRET_HEADER: SECRET}
    async with aiohttp.ClientSession() as session:
        urls = itertools.cycle([bot.url for bot in environment.bots])
        await asyncio.gather(*(post(session, url, update) for url, update in zip(urls, updates, strict=False)))


async def test_taps_that_reach_both_processes_at_once_are_one_order(
    environment: Environment, load_balancer: LoadBalancer
) -> None:
    await start_two(environment, load_balancer)
    people = [environment.user(4001 + number) for number in range(6)]
    cards = [await new_card(person, "a red fox") for person in people]
    taps = [
        tap_update(person, card, data_of(card, "Create"), 10 * person.id + number)
        for person, card in zip(people, cards, strict=True)
        for number in (1, 1, 2, 3, 4, 5)  # one of them comes twice with the same id
    ]
    await post_at_once(environment, taps)
    assert len(await environment.wait_for_ended_jobs(6)) == 6

    results = [await person.wait_for_button("Again · 1 ⭐") for person in people]
    taps = [
        tap_update(person, result, data_of(result, "Again"), 100 * person.id + number)
        for person, result in zip(people, results, strict=True)
        for number in range(4)
    ]
    await post_at_once(environment, taps)
    assert len(await environment.wait_for_ended_jobs(12)) == 12
    assert environment.replicate.creation_attempts == 12
    for person in people:
        assert await get_balance(environment.db, person.id) == Balance(98, 0)
    assert (await check_ledger(environment.db)).is_consistent
    left = [message_text(m) for person in people for m in await person.bot_messages()].count(
        people[0].text("order.accepting")
    )
    assert left == 0, "nobody is left with an order that seems to be taken for ever"
