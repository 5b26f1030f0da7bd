"""Replicate's webhook: a prediction has ended. It only wakes the job that waits, which then asks Replicate itself.

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
"""Gets the secret that signs webhooks. Raises ProviderError."""


class ReplicateWebhook:
    """Answers 200 for a prediction of ours, 404 for another, 401 for a wrong signature or an old timestamp.

    It answers 503 where Replicate's secret or the database cannot be reached: Replicate then calls again.

    Args:
        db: The database.
        plan_a: Inngest, where Plan A's jobs are woken.
        fetch_secret: Gets Replicate's secret, once.
    """

    def __init__(self, db: Pool, plan_a: PlanA, fetch_secret: FetchSecret) -> None:
        self._db = db
        self._plan_a = plan_a
        self._fetch_secret = fetch_secret
        self._secret = ""
        self._secret_lock = asyncio.Lock()

    def add_routes(self, app: web.Application) -> None:
        """Serve the webhook at PATH."""
        app.router.add_post(PATH, self._receive)

    async def _receive(self, request: web.Request) -> web.Response:
        """A prediction or training has ended; wake the job that waits for it."""
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
