"""Downloads providers' results, with limits on size and time. The token is sent to the provider's API only."""

import asyncio
import base64
import binascii
from urllib.parse import unquote_to_bytes

import httpx

from providers.errors import error_from_response
from providers.protocols import ErrorKind, ProviderError
from providers.redaction import redact_line
from providers.tls import ssl_context

_MAX_OUTPUT_BYTES = 50 * 1024 * 1024
"""The largest file that a bot can send: https://core.telegram.org/bots/api#sending-files"""
_DOWNLOAD_TIMEOUT = 120.0
"""Seconds for one whole download."""


class Downloader:
    """Downloads the outputs of predictions.

    Args:
        provider: The provider's name, for error messages.
        api_url: The URL of the provider's API.
        token: The API token, sent to `api_url` and to no other host.
        limit: The maximum size of an output, in bytes.
    """

    def __init__(self, provider: str, api_url: str, token: str, *, limit: int = _MAX_OUTPUT_BYTES) -> None:
        self._provider = provider
        self._api_origin = _origin(httpx.URL(api_url))
        self._token = token
        self._limit = limit
        transport = httpx.AsyncHTTPTransport(verify=ssl_context(), limits=httpx.Limits(max_connections=20))
        # httpx drops the Authorization header on redirects to another host.
        self._client = httpx.AsyncClient(transport=transport, timeout=30, follow_redirects=True, max_redirects=5)

    async def fetch(self, output: str) -> bytes:
        """Download one output. The download stops when the size limit is exceeded.

        Args:
            output: An `https:` URL, or a `data:` URI with the content. `http:` is accepted only if `api_url` itself
                is `http:`.

        Raises:
            ProviderError: The output cannot be downloaded, is empty or is too large.
        """
        if output.startswith("data:"):
            return self._check_size(_read_data_uri(output, self._provider))
        try:
            url = httpx.URL(output)
        except httpx.InvalidURL:
            raise ProviderError(ErrorKind.FAILED, f"{self._provider}: output is not a URL") from None
        if url.scheme != "https" and _origin(url) != self._api_origin and self._api_origin[0] != "http":
            scheme = url.scheme or "no scheme"
            raise ProviderError(ErrorKind.FAILED, f"{self._provider}: output URL has {scheme} instead of https")
        try:
            async with asyncio.timeout(_DOWNLOAD_TIMEOUT):
                return await self._read(url)
        except TimeoutError:
            raise ProviderError(
                ErrorKind.TIMED_OUT, f"{self._provider}: download of the output timed out"
            ) from None
        except httpx.TimeoutException as error:
            raise ProviderError(ErrorKind.TIMED_OUT, f"{self._provider}: {type(error).__name__}") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            detail = redact_line(f"{type(error).__name__} {error}")
            raise ProviderError(ErrorKind.OVERLOADED, f"{self._provider}: {detail}") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _read(self, url: httpx.URL) -> bytes:
        headers = {"Authorization": f"Bearer {self._token}"} if _origin(url) == self._api_origin else {}
        parts: list[bytes] = []
        size = 0
        async with self._client.stream("GET", url, headers=headers) as response:
            if response.status_code in {401, 403} and not headers:
                raise ProviderError(
                    ErrorKind.NOT_FOUND, f"{self._provider}: output at {url.host} no longer exists"
                )
            if response.status_code >= 300:
                text = f"output at {url.host} could not be fetched"
                raise error_from_response(self._provider, response.status_code, text, response.headers)
            async for part in response.aiter_bytes():
                size += len(part)
                if size > self._limit:
                    raise self._too_large_error()
                parts.append(part)
        return self._check_size(b"".join(parts))

    def _check_size(self, data: bytes) -> bytes:
        if not data:
            raise ProviderError(ErrorKind.FAILED, f"{self._provider}: output is empty")
        if len(data) > self._limit:
            raise self._too_large_error()
        return data

    def _too_large_error(self) -> ProviderError:
        return ProviderError(ErrorKind.FAILED, f"{self._provider}: an output over {self._limit} bytes")


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _read_data_uri(uri: str, provider: str) -> bytes:
    head, comma, body = uri.partition(",")
    if not comma:
        raise ProviderError(ErrorKind.FAILED, f"{provider}: output is an invalid data: URL")
    if not head.endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise ProviderError(ErrorKind.FAILED, f"{provider}: output is an invalid data: URL") from None
