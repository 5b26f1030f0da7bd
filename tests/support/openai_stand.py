"""OpenAI's moderation on this machine: an aiohttp server with knobs, for tests.

Also a process of its own: `python -m tests.support.openai_stand --port N`, with GET and POST /stand.
"""

import argparse
import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "sk-stand"
CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
    "self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors",
    "violence", "violence/graphic",
)  # fmt: skip


@dataclass
class Refusal:
    """An HTTP error instead of an answer, `times` times."""

    status: int
    message: str = "said by the stand"
    code: str | None = None
    retry_after: float | None = None
    times: int = 1


@dataclass
class Knobs:
    """What a test may turn; POST /stand takes the same names."""

    flagged_words: dict[str, str] = field(default_factory=lambda: {"#nsfw": "sexual"})
    """Which words are refused, and under which category."""
    hang: bool = False
    refusals: list[Refusal] = field(default_factory=list)


class OpenAIStand:
    """`await start()`, then `url` (with /v1), `asked` (the texts), `knobs`, and `await close()`."""

    def __init__(self) -> None:
        self.knobs = Knobs()
        self.asked: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.post("/v1/moderations", self._moderate),
                web.get("/stand", self._tell),
                web.post("/stand", self._turn),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        host, bound = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}/v1"

    async def close(self) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def refuse(self, status: int, **rest: Any) -> None:
        """Answer the next question(s) with an HTTP error."""
        self.knobs.refusals.append(Refusal(status, **rest))

    async def _moderate(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body["input"])
        if self.knobs.hang:
            await self._closing.wait()
        if self.knobs.refusals:
            return self._refused()
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, f"Incorrect API key provided: {KEY}.", "invalid_api_key")
        found = {category for word, category in self.knobs.flagged_words.items() if word in body["input"]}
        result = {
            "flagged": bool(found),
            "categories": {name: name in found for name in CATEGORIES},
            "category_scores": {name: 0.99 if name in found else 0.001 for name in CATEGORIES},
            "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
        }
        return web.json_response({"id": "modr-1", "model": body["model"], "results": [result]})

    def _refused(self) -> web.Response:
        refusal = self.knobs.refusals[0]
        refusal.times -= 1
        if refusal.times == 0:
            self.knobs.refusals.pop(0)
        headers = {} if refusal.retry_after is None else {"Retry-After": f"{refusal.retry_after:g}"}
        return _error(refusal.status, refusal.message, refusal.code, headers)

    async def _tell(self, _request: web.Request) -> web.Response:
        return web.json_response({"asked": self.asked})

    async def _turn(self, request: web.Request) -> web.Response:
        for name, value in (await request.json()).items():
            if name not in Knobs.__dataclass_fields__:
                return web.json_response({"error": f"no knob {name}"}, status=400)
            setattr(self.knobs, name, [Refusal(**one) for one in value] if name == "refusals" else value)
        return web.json_response({"ok": True})


def _error(status: int, message: str, code: str | None, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


async def _serve(port: int) -> None:
    stand = OpenAIStand()
    await stand.start(port)
    print(json.dumps({"url": stand.url, "key": KEY}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="OpenAI's moderation on this machine, for tests.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
