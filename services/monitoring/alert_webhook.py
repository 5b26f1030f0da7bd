"""Reports incidents to another system: a POST when one opens and another when it closes, retried until accepted."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import aiohttp
from loguru import logger

from services.core.i18n import Texts
from services.monitoring.alert_texts import english_text, strip_html
from storage.incidents import Incident

WebhookStatus = Literal["opened", "closed"]
"""The status of an incident in the POST request."""

_TIMEOUT_SECONDS: Final = 5.0
_RETRY_DELAY: Final = timedelta(seconds=15)
_MAX_RETRY_DELAY: Final = timedelta(minutes=15)


@dataclass
class AlertWebhook:
    """Posts incidents to a URL, and keeps track of retries.

    Attributes:
        url: The URL. It may contain a secret, so it is never logged.
        texts: The texts.
    """

    url: str = field(repr=False)
    texts: Texts
    _attempts: dict[int, int] = field(default_factory=dict)
    _retry_at: dict[int, datetime] = field(default_factory=dict)

    def next_status(self, incident: Incident, now: datetime) -> WebhookStatus | None:
        """Return the status to post now; None if there is none, or if it is too early for a retry."""
        if now < self._retry_at.get(incident.id, now):
            return None
        if not incident.webhook_state:
            return "opened"
        return "closed" if incident.closed_at and incident.webhook_state == "opened" else None

    async def post(self, incident: Incident, status: WebhookStatus, now: datetime) -> bool:
        """Post one status of an incident.

        Args:
            incident: The incident.
            status: The status to post.
            now: The current time, from which the delay before a retry is measured.

        Returns:
            Whether it was accepted. If not, `next_status` returns it again after 15 seconds, then at growing intervals
            of up to 15 minutes.
        """
        error = await self._send(self._build_body(incident, status, now))
        if not error:
            self._attempts.pop(incident.id, None)
            self._retry_at.pop(incident.id, None)
            return True
        attempts = self._attempts[incident.id] = self._attempts.get(incident.id, 0) + 1
        self._retry_at[incident.id] = now + min(_RETRY_DELAY * 2 ** min(attempts - 1, 10), _MAX_RETRY_DELAY)
        logger.warning("alert webhook failed", incident=incident.id, state=status, attempt=attempts, error=error)
        return False

    async def _send(self, body: dict[str, Any]) -> str:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self.url, json=body, allow_redirects=False) as response,
            ):
                return "" if response.status < 300 else f"status {response.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return type(error).__name__  # the message may contain the URL

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
