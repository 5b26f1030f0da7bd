"""A client of the control API for tests: sends messages, presses buttons, pays, and waits for the bot's messages."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from aiohttp import ClientSession, FormData

from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.users import DEFAULT_USER_ID


class ControlApiClient:
    """Acts for one user over HTTP.

    Every ``**fields`` argument is merged into the request's body, so that a test may name another user
    (``user_id``), another chat (``chat_id``) or another bot (``bot``).

    Attributes:
        user_id: The user who acts unless a call names another one.
    """

    def __init__(self, url: str, user_id: int = DEFAULT_USER_ID) -> None:
        """Open a client.

        Args:
            url: The sandbox's address with its prefix, for example ``http://127.0.0.1:8080/sandbox``.
            user_id: The user who acts.
        """
        self._url = f"{url.rstrip('/')}/sim"
        self.user_id = user_id
        self._session = ClientSession()

    async def __aenter__(self) -> "ControlApiClient":
        """Return the client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close the HTTP session."""
        await self._session.close()

    async def request(self, verb: str, path: str, **options: Any) -> Json:
        """Call any route of the control API.

        Args:
            verb: The HTTP method.
            path: The route below ``sim/``.
            **options: Passed to aiohttp's ``ClientSession.request``.

        Returns:
            The JSON body of the response.

        Raises:
            ControlApiError: When the sandbox refuses the request; holds its message and status.
        """
        async with self._session.request(verb, f"{self._url}/{path}", **options) as response:
            body: Json = await response.json()
            if response.status >= 400:
                raise ControlApiError(str(body.get("error", body)), response.status)
            return body

    async def post(self, path: str, **fields: Any) -> Json:
        """POST the fields as JSON; raises ``ControlApiError`` as ``request`` does."""
        return await self.request("POST", path, json=fields)

    async def get(self, path: str, **query: Any) -> Json:
        """GET with a query, from which None values are left out; raises as ``request`` does."""
        return await self.request("GET", path, params={k: str(v) for k, v in query.items() if v is not None})

    async def message(self, text: str, **fields: Any) -> Json:
        """Send a text message as the user; returns its ``update_id``, ``chat_id``, ``version`` and ``message``."""
        return await self.post("message", **{"user_id": self.user_id, "text": text, **fields})

    async def upload(self, kind: str, data: bytes, name: str, **fields: Any) -> Json:
        """Send a file as the user.

        Args:
            kind: One of ``UPLOAD_KINDS``, such as ``photo``.
            data: The file's content.
            name: The file's name.
            **fields: Further fields of ``POST sim/message``, such as ``caption``.

        Returns:
            The same as ``message``.
        """
        fields = {"user_id": self.user_id, "kind": kind, **fields}
        form = FormData({field: str(value) for field, value in fields.items()})
        form.add_field("file", data, filename=name)
        return await self.request("POST", "message", data=form)

    async def tap(self, label: str, **fields: Any) -> Json:
        """Press the newest inline button with this label; returns the callback queries' ids and the ``data``."""
        return await self.post("callback", **{"user_id": self.user_id, "label": label, **fields})

    async def pay(self, **fields: Any) -> Json:
        """Pay the newest unpaid invoice, or the one in ``message_id`` or ``link``; ``paid`` tells the outcome."""
        return await self.post("pay", **{"user_id": self.user_id, **fields})

    async def chat(self, chat_id: int | None = None, **query: Any) -> Json:
        """Return the transcript of a chat, by default of the user's private chat with the bot."""
        return await self.get(f"chat/{chat_id or self.user_id}", **query)

    async def calls(self, method: str | None = None, since: int = 0) -> list[Json]:
        """Return the bot's API calls, oldest first.

        Args:
            method: Only calls of this Bot API method.
            since: Only calls with a greater ``seq``.
        """
        found: list[Json] = (await self.get("outbox", method=method, since=since))["calls"]
        return found

    async def download(self, file_id: str) -> bytes:
        """Return the content of a file that a message of the transcript shows; raises as ``request`` does."""
        async with self._session.get(f"{self._url}/file/{file_id}") as response:
            if response.status >= 400:
                raise ControlApiError(await response.text(), response.status)
            return await response.read()

    async def add_fault(self, **fault: Any) -> None:
        """Make the Bot API fail; takes the fields of ``POST sim/fault``."""
        await self.post("fault", **fault)

    async def clear_faults(self) -> None:
        """Remove all faults."""
        await self.request("DELETE", "fault")

    async def wait_for_chat(
        self, predicate: Callable[[Json], bool], chat_id: int | None = None, seconds: float = 10
    ) -> Json:
        """Wait until a transcript fulfils a condition.

        Args:
            predicate: Takes the transcript and tells whether it is as expected.
            chat_id: The chat; by default the user's private chat.
            seconds: How long to wait at most.

        Returns:
            The transcript.

        Raises:
            TimeoutError: When it does not happen in time; the message shows the transcript.
        """
        ends, transcript = time.monotonic() + seconds, await self.chat(chat_id)
        while not predicate(transcript):
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the chat did not reach the expected state: {transcript['messages']}")
            transcript = await self.chat(chat_id, after=transcript["version"], wait=min(left, 20))
        return transcript

    async def wait_for_bot_message(self, part: str, chat_id: int | None = None, seconds: float = 10) -> Json:
        """Wait for a message of the bot whose text or caption contains ``part``.

        Returns:
            The newest such message, as the transcript shows it.

        Raises:
            TimeoutError: When none comes within ``seconds``.
        """

        def matching(transcript: Json) -> list[Json]:
            messages = [m for m in transcript["messages"] if m["from"] == "bot" and not m["deleted"]]
            return [m for m in messages if part in (m["text"] or m["caption"] or "")]

        return matching(await self.wait_for_chat(lambda transcript: bool(matching(transcript)), chat_id, seconds))[
            -1
        ]
