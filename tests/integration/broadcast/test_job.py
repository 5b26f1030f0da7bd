"""The internal job of a broadcast and what an admin does with it, on a real database and a bot in memory."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from aiogram.exceptions import TelegramForbiddenError
from aiogram.methods import GetMe

from services.broadcast import control
from services.broadcast.content import Audience, Content, count_audience
from services.broadcast.job import BROADCAST, BroadcastJob
from services.core.background import BackgroundTasks
from services.core.errors import InvalidRequest
from services.core.i18n import Texts
from services.jobs.internal_jobs import InternalJobContext
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.messaging.rate_limiter import RateLimiter
from storage.jobs.jobs import get_job
from storage.messaging.broadcast_recipients import claim_recipients, count_recipients
from storage.messaging.broadcasts import Broadcast, claim_broadcast
from storage.pool import Pool
from tests.support.test_data.factories import add_user

ADMIN = 1
USERS = range(2, 32)
CONTENT = Content(chat_id=ADMIN, message_ids=(5,), kind="text", html="News")


@dataclass
class FakeBot:
    """Records calls by chat. A copy takes `call_seconds`."""

    copies: Counter[int] = field(default_factory=Counter)
    edits: Counter[int] = field(default_factory=Counter)
    deletes: Counter[int] = field(default_factory=Counter)
    progress: list[str] = field(default_factory=list)
    blocked_by: set[int] = field(default_factory=set)
    call_seconds: float = 0.0
    _ids: Any = field(default_factory=lambda: count(100))

    async def copy_message(self, chat_id: int, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(self.call_seconds)
        if chat_id in self.blocked_by:
            raise TelegramForbiddenError(GetMe(), "Forbidden: bot was blocked by the user")
        self.copies[chat_id] += 1
        return SimpleNamespace(message_id=next(self._ids))

    async def edit_message_text(self, text: str, *, chat_id: int, **options: Any) -> None:
        if chat_id == ADMIN:
            self.progress.append(text)
        else:
            self.edits[chat_id] += 1

    async def delete_message(self, chat_id: int, message_id: int) -> None:
        self.deletes[chat_id] += 1

    async def send_message(self, chat_id: int, text: str, **options: Any) -> Any:
        assert chat_id == ADMIN
        self.progress.append(text)
        return SimpleNamespace(message_id=next(self._ids))


class ImmediateSteps:
    """Steps without a journal."""

    async def run(self, step: str, work: Callable[[], Awaitable[Any]], **options: Any) -> Any:
        return await work()


@dataclass
class Environment:
    db: Pool
    bot: FakeBot = field(default_factory=FakeBot)
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    per_second: int = 1000

    async def create_draft(self) -> Broadcast:
        draft = await control.create_draft(self.db, ADMIN, "main")
        changed = await control.set_version(self.db, draft, "*", CONTENT)
        assert changed is not None
        return changed

    async def start(self) -> Broadcast:
        started = await control.start(self.db, await self.create_draft(), "en")
        assert started is not None
        return started

    async def run_job(self) -> dict[str, Any]:
        """Run the internal job that was enqueued last."""
        bots = {"main": cast("Any", self.bot)}
        all_bots = Bots(bots, bots, {"main": RateLimiter(self.per_second)})
        broadcast_job = BroadcastJob(self.db, all_bots, Messenger(self.db, all_bots, Texts()), self.background)
        job_id = await self.db.fetchval("SELECT id FROM jobs ORDER BY created_at DESC LIMIT 1")
        job = await get_job(self.db, job_id)
        assert job is not None
        assert job.service == BROADCAST.id
        return await broadcast_job.run(InternalJobContext(job, cast("Any", ImmediateSteps())))

    async def state(self, broadcast: Broadcast) -> str:
        current = await control.find_broadcast(self.db, broadcast.id)
        assert current is not None
        return current.state


@pytest.fixture
async def environment(db: Pool) -> Environment:
    for user_id in (ADMIN, *USERS):
        await add_user(db, user_id)
    return Environment(db)


async def test_broadcast_reaches_everyone_once_and_the_admin_sees_it_done(environment: Environment) -> None:
    environment.bot.blocked_by = {2}
    broadcast = await environment.start()
    assert await environment.run_job() == {"steps": 1}
    assert await environment.state(broadcast) == "done"
    assert environment.bot.copies == Counter({ADMIN, *USERS} - {2})
    counts = await count_recipients(environment.db, broadcast.id)
    assert (counts.total, counts.sent, counts.blocked) == (31, 30, 1)
    assert not await environment.db.fetchval("SELECT active FROM users WHERE id = 2")
    assert "done" in environment.bot.progress[-1]
    assert (await environment.run_job()) == {"steps": 1}, "another run of the same job finds nothing to do"
    assert environment.bot.copies.total() == 30


async def test_edit_and_delete_reach_only_recipients_who_got_it(environment: Environment) -> None:
    environment.bot.blocked_by = {2}
    broadcast = await environment.start()
    assert await control.edit(environment.db, broadcast, "*", "New", "en") is None, "it is still running"
    await environment.run_job()
    with pytest.raises(InvalidRequest, match="nobody_got_it"):
        await control.edit(environment.db, broadcast, "ru", "New", "en")
    assert await control.edit(environment.db, broadcast, "*", "New", "en") is not None
    await environment.run_job()
    assert set(environment.bot.edits) == set(USERS) - {2}
    assert await control.delete(environment.db, broadcast, "en") is not None
    await environment.run_job()
    assert environment.bot.deletes == Counter({ADMIN, *USERS} - {2})
    assert await environment.state(broadcast) == "done"


async def test_paused_broadcast_sends_nothing_until_it_is_resumed(environment: Environment) -> None:
    broadcast = await environment.start()
    assert await control.pause(environment.db, broadcast.id) is not None
    assert await environment.run_job() == {"steps": 1}
    assert not environment.bot.copies
    assert await control.resume(environment.db, broadcast, "en") is not None
    assert await control.resume(environment.db, broadcast, "en") is None
    await environment.run_job()
    assert await environment.state(broadcast) == "done"
    assert await control.stop(environment.db, broadcast.id) is None


async def test_stop_ends_a_running_step(environment: Environment) -> None:
    broadcast = await environment.start()
    environment.bot.call_seconds, environment.per_second = 0.05, 100
    running = environment.background.spawn(environment.run_job(), "job")
    while not environment.bot.copies:  # noqa: ASYNC110 - the bot is a fake
        await asyncio.sleep(0.005)
    assert await control.stop(environment.db, broadcast.id) is not None
    await asyncio.wait_for(running, 5)
    counts = await count_recipients(environment.db, broadcast.id)
    assert counts.sent == environment.bot.copies.total() < 31
    assert counts.sent + counts.waiting == 31
    assert "stopped" in environment.bot.progress[-1]


async def test_recipients_of_a_step_that_died_are_unknown_and_not_sent_to_again(environment: Environment) -> None:
    broadcast, dead_worker = await environment.start(), uuid4()
    await claim_broadcast(environment.db, broadcast.id, 1, dead_worker)
    claimed = await claim_recipients(environment.db, broadcast.id, dead_worker, after=0, limit=3)
    await environment.run_job()
    counts = await count_recipients(environment.db, broadcast.id)
    assert (counts.unknown, counts.sent) == (3, 28)
    assert not {each.user_id for each in claimed} & set(environment.bot.copies)


async def test_one_broadcast_runs_at_a_time(environment: Environment) -> None:
    await environment.start()
    with pytest.raises(InvalidRequest, match="another_runs"):
        await environment.start()


async def test_start_records_the_progress_message_only_if_it_starts(environment: Environment) -> None:
    draft = await environment.create_draft()
    narrowed = await control.set_audience(environment.db, draft.id, Audience(language="ru"))
    assert narrowed is not None
    assert await count_audience(environment.db, narrowed) == 0
    with pytest.raises(InvalidRequest, match="nobody"):
        await control.start(environment.db, narrowed, "en", progress_message_id=77)
    unchanged = await control.find_draft(environment.db, draft.id)
    assert unchanged is not None
    assert unchanged.progress_message_id is None
    widened = await control.set_audience(environment.db, draft.id, Audience())
    assert widened is not None
    assert await count_audience(environment.db, widened) == 31
    started = await control.start(environment.db, widened, "en", progress_message_id=77)
    assert started is not None
    assert started.progress_message_id == 77
    assert await control.find_draft(environment.db, draft.id) is None
    assert await control.set_paid(environment.db, draft.id, True) is None, "only a draft can be changed"
