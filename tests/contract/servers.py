"""The Inngest servers that the suite runs against: the stand-in, and the real one where there is one."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from sandbox.inngest import Clock, InngestServer, ServerKeys
from tests.support.processes.orphans import kill_with_parent

STAND_IN = "stand-in"
DEV_SERVER = "INNGEST_DEV_URL"
CLI_BINARY = "INNGEST_CLI"
SPEED = {STAND_IN: 4.0}
"""How many times faster time passes at a server; those that are not listed run at normal speed."""


def available_servers() -> list[str]:
    """Return the names of the servers on this machine."""
    return [STAND_IN, *(name for name in (DEV_SERVER, CLI_BINARY) if os.environ.get(name))]


@asynccontextmanager
async def run_server(name: str, keys: ServerKeys | None = None) -> AsyncIterator[str]:
    """Run a server inside the block and yield its URL: a dev server, or with keys a production server."""
    if name == STAND_IN:
        server = InngestServer(
            clock=Clock(retry_delays=(0.2, 0.4, 0.8), lease_seconds=16.0, speed=SPEED[STAND_IN]), keys=keys
        )
        await server.start()
        try:
            yield server.url
        finally:
            await server.close()
    elif name == DEV_SERVER:
        yield os.environ[DEV_SERVER].rstrip("/")
    else:
        async with _binary(os.environ[CLI_BINARY], keys) as url:
            yield url


@asynccontextmanager
async def _binary(path: str, keys: ServerKeys | None) -> AsyncIterator[str]:
    port, *inner = _free_ports(4)
    flags = ["--port", str(port), "--retry-interval", "1", "--tick", "50"]
    if keys is None:
        flags = ["dev", *flags, "--no-discovery", "--no-poll"]
    else:
        flags = ["start", *flags, "--signing-key", keys.signing_key]
        for key in keys.event_keys:
            flags += ["--event-key", key]
    names = ("--connect-gateway-port", "--connect-gateway-grpc-port", "--connect-executor-grpc-port")
    for flag, number in zip(names, inner, strict=True):
        flags += [flag, str(number)]
    # The first lets a test drain the Connect gateway (pkg/connect/service.go).
    environment = {**os.environ, "INTERNAL_CONNECT_MAINTENANCE": "1", "DO_NOT_TRACK": "1"}
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            *(path, *flags), cwd=folder, env=environment, stdout=log, stderr=log, preexec_fn=kill_with_parent
        )
        try:
            url = f"http://127.0.0.1:{port}"
            async with asyncio.timeout(60):
                while not await _healthy(url):
                    assert server.returncode is None, (Path(folder) / "log").read_text()
                    await asyncio.sleep(0.1)
            yield url
        finally:
            if server.returncode is None:
                server.kill()
            await server.wait()


async def _healthy(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/health") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports
