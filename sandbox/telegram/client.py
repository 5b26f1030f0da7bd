"""A person at the stand, for tests: writes, taps, pays, and waits for what the bot answers."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from aiohttp import ClientSession, FormData

from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.state.users import DEFAULT_USER_ID

Json = dict[str, Any]


class ControlApiClient:
    """The person's side over HTTP; ``url`` is the stand's address with its prefix."""

    def __init__(self, url: str, user_id: int = DEFAULT_USER_ID) -> None:
        self._url = f"{url.rstrip('/')}/sim"
        self.user_id = user_id
        self._session = ClientSession()

    async def __aenter__(self) -> "ControlApiClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()

    async def request(self, verb: str, path: str, **options: Any) -> Json:
        """Any route of the person's side; raises ``SimError`` with what the stand says."""
        async with self._session.request(verb, f"{self._url}/{path}", **options) as answer:
            body: Json = await answer.json()
            if answer.status >= 400:
                raise ControlApiError(str(body.get("error", body)), answer.status)
            return body

    async def post(self, path: str, **fields: Any) -> Json:
        """POST JSON."""
        return await self.request("POST", path, json=fields)

    async def get(self, path: str, **query: Any) -> Json:
        """GET with a query."""
        return await self.request("GET", path, params={k: str(v) for k, v in query.items() if v is not None})

    async def message(self, text: str, **fields: Any) -> Json:
        """Write a text."""
        return await self.post("message", **{"user_id": self.user_id, "text": text, **fields})

    async def upload(self, kind: str, data: bytes, name: str, **fields: Any) -> Json:
        """Send a file."""
        fields = {"user_id": self.user_id, "kind": kind, **fields}
        form = FormData({field: str(value) for field, value in fields.items()})
        form.add_field("file", data, filename=name)
        return await self.request("POST", "message", data=form)

    async def tap(self, label: str, **fields: Any) -> Json:
        """Tap the newest inline button with this label."""
        return await self.post("callback", **{"user_id": self.user_id, "label": label, **fields})

    async def pay(self, **fields: Any) -> Json:
        """Pay the newest invoice, or the one named."""
        return await self.post("pay", **{"user_id": self.user_id, **fields})

    async def chat(self, chat_id: int | None = None, **query: Any) -> Json:
        """The transcript."""
        return await self.get(f"chat/{chat_id or self.user_id}", **query)

    async def calls(self, method: str | None = None, since: int = 0) -> list[Json]:
        """Bot API calls, oldest first."""
        found: list[Json] = (await self.get("outbox", method=method, since=since))["calls"]
        return found

    async def wait_for_chat(
        self, predicate: Callable[[Json], bool], chat_id: int | None = None, seconds: float = 10
    ) -> Json:
        """The transcript as soon as ``holds(transcript)``; ``TimeoutError`` with the transcript otherwise."""
        ends, transcript = time.monotonic() + seconds, await self.chat(chat_id)
        while not predicate(transcript):
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the chat never came to that; it is {transcript['messages']}")
            transcript = await self.chat(chat_id, after=transcript["version"], wait=min(left, 20))
        return transcript

    async def wait_for_bot_message(self, part: str, chat_id: int | None = None, seconds: float = 10) -> Json:
        """The bot's newest message whose text or caption holds ``part``, as soon as there is one."""

        def found(transcript: Json) -> list[Json]:
            texts = [m for m in transcript["messages"] if m["from"] == "bot" and not m["deleted"]]
            return [m for m in texts if part in (m["text"] or m["caption"] or "")]

        return found(await self.wait_for_chat(lambda seen: bool(found(seen)), chat_id, seconds))[-1]
