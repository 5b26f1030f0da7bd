"""The composition root: builds the parts of the process and wires them together. bot/lifecycle.py runs them."""

import asyncio
import hashlib
import hmac
from functools import partial
from typing import Any

from aiogram import Dispatcher
from aiohttp import web

from bot.providers import create_providers, replicate_webhook_secret
from bot.settings import Settings
from bot.telegram.bots import create_bots, create_broadcast_bots, create_rate_limiters
from bot.telegram.fsm import PostgresStorage
from bot.telegram.middlewares import ErrorMiddleware, ThrottleMiddleware, UserContextMiddleware
from bot.telegram.update_processor import UpdateProcessor
from bot.telegram.webhook import Webhook
from handlers.context import AppContext
from handlers.routers import create_router
from inngest_functions.client import create_client
from inngest_functions.connect import Connection
from inngest_functions.plan_a import InngestPlan
from inngest_functions.registry import create_functions
from inngest_functions.run_locks import RunLocks
from inngest_functions.serve import serve
from inngest_functions.settings import SERVE_PATH
from services.admin.admin_actions import AdminActions
from services.admin.dashboard_auth import DashboardAuth
from services.billing.payment_followup import PAYMENT_FOLLOW_UP, PaymentFollowUp
from services.billing.payments import Payments
from services.billing.reconciliation import Reconciliation
from services.billing.refunds import Refunds
from services.broadcast.job import BROADCAST, BroadcastJob
from services.core.background import BackgroundTasks
from services.core.i18n import Texts
from services.dispatch import OrderDispatcher
from services.durable.listener import Listener
from services.durable.pubsub import CHANNEL as PUBSUB_CHANNEL
from services.durable.pubsub import PubSub
from services.hello import HelloEnvironment
from services.job_kinds import JOB_KINDS
from services.jobs.engine import JobEngine
from services.jobs.internal_jobs import RunInternalJob
from services.jobs.outbox_publisher import OutboxPublisher
from services.jobs.routing import PlanRouter
from services.jobs.worker import Worker
from services.leela.job import GAME_STEP, GameJob
from services.maintenance.scheduled_tasks import Scheduler, create_scheduled_tasks
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.messaging.stars import StarsApi
from services.monitoring.alert_messages import QuietHours
from services.monitoring.alert_webhook import AlertWebhook
from services.monitoring.alerts import Alerts
from services.monitoring.health_checks import HealthChecks
from services.monitoring.incidents import IncidentMonitor
from services.notifications.admins import AdminNotifier
from services.notifications.notices import BULK, GENERIC, SUCCESS, TRAINING_ERROR, NotificationJobs
from services.notifications.notify import notify_training_failed
from services.users.registration import UserRegistration
from storage.pool import Pool
from storage.settings import CHANNEL as SETTINGS_CHANNEL
from web.dashboard.routes import Dashboard
from web.health import Health
from web.landing import Landing
from web.metrics import Metrics
from web.webhooks.replicate import ReplicateWebhook


class App:
    """All parts of the process, built and wired together, but not running.

    Args:
        settings: The settings of this process.
        db: The connection pool. The database's schema must be up to date.
        pages: The web application, to which the routes are added.
    """

    def __init__(self, settings: Settings, db: Pool, pages: web.Application) -> None:
        self._settings = settings
        self._pages = pages
        self.db = db
        self.loops = BackgroundTasks()
        self.background = BackgroundTasks()
        self.pubsub = PubSub()

        named_bots = create_bots(settings.tokens, settings.telegram_url)
        self.bots = Bots(
            named_bots,
            create_broadcast_bots(named_bots, settings.telegram_url),
            create_rate_limiters(named_bots),
        )
        self.texts = Texts()
        self.providers = create_providers(settings)
        self.messenger = Messenger(db, self.bots, self.texts)
        self.admins = AdminNotifier(db, self.messenger, settings.admins)

        self.stars = StarsApi(self.bots)
        self.payments = Payments(db, self.stars, self.texts, settings.tokens)
        self.refunds = Refunds(db, self.stars, self.admins)
        self.reconciliation = Reconciliation(db, self.stars, self.payments, self.refunds, self.admins)
        self.scheduled_tasks = create_scheduled_tasks(db, self.texts, self.admins, self.reconciliation)

        self.engine = JobEngine(
            db,
            self.messenger,
            self.providers,
            self.background,
            self._internal_jobs(),
            notify_training_failed,
            settings.job_lease_seconds,
        )
        self.run_locks = RunLocks(db)
        self.connection: Connection | None = None
        self.plan_a = self._create_plan_a()
        self.router = PlanRouter(db, self.plan_a, list(JOB_KINDS))
        self.worker = Worker(
            self.engine,
            self.router,
            self.pubsub,
            slots=settings.plan_b_slots,
            per_user_limit=settings.jobs_per_person,
        )
        self.publisher = OutboxPublisher(
            self.messenger, self.router, self.worker, start_timeout=settings.plan_a_start_timeout
        )
        self.dispatcher = OrderDispatcher(
            db,
            self.providers,
            self.router,
            self.worker,
            self.publisher,
            self.background,
            lease_seconds=settings.job_lease_seconds,
        )
        self.scheduler = Scheduler(db, self.router, self.scheduled_tasks)
        self.incident_monitor = IncidentMonitor(
            db, HealthChecks(db, self.router, per_user_limit=settings.jobs_per_person)
        )
        self.alerts = self._create_alerts()

        self.listener = Listener(db)
        self.listener.subscribe(PUBSUB_CHANNEL, self.pubsub.dispatch)
        self.modes_changed = asyncio.Event()
        self.listener.subscribe(
            SETTINGS_CHANNEL, lambda _key: self.modes_changed.set(), on_connect=self.router.load
        )

        self.dashboard_auth = DashboardAuth(
            db, settings.admins, self._tokens(), settings.public_url or settings.local_url
        )
        self.update_processor = self._create_update_processor()
        self.webhook = Webhook(named_bots, self.update_processor, self._webhook_secret())
        self._add_pages()

    def _internal_jobs(self) -> dict[str, RunInternalJob]:
        """The function that runs each kind of internal job, by the id of the kind."""
        notifications = NotificationJobs(self.db, self.messenger)
        return {
            PAYMENT_FOLLOW_UP.id: PaymentFollowUp(self.db, self.messenger, self.admins).run,
            SUCCESS.id: notifications.run,
            GENERIC.id: notifications.run,
            BULK.id: notifications.run_bulk,
            TRAINING_ERROR.id: notifications.run_training_error,
            BROADCAST.id: BroadcastJob(self.db, self.bots, self.messenger, self.background).run,
            GAME_STEP.id: GameJob(self.db, self.messenger, self.providers, self._settings.leela_dice_seconds).run,
        }

    def _create_plan_a(self) -> InngestPlan:
        settings = self._settings
        client = create_client(settings)
        environment = HelloEnvironment(node_env=settings.environment, inngest_port=settings.inngest_dev_port)
        functions = create_functions(client, self.engine, self.run_locks, self.scheduled_tasks, environment)
        create_plan = partial(
            InngestPlan,
            client,
            self.pubsub,
            send_deadline=settings.inngest_send_deadline,
            ping_seconds=settings.inngest_ping_seconds,
        )
        if settings.inngest_transport == "connect":
            self.connection = connection = Connection(client, functions)
            return create_plan(connected=lambda: connection.connected)
        serve(self._pages, client, functions, serve_origin=settings.public_url or None)
        return create_plan(sync_url=f"{settings.local_url}{SERVE_PATH}")

    def _create_alerts(self) -> Alerts:
        settings = self._settings
        url = settings.alert_webhook_url.get_secret_value()
        return Alerts(
            self.db,
            self.messenger,
            settings.admins,
            self.background,
            quiet_hours=QuietHours(*settings.quiet_hours),
            webhook=AlertWebhook(url, self.texts) if url else None,
        )

    def _create_update_processor(self) -> UpdateProcessor:
        storage = PostgresStorage(self.db)
        # aiogram's FSM middleware would query the database again for the state that claim_update already returned.
        dispatcher = Dispatcher(storage=storage, disable_fsm=True, dashboard_auth=self.dashboard_auth)
        user_context = UserContextMiddleware(self._handler_context(), storage, self._settings.support_contact)
        for middleware in (user_context, ThrottleMiddleware(), ErrorMiddleware()):
            dispatcher.update.outer_middleware(middleware)
        dispatcher.include_router(create_router())
        return UpdateProcessor(
            self.db,
            self.texts,
            dispatcher,
            UserRegistration(self.db, self._settings.credits_at_start),
            {bot.id: name for name, bot in self.bots.by_name.items()},
            self.refunds.handle_external,
        )

    def _handler_context(self) -> AppContext:
        return AppContext(
            db=self.db,
            texts=self.texts,
            bots=self.bots,
            messenger=self.messenger,
            providers=self.providers,
            admins=self._settings.admins,
            background=self.background,
            dispatcher=self.dispatcher,
            router=self.router,
            publisher=self.publisher,
            payments=self.payments,
            refunds=self.refunds,
            reconciliation=self.reconciliation,
            stars=self.stars,
        )

    def _add_pages(self) -> None:
        settings = self._settings
        health = Health(self.db, self.bots, self.providers, self.router)
        dashboard = Dashboard(
            self.db,
            self.texts,
            self.router,
            self.worker,
            self.background,
            self.dashboard_auth,
            AdminActions(self.db, self.messenger, self.dispatcher),
            health.report,
            sandbox_host=settings.bind_host if settings.sandbox else None,
        )
        metrics = Metrics(
            self.db,
            self.router,
            self.worker,
            token=settings.metrics_token.get_secret_value(),
            allow_anonymous=not settings.production,
        )
        landing = Landing(sandbox=settings.sandbox, inngest_url=settings.inngest_url)
        parts: list[Any] = [health, dashboard, metrics, landing]
        if settings.telegram_mode == "webhook":
            parts.append(self.webhook)
        if settings.public_url and settings.replicate_api_token.get_secret_value():
            parts.append(ReplicateWebhook(self.db, self.plan_a, lambda: replicate_webhook_secret(settings)))
        for part in parts:
            part.add_routes(self._pages)

    def _webhook_secret(self) -> str:
        """The secret that Telegram sends with each update: configured, or derived from the bots' tokens."""
        configured = self._settings.telegram_webhook_secret.get_secret_value()
        return configured or hmac.new(self._tokens(), b"webhook", hashlib.sha256).hexdigest()

    def _tokens(self) -> bytes:
        """The tokens of all bots, used as a secret that every process knows."""
        return ",".join(sorted(self._settings.tokens.values())).encode()
