"""App sync: a PUT on the app's serve URL makes the app register itself by ``POST /fn/register``."""

import asyncio
import json
from typing import Final

import aiohttp
from loguru import logger

from sandbox.inngest.engine.engine import App, Engine

_UNSYNCED_SECONDS: Final = 0.5
"""How often an app is asked that has not registered yet, so that it may start after the server."""


class SyncError(Exception):
    """An app did not register; the message tells why."""


async def sync_app(engine: Engine, url: str) -> None:
    """Ask the app at a serve URL to register its functions.

    Raises:
        SyncError: When the app cannot be reached or refuses.
    """
    headers = {"x-inngest-server-kind": "cloud" if engine.keys else "dev", "content-type": "application/json"}
    body = json.dumps({"url": url}, separators=(",", ":")).encode()
    if engine.keys:
        headers["x-inngest-signature"] = engine.keys.sign(body)
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with engine.caller.session.put(url, data=body, headers=headers, timeout=timeout) as response:
            answer = await response.text()
            if response.status != 200 or "x-inngest-sdk" not in response.headers:
                raise SyncError(f"{response.status} {answer[:500]}")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SyncError(f"unreachable: {type(error).__name__} {error}".strip()) from error


async def keep_synced(engine: Engine, url: str, interval: float) -> None:
    """Sync an app repeatedly, so that new functions and a restarted app are found. Never ends.

    Args:
        engine: Where the app registers.
        url: The app's serve URL.
        interval: Seconds between two syncs once the app has registered.
    """
    placeholder = App(url)
    engine.apps[url] = placeholder
    while True:
        pause = interval
        try:
            await sync_app(engine, url)
            engine.apps.pop(url, None)
        except SyncError as error:
            apps = [app for app in engine.apps.values() if app.url == url] or [placeholder]
            for app in apps:
                if app.error is None:
                    logger.warning("Inngest stand-in: {} did not register: {}", url, error)
                app.error = str(error)
            if placeholder in apps:
                pause = min(interval, _UNSYNCED_SECONDS)
        await asyncio.sleep(pause)
