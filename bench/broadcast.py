"""How close a broadcast gets to Telegram's limit, and how it affects users, compared with aiogram-broadcaster.

    python -m bench.broadcast [--users 3000] [--baseline <python of a venv with aiogram-broadcaster>]

Telegram is the sandbox in its own process. It enforces 30 messages per second in all (1000 with
`allow_paid_broadcast`) and one per second and chat, answers 429 with `retry_after` above that, and takes 80 ms for
each call. Diptych is `main.py` as it is, without Inngest, so on Plan B, with the embedded PostgreSQL. The rates are
from the sandbox's list of calls: successful copies between the first and the last of them.

- *broadcast*: the rate, as a share of 30 per second, and the 429s of the whole run.
- *with users*: the same while users send `/start` four times per second; the replies count towards the same 30.
- *paid*: the rate with `allow_paid_broadcast`, as a share of 1000; here the machine is the limit.
- *aiogram-broadcaster*: the same message copied to the same users, 1/30 s apart, with a latency of 80 ms and of 0.
- */start*: from the update's arrival at the webhook until it is handled, with one sendMessage: p50 and p95.

`--users` is for the first row and the paid one; the others take `--fewer`, as they only need a steady rate.
Needs Linux.
"""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
from loguru import logger

from bench.command_line import create_parser, set_up_logs
from bench.environment import DIPTYCH_TOKEN, SECRET, BenchEnvironment, open_environment
from bench.update_load import Update
from bench.users import open_users
from sandbox.telegram.client import ControlApiClient
from services.broadcast import control
from services.broadcast.content import Content
from storage.messaging.broadcasts import add_broadcast, get_broadcast, set_content, set_paid
from storage.pool import Pool, create_pool
from tests.support.processes.orphans import kill_with_parent

ADMIN = 4001
_FIRST = 100_001
_PER_SECOND = 30
_LATENCY = 0.08
_COUNTED = ("copy", "send", "edit")
_STARTS = 60
_STARTS_EVERY = 0.25
_ADD_USERS = """
INSERT INTO users (id, bot_name, language) SELECT id, 'main', 'en' FROM generate_series($1::bigint, $2) AS id"""
_SELECT_RECIPIENTS = "UPDATE users SET wants_news = id BETWEEN $1 AND $2"


@dataclass(frozen=True)
class Rate:
    """What the sandbox saw: messages per second, of the broadcast and of all senders, and calls answered 429."""

    messages: int
    per_second: float
    all_per_second: float
    refused: int

    def line(self, name: str, limit: float) -> str:
        share = f"{self.per_second / limit:6.1%}" if limit else "     —"
        return f"{name:<34} {self.messages:>6} {self.per_second:>8.2f} {share} {self.refused:>6}"


class BroadcastBench:
    def __init__(self, environment: BenchEnvironment, db: Pool, api: ControlApiClient) -> None:
        self._environment = environment
        self._db = db
        self._api = api
        self.message = 0

    async def add_users(self, count: int) -> None:
        """Add users and their chats in the sandbox, and the admin's message that is copied."""
        await self._db.execute(_ADD_USERS, _FIRST, _FIRST + count - 1)
        await self._db.execute(_ADD_USERS, ADMIN, ADMIN)
        for user in range(_FIRST, _FIRST + count):
            await self._api.post("people", id=user, started=True, bot=self._environment.diptych.id)
        sent = await self._api.message("News!", user_id=ADMIN, bot=self._environment.diptych.id)
        self.message = sent["message"]["message_id"]

    async def limit(self, *, latency: float = _LATENCY) -> None:
        await self._api.post("limits", per_second=_PER_SECOND, per_chat=1, latency=latency)

    @asynccontextmanager
    async def count_messages(self) -> AsyncIterator[list[Rate]]:
        """The rate of the messages copied while the body runs, as the only item of the list."""
        since = (await self._api.get("outbox", limit=1))["seq"]
        found: list[Rate] = []
        yield found
        calls = (await self._api.get("outbox", since=since, method="copyMessage", limit=20000))["calls"]
        times = [each["time"] for each in calls if each["status"] == 200]
        all_calls = (await self._api.get("outbox", since=since, limit=20000))["calls"]
        refused = [each for each in all_calls if each["status"] == 429]
        for (method, chat), count in Counter(
            (c["method"], c["params"].get("chat_id")) for c in refused
        ).most_common(5):
            logger.debug("calls answered 429", method=method, chat=chat, count=count)
        took = times[-1] - times[0]
        counted = [
            each
            for each in all_calls
            if each["method"].startswith(_COUNTED) and times[0] <= each["time"] <= times[-1]
        ]
        found.append(Rate(len(times), (len(times) - 1) / took, (len(counted) - 1) / took, len(refused)))

    async def start(self, count: int, *, paid: bool = False) -> UUID:
        """Start a broadcast to the first `count` users."""
        await self._db.execute(_SELECT_RECIPIENTS, _FIRST, _FIRST + count - 1)
        broadcast = await add_broadcast(self._db, uuid4(), ADMIN, "main")
        content = Content(chat_id=ADMIN, message_ids=(self.message,), kind="text", html="News!")
        await set_content(self._db, broadcast.id, {"*": content.model_dump(mode="json")})
        await set_paid(self._db, broadcast.id, paid)
        await control.start(self._db, broadcast, "en")
        return broadcast.id

    async def wait_until_done(self, broadcast: UUID) -> None:
        while (found := await get_broadcast(self._db, broadcast)) and found.state != "done":  # noqa: ASYNC110
            await asyncio.sleep(0.2)

    async def broadcast(self, count: int, *, paid: bool = False) -> Rate:
        await self.limit()
        async with self.count_messages() as found:
            await self.wait_until_done(await self.start(count, paid=paid))
        return found[0]

    async def starts(self, updates: Sequence[Update]) -> list[float]:
        """Send `/start` four times per second. Returns the seconds that each took."""
        headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        took: list[float] = []

        async def one(update: Update) -> None:
            body = {**update, "update_id": update["update_id"] + 10**12 + time.monotonic_ns() % 10**11}
            started_at = time.monotonic()
            async with session.post(self._environment.diptych.webhook, json=body, headers=headers) as response:
                await response.read()
            took.append(time.monotonic() - started_at)

        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for update in updates:
                group.create_task(one(update))
                await asyncio.sleep(_STARTS_EVERY)
        return took

    async def run_baseline(self, python: Path, count: int, *, interval: float, latency: float) -> tuple[Rate, int]:
        """The package's rate, and how many users it did not reach."""
        await self.limit(latency=latency)
        arguments = {
            "api": self._environment.telegram,
            "token": DIPTYCH_TOKEN,
            "first": _FIRST,
            "count": count,
            "from_chat": ADMIN,
            "message": self.message,
            "interval": interval,
        }
        script = str(Path(__file__).with_name("broadcast_baseline.py"))
        async with self.count_messages() as found:
            process = await asyncio.create_subprocess_exec(
                *(str(python), script, *(f"--{name}={value}" for name, value in arguments.items())),
                stdout=-1,
                preexec_fn=kill_with_parent,
            )
            output, _ = await process.communicate()
        return found[0], int(json.loads(output)["lost"])


def format_percentiles(seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=20)
    return f"p50 {statistics.median(seconds) * 1000:5.0f} ms   p95 {cuts[18] * 1000:5.0f} ms"


async def run(users: int, fewer: int, baseline_python: Path | None, *, verbose: bool) -> None:
    """Measure, and print each row when it is known."""
    print(f"{'':<34} {'sent':>6} {'per s':>8} {'limit':>6} {'429s':>6}")
    async with (
        open_environment(verbose=verbose) as environment,
        ControlApiClient(environment.telegram) as api,
    ):
        db = await create_pool(environment.dsn, size=3)
        bench = BroadcastBench(environment, db, api)
        async with open_users(environment, _STARTS) as senders:
            await bench.add_users(users)
            updates = await senders.send_text(environment.diptych, "/start")
            updates = [each for each in updates if each.get("message", {}).get("text") == "/start"]
            await bench.starts(updates[:10])
            await bench.limit()
            alone = await bench.starts(updates)
            print((await bench.broadcast(users)).line("broadcast", _PER_SECOND), flush=True)
            await bench.limit()
            async with bench.count_messages() as found:
                broadcast = await bench.start(fewer)
                during = await bench.starts(updates)
                await bench.wait_until_done(broadcast)
            with_answers = f"{found[0].all_per_second / _PER_SECOND:.1%} with the replies"
            print(f"{found[0].line('broadcast with users', _PER_SECOND)}   {with_answers}", flush=True)
            print((await bench.broadcast(users, paid=True)).line("paid broadcast", 1000), flush=True)
            if baseline_python is not None:
                for latency in (_LATENCY, 0.0):
                    name = f"aiogram-broadcaster, {latency * 1000:.0f} ms"
                    rate, lost = await bench.run_baseline(
                        baseline_python, fewer, interval=1 / _PER_SECOND, latency=latency
                    )
                    print(f"{rate.line(name, _PER_SECOND)}   {lost} users lost", flush=True)
        await db.close()
    print(f"/start without a broadcast:  {format_percentiles(alone)}")
    print(f"/start during a broadcast:   {format_percentiles(during)}")


def main() -> None:
    parser = create_parser("broadcast", __doc__)
    parser.add_argument("--users", type=int, default=3000, help="who get the first broadcast, and the paid one")
    parser.add_argument("--fewer", type=int, default=600, help="who get the others")
    parser.add_argument("--baseline", type=Path, help="the python of a venv that has aiogram-broadcaster")
    options = parser.parse_args()
    if options.fewer > options.users:
        parser.error("--fewer must not be more than --users")
    set_up_logs(verbose=options.verbose)
    asyncio.run(run(options.users, options.fewer, options.baseline, verbose=options.verbose))


if __name__ == "__main__":
    main()
