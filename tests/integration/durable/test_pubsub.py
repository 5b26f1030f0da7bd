"""Wake-ups: a wait ends when its topic is published, in whichever process that is, and not because of another."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.core.background import BackgroundTasks
from services.durable.listener import Listener
from services.durable.pubsub import CHANNEL, PubSub, publish
from storage.pool import Pool
from tests.support.environments.environment import wait_until

LONG, SHORT = 3600.0, 0.2


@pytest.fixture
async def pubsub(db: Pool) -> AsyncIterator[PubSub]:
    """The waits of a process that listens to what others publish."""
    pubsub, listener, background, connected = PubSub(), Listener(db), BackgroundTasks(), asyncio.Event()

    async def on_connect() -> None:
        connected.set()

    listener.subscribe(CHANNEL, pubsub.dispatch, on_connect=on_connect)
    background.run_forever(listener.run, "listener")
    await asyncio.wait_for(connected.wait(), 5)
    yield pubsub
    await background.drain(0)


async def test_dispatch_wakes_every_subscriber_of_its_topic_and_no_other() -> None:
    pubsub = PubSub()
    with pubsub.subscribe("p1") as first, pubsub.subscribe("p1") as second, pubsub.subscribe("p2") as other:
        pubsub.dispatch("p1")
        assert (first.is_set(), second.is_set(), other.is_set()) == (True, True, False)


async def test_dispatch_before_the_subscription_and_after_it_wakes_nobody() -> None:
    pubsub = PubSub()
    pubsub.dispatch("p1")
    with pubsub.subscribe("p1") as event:
        pass
    pubsub.dispatch("p1")
    assert not event.is_set()


async def test_wait_for_another_topic_than_the_published_one_ends_after_its_timeout(
    db: Pool, pubsub: PubSub
) -> None:
    with pubsub.subscribe("another") as arrived:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pubsub.wait("p1", SHORT))
            await asyncio.sleep(0)  # it has subscribed
            await publish(db, "another")
        await asyncio.wait_for(arrived.wait(), 5)
    assert waiting.result() is False


async def test_wait_ends_when_another_process_publishes_its_topic(db: Pool, pubsub: PubSub) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(pubsub.wait("p1", LONG))
        await asyncio.sleep(0)  # it has subscribed
        await publish(db, "p1")
    assert waiting.result() is True


async def test_wait_after_a_lost_connection_ends_when_its_topic_is_published(db: Pool, pubsub: PubSub) -> None:
    listeners = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
    (lost,) = await db.fetch(listeners)
    await db.execute("SELECT pg_terminate_backend($1)", lost["pid"])

    async def is_published() -> bool:
        await publish(db, "p1")
        return event.is_set()

    with pubsub.subscribe("p1") as event:
        await wait_until(is_published, what="the listener has connected again")
