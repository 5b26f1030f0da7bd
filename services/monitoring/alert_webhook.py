"""Tells another system of incidents: one POST when one opens, one when it is over, each until it is accepted."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import aiohttp
from loguru import logger

from services.core.i18n import Texts
from services.monitoring.alert_texts import english_text, strip_html
from storage.incidents import Incident

WebhookStatus = Literal["opened", "closed"]

_TIMEOUT_SECONDS: Final = 5.0
_RETRY_DELAY: Final = timedelta(seconds=15)
_MAX_RETRY_DELAY: Final = timedelta(minutes=15)


@dataclass
class AlertWebhook:
    """`url` may hold a secret, so no log line has it."""

    url: str = field(repr=False)
    texts: Texts
    _attempts: dict[int, int] = field(default_factory=dict)
    _retry_at: dict[int, datetime] = field(default_factory=dict)

    def next_status(self, incident: Incident, now: datetime) -> WebhookStatus | None:
        """What it has to be told now; None where there is nothing, or it refused a moment ago."""
        if now < self._retry_at.get(incident.id, now):
            return None
        if not incident.webhook_state:
            return "opened"
        return "closed" if incident.closed_at and incident.webhook_state == "opened" else None

    async def post(self, incident: Incident, status: WebhookStatus, now: datetime) -> bool:
        """True when it was accepted; otherwise it is asked again, ever less often."""
        error = await self._send(self._build_body(incident, status, now))
        if not error:
            self._attempts.pop(incident.id, None)
            self._retry_at.pop(incident.id, None)
            return True
        attempts = self._attempts[incident.id] = self._attempts.get(incident.id, 0) + 1
        self._retry_at[incident.id] = now + min(_RETRY_DELAY * 2 ** min(attempts - 1, 10), _MAX_RETRY_DELAY)
        logger.warning("ALERT_WEBHOOK_URL did not take incident {} {}: {}", incident.id, status, error)
        return False

    async def _send(self, body: dict[str, Any]) -> str:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self.url, json=body, allow_redirects=False) as response,
            ):
                return "" if response.status < 300 else f"answers {response.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return type(error).__name__  # its words may hold the URL

    def _build_body(self, incident: Incident, status: WebhookStatus, now: datetime) -> dict[str, Any]:
        return {
            "id": incident.id,
            "kind": incident.kind,
            "status": status,
            "opened_at": incident.opened_at.isoformat(),
            "closed_at": incident.closed_at.isoformat() if status == "closed" and incident.closed_at else None,
            "text": strip_html(english_text(self.texts, incident, now)),
            "facts": incident.facts,
        }
