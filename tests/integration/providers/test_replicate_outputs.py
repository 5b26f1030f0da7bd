"""Fetching outputs: data: URIs, sizes, broken answers, redirects."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from providers.download import Downloader
from providers.protocols import ErrorKind, ProviderError


class OtherHost:
    """A server that is not the API."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("Authorization"))
        what = request.match_info["what"]
        if what == "large":
            return web.Response(body=b"x" * 2000)
        if what == "dripping":
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(20):
                await response.write(b"x" * 100)
            return response
        if what == "cut":
            response = web.StreamResponse(headers={"Content-Length": "500"})
            await response.prepare(request)
            await response.write(b"x" * 100)
            if request.transport is not None:
                request.transport.abort()
            return response
        return web.Response(status=int(what))


@pytest.fixture
async def host() -> AsyncIterator[OtherHost]:
    host = OtherHost()
    app = web.Application()
    app.router.add_get("/{what}", host.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield host
    await runner.cleanup()


async def refused(home: str, output: str) -> ErrorKind:
    downloader = Downloader("Replicate", home, "secret", limit=1000)
    try:
        with pytest.raises(ProviderError) as caught:
            await downloader.fetch(output)
    finally:
        await downloader.close()
    assert "secret" not in str(caught.value)
    return caught.value.kind


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("large", ErrorKind.FAILED),
        ("dripping", ErrorKind.FAILED),
        ("cut", ErrorKind.OVERLOADED),
        ("403", ErrorKind.NOT_FOUND),
        ("404", ErrorKind.NOT_FOUND),
        ("503", ErrorKind.OVERLOADED),
        ("200", ErrorKind.FAILED),
    ],
)
async def test_what_cannot_be_fetched(host: OtherHost, what: str, kind: ErrorKind) -> None:
    assert await refused("http://127.0.0.1:1", f"{host.url}/{what}") is kind
    assert host.tokens == [None]


async def test_plain_http_is_refused_when_the_api_speaks_https(host: OtherHost) -> None:
    assert await refused("https://api.replicate.com", f"{host.url}/large") is ErrorKind.FAILED
    assert host.tokens == []


async def test_a_redirect_from_the_api_does_not_take_the_token_along(host: OtherHost) -> None:
    app = web.Application()

    async def away(_request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{host.url}/404")

    app.router.add_get("/", away)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    home = f"http://127.0.0.1:{runner.addresses[0][1]}"
    assert await refused(home, f"{home}/") is ErrorKind.NOT_FOUND
    await runner.cleanup()
    assert host.tokens == [None]


async def test_data_uris() -> None:
    downloader = Downloader("Replicate", "https://api.replicate.com", "secret", limit=1000)
    assert await downloader.fetch("data:image/png;base64,aGVsbG8=") == b"hello"
    assert await downloader.fetch("data:text/plain,a%20b") == b"a b"
    for broken in ("data:image/png;base64,###", "data:image/png", "data:text/plain," + "x" * 2000, "data:,"):
        with pytest.raises(ProviderError):
            await downloader.fetch(broken)
    await downloader.close()


@pytest.mark.parametrize("output", ["", "not a url", "ftp://host/x", "file:///etc/passwd", "http://[::bad/x"])
async def test_references_that_are_no_url(output: str) -> None:
    assert await refused("https://api.replicate.com", output) is ErrorKind.FAILED
