"""The composition: one aiohttp process with the bot, the Inngest endpoint, the web pages and Plan B's runner."""

import asyncio
import hashlib
import hmac
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from aiogram import Bot, Dispatcher
from aiohttp import web
from loguru import logger

from bot.providers import create_providers, replicate_webhook_secret
from bot.settings import Settings, SettingsError
from bot.telegram.bots import create_bots
from bot.telegram.broadcast_bots import create_broadcast_bots, create_rate_limiters
from bot.telegram.fsm import PostgresStorage
from bot.telegram.middlewares import ErrorMiddleware, ThrottleMiddleware, UserContextMiddleware
from bot.telegram.polling import poll_updates
from bot.telegram.setup_calls import announce_commands
from bot.telegram.update_processor import UpdateProcessor
from bot.telegram.webhook import Webhook
from handlers.routers import create_router
from inngest_functions.client import create_client
from inngest_functions.connect import Connection
from inngest_functions.plan_a import InngestPlan
from inngest_functions.registry import create_functions
from inngest_functions.run_locks import RunLocks
from inngest_functions.serve import serve
from inngest_functions.settings import SERVE_PATH
from services.admin.command_menu import set_commands_for_admins
from services.admin.dashboard_auth import DashboardAuth
from services.billing.refunds import handle_external_refund, process_refunds
from services.core.background import BackgroundTasks
from services.core.i18n import Texts
from services.core.metrics import measure_loop_lag
from services.dispatch import OrderDispatcher as Orders
from services.hello import HelloEnvironment
from services.job_kinds import INTERNAL_JOBS, JOB_KINDS
from services.jobs.engine import JobEngine
from services.jobs.outbox_publisher import OutboxPublisher
from services.jobs.routing import PlanRouter
from services.jobs.worker import Worker
from services.maintenance.cleanup import run_cleanup
from services.maintenance.scheduled_tasks import run_scheduler
from services.messaging.app_context import AppContext
from services.messaging.progress_reconciler import reconcile_progress_messages
from services.monitoring.alert_messages import QuietHours
from services.monitoring.alert_webhook import AlertWebhook
from services.monitoring.alerts import Alerts
from services.monitoring.health_checks import HealthChecks
from services.monitoring.incidents import IncidentMonitor
from services.notifications.notify import notify_training_failed
from services.users.registration import UserRegistration
from storage.migrations import migrate
from storage.pool import Pool, create_pool
from web.dashboard.routes import Dashboard
from web.health import Health
from web.landing import Landing
from web.metrics import Metrics
from web.webhooks.replicate import ReplicateWebhook

_DRAIN_SECONDS = 6.0
_CLEANUP_SECONDS = 2.0
_REQUEST_DRAIN_SECONDS = 1.0


class App:
    """Everything that runs, in the order in which it starts; `stop` goes the other way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedded: Any = None
        self._loops = BackgroundTasks()
        self._web = web.Application()
        self._runner = web.AppRunner(self._web, shutdown_timeout=_REQUEST_DRAIN_SECONDS, access_log=None)
        self._inngest_connection: Connection | None = None
        self._sandbox: Any = None

    async def start(self) -> None:
        settings = self._settings
        self._db = await self._open_database()
        bots = create_bots(settings.tokens, settings.telegram_url)
        self._studio = studio = AppContext(
            self._db,
            bots,
            Texts(),
            create_providers(settings),
            settings.admins,
            lease_seconds=settings.job_lease_seconds,
            broadcast_bots=create_broadcast_bots(bots, settings.telegram_url),
            rate_limiters=create_rate_limiters(bots),
        )
        self._run_locks = RunLocks(self._db)
        engine = JobEngine(studio, INTERNAL_JOBS, notify_training_failed)
        plan_a = self._serve_inngest(engine)
        self._plans = plans = PlanRouter(self._db, plan_a, list(JOB_KINDS), pubsub=studio.pubsub)
        await plans.load()
        self._worker = Worker(engine, plans, slots=settings.plan_b_slots, per_user_limit=settings.jobs_per_person)
        outbox_publisher = OutboxPublisher(
            studio, plans, self._worker, start_timeout=settings.plan_a_start_timeout
        )
        order_dispatcher = Orders(studio, plans, self._worker, outbox_publisher)
        dashboard_auth = DashboardAuth(studio, settings.public_url or settings.local_url)
        update_processor = self._create_update_processor(studio, order_dispatcher, bots, dashboard_auth)
        webhook = Webhook(bots, update_processor, self._webhook_secret())
        self._add_pages(studio, order_dispatcher, dashboard_auth, plan_a, webhook)
        incident_monitor, alerts = self._create_alerts(studio, plans)
        if self._sandbox is not None:
            await self._sandbox.start()
        await self._listen()
        for name, loop in (
            ("plan B", self._worker.run),
            ("queue places", self._worker.show_queue_positions),
            ("relay", outbox_publisher.run),
            ("doubts", outbox_publisher.check_stalled),
            ("settings", plans.listen),
            ("inngest", plan_a.watch),
            ("last words", lambda: reconcile_progress_messages(studio)),
            ("chores", lambda: run_scheduler(studio, plans)),
            ("refunds", lambda: process_refunds(studio)),
            ("housekeeping", lambda: run_cleanup(self._db)),
            ("incidents", incident_monitor.watch),
            ("alerts", alerts.run),
            ("loop lag", measure_loop_lag),
        ):
            self._loops.run_forever(loop, name)
        if self._inngest_connection is not None:
            self._loops.run_forever(self._inngest_connection.run, "inngest connect")
        self._loops.spawn(announce_commands(bots, studio.texts), "commands")
        self._loops.spawn(set_commands_for_admins(studio), "admins' commands")
        if settings.telegram_mode == "webhook":
            self._loops.spawn(webhook.set(settings.public_url), "set webhook")
        else:
            for name, bot in bots.items():
                polling = partial(poll_updates, bot, update_processor, studio.background)
                self._loops.run_forever(polling, f"polling of {name}")

    async def stop(self) -> None:
        """Within 10 s: take nothing new, let running jobs end, hand over what does not."""
        logger.info("stopping: {} jobs in flight", self._worker.in_flight)
        await self._loops.drain(0)
        drains = [self._worker.stop(_DRAIN_SECONDS)]
        if self._inngest_connection is not None:
            drains.append(self._inngest_connection.close(_DRAIN_SECONDS))
        await asyncio.gather(*drains)
        await self._studio.background.drain(_CLEANUP_SECONDS)
        await self._runner.cleanup()
        for bot in (*self._studio.bots.values(), *self._studio.broadcast_bots.values()):
            await bot.session.close()
        await self._studio.providers.close()
        await self._run_locks.close()
        await self._close_database()
        if self._sandbox is not None:
            await self._sandbox.close()
        if self._embedded is not None:
            await self._embedded.stop()
        logger.info("stopped")

    async def _close_database(self) -> None:
        try:
            await asyncio.wait_for(self._db.close(), _CLEANUP_SECONDS)
        except TimeoutError:
            logger.warning("the database does not answer; its connections are dropped")
            self._db.terminate()

    async def _listen(self) -> None:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._settings.bind_host, self._settings.port).start()
        except OSError as error:
            raise SettingsError(f"PORT: cannot listen on {self._settings.port}: {error.strerror}") from error

    async def _open_database(self) -> Pool:
        dsn = self._settings.database_url.get_secret_value()
        if not dsn:
            self._embedded = await _start_embedded_postgres(self._settings.data_dir / "postgres")
            dsn = self._embedded.dsn
        try:
            db = await create_pool(dsn, size=self._settings.database_pool_size)
        except (ValueError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise SettingsError(f"DATABASE_URL: {type(error).__name__}: {error}") from None
        async with db.acquire() as connection:
            if applied := await migrate(connection):
                logger.info("applied {} migrations", applied)
        return db

    def _serve_inngest(self, engine: JobEngine) -> InngestPlan:
        settings = self._settings
        client = create_client(settings)
        environment = HelloEnvironment(node_env=settings.environment, inngest_port=settings.inngest_dev_port)
        functions = create_functions(client, engine, self._run_locks, environment)
        create_plan = partial(
            InngestPlan,
            client,
            pubsub=engine.studio.pubsub,
            send_deadline=settings.inngest_send_deadline,
            ping_seconds=settings.inngest_ping_seconds,
        )
        if settings.inngest_transport == "connect":
            self._inngest_connection = connection = Connection(client, functions)
            return create_plan(connected=lambda: connection.connected)
        serve(self._web, client, functions, serve_origin=settings.public_url or None)
        return create_plan(sync_url=f"{settings.local_url}{SERVE_PATH}")

    def _create_update_processor(
        self, studio: AppContext, order_dispatcher: Orders, bots: dict[str, Bot], dashboard_auth: DashboardAuth
    ) -> UpdateProcessor:
        storage = PostgresStorage(self._db)
        # aiogram's own FSM would ask the database once more for what an update arrives with.
        dispatcher = Dispatcher(storage=storage, disable_fsm=True, dashboard_auth=dashboard_auth)
        user_context = UserContextMiddleware(studio, order_dispatcher, storage, self._settings.support_contact)
        for middleware in (user_context, ThrottleMiddleware(), ErrorMiddleware()):
            dispatcher.update.outer_middleware(middleware)
        dispatcher.include_router(create_router())
        user_registration = UserRegistration(studio, self._settings.credits_at_start)
        names = {bot.id: name for name, bot in bots.items()}
        return UpdateProcessor(
            self._db, dispatcher, user_registration, names, lambda charge: handle_external_refund(studio, charge)
        )

    def _add_pages(
        self,
        studio: AppContext,
        order_dispatcher: Orders,
        dashboard_auth: DashboardAuth,
        plan_a: InngestPlan,
        webhook: Webhook,
    ) -> None:
        settings, plans = self._settings, order_dispatcher.plans
        health = Health(studio, plans, lambda: plan_a.state)
        health.add_routes(self._web)
        sandbox_host = settings.bind_host if settings.sandbox else None
        Dashboard(order_dispatcher, dashboard_auth, health.report, sandbox_host=sandbox_host).add_routes(self._web)
        token, allow_anonymous = settings.metrics_token.get_secret_value(), not settings.production
        Metrics(studio, plans, self._worker, token=token, allow_anonymous=allow_anonymous).add_routes(self._web)
        Landing(sandbox=settings.sandbox, inngest_url=settings.inngest_url).add_routes(self._web)
        if settings.telegram_mode == "webhook":
            webhook.add_routes(self._web)
        if settings.public_url and settings.replicate_api_token.get_secret_value():
            ReplicateWebhook(studio, plans, lambda: replicate_webhook_secret(settings)).add_routes(self._web)
        if settings.sandbox:
            self._sandbox = _add_sandbox(self._web, settings.data_dir)

    def _create_alerts(self, studio: AppContext, plans: PlanRouter) -> tuple[IncidentMonitor, Alerts]:
        settings = self._settings
        health_checks = HealthChecks(studio, plans, per_user_limit=settings.jobs_per_person)
        url = settings.alert_webhook_url.get_secret_value()
        webhook = AlertWebhook(url, studio.texts) if url else None
        alerts = Alerts(studio, quiet=QuietHours(*settings.quiet_hours), webhook=webhook)
        return IncidentMonitor(studio, health_checks), alerts

    def _webhook_secret(self) -> str:
        """The secret that Telegram sends with each update: set, or derived from the bots' own secrets."""
        configured = self._settings.telegram_webhook_secret.get_secret_value()
        tokens = ",".join(sorted(self._settings.tokens.values()))
        return configured or hmac.new(tokens.encode(), b"webhook", hashlib.sha256).hexdigest()


def _add_sandbox(app: web.Application, data_dir: Path) -> Any:
    from sandbox.telegram import create_telegram_server  # only development has what the sandbox needs

    telegram = create_telegram_server(data_dir=data_dir / "sandbox")
    telegram.add_routes(app, "/sandbox")
    return telegram


async def _start_embedded_postgres(folder: Path) -> Any:
    from sandbox.postgres.client import EmbeddedPostgres  # only development has the sandbox

    server = EmbeddedPostgres(folder)
    await server.start()
    return server
