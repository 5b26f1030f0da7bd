"""Calls to functions over HTTP or through the Connect gateway, and the SDK's replies.

Source: ``pkg/execution/driver`` of inngest/inngest.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
from inngest.connect._internal import connect_pb2 as pb

from sandbox.inngest.connect.gateway import Gateway, NoWorkerReply
from sandbox.inngest.engine.runs import Run, function_uuid
from sandbox.inngest.events import ulid
from sandbox.inngest.keys import ServerKeys

_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024  # consts.MaxSDKRequestBodySize
_CALL_SECONDS: Final = 2 * 60 * 60  # consts.MaxFunctionTimeout
_CONNECT_STATUS: Final = {
    pb.SDKResponseStatus.DONE: 200,
    pb.SDKResponseStatus.NOT_COMPLETED: 206,
    pb.SDKResponseStatus.ERROR: 500,
}


@dataclass(frozen=True, slots=True)
class FunctionReply:
    """The reply to a call, or the reason why there is none.

    Attributes:
        status: The HTTP status.
        body: The decoded body.
        no_retry: Whether the SDK forbids a retry.
        retry_after: Seconds from the reply until a retry, if the SDK asks for it.
        is_sdk: Whether an SDK has answered, and not something else at the URL.
        unreachable: Why there was no reply at all.
        ops: The steps that the reply reports.
    """

    status: int = 0
    body: Any = None
    no_retry: bool = False
    retry_after: float | None = None
    is_sdk: bool = True
    unreachable: str | None = None
    ops: list[dict[str, Any]] = field(default_factory=list)

    @property
    def error(self) -> str | None:
        """What is wrong with the reply as a whole, as the real server words it; None when nothing is."""
        if self.unreachable is not None:
            return self.unreachable
        if self.no_retry and self.status != 206:
            return "NonRetriableError"
        if not 200 <= self.status <= 299:
            return f"invalid status code: {self.status}"
        return None if self.is_sdk else "not_sdk"

    def standard_error(self) -> dict[str, Any]:
        """Return the error of a run that fails with this reply, as ``DriverResponse.StandardError`` builds it."""
        body = self.body if isinstance(self.body, dict) else {"message": self.body} if self.body else {}
        names = ("error", "name", "message", "stack")
        text = {name: body[name] for name in names if isinstance(body.get(name), str)}
        return {"error": self.error, "name": "Error", "message": self.error} | text


class FunctionCaller:
    """Calls functions, each time over a new connection, because an app may restart between two calls."""

    def __init__(self, gateway: Gateway, keys: ServerKeys | None = None) -> None:
        """Prepare the caller.

        Args:
            gateway: Takes the calls of functions that a Connect worker has registered.
            keys: Signs the calls of a production server.
        """
        self._gateway = gateway
        self._keys = keys
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Drop all calls in progress."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP client, created at its first use."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0),
                timeout=aiohttp.ClientTimeout(total=_CALL_SECONDS),
            )
        return self._session

    async def call(self, run: Run, step_id: str | None, attempt: int) -> FunctionReply:
        """Call a run's function once.

        Args:
            run: The run.
            step_id: The planned step to run; None for whatever comes next.
            attempt: The number of failed attempts before this one.

        Returns:
            The reply, also when the function cannot be reached.
        """
        request_id = ulid()
        headers = {
            "content-type": "application/json",
            "x-run-id": run.id,
            "x-request-id": request_id,
            "x-inngest-job-id": f"{run.id}-{step_id or len(run.steps)}",
            "x-inngest-req-version": "2",
        }
        body = _request_body(run, attempt, request_id)
        url = run.function.url(step_id)
        if urlsplit(url).scheme in {"ws", "wss"}:
            return await self._call_worker(run, url, headers, body)
        if self._keys is not None:
            headers["x-inngest-signature"] = self._keys.sign(body)
        try:
            async with self.session.post(url, data=body, headers=headers) as response:
                return _read_reply(response.status, dict(response.headers), await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            return FunctionReply(unreachable=f"Unable to reach SDK URL: {type(error).__name__} {error}".strip())

    async def _call_worker(self, run: Run, url: str, headers: Mapping[str, str], body: bytes) -> FunctionReply:
        query = parse_qs(urlsplit(url).query)
        request = pb.GatewayExecutorRequestData(
            request_id=headers["x-request-id"],
            job_id=headers["x-inngest-job-id"],
            run_id=run.id,
            function_id=function_uuid(run.function.id),
            function_slug=query["fnId"][0],
            step_id=query["stepId"][0],
            request_payload=body,
            system_trace_ctx=b"{}",
            user_trace_ctx=b"{}",
        )
        try:
            answer = await self._gateway.call(request)
        except NoWorkerReply as error:
            return FunctionReply(unreachable=str(error))
        reply_headers = {"x-inngest-sdk": answer.sdk_version, "retry-after": answer.retry_after}
        reply_headers["x-inngest-no-retry"] = "true" if answer.no_retry else "false"
        return _read_reply(_CONNECT_STATUS[answer.status], reply_headers, answer.body)


def _request_body(run: Run, attempt: int, request_id: str) -> bytes:
    events = [event.payload() for event in run.events]
    context = {
        "fn_id": function_uuid(run.function.id),
        "run_id": run.id,
        "env": "",
        "step_id": "step",
        "attempt": attempt,
        "max_attempts": run.function.max_attempts,
        "stack": {"stack": list(run.steps), "current": len(run.steps)},
        "qi_id": "",
        "request_id": request_id,
        "disable_immediate_execution": run.must_plan_steps,
        "use_api": False,
    }
    request = {
        "event": events[0],
        "events": events,
        "steps": run.steps,
        "defers": {},
        "ctx": context,
        "version": 2,
        "use_api": False,
    }
    body = _encode_json(request)
    if len(body) > _MAX_REQUEST_BYTES:
        small = {"events": [], "steps": {}, "use_api": True, "ctx": context | {"use_api": True}}
        body = _encode_json(request | small)
    return body


def _encode_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _read_reply(status: int, raw_headers: dict[str, str], raw: bytes) -> FunctionReply:
    headers = {name.lower(): value for name, value in raw_headers.items()}
    body = _decode_json(raw)
    if status == 201:  # a streamed reply: spaces that keep the connection open, then the wrapped reply
        if not isinstance(body, dict) or "status" not in body:
            return FunctionReply(status=502, body=body)
        status = int(body["status"])
        headers |= {name.lower(): value for name, value in (body.get("headers") or {}).items()}
        inner = body.get("body")
        body = _decode_json(inner.encode()) if isinstance(inner, str) else inner
    if status == 206:
        ops = body if isinstance(body, list) else [body]
        if not all(isinstance(op, dict) and "op" in op for op in ops):
            return FunctionReply(status=502, body="error reading generator opcode response")
    return FunctionReply(
        status=status,
        body=body,
        no_retry=headers.get("x-inngest-no-retry") == "true",
        retry_after=_parse_retry_after(headers.get("retry-after")),
        is_sdk="x-inngest-sdk" in headers,
        ops=ops if status == 206 else [],
    )


def _decode_json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw.strip() else None
    except ValueError:
        return raw.decode(errors="replace")


def _parse_retry_after(text: str | None) -> float | None:
    if not text:
        return None
    if text.isdecimal() and len(text) <= 7:
        return float(text)
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, TypeError):
            continue
        return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - time.time())
    return None
