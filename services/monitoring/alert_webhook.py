"""Tells another system of incidents: one POST when one opens, one when it is over, each until it is accepted."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import aiohttp
from loguru import logger

from services.core.i18n import Texts
from services.monitoring.alert_texts import english, plain
from storage.incidents import Incident

Word = Literal["opened", "closed"]

_SECONDS: Final = 5.0
_AGAIN: Final = timedelta(seconds=15)
_AGAIN_AT_MOST: Final = timedelta(minutes=15)


@dataclass
class AlertWebhook:
    """`url` may hold a secret, so no log line has it."""

    url: str = field(repr=False)
    texts: Texts
    _tries: dict[int, int] = field(default_factory=dict)
    _not_before: dict[int, datetime] = field(default_factory=dict)

    def next_word(self, incident: Incident, now: datetime) -> Word | None:
        """What it has to be told now; None where there is nothing, or it refused a moment ago."""
        if now < self._not_before.get(incident.id, now):
            return None
        if not incident.posted:
            return "opened"
        return "closed" if incident.closed_at and incident.posted == "opened" else None

    async def post(self, incident: Incident, word: Word, now: datetime) -> bool:
        """True when it was accepted; otherwise it is asked again, ever less often."""
        refusal = await self._refusal(self._body(incident, word, now))
        if not refusal:
            self._tries.pop(incident.id, None)
            self._not_before.pop(incident.id, None)
            return True
        tries = self._tries[incident.id] = self._tries.get(incident.id, 0) + 1
        self._not_before[incident.id] = now + min(_AGAIN * 2 ** min(tries - 1, 10), _AGAIN_AT_MOST)
        logger.warning("ALERT_WEBHOOK_URL did not take incident {} {}: {}", incident.id, word, refusal)
        return False

    async def _refusal(self, body: dict[str, Any]) -> str:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self.url, json=body, allow_redirects=False) as response,
            ):
                return "" if response.status < 300 else f"answers {response.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return type(error).__name__  # its words may hold the URL

    def _body(self, incident: Incident, word: Word, now: datetime) -> dict[str, Any]:
        return {
            "id": incident.id,
            "kind": incident.kind,
            "status": word,
            "opened_at": incident.opened_at.isoformat(),
            "closed_at": incident.closed_at.isoformat() if word == "closed" and incident.closed_at else None,
            "text": plain(english(self.texts, incident, now)),
            "facts": incident.facts,
        }
