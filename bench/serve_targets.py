"""The two servers of ``bench.serve``, each run in its own process: ours on aiohttp, the SDK's on FastAPI.

Both get the fastest loop and parser available to them: uvloop for both, httptools for uvicorn, and
aiohttp's own C parser. Neither writes an access log.
"""

import argparse
import asyncio
import logging
import os

import fastapi
import inngest
import inngest.fast_api
import uvicorn
import uvloop
from aiohttp import web

from inngest_functions.serve import serve

APP_ID = "bench"
FUNCTION = "one-step"
OURS, THEIRS = "aiohttp", "FastAPI"


def _functions(client: inngest.Inngest) -> list[inngest.Function[str]]:
    @client.create_function(fn_id=FUNCTION, trigger=inngest.TriggerEvent(event="bench/one-step"))
    async def one_step(ctx: inngest.Context) -> str:
        return await ctx.step.run("greet", _greet, str(ctx.event.data["name"]))

    return [one_step]


async def _greet(name: str) -> str:
    return f"Hello, {name}!"


def _client(signing_key: str) -> inngest.Inngest:
    return inngest.Inngest(
        app_id=APP_ID,
        api_base_url="http://127.0.0.1:1",
        event_api_base_url="http://127.0.0.1:1",
        is_production=bool(signing_key),
        signing_key=signing_key or None,
    )


async def _serve_ours(port: int, client: inngest.Inngest) -> None:
    app = web.Application()
    serve(app, client, [*_functions(client)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def _serve_theirs(port: int, client: inngest.Inngest) -> None:
    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, [*_functions(client)])
    uvicorn.run(
        app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.serve_targets", description=__doc__)
    parser.add_argument("adapter", choices=(OURS, THEIRS))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--core", type=int, required=True, help="the one core to run on")
    parser.add_argument("--signing-key", default="", help="serve in production mode with it")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    logging.basicConfig(level=logging.WARNING)
    client = _client(options.signing_key)
    if options.adapter == OURS:
        uvloop.run(_serve_ours(options.port, client))
    else:
        _serve_theirs(options.port, client)


if __name__ == "__main__":
    main()
