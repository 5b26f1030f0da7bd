"""Replicate's webhook for a prediction that has ended. It only wakes the waiting job, which then asks Replicate.

https://replicate.com/docs/topics/webhooks/verify-webhook
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from loguru import logger

from providers.protocols import ProviderError
from providers.replicate.webhook import InvalidWebhook, parse_prediction_id, verify_signature
from services.jobs.prediction_wakeup import wake_job
from services.jobs.routing import PlanA
from storage.pool import DATABASE_UNAVAILABLE, Pool

PATH: Final = "/webhooks/replicate"
FetchSecret = Callable[[], Awaitable[str]]
"""Fetches the secret that signs webhooks. Raises ProviderError."""


class ReplicateWebhook:
    """Answers 200 for one of our predictions, 404 for any other, and 401 for a wrong signature or an old timestamp.

    It answers 503 if Replicate's secret or the database is unavailable, so that Replicate calls again.

    Args:
        db: The database.
        plan_a: Wakes jobs on Plan A.
        fetch_secret: Fetches Replicate's secret. It is called until it succeeds once.
    """

    def __init__(self, db: Pool, plan_a: PlanA, fetch_secret: FetchSecret) -> None:
        self._db = db
        self._plan_a = plan_a
        self._fetch_secret = fetch_secret
        self._secret = ""
        self._secret_lock = asyncio.Lock()

    def add_routes(self, app: web.Application) -> None:
        """Add the webhook to the web application, at PATH."""
        app.router.add_post(PATH, self._receive)

    async def _receive(self, request: web.Request) -> web.Response:
        """A prediction or training has ended: wake the job that waits for it."""
        body = await request.read()
        try:
            verify_signature(await self._get_secret(), request.headers, body)
            prediction_id = parse_prediction_id(body)
        except InvalidWebhook as error:
            logger.warning("webhook refused", provider="replicate", error=error)
            return web.Response(status=401)
        except ProviderError as error:
            logger.warning("webhook not verified", provider="replicate", error=error)
            return web.Response(status=503)
        try:
            found = await wake_job(self._db, self._plan_a, prediction_id)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("webhook postponed, database unavailable", provider="replicate", error=error)
            return web.Response(status=503)
        return web.Response(status=200 if found else 404)

    async def _get_secret(self) -> str:
        async with self._secret_lock:
            if not self._secret:
                self._secret = await self._fetch_secret()
            return self._secret
