"""The official Replicate client, with a transport that does not hide errors.

Problems found in replicate 1.0.7:
- its transport retries a GET up to 10 times and sleeps through a 429, and its errors drop Retry-After;
- it has no timeout for predictions and uploads;
- it fails to parse a prediction whose status is `aborted`, an account or a file without a name or a tag, and a
  model whose example or version lacks a field. Replicate's published API schema allows all of these.
The transport here sits below the client's retries. It raises ProviderError, which the client does not retry.
"""

import json

import httpx
from replicate.client import Client

from providers.errors import error_from_response
from providers.protocols import ErrorKind, ProviderError
from providers.redaction import redact_line
from providers.tls import ssl_context

BASE_URL = "https://api.replicate.com"


class NoRetryTransport(httpx.AsyncBaseTransport):
    """Sends each request once, and rewrites responses that the client cannot parse."""

    def __init__(self) -> None:
        self._network = httpx.AsyncHTTPTransport(verify=ssl_context(), limits=httpx.Limits(max_connections=50))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises ProviderError for an error status, and if no response arrives."""
        try:
            response = await self._network.handle_async_request(request)
            body = await response.aread()
        except httpx.TimeoutException as error:
            raise ProviderError(ErrorKind.TIMED_OUT, f"Replicate: {type(error).__name__}") from None
        except httpx.HTTPError as error:
            raise ProviderError(ErrorKind.OVERLOADED, f"Replicate: {_describe_error(error)}") from None
        if response.status_code >= 300:
            text = body.decode("utf-8", "replace")
            raise error_from_response("Replicate", response.status_code, _extract_message(text), response.headers)
        return httpx.Response(response.status_code, content=_normalize_response(body), request=request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._network.aclose()


def build_client(api_token: str, base_url: str, transport: httpx.AsyncBaseTransport) -> Client:
    """Build a client that reads neither its token nor its URL from the environment.

    Args:
        api_token: The account's API token.
        base_url: The URL of the API, without `/v1`.
        transport: Sends the requests.

    Raises:
        ValueError: The token is empty.
    """
    if not api_token:
        raise ValueError("Replicate's API token is empty")
    return Client(api_token=api_token, base_url=base_url, transport=transport)


def _describe_error(error: httpx.HTTPError) -> str:
    return redact_line(f"{type(error).__name__} {error}")


def _extract_message(text: str) -> str:
    """Return the message of an RFC 7807 response (https://www.rfc-editor.org/rfc/rfc7807), or the text as it is."""
    try:
        problem = json.loads(text)
    except ValueError:
        return text
    if not isinstance(problem, dict):
        return text
    message = " ".join(str(problem[key]) for key in ("title", "detail", "error") if problem.get(key))
    if isinstance(wait := problem.get("retry_after"), int | float):
        message += f" (retry after {wait} s)"
    return message or text


def _normalize_response(body: bytes) -> bytes:
    """Rewrite JSON so that the client's models accept it. The response to a deletion has no body."""
    if not body:
        return body
    try:
        content = json.loads(body)
    except ValueError:
        raise ProviderError(ErrorKind.OVERLOADED, "Replicate: response is not JSON") from None
    if not isinstance(content, dict):
        raise ProviderError(ErrorKind.OVERLOADED, "Replicate: response is not an object")
    results = content.get("results")
    for item in [content, *results] if isinstance(results, list) else [content]:
        if item.get("status") == "aborted":
            item.update(status="failed", error=item.get("error") or "aborted before it started: deadline")
        if "username" in item or "content_type" in item:
            item.setdefault("name", "")
            item.setdefault("etag", "")
        if "visibility" in item:
            item.update(default_example=None, latest_version=None, run_count=item.get("run_count") or 0)
    return json.dumps(content).encode()
