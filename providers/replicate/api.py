"""Code shared by Replicate's predictions and trainings: the client, its time limits, and input files."""

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

from providers.media_type import detect_media_type
from providers.protocols import ErrorKind, ProviderError
from providers.redaction import redact_line
from providers.replicate.client import BASE_URL, NoRetryTransport, build_client

_MAX_DATA_URI_BYTES = 256 * 1024
"""The largest file sent inline in the input; larger ones go through the files API. Replicate recommends at most 1 MB:
https://replicate.com/docs/topics/predictions/input-files"""
_MAX_FILE_BYTES = 100 * 1024 * 1024
"""The largest file that the files API accepts: https://replicate.com/docs/topics/predictions/input-files"""
_FILES_PATH = "/v1/files/"


class ReplicateApi:
    """The Replicate client with time limits, error translation and file inputs.

    Args:
        api_token: The account's API token.
        base_url: The URL of the API, with or without `/v1`; None for the official one.
        timeout: Seconds for one request.
        upload_timeout: Seconds for the upload of one file.
        webhook_url: The URL that Replicate calls when work has ended; None for no webhooks.

    Attributes:
        base_url: The URL of the API, without `/v1`.
        client: The official client. It sends each request once and has no time limit: use `request`.
        webhook_params: Request parameters that subscribe started work to the webhook.
    """

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
        """Yield the client for one request, and turn its errors into ProviderError.

        Args:
            seconds: The time limit; None for the default.
        """
        limit = self._timeout if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                yield self.client
        except ProviderError as error:
            # Some loggers print variables, and those of the frames below contain the token.
            raise error.with_traceback(None) from None
        except TimeoutError:
            raise ProviderError(ErrorKind.TIMED_OUT, f"Replicate: no response in {limit:g} s") from None
        except (ValidationError, KeyError, ValueError, TypeError) as error:
            detail = redact_line(f"Replicate: a response that could not be read ({type(error).__name__} {error})")
            raise ProviderError(ErrorKind.OVERLOADED, detail) from None

    async def build_input(self, values: Mapping[str, object], files: Mapping[str, bytes]) -> dict[str, object]:
        """Build the input including its files: small ones inline, large ones through the files API.

        Args:
            values: The inputs that are not files.
            files: The contents of the files, by input name.
        """
        return {**values, **{field: await self._upload(field, data) for field, data in files.items()}}

    async def has_files(self, values: Mapping[str, object], files: Mapping[str, bytes]) -> bool:
        """Check whether the input of started work has exactly these files.

        Args:
            values: The input as Replicate returns it.
            files: The contents of the files, by input name.

        Returns:
            True if all files match; False if one differs or cannot be compared.
        """
        return all([await self._matches_file(values.get(field), data) for field, data in files.items()])

    async def check(self) -> None:
        """Raise ProviderError if Replicate cannot be used with this token."""
        async with self.request() as client:
            await client.accounts.async_current()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _matches_file(self, value: object, data: bytes) -> bool:
        if not isinstance(value, str):
            return False
        if value.startswith("data:"):
            return value == _data_uri(data)
        path = urlsplit(value).path
        if not path.startswith(_FILES_PATH):
            return False
        try:
            async with self.request() as client:
                file = await client.files.async_get(path.removeprefix(_FILES_PATH))
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return False
        return bool(file.checksums.get("sha256") == hashlib.sha256(data).hexdigest())

    async def _upload(self, field: str, data: bytes) -> str:
        kind = detect_media_type(data)
        if len(data) <= _MAX_DATA_URI_BYTES and kind != "application/zip":
            return _data_uri(data)
        if len(data) > _MAX_FILE_BYTES:
            raise ProviderError(
                ErrorKind.BAD_INPUT, f"Replicate does not accept files larger than {_MAX_FILE_BYTES} bytes"
            )
        async with self.request(self._upload_timeout) as client:
            file = await client.files.async_create(
                io.BytesIO(data), filename=f"{field}.{kind.partition('/')[2]}", content_type=kind
            )
        return str(file.urls["get"])


def _data_uri(data: bytes) -> str:
    return f"data:{detect_media_type(data)};base64,{base64.b64encode(data).decode()}"
