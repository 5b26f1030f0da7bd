"""Fetching outputs: data: URIs, sizes, broken responses, redirects."""

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


async def fetch_error_kind(api_url: str, output: str) -> ErrorKind:
    downloader = Downloader("Replicate", api_url, "secret", limit=1000)
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
async def test_fetch_of_an_unusable_response_has_its_error_kind(
    host: OtherHost, what: str, kind: ErrorKind
) -> None:
    assert await fetch_error_kind("http://127.0.0.1:1", f"{host.url}/{what}") is kind
    assert host.tokens == [None]


async def test_plain_http_output_of_an_https_api_is_refused(host: OtherHost) -> None:
    assert await fetch_error_kind("https://api.replicate.com", f"{host.url}/large") is ErrorKind.FAILED
    assert host.tokens == []


async def test_redirect_to_another_host_carries_no_token(host: OtherHost) -> None:
    app = web.Application()

    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{host.url}/404")

    app.router.add_get("/", redirect)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    assert await fetch_error_kind(api_url, f"{api_url}/") is ErrorKind.NOT_FOUND
    await runner.cleanup()
    assert host.tokens == [None]


async def test_data_uri_is_decoded_or_refused() -> None:
    downloader = Downloader("Replicate", "https://api.replicate.com", "secret", limit=1000)
    assert await downloader.fetch("data:image/png;base64,aGVsbG8=") == b"hello"
    assert await downloader.fetch("data:text/plain,a%20b") == b"a b"
    for broken in ("data:image/png;base64,###", "data:image/png", "data:text/plain," + "x" * 2000, "data:,"):
        with pytest.raises(ProviderError):
            await downloader.fetch(broken)
    await downloader.close()


@pytest.mark.parametrize("output", ["", "not a url", "ftp://host/x", "file:///etc/passwd", "http://[::bad/x"])
async def test_output_that_is_not_a_url_is_refused(output: str) -> None:
    assert await fetch_error_kind("https://api.replicate.com", output) is ErrorKind.FAILED
