"""How long users wait when Inngest dies: Diptych against the SDK's plain `client.send`, in one run.

    python -m bench.failover [--orders 20] [--without-sdk]

Two kinds of failure. A *closed port*: connections are refused. *Swallowed packets*: nothing answers at all, as behind a
firewall that drops (a listening socket whose backlog is full does that on this machine).

| column            | is                                                                                      |
|-------------------|-----------------------------------------------------------------------------------------|
| tap to answer     | from the tap on "Create" to the call that stops the button's spinner, at Telegram       |
| tap to work       | from the tap to the job's start (`jobs.started_at`) on Plan B                             |

The bot is `main.py` as a process, with Inngest healthy at first; it dies before the first order. "Following" is
the median of the others, one after another. "Extra" is how much longer they take than with Inngest healthy.

The plain SDK is what a handler would do without a breaker: `await client.send(...)`, and work inline when that
raises. It is measured in this process, at the same dead address. Swallowed packets cost it over two minutes.
"""

import asyncio
import socket
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import asyncpg
import inngest

from bench.command_line import create_parser, print_logs, set_up_logs
from sandbox.postgres.client import EmbeddedPostgres
from storage.migrations import migrate
from storage.pool import create_pool
from tests.support.environments.environment import Environment, SandboxUser, wait_until
from tests.support.processes.bot_process import ProcessPool
from tests.support.processes.orphans import temporary_folder

_FIRST_USER = 2001
_CREATE = "Create · 1 ⭐"
_BACKLOG = 8


@dataclass(frozen=True)
class OrderTimes:
    """Seconds from a tap to its answer, and to the start of the work."""

    answer: float
    work: float


@asynccontextmanager
async def open_environment(*, verbose: bool = False) -> AsyncIterator[Environment]:
    """The stand-ins in this process, and a database; with `verbose` the bot's log is printed in the end."""
    with temporary_folder() as folder:
        process_pool = ProcessPool(folder)
        server = EmbeddedPostgres(folder / "postgres", temporary=True)
        await server.start()
        connection = await asyncpg.connect(server.dsn)
        await migrate(connection)
        await connection.close()
        await process_pool.open()
        db = await create_pool(server.dsn, size=5)
        environment = Environment(db, server.dsn, folder, process_pool)
        await environment.open()
        try:
            yield environment
        finally:
            await environment.close()
            await db.close()
            await process_pool.close()
            await server.stop()
            if verbose:
                print_logs(folder)


@contextmanager
def dropping_packets(port: int) -> Iterator[None]:
    """A port where connections are neither accepted nor refused: the kernel drops what exceeds the backlog."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(_BACKLOG)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(("127.0.0.1", port))
        yield
        for one in waiting:
            one.close()


@contextmanager
def closed(port: int) -> Iterator[None]:
    yield


OUTAGES = {"closed port": closed, "swallowed packets": dropping_packets}


async def order(environment: Environment, user: SandboxUser) -> OrderTimes:
    """Tap "Create" on an open card, and measure the answer and the start of the work."""
    tapped = time.time()
    tap = await user.tap(_CREATE)

    async def answered() -> float | None:
        calls = await environment.telegram.api_calls("answerCallbackQuery")
        mine = [call["time"] for call in calls if call["params"]["callback_query_id"] in tap["callback_query_ids"]]
        return mine[0] if mine else None

    async def started() -> float | None:
        query = "SELECT extract(epoch FROM started_at)::float8 FROM jobs WHERE user_id = $1"
        at: float | None = await environment.db.fetchval(query, user.id)
        return at

    return OrderTimes(await wait_until(answered) - tapped, await wait_until(started) - tapped)


async def orders(environment: Environment, first: int, count: int) -> list[OrderTimes]:
    users = [environment.user(first + number) for number in range(count)]
    for user in users:
        await user.open_card_by_prompt()
    return [await order(environment, user) for user in users]


async def plain_send(url: str) -> float:
    """Seconds until the SDK's own send gives up, which is when its caller can start to work inline."""
    client = inngest.Inngest(app_id="plain", event_api_base_url=url, api_base_url=url, is_production=False)
    started_at = time.monotonic()
    try:
        await client.send(inngest.Event(name="bench/order", data={}))
    except Exception:  # noqa: BLE001 - the fallback starts with whatever it raises
        return time.monotonic() - started_at
    raise RuntimeError("Inngest accepted an event during its outage")


def print_result(name: str, waits: list[OrderTimes], healthy: list[OrderTimes], plain: float | None) -> None:
    first, following = waits[0], waits[1:]
    answer, work = (statistics.median(getattr(w, x) for w in following) for x in ("answer", "work"))
    usual = statistics.median(w.answer for w in healthy)
    sdk = "–" if plain is None else f"{plain:.1f} s"
    print(
        f"| {name} | {first.answer * 1000:.0f} ms | {first.work * 1000:.0f} ms | {answer * 1000:.0f} ms | "
        f"{(answer - usual) * 1000:+.0f} ms | {work * 1000:.0f} ms | {sdk} |",
        flush=True,
    )


async def run(count: int, *, with_sdk: bool, verbose: bool) -> bool:
    """Print the table. Returns whether the promises are kept."""
    kept = True
    print("| Inngest | first: tap to answer | to work | following: tap to answer | extra | to work | plain send |")
    print("|---|---|---|---|---|---|---|")
    for number, (name, failure) in enumerate(OUTAGES.items()):
        async with open_environment(verbose=verbose) as environment:
            await environment.start_bot(PLAN_B_SLOTS="64")
            first = _FIRST_USER + number * 1000
            healthy = await orders(environment, first, count)
            users = [environment.user(first + 500 + each) for each in range(count + 1)]
            for user in users:
                await user.open_card_by_prompt()
            url, port = environment.inngest.url, environment.inngest.port
            await environment.inngest.close_ports()
            with failure(port):
                waits = [await order(environment, user) for user in users]
                plain = await plain_send(url) if with_sdk else None
            if number == 0:
                print_result("healthy", [healthy[0], *healthy], healthy, None)
            print_result(name, waits, healthy, plain)
            extra = statistics.median(w.answer for w in waits[1:]) - statistics.median(w.answer for w in healthy)
            kept = kept and waits[0].answer < 1 and extra < 0.02
    return kept


def main() -> int:
    parser = create_parser("failover", __doc__)
    parser.add_argument("--orders", type=int, default=20, help="orders before the outage, and during it")
    parser.add_argument(
        "--without-sdk", action="store_true", help="skip the two minutes that swallowed packets take"
    )
    options = parser.parse_args()
    set_up_logs(verbose=options.verbose)
    kept = asyncio.run(run(options.orders, with_sdk=not options.without_sdk, verbose=options.verbose))
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
