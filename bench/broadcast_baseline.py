"""The same broadcast by the PyPI package aiogram-broadcaster, run by bench/broadcast.py in a venv that has it."""

import argparse
import asyncio
import json
import time

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer


async def run(options: argparse.Namespace) -> None:
    # Imported here: --help needs no venv that has it.
    from aiogram_broadcaster import Broadcaster  # type: ignore[import-not-found]
    from aiogram_broadcaster.contents import FromChatCopyMessageContent  # type: ignore[import-not-found]
    from aiogram_broadcaster.intervals import SimpleInterval  # type: ignore[import-not-found]

    session = AiohttpSession(api=TelegramAPIServer.from_base(options.api))
    async with Bot(options.token, session=session) as bot:
        mailer = await Broadcaster(bot).create_mailer(
            chats=range(options.first, options.first + options.count),
            content=FromChatCopyMessageContent(from_chat_id=options.from_chat, message_id=options.message),
            interval=SimpleInterval(interval=options.interval) if options.interval else None,
        )
        started_at = time.monotonic()
        await mailer.start()
        chats = mailer.chats
        result = {"seconds": time.monotonic() - started_at, "sent": len(chats.success), "lost": len(chats.failed)}
        print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.broadcast_baseline", description=__doc__)
    for name in ("api", "token"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("first", "count", "from_chat", "message"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--interval", type=float, default=0.0)
    asyncio.run(run(parser.parse_args()))
