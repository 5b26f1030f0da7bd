"""Replicate's webhook: a prediction has ended. It only wakes the job that waits; the job looks for itself.

https://replicate.com/docs/topics/webhooks/verify-webhook
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from aiohttp import web
from loguru import logger

from providers.protocols import ProviderError
from providers.replicate.webhook import InvalidWebhook, parse_prediction_id, verify_signature
from services.durable.pubsub import publish
from services.jobs.routing import InngestUnavailable, PlanRouter
from services.messaging.app_context import AppContext
from storage.jobs.jobs import Job, get_job_by_prediction
from storage.pool import DATABASE_UNAVAILABLE

PATH = "/webhooks/replicate"
FetchSecret = Callable[[], Awaitable[str]]


class ReplicateWebhook:
    """Answers 401 for a wrong signature or an old timestamp, 404 for a prediction that is not ours."""

    def __init__(self, app_context: AppContext, plans: PlanRouter, fetch_secret: FetchSecret) -> None:
        self._app_context = app_context
        self._plans = plans
        self._fetch_secret = fetch_secret
        self._secret = ""
        self._secret_lock = asyncio.Lock()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post(PATH, self._receive)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            verify_signature(await self._get_secret(), request.headers, body, datetime.now(UTC))
            prediction_id = parse_prediction_id(body)
        except InvalidWebhook as error:
            logger.warning("a webhook of Replicate's was refused: {}", error)
            return web.Response(status=401)
        except ProviderError as error:
            logger.warning("webhooks of Replicate's cannot be checked: {}", error)
            return web.Response(status=503)  # it comes again
        try:
            return web.Response(status=200 if await self._wake(prediction_id) else 404)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("a webhook of Replicate's waits, the database is away: {}", error)
            return web.Response(status=503)  # it comes again

    async def _wake(self, prediction_id: str) -> bool:
        """False for a prediction that is not ours."""
        job = await get_job_by_prediction(self._app_context.db, prediction_id)
        if job is not None and not job.ended:
            await publish(self._app_context.db, prediction_id)
            if job.plan == "A":
                await self._wake_plan_a(prediction_id, job)
        return job is not None

    async def _wake_plan_a(self, prediction_id: str, job: Job) -> None:
        try:
            await self._plans.plan_a.send_prediction_finished(prediction_id, job)
        except InngestUnavailable as error:
            logger.warning("job {} was not woken for {}: {}", job.id, prediction_id, error)

    async def _get_secret(self) -> str:
        async with self._secret_lock:
            if not self._secret:
                self._secret = await self._fetch_secret()
            return self._secret
