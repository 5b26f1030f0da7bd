"""What outlives a restart: where a conversation stands, what was chosen, and open orders."""

import asyncio
import signal
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Stage, until, words
from tests.support.fake_providers.replicate_server import closed_port
from tests.support.processes.bot_process import BotProcess
from tests.support.processes.database_breakpoint import breakpoint_at

# Not the one that holds the breakpoint, nor our own.
DROP_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"""


async def restart(bot: BotProcess, how: signal.Signals) -> None:
    if how is signal.SIGTERM:
        assert await bot.terminate() == 0
    else:
        await bot.kill()
    await bot.start()


async def test_a_conversation_goes_on_where_it_stood(stage: Stage) -> None:
    bot = await stage.start_bot()
    ann = stage.person()
    await ann.say("/start")
    await ann.can_tap("Text to image")
    await ann.tap("Text to image")
    await ann.can_tap("FLUX schnell")
    await ann.tap("FLUX schnell")
    await ann.can_tap("FLUX dev · 4 ⭐")
    await ann.tap("FLUX dev · 4 ⭐")
    await ann.can_tap("🤖 FLUX dev")
    await restart(bot, signal.SIGKILL)  # while words are asked for

    await ann.say("a red fox")
    card = await ann.sees("Price: 4 ⭐")
    assert "a red fox" in words(card)
    await ann.tap("📐 1:1")
    await ann.can_tap("21:9")
    await restart(bot, signal.SIGTERM)  # while a size is chosen

    await ann.tap("21:9")
    await ann.can_tap("📐 21:9")
    await restart(bot, signal.SIGKILL)  # while the card is open

    await ann.tap("Create · 4 ⭐")
    await ann.sees("balance 96 ⭐")
    (job,) = await stage.ended_jobs()
    chosen = {"model": "flux-dev", "prompt": "a red fox", "size": "21:9", "count": "1"}
    assert job["inputs"] == chosen
    await restart(bot, signal.SIGTERM)
    await ann.tap("Other size")
    await ann.can_tap("✓ 21:9")


async def test_the_language_chosen_outlives_a_restart_and_telegrams_own(stage: Stage) -> None:
    bot = await stage.start_bot()
    boris = stage.person(1002, language_code="ru-RU", first_name="Борис")
    await boris.say("/balance")
    await boris.sees("У вас 100 звёзд")
    await boris.say("/language")
    await boris.can_tap("English")
    await boris.tap("English")
    await boris.sees("English it is")
    await restart(bot, signal.SIGTERM)
    await boris.say("/start")
    await boris.sees("Hello, Борис!")
    await boris.say("/balance")
    await boris.sees("You have 100 Stars")

    ann = stage.person(language_code="pt-br")
    await ann.say("/language")
    await ann.can_tap("Русский")
    await ann.tap("Русский")
    await ann.sees("Теперь говорим по-русски")
    await restart(bot, signal.SIGKILL)
    await ann.say("/help")
    await ann.sees("Выберите услугу")


async def test_an_order_in_russian_is_russian_to_its_end(stage: Stage) -> None:
    await stage.start_bot(WELCOME_CREDITS="22")
    boris = stage.person(language_code="ru", first_name="Борис")
    await boris.say("/balance")
    await boris.sees("У вас 22 звезды")
    await boris.quick_order("рыжая лиса")
    await boris.sees("Готово · 1 ⭐")
    picture = await boris.sees("баланс 21 ⭐")
    assert "рыжая лиса" in words(picture)
    await boris.can_tap("Ещё раз · 1 ⭐")
    await boris.say("/balance")
    await boris.sees("У вас 21 звезда")


@pytest.mark.parametrize("place", ["step deliver", "end"])
async def test_a_database_that_drops_its_connections_in_the_middle_costs_nobody_anything(
    stage: Stage, place: str
) -> None:
    """PostgreSQL restarts while a job's write is under way: the process lives on and ends the job."""
    await stage.inngest.unplug()
    await stage.start_bot(ready=False)
    ann = stage.person()
    async with breakpoint_at(stage.db, place) as stopped:
        await ann.quick_order()
        await stopped.reached()
        await stage.db.execute("DELETE FROM breakpoints")
        await stage.db.execute(DROP_CONNECTIONS)
    (job,) = await stage.ended_jobs(seconds=8)
    assert job["state"] == "succeeded"
    await ann.sees("Done · 1 ⭐")
    assert len(await ann.photos()) == 1
    assert stage.replicate.asked == 1
    assert await get_balance(stage.db, ann.id) == Balance(99, 0)
    assert (await check_ledger(stage.db)).right


async def test_settings_that_lead_nowhere_stop_the_start_with_one_line(stage: Stage) -> None:
    for name, value in (
        ("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{closed_port()}/nothing"),
        ("DATABASE_URL", stage.dsn.rpartition("/")[0] + "/nothing"),
        ("DATABASE_URL", "not an address"),
        ("PLAN_B_SLOTS", "0"),
        ("BOT_TOKEN", "nonsense"),
    ):
        bot = BotProcess(stage.forge, stage.folder, {**stage.settings, name: value}, name=f"{name}-{len(value)}")
        with pytest.raises(AssertionError, match="the bot ended"):
            await bot.start()
        assert await bot.wait() == 1
        lines = bot.tail().splitlines()
        assert len(lines) == 1, lines
        assert name in lines[0]
        assert value not in lines[0] or name == "PLAN_B_SLOTS"


class Wire:
    """Between the bot and PostgreSQL: `down` makes it behave as while the server restarts."""

    def __init__(self, dsn: str) -> None:
        self._server = urlsplit(dsn)
        self._writers: set[asyncio.StreamWriter] = set()
        self.down = ""

    async def start(self) -> str:
        """The address to use instead of PostgreSQL's."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        login = self._server.netloc.rpartition("@")[0]
        return urlunsplit(self._server._replace(netloc=f"{login}@127.0.0.1:{port}"))

    async def close(self) -> None:
        self._listener.close()
        self.drop()
        await self._listener.wait_closed()

    def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down == "starting up":
            await self._say_starting(reader, writer)
        if self.down:
            writer.transport.abort()
            return
        there_reader, there = await asyncio.open_connection(self._server.hostname, self._server.port)
        self._writers |= {writer, there}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(reader, there))
            group.create_task(self._pump(there_reader, writer))
        self._writers -= {writer, there}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _say_starting(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """https://www.postgresql.org/docs/current/protocol-message-formats.html: SSLRequest, ErrorResponse"""
        size = int.from_bytes(await reader.readexactly(4))
        if int.from_bytes((await reader.readexactly(size - 4))[:4]) == 80877103:
            writer.write(b"N")
            size = int.from_bytes(await reader.readexactly(4))
            await reader.readexactly(size - 4)
        fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
        writer.write(b"E" + (len(fields) + 4).to_bytes(4) + fields)
        await writer.drain()


async def test_what_people_write_while_the_database_is_away_is_done_afterwards(stage: Stage) -> None:
    wire = Wire(stage.dsn)
    bot = await stage.start_bot(DATABASE_URL=await wire.start())
    try:
        ann = stage.person()
        await ann.write_card()
        await until(lambda: _all_done(stage), what="the words' update is done; else it would come again")
        wire.down = "refuses"
        wire.drop()
        await until(lambda: _away(stage, bot), what="the bot sees that the database is away")
        wire.down = "starting up"
        tap = await ann.tap("Create")
        await until(lambda: _tried(bot, tap["update_id"]), what="the bot has tried to handle the tap")
        assert not await stage.jobs()
        wire.down = ""
        (job,) = await stage.ended_jobs()
        assert job["state"] == "succeeded"
        await ann.sees("Done · 1 ⭐")
        assert len(await ann.photos()) == 1
    finally:
        await bot.kill()
        await wire.close()


async def _all_done(stage: Stage) -> bool:
    return not await stage.db.fetchval("SELECT count(*) FROM updates WHERE done_at IS NULL")


async def _away(stage: Stage, bot: BotProcess) -> bool:
    return str((await stage.health(bot))["database"]).startswith("away")


async def _tried(bot: BotProcess, update_id: int) -> bool:
    return f"update {update_id}" in bot.tail(100_000)
