"""What survives a restart: the state of a conversation, what was chosen, and open orders."""

import asyncio
import signal
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, message_text, wait_until
from tests.support.fake_providers.replicate_server import closed_port
from tests.support.processes.bot_process import BotProcess
from tests.support.processes.database_breakpoint import set_breakpoint

# Except the connection that holds the breakpoint, and our own.
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


async def test_conversation_after_a_restart_continues_where_it_was(environment: Environment) -> None:
    bot = await environment.start_bot()
    ann = environment.user()
    await ann.send_text("/start")
    await ann.wait_for_button("Text to image")
    await ann.tap("Text to image")
    await ann.wait_for_button("FLUX schnell")
    await ann.tap("FLUX schnell")
    await ann.wait_for_button("FLUX dev · 4 ⭐")
    await ann.tap("FLUX dev · 4 ⭐")
    await ann.wait_for_button("🤖 FLUX dev")
    await restart(bot, signal.SIGKILL)  # while the prompt is asked for

    await ann.send_text("a red fox")
    card = await ann.wait_for_text("Price: 4 ⭐")
    assert "a red fox" in message_text(card)
    await ann.tap("📐 1:1")
    await ann.wait_for_button("21:9")
    await restart(bot, signal.SIGTERM)  # while a size is chosen

    await ann.tap("21:9")
    await ann.wait_for_button("📐 21:9")
    await restart(bot, signal.SIGKILL)  # while the card is open

    await ann.tap("Create · 4 ⭐")
    await ann.wait_for_text("balance 96 ⭐")
    (job,) = await environment.wait_for_ended_jobs()
    chosen = {"model": "flux-dev", "prompt": "a red fox", "size": "21:9", "count": "1"}
    assert job["inputs"] == chosen
    await restart(bot, signal.SIGTERM)
    await ann.tap("Other size")
    await ann.wait_for_button("✓ 21:9")


async def test_chosen_language_survives_a_restart_and_overrides_telegrams(environment: Environment) -> None:
    bot = await environment.start_bot()
    boris = environment.user(1002, language_code="ru-RU", first_name="Борис")
    await boris.send_text("/balance")
    await boris.wait_for_text("У вас 100 звёзд")
    await boris.send_text("/language")
    await boris.wait_for_button("English")
    await boris.tap("English")
    await boris.wait_for_text("English it is")
    await restart(bot, signal.SIGTERM)
    await boris.send_text("/start")
    await boris.wait_for_text("Hello, Борис!")
    await boris.send_text("/balance")
    await boris.wait_for_text("You have 100 Stars")

    ann = environment.user(language_code="pt-br")
    await ann.send_text("/language")
    await ann.wait_for_button("Русский")
    await ann.tap("Русский")
    await ann.wait_for_text("Теперь говорим по-русски")
    await restart(bot, signal.SIGKILL)
    await ann.send_text("/help")
    await ann.wait_for_text("Выберите услугу")


async def test_order_in_russian_stays_russian_to_the_end(environment: Environment) -> None:
    await environment.start_bot(WELCOME_CREDITS="22")
    boris = environment.user(language_code="ru", first_name="Борис")
    await boris.send_text("/balance")
    await boris.wait_for_text("У вас 22 звезды")
    await boris.order_by_prompt("рыжая лиса")
    await boris.wait_for_text("Готово · 1 ⭐")
    image = await boris.wait_for_text("баланс 21 ⭐")
    assert "рыжая лиса" in message_text(image)
    await boris.wait_for_button("Ещё раз · 1 ⭐")
    await boris.send_text("/balance")
    await boris.wait_for_text("У вас 21 звезда")


@pytest.mark.parametrize("place", ["step deliver", "end"])
async def test_dropped_database_connections_during_a_job_still_complete_it_once(
    environment: Environment, place: str
) -> None:
    """PostgreSQL restarts during a write of a job: the process survives and ends the job."""
    await environment.inngest.close_ports()
    await environment.start_bot(ready=False)
    ann = environment.user()
    async with set_breakpoint(environment.db, place) as db_breakpoint:
        await ann.order_by_prompt()
        await db_breakpoint.wait_until_reached()
        await environment.db.execute("DELETE FROM breakpoints")
        await environment.db.execute(DROP_CONNECTIONS)
    (job,) = await environment.wait_for_ended_jobs()
    assert job["state"] == "succeeded"
    await ann.wait_for_text("Done · 1 ⭐")
    assert len(await ann.photo_messages()) == 1
    assert environment.replicate.creation_attempts == 1
    assert await get_balance(environment.db, ann.id) == Balance(99, 0)
    assert (await check_ledger(environment.db)).is_consistent


async def test_start_with_unusable_settings_exits_with_one_log_line(environment: Environment) -> None:
    for name, value in (
        ("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{closed_port()}/nothing"),
        ("DATABASE_URL", environment.dsn.rpartition("/")[0] + "/nothing"),
        ("DATABASE_URL", "not an address"),
        ("PLAN_B_SLOTS", "0"),
        ("BOT_TOKEN", "nonsense"),
    ):
        bot = BotProcess(
            environment.process_pool,
            environment.folder,
            {**environment.settings, name: value},
            name=f"{name}-{len(value)}",
        )
        with pytest.raises(AssertionError, match="the bot ended"):
            await bot.start()
        assert await bot.wait() == 1
        lines = bot.log_tail().splitlines()
        assert len(lines) == 1, lines
        assert name in lines[0]
        assert value not in lines[0] or name == "PLAN_B_SLOTS"


class DatabaseProxy:
    """A proxy between the bot and PostgreSQL: `down` makes it behave like a server that restarts."""

    def __init__(self, dsn: str) -> None:
        self._server = urlsplit(dsn)
        self._writers: set[asyncio.StreamWriter] = set()
        self.down = ""

    async def start(self) -> str:
        """Start the proxy. Returns the DSN to use instead of PostgreSQL's."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        login = self._server.netloc.rpartition("@")[0]
        return urlunsplit(self._server._replace(netloc=f"{login}@127.0.0.1:{port}"))

    async def close(self) -> None:
        self._listener.close()
        self.drop_connections()
        await self._listener.wait_closed()

    def drop_connections(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down == "starting up":
            await self._send_starting_up_error(reader, writer)
        if self.down:
            writer.transport.abort()
            return
        there_reader, there = await asyncio.open_connection(self._server.hostname, self._server.port)
        self._writers |= {writer, there}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forward(reader, there))
            group.create_task(self._forward(there_reader, writer))
        self._writers -= {writer, there}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _send_starting_up_error(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """https://www.postgresql.org/docs/current/protocol-message-formats.html: SSLRequest, ErrorResponse"""
        size = int.from_bytes(await reader.readexactly(4))
        if int.from_bytes((await reader.readexactly(size - 4))[:4]) == 80877103:
            writer.write(b"N")
            size = int.from_bytes(await reader.readexactly(4))
            await reader.readexactly(size - 4)
        fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
        writer.write(b"E" + (len(fields) + 4).to_bytes(4) + fields)
        await writer.drain()


async def test_updates_during_a_database_outage_are_handled_afterwards(environment: Environment) -> None:
    proxy = DatabaseProxy(environment.dsn)
    bot = await environment.start_bot(DATABASE_URL=await proxy.start())
    try:
        ann = environment.user()
        await ann.open_card_by_prompt()
        await wait_until(
            lambda: _all_updates_done(environment),
            what="the prompt's update is done; otherwise it would be sent again",
        )
        proxy.down = "refuses"
        proxy.drop_connections()
        await wait_until(
            lambda: _database_is_unavailable(environment, bot),
            what="the bot notices that the database is unavailable",
        )
        proxy.down = "starting up"
        tap = await ann.tap("Create")
        await wait_until(lambda: _was_attempted(bot, tap["update_id"]), what="the bot has tried to handle the tap")
        assert not await environment.jobs()
        proxy.down = ""
        (job,) = await environment.wait_for_ended_jobs()
        assert job["state"] == "succeeded"
        await ann.wait_for_text("Done · 1 ⭐")
        assert len(await ann.photo_messages()) == 1
    finally:
        await bot.kill()
        await proxy.close()


async def _all_updates_done(environment: Environment) -> bool:
    return not await environment.db.fetchval("SELECT count(*) FROM updates WHERE done_at IS NULL")


async def _database_is_unavailable(environment: Environment, bot: BotProcess) -> bool:
    return str((await environment.health(bot))["database"]).startswith("unavailable")


async def _was_attempted(bot: BotProcess, update_id: int) -> bool:
    return f"update={update_id} " in bot.log_tail(100_000)
