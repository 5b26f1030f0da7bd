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
from bot.settings import Settings, WrongSettings
from bot.telegram.bots import create_bots
from bot.telegram.broadcast_bots import create_bulk_bots, create_pacers
from bot.telegram.fsm import PostgresStorage
from bot.telegram.middlewares import DeskMiddleware, ErrorMiddleware, ThrottleMiddleware
from bot.telegram.polling import poll
from bot.telegram.setup_calls import announce_commands
from bot.telegram.update_processor import Intake
from bot.telegram.webhook import Webhook
from handlers.routers import create_router
from inngest_functions.client import create_client
from inngest_functions.connect import Connection
from inngest_functions.plan_a import InngestPlan
from inngest_functions.registry import create_functions
from inngest_functions.run_locks import Calls
from inngest_functions.serve import serve
from inngest_functions.settings import SERVE_PATH
from services.admin.command_menu import announce_to_admins
from services.admin.dashboard_auth import Door
from services.billing.refunds import keep_refunding, refunded_elsewhere
from services.core.background import Background
from services.core.i18n import Texts
from services.core.metrics import watch_loop
from services.dispatch import Dispatcher as Orders
from services.hello import HelloEnvironment
from services.job_kinds import ERRANDS, JOBS
from services.jobs.engine import JobEngine
from services.jobs.outbox_publisher import Relay
from services.jobs.routing import Plans
from services.jobs.worker import Queue
from services.maintenance.cleanup import keep_tidy
from services.maintenance.scheduled_tasks import keep_chores
from services.messaging.app_context import Studio
from services.messaging.progress_reconciler import keep_saying
from services.monitoring.alert_messages import QuietHours
from services.monitoring.alert_webhook import AlertWebhook
from services.monitoring.alerts import Alerts
from services.monitoring.health_checks import Conditions
from services.monitoring.incidents import Incidents
from services.notifications.notify import notify_training_failed
from services.users.registration import People
from storage.embedded import EmbeddedPostgres
from storage.migrations import migrate
from storage.pool import Pool, create_pool
from web.dashboard.routes import Dashboard
from web.health import Health
from web.landing import Landing
from web.metrics import Metrics
from web.webhooks.replicate import ReplicateWebhook

_DRAIN_SECONDS = 6.0
_LOOSE_ENDS_SECONDS = 2.0
_REQUESTS_SECONDS = 1.0


class App:
    """Everything that runs, in the order in which it starts; `stop` goes the other way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedded: EmbeddedPostgres | None = None
        self._loops = Background()
        self._web = web.Application()
        self._runner = web.AppRunner(self._web, shutdown_timeout=_REQUESTS_SECONDS, access_log=None)
        self._connection: Connection | None = None
        self._sandbox: Any = None

    async def start(self) -> None:
        settings = self._settings
        self._db = await self._open_database()
        bots = create_bots(settings.tokens, settings.telegram_url)
        self._studio = studio = Studio(
            self._db,
            bots,
            Texts(),
            create_providers(settings),
            settings.admins,
            lease_seconds=settings.job_lease_seconds,
            bulk=create_bulk_bots(bots, settings.telegram_url),
            pacers=create_pacers(bots),
        )
        self._calls = Calls(self._db)
        engine = JobEngine(studio, ERRANDS, notify_training_failed)
        plan_a = self._serve_inngest(engine)
        self._plans = plans = Plans(self._db, plan_a, list(JOBS), signals=studio.signals)
        await plans.load()
        self._queue = Queue(engine, plans, slots=settings.plan_b_slots, per_person=settings.jobs_per_person)
        relay = Relay(studio, plans, self._queue, start_within=settings.plan_a_start_timeout)
        orders = Orders(studio, plans, self._queue, relay)
        door = Door(studio, settings.public_url or settings.local_url)
        intake = self._create_intake(studio, orders, bots, door)
        webhook = Webhook(bots, intake, self._webhook_secret())
        self._add_pages(studio, orders, door, plan_a, webhook)
        incidents, alerts = self._create_alerts(studio, plans)
        if self._sandbox is not None:
            await self._sandbox.start()
        await self._listen()
        for name, loop in (
            ("plan B", self._queue.run),
            ("queue places", self._queue.show_places),
            ("relay", relay.run),
            ("doubts", relay.doubt),
            ("settings", plans.listen),
            ("inngest", plan_a.watch),
            ("last words", lambda: keep_saying(studio)),
            ("chores", lambda: keep_chores(studio, plans)),
            ("refunds", lambda: keep_refunding(studio)),
            ("housekeeping", lambda: keep_tidy(self._db)),
            ("incidents", incidents.watch),
            ("alerts", alerts.run),
            ("loop lag", watch_loop),
        ):
            self._loops.keep(loop, name)
        if self._connection is not None:
            self._loops.keep(self._connection.run, "inngest connect")
        self._loops.spawn(announce_commands(bots, studio.texts), "commands")
        self._loops.spawn(announce_to_admins(studio), "admins' commands")
        if settings.telegram_mode == "webhook":
            self._loops.spawn(webhook.set(settings.public_url), "set webhook")
        else:
            for name, bot in bots.items():
                self._loops.keep(lambda bot=bot: poll(bot, intake, studio.background), f"polling of {name}")  # type: ignore[misc]

    async def stop(self) -> None:
        """Within 10 s: take nothing new, let running jobs end, hand over what does not."""
        logger.info("stopping: {} jobs in flight", self._queue.in_flight)
        await self._loops.drain(0)
        drains = [self._queue.stop(_DRAIN_SECONDS)]
        if self._connection is not None:
            drains.append(self._connection.close(_DRAIN_SECONDS))
        await asyncio.gather(*drains)
        await self._studio.background.drain(_LOOSE_ENDS_SECONDS)
        await self._runner.cleanup()
        for bot in (*self._studio.bots.values(), *self._studio.bulk.values()):
            await bot.session.close()
        await self._studio.providers.close()
        await self._calls.close()
        await self._close_database()
        if self._sandbox is not None:
            await self._sandbox.close()
        if self._embedded is not None:
            await self._embedded.stop()
        logger.info("stopped")

    async def _close_database(self) -> None:
        try:
            await asyncio.wait_for(self._db.close(), _LOOSE_ENDS_SECONDS)
        except TimeoutError:
            logger.warning("the database does not answer; its connections are dropped")
            self._db.terminate()

    async def _listen(self) -> None:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._settings.bind_host, self._settings.port).start()
        except OSError as error:
            raise WrongSettings(f"PORT: cannot listen on {self._settings.port}: {error.strerror}") from error

    async def _open_database(self) -> Pool:
        dsn = self._settings.database_url.get_secret_value()
        if not dsn:
            self._embedded = EmbeddedPostgres(self._settings.data_dir / "postgres")
            await self._embedded.start()
            dsn = self._embedded.dsn
        try:
            db = await create_pool(dsn, size=self._settings.database_pool_size)
        except (ValueError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise WrongSettings(f"DATABASE_URL: {type(error).__name__}: {error}") from None
        async with db.acquire() as connection:
            if applied := await migrate(connection):
                logger.info("applied {} migrations", applied)
        return db

    def _serve_inngest(self, engine: JobEngine) -> InngestPlan:
        settings = self._settings
        client = create_client(settings)
        environment = HelloEnvironment(node_env=settings.environment, inngest_port=settings.inngest_dev_port)
        functions = create_functions(client, engine, self._calls, environment)
        plan = partial(
            InngestPlan,
            client,
            signals=engine.studio.signals,
            send_deadline=settings.inngest_send_deadline,
            ping_seconds=settings.inngest_ping_seconds,
        )
        if settings.inngest_transport == "connect":
            self._connection = connection = Connection(client, functions)
            return plan(connected=lambda: connection.connected)
        serve(self._web, client, functions, serve_origin=settings.public_url or None)
        return plan(sync_url=f"{settings.local_url}{SERVE_PATH}")

    def _create_intake(self, studio: Studio, orders: Orders, bots: dict[str, Bot], door: Door) -> Intake:
        storage = PostgresStorage(self._db)
        # aiogram's own FSM would ask the database once more for what an update arrives with.
        dispatcher = Dispatcher(storage=storage, disable_fsm=True, door=door)
        desks = DeskMiddleware(studio, orders, storage, self._settings.support_contact)
        for middleware in (desks, ThrottleMiddleware(), ErrorMiddleware()):
            dispatcher.update.outer_middleware(middleware)
        dispatcher.include_router(create_router())
        people = People(studio, self._settings.credits_at_start)
        names = {bot.id: name for name, bot in bots.items()}
        return Intake(self._db, dispatcher, people, names, lambda charge: refunded_elsewhere(studio, charge))

    def _add_pages(
        self, studio: Studio, orders: Orders, door: Door, plan_a: InngestPlan, webhook: Webhook
    ) -> None:
        settings, plans = self._settings, orders.plans
        health = Health(studio, plans, lambda: plan_a.state)
        health.add_routes(self._web)
        sandbox_host = settings.bind_host if settings.sandbox else None
        Dashboard(orders, door, health.report, sandbox_host=sandbox_host).add_routes(self._web)
        token, everybody = settings.metrics_token.get_secret_value(), not settings.production
        Metrics(studio, plans, self._queue, token=token, open_to_all=everybody).add_routes(self._web)
        Landing(sandbox=settings.sandbox, inngest_url=settings.inngest_url).add_routes(self._web)
        if settings.telegram_mode == "webhook":
            webhook.add_routes(self._web)
        if settings.public_url and settings.replicate_api_token.get_secret_value():
            ReplicateWebhook(studio, plans, lambda: replicate_webhook_secret(settings)).add_routes(self._web)
        if settings.sandbox:
            self._sandbox = _add_sandbox(self._web, settings.data_dir)

    def _create_alerts(self, studio: Studio, plans: Plans) -> tuple[Incidents, Alerts]:
        settings = self._settings
        conditions = Conditions(studio, plans, per_person=settings.jobs_per_person)
        url = settings.alert_webhook_url.get_secret_value()
        webhook = AlertWebhook(url, studio.texts) if url else None
        alerts = Alerts(studio, quiet=QuietHours(*settings.quiet_hours), webhook=webhook)
        return Incidents(studio, conditions), alerts

    def _webhook_secret(self) -> str:
        """The secret that Telegram sends with each update: set, or derived from the bots' own secrets."""
        given = self._settings.telegram_webhook_secret.get_secret_value()
        tokens = ",".join(sorted(self._settings.tokens.values()))
        return given or hmac.new(tokens.encode(), b"webhook", hashlib.sha256).hexdigest()


def _add_sandbox(app: web.Application, data_dir: Path) -> Any:
    from sandbox.telegram import create_telegram  # only development has what the sandbox needs

    stand = create_telegram(data_dir=data_dir / "sandbox")
    stand.add_routes(app, "/sandbox")
    return stand
