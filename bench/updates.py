"""What an update costs end to end: Diptych against a bare aiogram echo bot, on the same sandbox in the same run.

    python -m bench.updates [--seconds 30] [--users 200]

Measured is the whole path of an update: HTTP in at the webhook, the work, the calls to the Bot API over HTTP,
and the webhook's answer. Both bots respond when the work is done. They take turns: echo, Diptych, echo, Diptych, …

| row       | an update is                                | what it makes the bot do                             |
|-----------|---------------------------------------------|------------------------------------------------------|
| bare echo | `/start`, to aiogram's SimpleRequestHandler | one sendMessage with the same text                   |
| /start    | `/start` of a known user                    | once-only, throttle, state, balance; a greeting and  |
|           |                                             | the menu in one sendMessage                          |
| menu      | a tap on "Menu"                             | the same, answerCallbackQuery, editMessageText       |
| order     | a tap on "Create", until it is accepted     | check, price, job and hold in one transaction,       |
|           |                                             | answerCallbackQuery, editMessageText                 |

For an order, only its acceptance counts. Plan B's one slot is taken by an image that Replicate never finishes, so
that no measured order is worked on: each is committed, gets its place in the queue, and the user is notified. The
updates before it (service, prompt) are not counted.

Diptych is `main.py` as it is (uvloop, default log level, no Inngest, so Plan B) with the embedded PostgreSQL,
which does not fsync. The echo bot runs on uvloop too. Telegram is the sandbox, Replicate the tests' fake, each in
its own process. This process posts the updates directly to the webhooks: real ones, made by the sandbox before the
measurement starts, of different users, 16 at once, the next when one has its response.

How to read it. `CPU ms` is the user and system time of the bot's process alone, per update. It is the figure that
matters, as it depends little on other work on the machine. `PostgreSQL ms` is the database server's; the echo bot
has none. `updates/s` was measured with everything on the same cores, sandbox and load included: a lower bound.
`× echo` is the ratio of CPU within a round. All are medians over the rounds; the brackets hold the smallest and the
largest ratio. Needs Linux.
"""

import asyncio
import statistics
import time
from functools import reduce
from operator import add

import aiohttp
import asyncpg
import uvloop

from bench.command_line import create_parser, set_up_logs
from bench.environment import BenchEnvironment, open_environment
from bench.update_load import Measurement, Update, measure, post_all
from bench.users import BenchUsers, open_users

_STARTS_EACH = 5
"""How often each user sends /start in a round: few enough never to be throttled."""
_MIN_ROUNDS = 3
_TARGET = 2.0

Rounds = dict[str, list[Measurement]]


class UpdateBench:
    def __init__(
        self, environment: BenchEnvironment, users: BenchUsers, db: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        self._environment = environment
        self._users = users
        self._db = db
        self._starts: dict[str, list[Update]] = {}
        self.rounds: Rounds = {}

    async def warm_up(self) -> None:
        """Register all users, run every path once, and take the one slot of Plan B."""
        environment, users = self._environment, self._users
        for bot in (environment.echo_bot, environment.diptych):
            self._starts[bot.name] = await users.send_text(bot, "/start")
            await post_all(bot, self._starts[bot.name])
        behaviour = {"outcome": "never"}
        async with aiohttp.request("POST", f"{environment.replicate}/control", json=behaviour) as response:
            response.raise_for_status()
        await post_all(environment.diptych, await self._menu_taps())
        confirmations = await self._confirmations()
        await post_all(environment.diptych, confirmations[:1])
        await self._until_running()
        await post_all(environment.diptych, confirmations[1:])
        await self._cancel_waiting()

    async def round(self) -> None:
        environment, starts = self._environment, self._starts
        turns = []
        for _ in range(_STARTS_EACH):
            bare = await self._measure("bare echo", starts[environment.echo_bot.name])
            turns.append((bare, await self._measure("/start", starts[environment.diptych.name])))
        menu = await self._measure("menu", await self._menu_taps())
        confirmations, accepted = await self._confirmations(), await self._jobs()
        order = await self._measure("order", confirmations)
        if (new := await self._jobs() - accepted) != len(confirmations):
            raise RuntimeError(f"{len(confirmations)} orders were confirmed and {new} accepted")
        await self._cancel_waiting()
        echo, start = (reduce(add, samples) for samples in zip(*turns, strict=True))
        for name, sample in (("bare echo", echo), ("/start", start), ("menu", menu), ("order", order)):
            self.rounds.setdefault(name, []).append(sample)

    async def _measure(self, name: str, updates: list[Update]) -> Measurement:
        """Measure, and check that the bot did all its work: a bot that throttles looks fast."""
        bot = self._environment.echo_bot if name == "bare echo" else self._environment.diptych
        calls = await self._users.calls()
        sample = await measure(self._environment, bot, updates)
        made = await self._users.calls() - calls
        wanted = sample.updates * (2 if name in ("menu", "order") else 1)
        if made < wanted or (refused := await self._users.refusals(calls)):
            raise RuntimeError(f"{name}: {sample.updates} updates, {made} calls, refused: {refused[:3]}")
        return sample

    async def _menu_taps(self) -> list[Update]:
        """All users ask for their balance, and tap "Menu" under it."""
        bot, users = self._environment.diptych, self._users
        await post_all(bot, await users.send_text(bot, "/balance"))
        return await users.tap(bot, label="Menu")

    async def _confirmations(self) -> list[Update]:
        """In the open menu, all users choose the service, send a prompt, and tap "Create"."""
        bot, users = self._environment.diptych, self._users
        await post_all(bot, await users.tap(bot, label="Text to image"))
        await post_all(bot, await users.send_text(bot, "a lighthouse in a storm, seen from the sea"))
        return await users.tap(bot, label="Create")

    async def _jobs(self) -> int:
        return int(await self._db.fetchval("SELECT count(*) FROM jobs"))

    async def _until_running(self) -> None:
        running = "SELECT count(*) FROM jobs WHERE state = 'running'"
        async with asyncio.timeout(10):
            while not await self._db.fetchval(running):  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.05)

    async def _cancel_waiting(self) -> None:
        """Cancel what waits in the queue, so that every round starts with the same queue."""
        await self._db.execute("UPDATE jobs SET state = 'cancelled', ended_at = now() WHERE state = 'queued'")
        await self._db.execute("VACUUM ANALYZE")


def report(rounds: Rounds) -> str:
    echo = [sample.ms for sample in rounds["bare echo"]]
    lines = [f"{'':<10} {'updates/s':>10} {'CPU ms':>8} {'PostgreSQL ms':>14} {'× echo':>8}"]
    for name, samples in rounds.items():
        ratios = [sample.ms / bare for sample, bare in zip(samples, echo, strict=True)]
        rate, ms, postgres = (
            statistics.median(getattr(sample, what) for sample in samples)
            for what in ("rate", "ms", "postgres_ms")
        )
        spread = "" if name == "bare echo" else f"  [{min(ratios):.2f} … {max(ratios):.2f}]"
        shown = "" if name == "bare echo" else f"{postgres:.3f}"
        lines.append(f"{name:<10} {rate:>10.0f} {ms:>8.3f} {shown:>14} {statistics.median(ratios):>8.2f}{spread}")
    counts = ", ".join(f"{sum(sample.updates for sample in samples)} × {name}" for name, samples in rounds.items())
    ratio = start_ratio(rounds)
    verdict = "reached" if ratio <= _TARGET else "missed"
    return "\n".join(
        [*lines, "", f"{len(echo)} rounds: {counts}", f"/start costs {ratio:.2f} × echo; {_TARGET:g} is {verdict}"]
    )


def start_ratio(rounds: Rounds) -> float:
    pairs = zip(rounds["/start"], rounds["bare echo"], strict=True)
    return statistics.median(ours.ms / bare.ms for ours, bare in pairs)


async def _run(seconds: float, user_count: int, *, verbose: bool) -> None:
    async with open_environment(verbose=verbose) as environment, open_users(environment, user_count) as users:
        db = await asyncpg.connect(environment.dsn)
        bench = UpdateBench(environment, users, db)
        await bench.warm_up()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends or len(bench.rounds.get("order", ())) < _MIN_ROUNDS:
            await bench.round()
        print(report(bench.rounds))
        await db.close()


def main() -> None:
    parser = create_parser("updates", __doc__)
    parser.add_argument("--seconds", type=float, default=30, help="start new rounds for this long")
    parser.add_argument("--users", type=int, default=200, help="how many different users write")
    options = parser.parse_args()
    set_up_logs(verbose=options.verbose)
    uvloop.run(_run(options.seconds, options.users, verbose=options.verbose))


if __name__ == "__main__":
    main()
