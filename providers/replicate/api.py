"""What predictions and trainings share at Replicate: the client, its time limits, and files as bytes."""

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from pydantic.v1 import ValidationError
from replicate.client import Client

from providers.errors import sanitize
from providers.media_type import detect_media_type
from providers.protocols import ErrorKind, ProviderError
from providers.replicate.client import BASE_URL, NoRetryTransport, build_client

MAX_DATA_URI_BYTES = 256 * 1024
"""Bytes up to which Replicate takes a file inside the input; larger ones go through its files API."""
MAX_FILE_BYTES = 100 * 1024 * 1024
"""Bytes that the files API takes."""
FILES_PATH = "/v1/files/"


class ReplicateApi:
    """The client and how it is asked. `webhook_url` is called by Replicate when a piece of work has ended."""

    def __init__(
        self,
        api_token: str,
        base_url: str | None,
        *,
        timeout: float,
        upload_timeout: float = 120.0,
        webhook_url: str | None = None,
    ) -> None:
        self.base_url = (base_url or BASE_URL).rstrip("/").removesuffix("/v1")
        self._transport = NoRetryTransport()
        self.client: Client = build_client(api_token, self.base_url, self._transport)
        self._timeout = timeout
        self._upload_timeout = upload_timeout
        self.webhook_params: dict[str, Any] = (
            {"webhook": webhook_url, "webhook_events_filter": ["completed"]} if webhook_url else {}
        )

    @asynccontextmanager
    async def request(self, seconds: float | None = None) -> AsyncIterator[Client]:
        """The client for one question, bounded in time; what the client raises becomes ProviderError."""
        limit = self._timeout if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                yield self.client
        except ProviderError as error:
            # Without the frames below, whose variables hold the token: some loggers print variables.
            raise error.with_traceback(None) from None
        except TimeoutError:
            raise ProviderError(ErrorKind.TIMED_OUT, f"Replicate: no answer in {limit:g} s") from None
        except (ValidationError, KeyError, ValueError, TypeError) as error:
            detail = sanitize(f"Replicate: an answer that could not be read ({type(error).__name__} {error})")
            raise ProviderError(ErrorKind.OVERLOADED, detail) from None

    async def build_input(self, given: Mapping[str, object], files: Mapping[str, bytes]) -> dict[str, object]:
        """The input with its files: small ones inside, large ones through the files API."""
        return {**given, **{field: await self._upload(field, data) for field, data in files.items()}}

    async def has_files(self, given: Mapping[str, object], files: Mapping[str, bytes]) -> bool:
        """Whether an accepted input holds exactly these files. What cannot be told counts as not."""
        return all([await self._matches_file(given.get(field), data) for field, data in files.items()])

    async def check(self) -> None:
        async with self.request() as client:
            await client.accounts.async_current()

    async def close(self) -> None:
        await self._transport.aclose()

    async def _matches_file(self, given: object, data: bytes) -> bool:
        if not isinstance(given, str):
            return False
        if given.startswith("data:"):
            return given == _data_uri(data)
        address = urlsplit(given).path
        if not address.startswith(FILES_PATH):
            return False
        try:
            async with self.request() as client:
                file = await client.files.async_get(address.removeprefix(FILES_PATH))
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return False
        return bool(file.checksums.get("sha256") == hashlib.sha256(data).hexdigest())

    async def _upload(self, field: str, data: bytes) -> str:
        kind = detect_media_type(data)
        if len(data) <= MAX_DATA_URI_BYTES and kind != "application/zip":
            return _data_uri(data)
        if len(data) > MAX_FILE_BYTES:
            raise ProviderError(ErrorKind.BAD_INPUT, f"Replicate takes files up to {MAX_FILE_BYTES} bytes")
        async with self.request(self._upload_timeout) as client:
            file = await client.files.async_create(
                io.BytesIO(data), filename=f"{field}.{kind.partition('/')[2]}", content_type=kind
            )
        return str(file.urls["get"])


def _data_uri(data: bytes) -> str:
    return f"data:{detect_media_type(data)};base64,{base64.b64encode(data).decode()}"
