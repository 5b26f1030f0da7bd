"""The bare echo bot that Diptych is measured against: aiogram and nothing else.

aiogram's own webhook handler on aiohttp and uvloop; a message's text goes back with one sendMessage over HTTP.
It answers the webhook only when that is done, as Diptych does, so that no work is left over.
"""

import argparse
import asyncio
import logging

import uvloop
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

PATH = "/telegram"


async def echo(message: Message) -> None:
    await message.answer(message.text or "")


async def _serve(port: int, api: str, token: str, secret: str) -> None:
    bot = Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(api)))
    dispatcher = Dispatcher()
    dispatcher.message.register(echo)
    app = web.Application()
    handler = SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token=secret)
    handler.register(app, path=PATH)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.echo_bot", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("api", "token", "secret"):
        parser.add_argument(f"--{name}", required=True)
    logging.basicConfig(level=logging.WARNING)
    options = parser.parse_args()
    uvloop.run(_serve(options.port, options.api, options.token, options.secret))
