"""Calls to functions over HTTP or through the Connect gateway, and the SDK's replies.

Source: ``pkg/execution/driver`` of inngest/inngest.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
from inngest.connect._internal import connect_pb2 as pb

from sandbox.inngest.connect import Gateway, NoWorkerReply
from sandbox.inngest.keys import ServerKeys
from sandbox.inngest.runs import Run, new_id

_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024  # consts.MaxSDKRequestBodySize
_CALL_SECONDS: Final = 2 * 60 * 60  # consts.MaxFunctionTimeout
_CONNECT_STATUS: Final = {pb.DONE: 200, pb.NOT_COMPLETED: 206, pb.ERROR: 500}


@dataclass(frozen=True, slots=True)
class FunctionReply:
    """The reply to a call, or the reason why there is none.

    Attributes:
        status: The HTTP status; 206 when the function goes on after this step.
        body: The decoded body. With status 206 it is the list of steps.
        error: What is wrong with the reply as a whole, as the real server words it; None when nothing is.
        no_retry: Whether the SDK forbids a retry.
        retry_after: Seconds from the reply until a retry, if the SDK asks for it.
        unreachable: Whether there was no reply at all; ``error`` then tells why.
    """

    status: int = 0
    body: Any = None
    error: str | None = None
    no_retry: bool = False
    retry_after: float | None = None
    unreachable: bool = False

    def standard_error(self) -> dict[str, Any]:
        """Return the error of a run that fails with this reply, as ``DriverResponse.StandardError`` builds it."""
        body = self.body if isinstance(self.body, dict) else {"message": self.body} if self.body else {}
        names = ("error", "name", "message", "stack")
        text = {name: body[name] for name in names if isinstance(body.get(name), str)}
        return {"error": self.error, "name": "Error", "message": self.error} | text


class FunctionCaller:
    """Calls functions, each time over a new connection, because an app may restart between two calls.

    Attributes:
        session: The HTTP client.
    """

    def __init__(self, gateway: Gateway, keys: ServerKeys | None = None) -> None:
        """Prepare the caller.

        Args:
            gateway: Takes the calls of functions that a Connect worker has registered.
            keys: Signs the calls of a production server.
        """
        self._gateway = gateway
        self._keys = keys
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=_CALL_SECONDS),
        )

    async def close(self) -> None:
        """Drop all calls in progress."""
        await self.session.close()

    async def call(self, run: Run, attempt: int) -> FunctionReply:
        """Call a run's function once.

        Args:
            run: The run.
            attempt: The number of failed attempts before this one.

        Returns:
            The reply, also when the function cannot be reached.
        """
        url, body = urlsplit(run.function.url), _encode_request(run, attempt)
        try:
            if url.scheme in {"ws", "wss"}:
                return await self._call_worker(run, parse_qs(url.query), body)
            headers = {"content-type": "application/json"}
            if self._keys is not None:
                headers["x-inngest-signature"] = self._keys.sign(body)
            async with self.session.post(run.function.url, data=body, headers=headers) as response:
                return _read_reply(response.status, response.headers, await response.read())
        except NoWorkerReply as error:
            reason = str(error)
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = f"Unable to reach SDK URL: {type(error).__name__} {error}".strip()
        return FunctionReply(error=reason, unreachable=True)

    async def _call_worker(self, run: Run, query: Mapping[str, list[str]], body: bytes) -> FunctionReply:
        request = pb.GatewayExecutorRequestData(
            request_id=new_id(),
            run_id=run.id,
            function_slug=query["fnId"][0],
            step_id=query["stepId"][0],
            request_payload=body,
            system_trace_ctx=b"{}",
            user_trace_ctx=b"{}",
        )
        answer = await self._gateway.call(request)
        headers = {"x-inngest-sdk": answer.sdk_version, "retry-after": answer.retry_after}
        headers["x-inngest-no-retry"] = "true" if answer.no_retry else "false"
        return _read_reply(_CONNECT_STATUS[answer.status], headers, answer.body)


def _encode_request(run: Run, attempt: int) -> bytes:
    context = {
        "run_id": run.id,
        "attempt": attempt,
        "max_attempts": run.function.retries + 1,
        "stack": {"stack": list(run.steps), "current": len(run.steps)},
        "disable_immediate_execution": False,
    }
    event = run.event.payload()
    request = {"event": event, "events": [event], "steps": run.steps, "ctx": context, "use_api": False}
    body = _encode_json(request)
    if len(body) > _MAX_REQUEST_BYTES:  # the SDK then asks the API for the rest
        body = _encode_json(request | {"events": [], "steps": {}, "use_api": True})
    return body


def _encode_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _read_reply(status: int, headers: Mapping[str, str], raw: bytes) -> FunctionReply:
    try:
        body = json.loads(raw) if raw.strip() else None
    except ValueError:
        body = raw.decode(errors="replace")
    if "x-inngest-sdk" not in headers:  # something else answers at the URL
        return FunctionReply(status, body, "not_sdk" if 200 <= status <= 299 else f"invalid status code: {status}")
    due, no_retry = headers.get("retry-after"), headers.get("x-inngest-no-retry") == "true"
    retry_after = max(0.0, datetime.fromisoformat(due).timestamp() - time.time()) if due else None
    error = None
    if status == 206:
        body = body if isinstance(body, list) else [body]
        if not body or not all(isinstance(op, dict) and "op" in op for op in body):
            error = "error reading generator opcode response"
    elif no_retry:
        error = "NonRetriableError"
    elif status != 200:  # 201 is a streamed reply, which our functions do not send
        error = f"invalid status code: {status}"
    return FunctionReply(status, body, error, no_retry, retry_after)
